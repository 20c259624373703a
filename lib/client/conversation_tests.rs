//! Streams as a scripted server and a scripted clock have them.

use std::sync::Arc;

use super::*;
use crate::base::clock::{Clock, Scripted};
use crate::client::server_time::UNCERTAINTY_UNKNOWN_MS;
use crate::client::shared::micros;
use crate::client::testing::{frame, shared};
use crate::client::uplink_setup::Setup;
use crate::metric::{Layout, SeriesKey};
use crate::wire::message::{Ack, Schedule, ScheduleEntry};

#[path = "conversation_stopping_tests.rs"]
mod stopping;

const START_US: u64 = 1_700_000_000_000_000;
const USAGE: fn() -> (u64, u64) = || (5, 6);

struct Bench {
    clock: Arc<Scripted>,
    shared: Arc<Shared>,
    memory: Memory,
    layout: Layout,
}

impl Bench {
    fn new(window: u64) -> Self {
        let clock = Scripted::new(START_US);
        let shared = shared(&clock, 1 << 20, window);
        Self { clock, shared, memory: Memory::default(), layout: [SeriesKey::plain("x")].into() }
    }

    fn sample(&self, frames: u64) {
        let mut buffer = self.shared.buffer();
        for _ in 0..frames {
            let seq = buffer.account().sampled + 1;
            buffer.push(frame(self.shared.session, seq, &self.layout));
        }
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

fn hello() -> Box<Hello> {
    let setup = Setup {
        servers: vec!["localhost:1".into()],
        host: "host".into(),
        root: "/nowhere".into(),
        machine: crate::client::machine::Machine::default(),
        catalogue: Vec::new(),
        interval_min_ms: 50,
        window_frames: 300,
    };
    Box::new(setup.hello(crate::metric::SessionId(42)))
}

fn welcome(server_time_us: u64) -> ToClient {
    let (server, version) = ("srv".to_owned(), "1".to_owned());
    let schedule = Schedule::default();
    ToClient::Welcome(Box::new(Welcome {
        protocol: PROTOCOL,
        server,
        server_time_us,
        schedule,
        version,
    }))
}

fn ack(through: u64) -> ToClient {
    let (server_time_us, echo_received_us) = (0, 0);
    let ranges = Vec::new();
    ToClient::Ack(Ack {
        session: None,
        through,
        ranges,
        server_time_us,
        echo_seq: 0,
        echo_received_us,
    })
}

/// Everything it has to say now, in short.
fn said(conversation: &mut Conversation<'_>) -> Vec<String> {
    std::iter::from_fn(|| conversation.next())
        .map(|message| match message {
            FromClient::Hello(hello) => format!("hello from {}", hello.first_seq),
            FromClient::Frame(frame) => format!("frame {}", frame.seq),
            FromClient::Status(status) => format!("status {}", status.nonce),
            FromClient::Bye { last_seq, .. } => format!("bye {last_seq}"),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn hello_then_nothing_until_welcome() {
    let mut bench = Bench::new(300);
    bench.sample(2);
    let shared = Arc::clone(&bench.shared);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    assert!(talk.has_next());
    assert_eq!(said(&mut talk), ["hello from 1"]);
    assert!(!talk.has_next());
    talk.received(ack(2));
    talk.received(ToClient::Unknown);
    assert_eq!(shared.counts.messages_unknown.get(), 2);
    talk.received(welcome(START_US));
    assert_eq!(said(&mut talk), ["frame 1", "frame 2"]);
    talk.received(ack(1));
    assert_eq!(shared.counts.frames_acked.get(), 1);
    assert_eq!(talk.ended(Ok(())), Ending::Lost("it ended the stream".into()));
    let mut again = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    assert_eq!(said(&mut again), ["hello from 2"]);
    again.received(welcome(START_US));
    assert_eq!(said(&mut again), ["frame 2"]);
    assert_eq!(shared.counts.frames_sent_again.get(), 1);
}

#[test]
fn no_welcome_within_ten_seconds_is_the_end() {
    let mut bench = Bench::new(300);
    let shared = Arc::clone(&bench.shared);
    let clock = Arc::clone(&bench.clock);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    assert_eq!(talk.deadline(), Some(WELCOME_LIMIT));
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(talk.check(), None);
    clock.advance(Duration::from_millis(1));
    assert!(matches!(talk.check(), Some(Ending::Lost(words)) if words.contains("10 s")));
}

#[test]
fn another_version_is_a_refusal() {
    let mut bench = Bench::new(300);
    let shared = Arc::clone(&bench.shared);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    let ToClient::Welcome(mut other) = welcome(0) else { unreachable!() };
    other.protocol = 9;
    talk.received(ToClient::Welcome(other));
    assert!(talk.is_closing() && talk.welcomed().is_none());
    let Ending::Refused(words) = talk.ended(Ok(())) else { panic!("not refused") };
    assert!(words.contains("protocol 9"), "{words}");
}

#[test]
fn welcome_replaces_the_order_and_sets_the_clock_of_frames_that_wait() {
    let mut bench = Bench::new(300);
    let mut early = frame(bench.shared.session, 1, &bench.layout);
    (early.elapsed_us, early.uncertainty_ms) = (2_000_000, UNCERTAINTY_UNKNOWN_MS);
    bench.shared.buffer().push(early);
    bench.advance_ms(5_000);
    let shared = Arc::clone(&bench.shared);
    let clock = Arc::clone(&bench.clock);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    said(&mut talk);
    clock.advance(Duration::from_millis(4));
    let entry = ScheduleEntry { pattern: "cpu".into(), interval_ms: 100, lease_ms: 0 };
    let ToClient::Welcome(mut message) = welcome(9_000_000_002_000) else { unreachable!() };
    message.schedule.entries.push(entry.clone());
    talk.received(ToClient::Welcome(message));
    let Some(FromClient::Frame(sent)) = talk.next() else { panic!("no frame") };
    // Sampled 3.004 s before Welcome came, which was 2 ms after the server's word.
    assert_eq!((sent.time_ms, sent.uncertainty_ms), (8_999_997_000, 3));
    assert_eq!(sent.sent_ms, 9_000_000_004);
    let (schedule, received) = shared.orders.take().schedule.unwrap();
    assert_eq!((schedule.entries, received), (vec![entry], Duration::from_millis(5_004)));
}

#[test]
fn pings_are_answered_at_once_and_not_without_limit() {
    let mut bench = Bench::new(1);
    bench.sample(3);
    let shared = Arc::clone(&bench.shared);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    said(&mut talk);
    talk.received(welcome(START_US));
    for nonce in 1..=10 {
        talk.received(ToClient::Ping { nonce, server_time_us: 0 });
    }
    let Some(FromClient::Status(status)) = talk.next() else { panic!("no status") };
    assert_eq!((status.nonce, status.cpu_us, status.memory_bytes), (3, 5, 6));
    assert_eq!((status.buffered_frames, status.sampled_through), (3, 3));
    assert!(status.buffered_bytes > 0);
    assert_eq!(said(&mut talk).len(), 8, "seven answers and one frame");
    assert_eq!(shared.counts.pings_unanswered.get(), 2);
}

#[test]
fn drain_leaves_within_the_time_given() {
    let mut bench = Bench::new(300);
    bench.sample(1);
    let (shared, clock) = (Arc::clone(&bench.shared), Arc::clone(&bench.clock));
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    said(&mut talk);
    talk.received(welcome(START_US));
    talk.received(ToClient::Drain { after_ms: 2_000, reason: "update".into() });
    assert!(talk.deadline().is_some_and(|at| at <= Duration::from_secs(2)));
    assert_eq!(said(&mut talk), ["frame 1"]);
    clock.advance(Duration::from_secs(2));
    assert_eq!(talk.check(), None);
    assert!(talk.is_closing());
    talk.received(ack(1));
    assert_eq!(shared.counts.frames_acked.get(), 1, "the last acks still count");
    assert_eq!(talk.ended(Ok(())), Ending::Drained(Duration::ZERO));
}

#[test]
fn a_server_that_ends_the_stream_while_it_drains_leaves_the_client_its_moment() {
    for result in [Ok(()), Err(Ending::Lost("the server is stopping".into()))] {
        let mut bench = Bench::new(300);
        let (shared, clock) = (Arc::clone(&bench.shared), Arc::clone(&bench.clock));
        let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
        said(&mut talk);
        talk.received(welcome(START_US));
        talk.received(ToClient::Drain { after_ms: 60_000, reason: "update".into() });
        let chosen = talk.deadline().unwrap();
        clock.advance(chosen / 2);
        assert_eq!(talk.ended(result), Ending::Drained(chosen - chosen / 2));
    }
    let mut bench = Bench::new(300);
    let shared = Arc::clone(&bench.shared);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    said(&mut talk);
    talk.received(welcome(START_US));
    talk.received(ToClient::Drain { after_ms: 60_000, reason: "update".into() });
    let refused = Ending::Refused("name taken".into());
    assert_eq!(talk.ended(Err(refused.clone())), refused);
}

/// One stream of a server whose clock is `ahead_us` ahead: Hello and Welcome take 4 ms, then one
/// frame is acknowledged within 200 us. Returns the server's time as the client has it, less the
/// first server's.
fn stream_of(bench: &mut Bench, server: &str, ahead_us: i64) -> i64 {
    let (shared, clock) = (Arc::clone(&bench.shared), Arc::clone(&bench.clock));
    let truth_us = |clock: &Scripted| START_US + micros(clock.monotonic());
    let there_us = |clock: &Scripted| truth_us(clock).saturating_add_signed(ahead_us);
    bench.sample(1);
    let seq = shared.buffer().account().sampled;
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    talk.next();
    clock.advance(Duration::from_millis(4));
    let ToClient::Welcome(mut message) = welcome(there_us(&clock)) else { unreachable!() };
    message.server = server.to_owned();
    talk.received(ToClient::Welcome(message));
    said(&mut talk);
    clock.advance(Duration::from_micros(100));
    let ToClient::Ack(mut echo) = ack(seq) else { unreachable!() };
    (echo.echo_seq, echo.echo_received_us) = (seq, there_us(&clock));
    echo.server_time_us = there_us(&clock);
    clock.advance(Duration::from_micros(100));
    talk.received(ToClient::Ack(echo));
    let now = shared.now();
    now.server.unix_us as i64 - truth_us(&clock) as i64
}

#[test]
fn on_failover_the_time_is_slewed_and_stepped_with_a_mark_when_it_is_far_off() {
    let mut bench = Bench::new(300);
    let clock = Arc::clone(&bench.clock);
    let steps = |bench: &Bench| bench.shared.counts.clock_steps.get();
    assert!(stream_of(&mut bench, "a", 0).abs() <= 2_100, "Welcome alone is 2 ms off");
    clock.advance(Duration::from_secs(10));
    let start = clock.monotonic();
    // 80 ms ahead: followed by half a millisecond a second.
    let off_us = stream_of(&mut bench, "b", 80_000);
    assert!(off_us.abs() <= 10, "{off_us}");
    clock.advance(Duration::from_secs(40));
    let read_us = |bench: &Bench| {
        let now = bench.shared.now();
        let since_us = micros(now.monotonic) - micros(start);
        now.server.unix_us as i64 - (START_US + micros(start) + since_us) as i64
    };
    assert!((18_000..=22_100).contains(&read_us(&bench)), "{}", read_us(&bench));
    assert!(bench.shared.now().server.uncertainty_ms >= 58, "and says how far it can be off");
    clock.advance(Duration::from_secs(130));
    assert!((79_800..=80_200).contains(&read_us(&bench)), "{}", read_us(&bench));
    assert_eq!(steps(&bench), 0);
    // Back on the first one, which is 80 ms behind: no step either, and never backwards.
    let (before, monotonic) = (bench.shared.now(), clock.monotonic());
    stream_of(&mut bench, "a", 0);
    let after = bench.shared.now();
    let passed_us = micros(clock.monotonic() - monotonic);
    let moved_us = after.server.unix_us - before.server.unix_us;
    assert!(moved_us.abs_diff(passed_us) <= 10, "{moved_us} us in {passed_us}");
    assert_eq!(steps(&bench), 0);
    // 300 ms ahead of that: a step, and its mark.
    let off_us = stream_of(&mut bench, "c", 300_000);
    assert!((298_000..=302_000).contains(&off_us), "{off_us}");
    assert_eq!(steps(&bench), 1);
}

#[test]
fn a_slow_welcome_of_the_next_server_is_no_reason_to_step() {
    let mut bench = Bench::new(300);
    let (shared, clock) = (Arc::clone(&bench.shared), Arc::clone(&bench.clock));
    stream_of(&mut bench, "a", 0);
    clock.advance(Duration::from_secs(10));
    // Ten thousand clients arrive together: connecting takes 600 ms, the answer 1 ms. Half of
    // that is 300 ms away from the truth.
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    talk.next();
    clock.advance(Duration::from_millis(600));
    let ToClient::Welcome(mut message) = welcome(START_US + micros(clock.monotonic())) else {
        unreachable!()
    };
    message.server = "b".to_owned();
    clock.advance(Duration::from_millis(1));
    talk.received(ToClient::Welcome(message));
    assert_eq!(shared.counts.clock_steps.get(), 0);
    let reading = shared.now().server;
    let off_us = reading.unix_us.abs_diff(START_US + micros(clock.monotonic()));
    assert!(off_us <= 100, "{off_us}");
    assert!(reading.uncertainty_ms >= 300, "{reading:?}");
}

#[test]
fn an_unsendable_frame_is_dropped_on_a_fresh_stream_only() {
    let mut bench = Bench::new(300);
    bench.sample(3);
    let shared = Arc::clone(&bench.shared);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    said(&mut talk);
    talk.received(welcome(START_US));
    let Some(FromClient::Frame(first)) = talk.next() else { panic!("no frame") };
    talk.unsendable(&first, "expected by this test");
    assert_eq!(shared.buffer().account().dropped, 1);
    assert!(matches!(talk.next(), Some(FromClient::Dropped(gone)) if gone.range == (1, 1)));
    assert_eq!(said(&mut talk), ["frame 2", "frame 3"]);
    let third = frame(shared.session, 3, &bench.layout);
    talk.unsendable(&third, "expected by this test");
    assert!(talk.is_closing());
    assert_eq!(talk.ended(Ok(())), Ending::Renewed);
    assert_eq!(shared.buffer().waiting_ranges(), [(2, 3)]);
}
