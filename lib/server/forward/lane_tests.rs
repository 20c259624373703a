//! One partition against a bus that settles, refuses and keeps waiting when the test says so.

use std::sync::Mutex;

use super::*;
use crate::base::clock::{Scripted, SharedClock};
use crate::base::counter::CountSources;
use crate::base::stop::{self, Stopper};
use crate::bus::{Bus, Position, Promise, Reader, promise};
use crate::metric::{Frame, Samples, SessionId};
use crate::server::director::{Director, Orders};
use crate::server::queue::Waiting;
use crate::server::session::tests::hello;
use crate::server::stages::Stages;
use crate::server::stream::Stream;
use crate::server::streams::Streams;
use crate::wire::json::{FrameRecord, RecordDecoder, SessionRecord};
use crate::wire::message::Hello;

/// What it was given, and what it has not said to be durable yet.
#[derive(Debug, Default)]
struct ScriptedBus {
    taken: Mutex<Vec<Vec<Taken>>>,
    open: Mutex<VecDeque<Promise>>,
}

/// A record on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taken {
    Frame(u64),
    /// Of this session; frames that it says are acknowledged, and dropped.
    Session(SessionId, u64, Vec<u64>),
}

/// The bus takes no frame of this number, alone or among others.
const REFUSED: u64 = 13;

#[derive(Debug)]
struct ScriptedPublisher(Arc<ScriptedBus>);

#[derive(Debug)]
struct Shareable(Arc<ScriptedBus>);

impl Bus for Shareable {
    fn partitions(&self, _topic: Topic) -> u32 {
        1
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(ScriptedPublisher(Arc::clone(&self.0)))
    }

    fn reader(&self, _topic: Topic, _partition: u32, _from: Position) -> Box<dyn Reader> {
        panic!("a server reads nothing")
    }
}

impl Publisher for ScriptedPublisher {
    fn begin(
        &mut self,
        topic: Topic,
        _partition: u32,
        records: &[Record],
    ) -> Result<Receipt, BusError> {
        if topic == Topic::Events {
            return Ok(Receipt::durable());
        }
        let taken: Vec<Taken> = records.iter().map(taken).collect();
        if taken.contains(&Taken::Frame(REFUSED)) {
            return Err(BusError::Refused { what: "thirteen".into() });
        }
        self.0.taken.lock().unwrap().push(taken);
        let (promise, receipt) = promise();
        self.0.open.lock().unwrap().push_back(promise);
        Ok(receipt)
    }
}

fn taken(record: &Record) -> Taken {
    match RecordDecoder::new().decode(&record.value).unwrap() {
        json::Record::Frame(record) => Taken::Frame(record.frame.seq),
        json::Record::Session(record) => {
            let SessionRecord { session, acked, dropped, .. } = *record;
            let acked = acked.iter().map(|(first, last)| last + 1 - first).sum();
            let dropped = dropped.iter().flat_map(|((first, last), _)| *first..=*last).collect();
            Taken::Session(session, acked, dropped)
        }
        other => panic!("{other:?}"),
    }
}

struct World {
    lane: Lane,
    bus: Arc<ScriptedBus>,
    _stoppers: [Stopper; 2],
}

impl World {
    fn new() -> Self {
        let clock = Scripted::new(1_000_000_000) as SharedClock;
        let orders = Orders { interval: Duration::from_secs(1), schedule: vec![], collect: vec![] };
        let director = Director::new(&orders).unwrap();
        let queue = Arc::new(Queue::new(1 << 20));
        let queues = vec![Arc::clone(&queue)];
        let streams = Arc::new(Streams::new("here", director, queues, clock, Arc::default()));
        let bus = Arc::new(ScriptedBus::default());
        let ((close, closed), (give_up, given_up)) = (stop::pair(), stop::pair());
        let shared = Shared {
            streams,
            bus: Arc::new(Shareable(Arc::clone(&bus))),
            stages: Arc::<Stages>::default(),
            others: CountSources::default(),
            unusable: crossbeam_channel::bounded(1).0,
            close: closed,
            give_up: given_up,
        };
        Self { lane: Lane::new(0, queue, shared), bus, _stoppers: [close, give_up] }
    }

    fn streams(&self) -> &Streams {
        &self.lane.shared.streams
    }

    /// A client of a host of this name, with a session of this number.
    fn connect(&mut self, host: &str, session: u128) -> Arc<Stream> {
        let stream = self.streams().open("peer".into()).unwrap();
        let (host, session, earlier_sessions) = (host.into(), SessionId(session), Vec::new());
        let hello = Hello { host, session, earlier_sessions, ..hello() };
        self.streams().hello(&stream, &hello).unwrap();
        stream.lock().welcomed = true;
        assert_eq!(self.turn(), [[says(session.0, 0)]], "that it is there");
        self.settle();
        assert!(self.turn().is_empty());
        stream
    }

    fn frame(&self, stream: &Arc<Stream>, seq: u64) {
        let (host, session) = {
            let mut state = stream.lock();
            let known = state.session.as_mut().unwrap();
            let id = known.described.id;
            known.frame_received(id, seq);
            (known.described.host.clone(), id)
        };
        let frame = Frame {
            session,
            seq,
            elapsed_us: 0,
            time_ms: 0,
            uncertainty_ms: 0,
            host_time_ms: 0,
            interval_ms: 1_000,
            sent_ms: 0,
            samples: Samples::from_iter([]),
        };
        let (server, received_ms, clock_wrong, overtaken) = ("here".into(), 0, false, false);
        let record = FrameRecord { host, server, received_ms, clock_wrong, overtaken, frame };
        let (received_us, received_at) = (0, Duration::ZERO);
        let stream = Arc::clone(stream);
        let waiting = Waiting { stream, record, received_us, received_at };
        self.lane.queue.push_frame(Box::new(waiting)).unwrap();
    }

