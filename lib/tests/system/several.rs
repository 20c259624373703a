//! Two servers drain and die in turn under twenty clients: nobody is without a server for long,
//! and every frame is in the topic and in the ledger, once, whichever way it went.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::deployment::{Deployment, SOON};
use super::outage::{frames_of, sampled};
use crate::support::broker::free_port;
use crate::support::program::Program;
use crate::support::wait;

const CLIENTS: usize = 20;
const ROUNDS: usize = 3;

/// How long clients are looked at while no server is there.
const NOBODY: Duration = Duration::from_secs(6);

/// Processor time is told in this many ticks a second (`man 5 proc`, all architectures).
const TICKS_PER_SECOND: u64 = 100;

/// One of the servers; it comes back where it was.
struct Server {
    name: &'static str,
    address: String,
    kafka: String,
    folder: PathBuf,
    running: Option<Program>,
}

impl Server {
    fn start(name: &'static str, kafka: &str, folder: &Path) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let (kafka, folder) = (kafka.to_owned(), folder.to_owned());
        let mut server = Self { name, address, kafka, folder, running: None };
        server.restart();
        server
    }

    fn restart(&mut self) {
        let flags = ["--listen", &self.address, "--kafka", &self.kafka, "--name", self.name];
        let more = ["--interval", "100ms"];
        let all = [&flags[..], &more[..]].concat();
        let mut server = Program::start("monitor-server", &self.folder, &all);
        server.address("listening on ");
        self.running = Some(server);
    }

    fn take(&mut self) -> Program {
        self.running.take().unwrap()
    }
}

#[test]
fn servers_that_drain_and_die_in_turn_lose_nothing_and_double_nothing() {
    let mut system = Deployment::start("several", &[]);
    let (kafka, folder) = (system.broker.address(), system.scratch.0.clone());
    let mut a = Server::start("a", &kafka, &folder);
    let mut b = Server::start("b", &kafka, &folder);
    // The servers of this test are the only ones.
    let stand_in = Program::start("monitor-client", &folder, &["--once"]);
    std::mem::replace(&mut system.server, stand_in).stop();
    let servers = format!("{},{}", a.address, b.address);
    let truths: Vec<PathBuf> = (0..CLIENTS).map(|n| add_client(&mut system, n, &servers)).collect();
    wait::until("everybody has a server", SOON, || {
        system.clients.iter().all(|client| server_of(client).is_some()).then_some(())
    });
    let on_a = system.clients.iter().filter(|client| server_of(client) == Some('a')).count();
    assert!((2..=CLIENTS - 2).contains(&on_a), "spread over both: {on_a} on the first");

    for round in 1..=ROUNDS {
        wait::pause(Duration::from_millis(1_500));
        let begun = Instant::now();
        let log = a.take().stop();
        assert!(!log.contains("streams were cut") && !log.contains("ERROR"), "{log}");
        wait_for_all(&system, 'b');
        let drained = begun.elapsed();
        if round == 1 {
            let lost = system.clients.iter().find(|client| client.log().contains("lost the"));
            assert!(lost.is_none(), "leaving is no loss: {}", lost.unwrap().log());
        }
        a.restart();
        wait::pause(Duration::from_millis(500));
        let begun = Instant::now();
        b.take().kill();
        wait_for_all(&system, 'a');
        eprintln!(
            "all moved after {drained:.1?} of draining, {:.1?} after a kill",
            begun.elapsed()
        );
        b.restart();
    }
    nobody_is_there(&system, &mut a, &mut b);
    everything_is_accounted_for(&mut system, &truths);
}

fn add_client(system: &mut Deployment, number: usize, servers: &str) -> PathBuf {
    let host = format!("c{number:02}");
    let truth = system.scratch.join(&format!("{host}.sampled"));
    let log = truth.to_string_lossy().into_owned();
    let flags = ["--server", servers, "--host", &host, "--sampled-log", &log];
    system.clients.push(Program::start("monitor-client", &system.scratch.0, &flags));
    truth
}

/// Name of the server that a client is with, as its log tells.
fn server_of(client: &Program) -> Option<char> {
    let log = client.log();
    let last = log.lines().rfind(|line| line.contains("connected to server '"))?;
    last.split('\'').nth(1)?.chars().next()
}

#[track_caller]
fn wait_for_all(system: &Deployment, server: char) {
    wait::until(&format!("everybody is with '{server}'"), SOON, || {
        system.clients.iter().all(|client| server_of(client) == Some(server)).then_some(())
    });
}

/// With all servers gone, clients wait for them instead of running in circles.
fn nobody_is_there(system: &Deployment, a: &mut Server, b: &mut Server) {
    let connections: Vec<usize> = system.clients.iter().map(connections).collect();
    a.take().kill();
    b.take().kill();
    let used = || system.clients.iter().map(|client| cpu_ticks(client.pid())).sum::<u64>();
    let (before, begun) = (used(), Instant::now());
    wait::pause(NOBODY);
    let each = (used() - before) as f64 / (TICKS_PER_SECOND * CLIENTS as u64) as f64;
    let percent = 100.0 * each / begun.elapsed().as_secs_f64();
    eprintln!("a client without any server uses {percent:.2} % of a core at 10 Hz");
    assert!(percent < 25.0, "a busy loop: {percent} %");
    a.restart();
    b.restart();
    wait::until("everybody has a server again", 2 * SOON, || {
        let mut now = system.clients.iter().map(self::connections).zip(&connections);
        now.all(|(now, before)| now > *before).then_some(())
    });
}

fn connections(client: &Program) -> usize {
    client.log().matches("connected to server").count()
}

/// Processor time that a process has used, user and system.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks = after_name.split(' ').skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Three accounts agree: what the clients wrote down, what the topic holds, the ledger.
fn everything_is_accounted_for(system: &mut Deployment, truths: &[PathBuf]) {
    wait::pause(Duration::from_secs(1));
    for client in system.clients.drain(..) {
        let log = client.stop();
        assert!(log.contains("nothing left: ") && !log.contains("panic"), "{log}");
    }
    let sampled: BTreeSet<(String, u64)> = truths.iter().flat_map(|truth| sampled(truth)).collect();
    let topic = frames_of(&system.topic());
    let stored: BTreeSet<(String, u64)> = topic.keys().cloned().collect();
    assert_eq!(stored, sampled, "the topic against what the clients wrote down");
    let sent_again: usize = topic.values().map(|copies| copies - 1).sum();
    let ledger = wait::until("the ledger closes", SOON, || {
        let ledger = system.json("/api/ledger")?;
        let is_told =
            ledger["fleet"]["waiting"] == 0 && ledger["fleet"]["sampled"] == sampled.len();
        is_told.then_some(ledger)
    });
    let fleet = &ledger["fleet"];
    assert_eq!(fleet["stored"], sampled.len(), "{fleet}");
    for none in ["missing", "dropped", "tails_unknown"] {
        assert_eq!(fleet[none], 0, "{none}: {fleet}");
    }
    assert_eq!(fleet["doubled"], sent_again, "{fleet}");
    for (host, account) in ledger["hosts"].as_object().unwrap() {
        let sessions = account["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), 1, "{host}: one session, whichever way: {account}");
        let ended = sessions[0]["ended"].as_str().unwrap_or_default();
        assert!(ended.starts_with("bye"), "{host}: {account}");
    }
    eprintln!("{} frames, {sent_again} sent again and removed, 0 missing", sampled.len());
}
