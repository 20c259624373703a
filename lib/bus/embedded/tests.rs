//! The embedded bus: the contract, what it adds to it, and a random walk against a plain model.

use std::time::Duration;

use super::*;
use crate::base::clock::Real;
use crate::base::dice::Dice;
use crate::base::thread;
use crate::{base, bus};

#[macro_use]
#[path = "../contract.rs"]
mod contract;

const PATIENCE: Duration = Duration::from_secs(30);

fn with_bus(case: fn(&dyn Bus)) {
    case(EmbeddedBus::new(3, Real::shared()).as_ref());
}

contract_tests!(with_bus);

fn record(size: usize) -> Record {
    Record { key: b"h".to_vec(), value: vec![1; size] }
}

#[test]
fn readers_have_records_at_once_and_a_receipt_is_settled_when_all_have_taken_them() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let mut readers: Vec<_> =
        (0..2).map(|_| bus.reader(Topic::Metrics, 0, Position::Earliest)).collect();
    let mut publisher = bus.publisher();
    let receipts: Vec<_> =
        (0..3).map(|_| publisher.begin(Topic::Metrics, 0, &vec![record(5); 2]).unwrap()).collect();
    let settled = || receipts.iter().filter(|receipt| receipt.poll() == Some(Ok(()))).count();
    for reader in &mut readers {
        assert_eq!(reader.read(PATIENCE).unwrap().records.len(), 6);
    }
    for (taken, expected) in [(0, 0), (1, 1), (2, 1), (5, 3)] {
        readers[0].taken(5);
        readers[1].taken(taken);
        assert_eq!(settled(), expected, "after {taken}");
        assert_eq!(bus.counts().published_records.get(), 2 * expected as u64);
    }
}

#[test]
fn whoever_cannot_wait_long_is_heard() {
    let bus = EmbeddedBus::new(2, Real::shared());
    let (mut reader, other) = (
        bus.reader(Topic::Metrics, 0, Position::Earliest),
        bus.reader(Topic::Metrics, 1, Position::Earliest),
    );
    let mut publisher = bus.publisher();
    let _receipt = publisher.begin(Topic::Metrics, 0, &[record(5), record(5)]).unwrap();
    assert!(!reader.is_awaited());
    publisher.hurry(Topic::Metrics, 0);
    assert!(reader.is_awaited() && !other.is_awaited());
    reader.taken(0);
    assert!(reader.is_awaited(), "one of two");
    reader.taken(1);
    assert!(!reader.is_awaited());
    let _receipt = publisher.begin(Topic::Metrics, 0, &[record(5)]).unwrap();
    assert!(!reader.is_awaited(), "nobody said so of this one");
    publisher.hurry(Topic::Metrics, 9);
}

#[test]
fn offsets_go_on_from_an_earlier_run() {
    let bus = EmbeddedBus::starting_at(&[1_000, 0], Real::shared());
    assert_eq!(bus.partitions(Topic::Metrics), 2);
    let mut publisher = bus.publisher();
    let receipt = publisher.begin(Topic::Metrics, 0, &[record(1), record(2)]).unwrap();
    let offsets = |from| {
        let batch = bus.reader(Topic::Metrics, 0, from).read(Duration::ZERO).unwrap();
        (batch.records.iter().map(|record| record.offset).collect::<Vec<_>>(), batch.gap)
    };
    // The keeper of the offsets goes on exactly where it was.
    let mut keeper = bus.reader(Topic::Metrics, 0, Position::Offset(1_000));
    let batch = keeper.read(PATIENCE).unwrap();
    assert_eq!((batch.gap, batch.end_offset, batch.records[0].offset), (None, 1_002, 1_000));
    for from in [Position::Earliest, Position::SinceMs(1), Position::Offset(1_000)] {
        assert_eq!(offsets(from), (vec![1_000, 1_001], None), "{from:?}");
    }
    assert_eq!(offsets(Position::Offset(990)), (vec![1_000, 1_001], Some((990, 999))));
    assert_eq!(offsets(Position::Offset(1_003)), (vec![1_000, 1_001], Some((1_003, 1_003))));
    keeper.taken(1_001);
    assert_eq!(receipt.wait(), Ok(()));
    let mut second = bus.reader(Topic::Metrics, 1, Position::Offset(0));
    assert_eq!(second.read(Duration::ZERO).unwrap(), Batch::default());
    assert_eq!(EmbeddedBus::starting_at(&[], Real::shared()).partitions(Topic::Metrics), 1);
}

