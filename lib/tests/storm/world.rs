//! All programs, the broker and the relays; what goes wrong with them, and how it is put right.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use realtime_monitor::base::thread;
use rustix::process::Signal;
use serde_json::Value;

use super::client::Client;
use super::plan::{Event, Fault, Mode, SMALL_DISKS, SPOOLED, Target};
use super::relay::Relay;
use super::slot::{BrokerSlot, Slot, started_broker};
use crate::support::broker::{Broker, free_port};
use crate::support::deployment::SOON;
use crate::support::program::Program;
use crate::support::{Scratch, http, wait};

/// How often the storm looks at what is due.
const STEP: Duration = Duration::from_millis(20);

/// What ends a fault.
#[derive(Debug, Clone, Copy)]
enum Undo {
    Start(Target),
    Thaw(Target),
    Pass(usize),
    Room(usize),
}

/// Everything that runs.
#[derive(Debug)]
pub struct World {
    pub clients: Vec<Client>,
    pub page: SocketAddr,
    /// How often which fault came to pass.
    pub faults: BTreeMap<&'static str, u64>,
    servers: Vec<Slot>,
    addresses: Vec<SocketAddr>,
    relays: Vec<Relay>,
    analysis: Slot,
    broker: BrokerSlot,
    kafka: String,
    agenda: Vec<(Instant, Undo)>,
    pub logs: PathBuf,
    pub scratch: Scratch,
}

impl World {
    /// Starts everything; returns when every client's frames arrive.
    pub fn start() -> Self {
        let scratch = Scratch::new("storm");
        let broker = Broker::start();
        let logs = scratch.join("logs");
        std::fs::create_dir(&logs).unwrap();
        let local = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let addresses = vec![local(), local()];
        let relays: Vec<Relay> = addresses.iter().map(|address| Relay::start(*address)).collect();
        let servers = format!("{},{}", relays[0].address, relays[1].address);
        let client = |number| Client::new(number, &servers, &scratch);
        let mut world = Self {
            clients: (0..=SPOOLED).map(client).collect(),
            page: local(),
            faults: BTreeMap::new(),
            servers: vec![Slot::default(), Slot::default()],
            addresses,
            relays,
            analysis: Slot::default(),
            kafka: broker.address(),
            broker: BrokerSlot::Up { broker, is_frozen: false },
            agenda: Vec::new(),
            logs,
            scratch,
        };
        let servers = [0, 1].map(Target::Server);
        let clients = (0..=SPOOLED).map(Target::Client);
        for target in servers.into_iter().chain([Target::Analysis]).chain(clients) {
            world.launch(target);
        }
        world.wait_until("every client is live", 2 * SOON, |world| {
            let known = http::json(world.page, "/api/hosts")?;
            let live = known["hosts"].as_array()?.iter().filter(|host| host["state"] == "live");
            (live.count() == SPOOLED + 1).then_some(())
        });
        world
    }

    /// Lives through a storm.
    pub fn weather(&mut self, events: &[Event], length: Duration) {
        let begun = Instant::now();
        let mut events = events.iter().peekable();
        while begun.elapsed() < length {
            while let Some(event) = events.next_if(|event| event.at <= begun.elapsed()) {
                self.strike(event);
            }
            self.turn();
            wait::pause(STEP);
        }
    }

    /// Ends every fault, and waits until everything that was sampled up to now is stored or
    /// accounted for, and everybody is with a server.
    pub fn settle(&mut self) {
        for (_, undo) in std::mem::take(&mut self.agenda) {
            self.undo(undo);
        }
        self.wait_until("the broker is back", 3 * SOON, |world| {
            matches!(world.broker, BrokerSlot::Up { .. }).then_some(())
        });
        let mut since = None;
        self.wait_until("everything is delivered", 6 * SOON, |world| {
            let ledger = world.ledger()?;
            let mut all = world.clients.iter();
            if !all.all(|client| is_delivered(client, &ledger["hosts"][&client.host])) {
                since = None;
                return None;
            }
            (since.get_or_insert_with(Instant::now).elapsed() > STEADY).then_some(())
        });
    }

