//! The embedded bus with a reader that shows what it reads at once and takes it only on command, as
//! an analysis does that commits every few seconds: nothing that is shown waits for that, and
//! nothing is acknowledged before.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use grpcio::RpcStatusCode as Code;
use realtime_monitor::base::clock::Real;
use realtime_monitor::base::thread;
use realtime_monitor::bus::embedded::EmbeddedBus;
use realtime_monitor::bus::{Bus, Position, Reader, Topic};
use realtime_monitor::server::{self, Config, Handle, Orders};
use realtime_monitor::wire::json::{Record, RecordDecoder, SessionRecord};
use realtime_monitor::wire::message::{FromClient, ToClient};

use crate::client::start_client_of;
use crate::config;
use crate::peer::{self, Event, LIMIT, Peer};
use crate::support::wait;

/// How long something is watched that must not happen.
const WHILE: Duration = Duration::from_millis(100);

/// A server on an embedded bus of one partition, and all that reads it.
struct Late {
    bus: Arc<EmbeddedBus>,
    server: Option<Handle>,
    address: SocketAddr,
    counts: Arc<server::ServerCounts>,
    shown: Shown,
}

/// What was read so far.
struct Shown {
    reader: Box<dyn Reader>,
    decoder: RecordDecoder,
    /// Host, number, offset.
    frames: Vec<(String, u64, u64)>,
    sessions: Vec<SessionRecord>,
    next: u64,
}

impl Late {
    fn start(config: &Config) -> Self {
        Self::start_at(config, 0)
    }

    /// Whose bus goes on at an offset.
    fn start_at(config: &Config, first: u64) -> Self {
        let clock = Real::shared();
        let bus = EmbeddedBus::starting_at(&[first], clock.clone());
        let reader = bus.reader(Topic::Metrics, 0, Position::Offset(first));
        let server = server::start(config, bus.clone(), clock).unwrap();
        let (address, counts) = (server.address(), server.counts());
        let (frames, sessions) = (Vec::new(), Vec::new());
        let decoder = RecordDecoder::new();
        let shown = Shown { reader, decoder, frames, sessions, next: first };
        Self { bus, server: Some(server), address, counts, shown }
    }

    fn welcome(&self, host: &str) -> Peer {
        Peer::welcome(&peer::environment(), self.address, host)
    }

    /// What came in is durable, left behind or still on its way.
    #[track_caller]
    fn expect_frames(&self, durable: u64, abandoned: u64) {
        let counts = &self.counts;
        let now = || (counts.frames_published.get(), counts.frames_abandoned.get());
        wait::until(&format!("{durable} durable, {abandoned} abandoned"), LIMIT, || {
            (now() == (durable, abandoned)).then_some(())
        });
    }
}