    fn record(&self, stream: &Arc<Stream>) {
        let session = stream.lock().session.as_ref().unwrap().described.id;
        self.streams().publish_record(stream, session);
    }

    /// Everything that can be done; what the bus got by it, batch by batch.
    fn turn(&mut self) -> Vec<Vec<Taken>> {
        assert!(self.lane.turn());
        std::mem::take(&mut self.bus.taken.lock().unwrap())
    }

    /// The oldest batch that is not is durable now.
    fn settle(&self) {
        self.bus.open.lock().unwrap().pop_front().expect("nothing is in flight").keep();
    }

    fn settle_all(&self) {
        self.bus.open.lock().unwrap().drain(..).for_each(Promise::keep);
    }

    fn published(&self) -> u64 {
        self.streams().counts.frames_published.get()
    }
}

/// What its record says of a session, of whose frames nothing is dropped.
fn says(session: u128, acked: u64) -> Taken {
    Taken::Session(SessionId(session), acked, Vec::new())
}

#[test]
fn a_record_waits_for_the_frames_of_its_own_stream_and_for_no_others() {
    let mut world = World::new();
    let (a, b) = (world.connect("a", 1), world.connect("b", 2));
    world.frame(&a, 5);
    assert_eq!(world.turn(), [[Taken::Frame(5)]]);
    world.record(&a);
    world.record(&b);
    world.frame(&b, 6);
    assert_eq!(world.turn(), [[says(2, 0), Taken::Frame(6)]], "b has nothing in flight");
    world.frame(&a, 7);
    assert_eq!(world.turn(), [[Taken::Frame(7)]], "a record that waits holds up nothing");
    world.settle();
    assert_eq!(world.turn(), [[says(1, 1)]], "what came before it is durable, and it says so");
    world.record(&a);
    world.settle();
    assert!(world.turn().is_empty(), "its frame 7 is in flight");
    world.settle();
    assert_eq!(world.turn(), [[says(1, 2)]]);
    world.settle_all();
    assert!(world.turn().is_empty() && world.lane.in_flight.is_empty());
    assert_eq!((world.published(), world.lane.queue.frames_in_hand()), (3, 0));
}

#[test]
fn batches_are_settled_in_order_and_each_once() {
    let mut world = World::new();
    let a = world.connect("a", 1);
    for seq in 5..8 {
        world.frame(&a, seq);
        assert_eq!(world.turn(), [[Taken::Frame(seq)]], "one batch does not wait for another");
    }
    // A bus that breaks its word.
    let second = world.bus.open.lock().unwrap().remove(1).unwrap();
    second.keep();
    world.turn();
    assert_eq!(world.published(), 0, "the first is not durable");
    world.settle();
    world.turn();
    world.turn();
    assert_eq!((world.published(), world.lane.queue.frames_in_hand()), (2, 1));
}

#[test]
fn a_record_that_the_bus_refuses_stands_alone_and_its_hole_gets_a_name() {
    let mut world = World::new();
    let a = world.connect("a", 1);
    let others = [10, 11, 12, 14, 15];
    (10..=15).for_each(|seq| world.frame(&a, seq));
    let parts = world.turn();
    let sent: Vec<Taken> = parts.concat();
    assert_eq!(sent, others.map(Taken::Frame), "the others, in order, each once");
    assert_eq!(world.streams().counts.frames_refused.get(), 1);
    world.settle_all();
    let records = world.turn();
    assert_eq!(records, [[Taken::Session(SessionId(1), 5, vec![REFUSED])]]);
    assert_eq!((world.published(), world.lane.queue.frames_in_hand()), (5, 0));
}

#[test]
fn what_is_durable_when_the_server_gives_up_is_told_and_the_rest_abandoned() {
    let mut world = World::new();
    let a = world.connect("a", 1);
    for seq in 5..8 {
        world.frame(&a, seq);
        world.turn();
    }
    world.frame(&a, 8);
    world.record(&a);
    world.settle();
    world.lane.abandon_rest();
    let abandoned = world.streams().counts.frames_abandoned.get();
    assert_eq!((world.published(), abandoned), (1, 3));
    assert_eq!(world.lane.queue.frames_in_hand(), 0);
}

#[test]
fn a_bus_that_takes_everything_and_settles_nothing_is_given_no_more_than_a_bounded_number() {
    let mut world = World::new();
    let a = world.connect("a", 1);
    let mut batches = 0;
    for seq in 5..5 + IN_FLIGHT_MAX as u64 + 10 {
        world.frame(&a, if seq == REFUSED { 4 } else { seq });
        batches += world.turn().len();
    }
    assert_eq!((batches, world.lane.in_flight.len()), (IN_FLIGHT_MAX, IN_FLIGHT_MAX));
    assert_eq!(world.lane.queue.frames_in_hand(), IN_FLIGHT_MAX as u64 + 10);
    world.settle();
    assert_eq!(world.turn().concat().len(), 10, "what has gathered meanwhile is one batch");
}