    /// SIGTERM to all clients; every one must end well.
    pub fn stop_clients(&mut self) {
        for client in &mut self.clients {
            client.slot.program.as_ref().unwrap().signal(Signal::TERM);
        }
        for client in &mut self.clients {
            client.slot.program.take().unwrap().stop_signalled();
            client.end(false);
        }
    }

    /// SIGTERM to the rest, the broker not included.
    pub fn stop_others(&mut self) {
        for slot in self.servers.iter_mut().chain([&mut self.analysis]) {
            slot.program.take().unwrap().stop();
        }
    }

    /// Connections that were cut, in number.
    pub fn cuts(&self) -> u64 {
        self.relays.iter().map(Relay::cuts).sum()
    }

    pub fn broker_address(&self) -> &str {
        &self.kafka
    }

    pub fn ledger(&self) -> Option<Value> {
        http::json(self.page, "/api/ledger")
    }

    /// Waits while everything goes on.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        wait::until(what, limit, || {
            self.turn();
            wait::pause(5 * STEP);
            let found = condition(self);
            if found.is_none() && begun.elapsed() + SOON / 10 > limit {
                eprintln!("{what}: {}", self.ledger().unwrap_or_default());
            }
            found
        })
    }

    /// What is due, and a look at everybody.
    fn turn(&mut self) {
        let now = Instant::now();
        let (due, later) = self.agenda.drain(..).partition(|(at, _)| *at <= now);
        self.agenda = later;
        let due: Vec<(Instant, Undo)> = due;
        due.into_iter().for_each(|(_, undo)| self.undo(undo));
        if let BrokerSlot::Starting(started) = &self.broker
            && let Some(broker) = started_broker(started)
        {
            self.broker = BrokerSlot::Up { broker, is_frozen: false };
        }
        self.clients.iter_mut().for_each(|client| client.truth.drain());
        let clients = self.clients.iter_mut().map(|client| &mut client.slot);
        let all = clients.chain(&mut self.servers).chain([&mut self.analysis]);
        for program in all.filter_map(|slot| slot.program.as_mut()) {
            let ended = program.ended();
            assert!(ended.is_none(), "ended by itself: {ended:?}\n{}", program.log());
        }
    }

    /// A fault; nothing happens to what is gone already.
    fn strike(&mut self, event: &Event) {
        let undo = match event.fault {
            Fault::Kill(target) => self.kill(target).then_some(Undo::Start(target)),
            Fault::Freeze(target) => self.freeze(target).then_some(Undo::Thaw(target)),
            Fault::Relay(number, mode) => {
                self.relays[number].set(mode);
                self.note(match mode {
                    Mode::Drop => "relay drops",
                    Mode::Delay => "relay delays",
                    _ => "relay halves",
                });
                Some(Undo::Pass(number))
            }
            Fault::Cut(number, connection) => {
                self.relays[number].cut(connection);
                self.note("one connection cut");
                None
            }
            Fault::Full(number) => {
                self.clients[number].set_full(true);
                self.note("disk full");
                Some(Undo::Room(number))
            }
        };
        let at = Instant::now() + event.lasts;
        self.agenda.extend(undo.map(|undo| (at, undo)));
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Start(target) => self.launch(target),
            Undo::Thaw(target) => self.thaw(target),
            Undo::Pass(number) => self.relays[number].set(Mode::Pass),
            Undo::Room(number) => self.clients[number].set_full(false),
        }
    }

    fn note(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    fn slot(&mut self, target: Target) -> Option<&mut Slot> {
        match target {
            Target::Server(number) => Some(&mut self.servers[number]),
            Target::Client(number) => Some(&mut self.clients[number].slot),
            Target::Analysis => Some(&mut self.analysis),
            Target::Broker => None,
        }
    }

    /// kill -9, standing still or not; false when it is gone already.
    fn kill(&mut self, target: Target) -> bool {
        if let Target::Client(number) = target
            && !self.clients[number].may_be_killed()
        {
            return false;
        }
        let is_killed = match self.slot(target) {
            Some(slot) => slot.program.take().map(Program::kill).is_some(),
            None => self.kill_broker(),
        };
        if !is_killed {
            return false;
        }
        self.note(match target {
            Target::Server(_) => "server killed",
            Target::Client(SPOOLED) => "client without spool killed",
            Target::Client(_) => "client killed",
            Target::Analysis => "analysis killed",
            Target::Broker => "broker killed",
        });
        if let Target::Client(number) = target {
            self.clients[number].end(true);
        }
        true
    }

    fn kill_broker(&mut self) -> bool {
        match std::mem::replace(&mut self.broker, BrokerSlot::Nowhere) {
            BrokerSlot::Up { mut broker, .. } => {
                broker.kill();
                self.broker = BrokerSlot::Down(broker);
                true
            }
            other => {
                self.broker = other;
                false
            }
        }
    }

    /// Starts what was killed; the broker takes seconds, and does so beside everything else.
    fn launch(&mut self, target: Target) {
        let program = match target {
            Target::Server(number) => {
                let address = self.addresses[number].to_string();
                let name = ["a", "b"][number];
                let flags = ["--listen", &address, "--kafka", &self.kafka, "--name", name];
                let flags = [&flags[..], &["--interval", "100ms"]].concat();
                Program::start("monitor-server", &self.logs, &flags)
            }
            Target::Analysis => {
                let (address, data) = (self.page.to_string(), self.scratch.join("data"));
                let data = data.to_string_lossy();
                let flags = ["--listen", &address, "--kafka", &self.kafka, "--data", &data];
                let flags = [&flags[..], &["--write-after", "700ms"]].concat();
                Program::start("monitor-analysis", &self.logs, &flags)
            }
            Target::Client(number) => return self.clients[number].start(&self.logs),
            Target::Broker => return self.launch_broker(),
        };
        *self.slot(target).unwrap() = Slot::of(program);
    }

    fn launch_broker(&mut self) {
        let slot = std::mem::replace(&mut self.broker, BrokerSlot::Nowhere);
        let BrokerSlot::Down(mut broker) = slot else { panic!("not down: {slot:?}") };
        let (up, started) = bounded(1);
        let start = move || {
            broker.restart();
            let _ = up.send(broker);
        };
        thread::spawn("broker-start", start).unwrap().abandon();
        self.broker = BrokerSlot::Starting(started);
    }

    /// SIGSTOP; false when it is gone or stands still already.
    fn freeze(&mut self, target: Target) -> bool {
        let is_new = match self.slot(target) {
            Some(slot) => slot.freeze(),
            None => match &mut self.broker {
                BrokerSlot::Up { broker, is_frozen } if !*is_frozen => {
                    broker.freeze();
                    *is_frozen = true;
                    true
                }
                _ => false,
            },
        };
        if is_new {
            self.note(match target {
                Target::Server(_) => "server stopped",
                Target::Client(_) => "client stopped",
                Target::Analysis => "analysis stopped",
                Target::Broker => "broker stopped",
            });
        }
        is_new
    }

    /// SIGCONT, which does nothing to what was killed and started meanwhile.
    fn thaw(&mut self, target: Target) {
        if let Some(slot) = self.slot(target) {
            slot.thaw();
        } else if let BrokerSlot::Up { broker, is_frozen } = &mut self.broker {
            broker.thaw();
            *is_frozen = false;
        }
    }
}

/// Frames of the newest run that may be on their way when its client stops: two seconds.
const ON_THEIR_WAY: u64 = 20;

/// So long no more are: a client without a server would be farther behind by then, and one that is
/// back has sent what it had.
const STEADY: Duration = Duration::from_secs(3);

/// Whether of a client's newest run everything is stored but for what is on its way.
fn is_delivered(client: &Client, account: &Value) -> bool {
    let Some((session, sampled)) = client.truth.runs.last() else { return false };
    let Some(sessions) = account["sessions"].as_array() else { return false };
    let number = |of: &Value, name: &str| of[name].as_u64().unwrap();
    let newest = sessions.iter().find(|it| it["session"] == **session);
    let known = |it: &Value| number(it, "stored") + number(it, "dropped");
    newest.is_some_and(|it| known(it) + ON_THEIR_WAY >= *sampled)
}

/// Whether a client's disk is one that is full at times.
pub fn has_small_disk(number: usize) -> bool {
    number < SMALL_DISKS
}