impl Shown {
    fn read(&mut self, wait: Duration) {
        let batch = self.reader.read(wait).unwrap();
        assert_eq!(batch.gap, None);
        for record in batch.records {
            assert_eq!(record.offset, self.next);
            self.next += 1;
            match self.decoder.decode(&record.value).unwrap() {
                Record::Frame(frame) => {
                    self.frames.push((frame.host.to_string(), frame.frame.seq, record.offset));
                }
                Record::Session(session) => self.sessions.push(*session),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads until as many frames were shown.
    #[track_caller]
    fn frames(&mut self, count: usize) {
        wait::until(&format!("{count} frames"), LIMIT, || {
            self.read(WHILE);
            (self.frames.len() >= count).then_some(())
        });
    }

    /// Reads until a session record says what is wanted.
    #[track_caller]
    fn session(&mut self, wanted: impl Fn(&SessionRecord) -> bool) -> SessionRecord {
        wait::until("a session record", LIMIT, || {
            self.read(WHILE);
            self.sessions.iter().rfind(|record| wanted(record)).cloned()
        })
    }

    /// Takes everything up to a host's frame.
    fn take(&mut self, host: &str, seq: u64) {
        let found = self.frames.iter().find(|(of, number, _)| of == host && *number == seq);
        self.reader.taken(found.unwrap().2);
    }

    fn take_all(&mut self) {
        self.reader.taken(self.next.saturating_sub(1));
    }

    fn seqs(&self, host: &str) -> Vec<u64> {
        self.frames.iter().filter(|(of, ..)| of == host).map(|(_, seq, _)| *seq).collect()
    }
}

#[test]
fn frames_are_shown_before_any_ack_and_acknowledged_exactly_after_they_are_taken() {
    let mut late = Late::start(&config());
    let mut peer = late.welcome("web-1");
    for seq in 1..=5 {
        // One by one: what goes to the bus together is durable together.
        peer.send_frame(seq);
        late.shown.frames(seq as usize);
    }
    assert_eq!(late.shown.seqs("web-1"), [1, 2, 3, 4, 5]);
    late.shown.read(WHILE);
    assert!(peer.try_next().is_none(), "an ack of what is not durable");
    assert_eq!(late.counts.frames_published.get(), 0);
    for seq in [1, 3, 5] {
        late.shown.take("web-1", seq);
        peer.expect_ack(seq);
        late.expect_frames(seq, 0);
        assert!(peer.try_next().is_none());
    }
}

/// A hundred frames a second, and nothing is taken until as many as 200 were shown; then one ack
/// covers all of them.
#[test]
fn live_frames_do_not_wait_for_what_is_taken_late() {
    let interval = Duration::from_millis(10);
    let fast = Config { orders: Orders { interval, ..config().orders }, ..config() };
    let mut late = Late::start(&fast);
    let client = start_client_of(late.address, interval);
    late.shown.frames(200);
    let (counts, server) = (client.counts(), Arc::clone(&late.counts));
    assert_eq!((counts.frames_acked.get(), server.frames_published.get()), (0, 0));
    let acks_before = server.acks_sent.get();
    late.shown.take_all();
    let taken = late.shown.frames.len() as u64;
    wait::until("acks", LIMIT, || (counts.frames_acked.get() >= taken).then_some(()));
    assert_eq!(counts.frames_acked.get(), taken);
    assert!(server.acks_sent.get() - acks_before <= 2, "what is durable together is told together");
    // The client leaves, and its last frames are taken because it cannot wait long.
    let leaving = thread::spawn("test-leaving", move || client.stop()).unwrap();
    wait::until("the last word", LIMIT, || {
        late.shown.read(WHILE);
        if late.shown.reader.is_awaited() {
            late.shown.take_all();
        }
        leaving.is_finished().then_some(())
    });
    let sampled = counts.frames_sampled.get();
    assert_eq!((counts.frames_acked.get(), counts.frames_sent_again.get()), (sampled, 0));
    assert!(late.shown.seqs("web-1").into_iter().eq(1..=sampled), "each once, in order");
}

#[test]
fn a_killed_server_gets_again_what_was_not_taken() {
    let interval = Duration::from_millis(10);
    let fast = Config { orders: Orders { interval, ..config().orders }, ..config() };
    let mut first = Late::start(&fast);
    let client = start_client_of(first.address, interval);
    first.shown.frames(20);
    first.shown.take_all();
    let (counts, taken) = (client.counts(), first.shown.frames.len());
    wait::until("acks", LIMIT, || (counts.frames_acked.get() >= taken as u64).then_some(()));
    first.shown.frames(taken + 40);
    let (address, next) = (first.address, first.shown.frames[taken].2);
    // What a kill leaves: a bus that answers nobody, and streams that are cut.
    first.bus.shutdown();
    drop(first.server.take());
    let taken = taken as u64;
    assert_eq!(counts.frames_acked.get(), taken, "nothing else was acknowledged");

    let mut second = Late::start_at(&Config { listen: address, ..fast }, next);
    second.shown.frames(100);
    let again = second.shown.seqs("web-1");
    assert!(!again.contains(&taken) && again.contains(&(taken + 1)), "{again:?}");
    second.shown.take_all();
    wait::until("acks", LIMIT, || (counts.frames_acked.get() >= 100).then_some(()));
    let leaving = thread::spawn("test-leaving", move || client.stop()).unwrap();
    wait::until("the client has left", LIMIT, || {
        second.shown.read(WHILE);
        second.shown.take_all();
        leaving.is_finished().then_some(())
    });
    let sampled = counts.frames_sampled.get();
    assert_eq!((counts.frames_acked.get(), counts.frames_waiting.get()), (sampled, 0));
    let both: BTreeSet<u64> = (1..=taken).chain(second.shown.seqs("web-1")).collect();
    assert!(both.into_iter().eq(1..=sampled), "nothing is missing");
}

/// The last record of a stream is made when its frames are durable; nobody else waits for that.
#[test]
fn a_record_claims_what_is_durable_and_holds_nobody_up() {
    let mut late = Late::start(&config());
    let (mut gone, mut stays) = (late.welcome("gone"), late.welcome("stays"));
    gone.send_frames(1..=3);
    late.shown.frames(3);
    late.shown.session(|record| &*record.host == "gone" && record.ended.is_none());
    drop(gone);
    wait::until("its end", LIMIT, || (late.counts.streams_ended.get() == 1).then_some(()));
    stays.send_frames(1..=3);
    late.shown.frames(6);
    late.shown.read(WHILE);
    let early = late.shown.sessions.iter().find(|record| record.ended.is_some());
    assert!(early.is_none(), "its frames are not durable: {early:?}");
    late.shown.take("gone", 3);
    let last = late.shown.session(|record| record.ended.is_some());
    assert_eq!((&*last.host, last.sampled_through), ("gone", 3));
    assert_eq!(last.acked, [(1, 3)]);
    assert!(stays.try_next().is_none());
    late.shown.take_all();
    stays.expect_ack(3);
}

#[test]
fn a_client_that_leaves_is_awaited() {
    let mut late = Late::start(&config());
    let mut peer = late.welcome("web-1");
    peer.send_frames(1..=15);
    late.shown.frames(15);
    assert!(!late.shown.reader.is_awaited());
    peer.send(&FromClient::Bye { last_seq: 15, reason: String::new() });
    wait::until("the hurry", LIMIT, || late.shown.reader.is_awaited().then_some(()));
    late.shown.take_all();
    peer.expect_ack(15);
    let record = late.shown.session(|record| record.ended.is_some());
    assert_eq!((record.ended.as_deref(), record.acked), (Some("bye"), vec![(1, 15)]));
    late.shown.take_all();
    peer.close_sending();
    peer.expect_end(Code::OK);
}

#[test]
fn a_stop_hurries_and_acknowledges_everything() {
    let mut late = Late::start(&config());
    let mut peers: Vec<_> = (0..20).map(|number| late.welcome(&format!("h{number}"))).collect();
    peers.iter_mut().for_each(|peer| peer.send_frames(1..=15));
    late.shown.frames(300);
    let server = late.server.take();
    let stopping = thread::spawn("test-stopping", move || drop(server)).unwrap();
    wait::until("the stop", LIMIT, || {
        late.shown.read(WHILE);
        if late.shown.reader.is_awaited() {
            late.shown.take_all();
        }
        stopping.is_finished().then_some(())
    });
    late.expect_frames(300, 0);
    for peer in &peers {
        let mut acked = 0;
        while let Event::Message(message) = peer.next() {
            if let ToClient::Ack(ack) = message {
                acked = ack.through;
            }
        }
        assert_eq!(acked, 15, "{}", peer.host);
    }
    late.shown.read(WHILE);
    let ended = late.shown.sessions.iter().filter(|record| record.ended.is_some());
    assert!(ended.clone().all(|record| record.acked == [(1, 15)]));
    assert_eq!(ended.count(), 20, "every session's end is recorded");
}

#[test]
fn a_stop_abandons_exactly_what_is_not_durable() {
    let mut late = Late::start(&config());
    let mut peer = late.welcome("web-1");
    peer.send_frames(1..=2);
    late.shown.frames(2);
    late.shown.take_all();
    peer.expect_ack(2);
    peer.send_frames(3..=5);
    late.shown.frames(5);
    drop(late.server.take());
    late.expect_frames(2, 3);
    loop {
        match peer.next() {
            Event::Message(ToClient::Drain { .. }) => {}
            Event::Message(other) => panic!("{other:?}"),
            Event::Ended(status) => break assert_ne!(status.code(), Code::OK),
        }
    }
}

/// A reader that takes nothing for a while: what the bus holds is bounded, clients are held back,
/// and everything goes on when it takes again.
#[test]
fn a_full_bus_holds_clients_back_and_goes_on() {
    const FRAMES: u64 = 20_000;
    let late = Late::start(&config());
    let mut flood = late.welcome("flood");
    let sender = thread::spawn("flood", move || {
        for seq in 1..=FRAMES {
            flood.send(&FromClient::Frame(Box::new(peer::frame(flood.session, seq, 60))));
        }
        flood.expect_ack(FRAMES);
    })
    .unwrap();
    // Dropped before the thread is waited for, which then cannot hang.
    let mut late = late;
    wait::until("the flood is held back", Duration::from_secs(60), || {
        (late.counts.streams_held.get() > 0).then_some(())
    });
    while late.shown.frames.len() < FRAMES as usize {
        late.shown.read(LIMIT);
        let held: usize = 8 * 1024 * 1024 / 500;
        let taken = late.counts.frames_published.get() as usize;
        assert!(
            late.shown.frames.len().saturating_sub(taken) <= held,
            "more than 8 MiB of records"
        );
        late.shown.take_all();
    }
    wait::until("the acks", LIMIT, || sender.is_finished().then_some(()));
    assert!(late.shown.seqs("flood").into_iter().eq(1..=FRAMES), "each once, in order");
    late.expect_frames(FRAMES, 0);
}