/// Handing over waits for room and for nothing else, and goes on when there is some.
#[test]
fn a_publisher_waits_for_room_and_goes_on_when_there_is_some() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    let mut publisher = bus.publisher();
    let (tell, told) = crossbeam_channel::bounded(200);
    let publishing = thread::spawn("test-publisher", move || {
        for _ in 0..100 {
            tell.send(publisher.begin(Topic::Metrics, 0, &[record(100_000)]).unwrap()).unwrap();
        }
    });
    // 8 MiB hold 83 records of 100,097 bytes with their overhead; the 84th has to wait.
    let mut receipts: Vec<_> = (0..83).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "the ring is full");
    let mut read = 0;
    while read < 83 {
        read += reader.read(PATIENCE).unwrap().records.len();
    }
    assert!(receipts.iter().all(|receipt| receipt.poll().is_none()));
    assert!(reader.is_awaited(), "room is wanted");
    reader.taken(9);
    receipts.extend((0..10).map(|_| told.recv_timeout(PATIENCE).unwrap()));
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "full again");
    let settled = |receipts: &[Receipt]| receipts.iter().filter(|r| r.poll().is_some()).count();
    assert_eq!(settled(&receipts), 10);
    reader.taken(92);
    receipts.extend(told.iter());
    assert_eq!((receipts.len(), settled(&receipts)), (100, 93));
    drop(publishing);
}

#[test]
fn a_reader_that_goes_away_holds_nobody_up() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let (mut stays, goes) = (
        bus.reader(Topic::Metrics, 0, Position::Earliest),
        bus.reader(Topic::Metrics, 0, Position::Earliest),
    );
    let mut publisher = bus.publisher();
    let (done, is_done) = crossbeam_channel::bounded(1);
    let publishing = thread::spawn("test-publisher", move || {
        done.send(publisher.publish(Topic::Metrics, 0, &[record(5)])).unwrap();
    });
    stays.read(PATIENCE).unwrap();
    stays.taken(0);
    drop(goes);
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Ok(())));
    drop(publishing);
}

#[test]
fn a_publisher_without_a_reader_waits_for_one_and_memory_is_bounded() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let mut publisher = bus.publisher();
    let publishing = thread::spawn("test-publisher", move || {
        let records = vec![record(100_000); 200];
        publisher.publish(Topic::Metrics, 0, &records).unwrap();
    });
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    let mut next = 0;
    while next < 200 {
        let batch = reader.read(PATIENCE).unwrap();
        assert_eq!((batch.records[0].offset, batch.gap), (next, None));
        next = batch.records.last().unwrap().offset + 1;
        // 8 MiB of records of 100,097 bytes with their overhead.
        assert!(batch.end_offset - batch.records[0].offset <= 84, "{}", batch.end_offset);
        reader.taken(next - 1);
    }
    drop(publishing);
    assert_eq!(bus.counts().published_records.get(), 200);
}

#[test]
fn shutdown_wakes_publishers_and_lets_readers_drain() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    let mut publisher = bus.publisher();
    let (done, is_done) = crossbeam_channel::bounded(1);
    let publishing = thread::spawn("test-publisher", move || {
        done.send(publisher.publish(Topic::Metrics, 0, &[record(5)])).unwrap();
        done.send(publisher.publish(Topic::Metrics, 0, &[record(5)])).unwrap();
    });
    let mut early = bus.reader(Topic::Metrics, 0, Position::Earliest);
    early.read(PATIENCE).unwrap();
    let shutting = Arc::clone(&bus);
    let waiting = thread::spawn("test-shutdown", move || shutting.shutdown());
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Err(BusError::Stopped)));
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Err(BusError::Stopped)));
    assert_eq!(early.read(PATIENCE), Err(BusError::Stopped));
    assert_eq!(reader.read(PATIENCE).unwrap().records.len(), 1);
    assert_eq!(reader.read(PATIENCE), Err(BusError::Stopped));
    drop((publishing, waiting));
}

#[test]
fn shutdown_settles_receipts_as_stopped() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    let mut publisher = bus.publisher();
    let mut begin = || publisher.begin(Topic::Metrics, 0, &[record(5)]).unwrap();
    let (taken, left) = (begin(), begin());
    reader.read(PATIENCE).unwrap();
    reader.taken(0);
    bus.shutdown();
    assert_eq!((taken.poll(), left.poll()), (Some(Ok(())), Some(Err(BusError::Stopped))));
    reader.taken(1);
    assert_eq!(left.wait(), Err(BusError::Stopped), "what was said stays said");
    assert_eq!(bus.counts().published_records.get(), 1);
}

#[test]
fn old_events_make_room_and_are_counted_as_a_gap() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let mut publisher = bus.publisher();
    for _ in 0..30 {
        publisher.publish(Topic::Events, 0, &[record(100_000)]).unwrap();
    }
    let mut reader = bus.reader(Topic::Events, 0, Position::Offset(0));
    let batch = reader.read(PATIENCE).unwrap();
    assert_eq!(batch.gap, Some((0, 19)), "1 MiB holds ten of them");
    assert_eq!((batch.records.len(), batch.end_offset), (10, 30));
    let counts = bus.counts();
    assert_eq!((counts.evicted_events.get(), counts.gap_offsets.get()), (20, 20));
}

#[test]
fn a_partition_that_does_not_exist_is_an_error() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let error = bus.publisher().publish(Topic::Metrics, 1, &[record(1)]).unwrap_err();
    assert_eq!(error.to_string(), "topic Metrics has no partition 1");
    let mut reader = bus.reader(Topic::Events, 7, Position::Earliest);
    assert!(matches!(reader.read(PATIENCE), Err(BusError::Unusable { .. })));
    reader.taken(3);
}

/// A ring and what it has to do, kept plainly: the list of everything that was pushed, and what
/// each reader has taken.
struct Walk {
    seed: u64,
    dice: Dice,
    keep: Keep,
    ring: Ring,
    first: u64,
    pushed: Vec<Record>,
    /// Id, next offset, everything before which was taken.
    readers: Vec<(u64, u64, u64)>,
    /// Everything before it was taken by all.
    floor: u64,
    receipts: Vec<(u64, Receipt)>,
    told: u64,
    awaited: u64,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let keep = if seed.is_multiple_of(4) { Keep::Newest } else { Keep::UntilTaken };
        let first = if dice.below(2) == 0 { 0 } else { dice.below(1 << 40) };
        let ring = Ring::new(keep, first);
        let (pushed, readers, receipts) = (Vec::new(), Vec::new(), Vec::new());
        let (floor, told, awaited) = (first, 0, 0);
        Self { seed, dice, keep, ring, first, pushed, readers, floor, receipts, told, awaited }
    }

    fn end(&self) -> u64 {
        self.first + self.pushed.len() as u64
    }

    fn turn(&mut self) {
        match self.dice.below(11) {
            0..=3 => self.push(),
            4 if self.readers.len() < 3 => {
                let start = self.first + self.dice.below(self.pushed.len() as u64 + 1);
                let (id, next, _) = self.ring.add_reader(Position::Offset(start));
                assert_eq!(next, start, "seed {}", self.seed);
                self.readers.push((id, next, next));
            }
            5 if !self.readers.is_empty() => {
                let at = self.dice.below(self.readers.len() as u64) as usize;
                let (id, ..) = self.readers.swap_remove(at);
                let told = self.ring.remove_reader(id);
                self.raise_floor(told);
            }
            6 => {
                self.ring.hurry();
                self.awaited = self.end();
            }
            _ => (0..self.readers.len()).for_each(|at| self.read(at)),
        }
        self.check();
    }

    /// A reader has taken something, or has gone.
    fn raise_floor(&mut self, told: Told) {
        self.told += told.records;
        let lowest = self.readers.iter().map(|(_, _, taken)| *taken).min();
        self.floor = self.floor.max(lowest.unwrap_or(0));
    }

    /// What a publisher does: as many as there is room for, then a receipt.
    fn push(&mut self) {
        let mut size = Told::default();
        for _ in 0..self.dice.below(4) {
            let record = record(self.dice.below(60_000) as usize);
            if self.ring.has_room_for(&record) {
                self.ring.push(&record);
                self.pushed.push(record);
                size.records += 1;
            }
        }
        let (receipt, told) = self.ring.receipt(size);
        self.told += told.records;
        let waits = self.keep == Keep::UntilTaken && size.records > 0;
        self.receipts.push((if waits { self.end() } else { 0 }, receipt));
    }

    fn read(&mut self, at: usize) {
        let (seed, end) = (self.seed, self.end());
        let (id, next, taken) = &mut self.readers[at];
        let (batch, after) = self.ring.read(*next);
        let gone = batch.gap.map_or(0, |(first, last)| last - first + 1);
        assert_eq!(after, *next + gone + batch.records.len() as u64, "seed {seed}");
        for stored in &batch.records {
            let sent = &self.pushed[(stored.offset - self.first) as usize];
            assert_eq!(sent.value, stored.value, "seed {seed}");
        }
        assert_eq!(batch.end_offset, end, "seed {seed}");
        *next = after;
        if self.dice.below(2) == 0 && after > self.first {
            *taken = after;
            let told = self.ring.taken(*id, after - 1);
            self.raise_floor(told);
        }
    }

    fn check(&self) {
        let seed = self.seed;
        self.ring.check(seed);
        for (end, receipt) in &self.receipts {
            let expected = (*end <= self.floor).then_some(Ok(()));
            assert_eq!(receipt.poll(), expected, "seed {seed}: a receipt up to {end}");
        }
        for (id, _, taken) in &self.readers {
            assert_eq!(self.ring.is_awaited(*id), *taken < self.awaited, "seed {seed}");
        }
        let settled = self.receipts.iter().filter(|(end, _)| *end <= self.floor);
        if settled.count() == self.receipts.len() {
            assert_eq!(self.told, self.pushed.len() as u64, "seed {seed}");
        }
    }
}

/// Random pushes, reads, takings, readers coming and going: every record comes once and in order,
/// and a receipt is settled exactly when every reader has taken its records.
#[test]
fn a_ring_behaves_like_a_list() {
    for seed in 1..=60 {
        let mut walk = Walk::new(seed);
        (0..400).for_each(|_| walk.turn());
        assert!(walk.pushed.len() > 20, "seed {seed}");
    }
}
