//! The embedded bus: the contract, what it adds to it, and a random walk against a plain model.

use std::time::Duration;

use super::*;
use crate::base::clock::Real;
use crate::base::{random, thread};
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
fn publish_waits_until_every_reader_has_taken() {
    let bus = EmbeddedBus::new(1, Real::shared());
    let mut readers: Vec<_> =
        (0..2).map(|_| bus.reader(Topic::Metrics, 0, Position::Earliest)).collect();
    let mut publisher = bus.publisher();
    let (done, is_done) = crossbeam_channel::bounded(1);
    let publishing = thread::spawn("test-publisher", move || {
        done.send(publisher.publish(Topic::Metrics, 0, &[record(5)])).unwrap();
    });
    for reader in &mut readers {
        assert!(is_done.try_recv().is_err(), "a reader has not taken it yet");
        assert_eq!(reader.read(PATIENCE).unwrap().records.len(), 1);
    }
    readers[0].taken(0);
    assert!(is_done.try_recv().is_err(), "one of two has taken it");
    readers[1].taken(0);
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Ok(())));
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

/// Random pushes, reads, takings, readers coming and going; the model is the list of everything
/// that was pushed.
#[test]
fn a_ring_behaves_like_a_list() {
    for _ in 0..50 {
        let seed = random::u128() as u64;
        let mut state = seed | 1;
        let mut below = move |limit: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % limit
        };
        let mut ring =
            Ring::new(if seed.is_multiple_of(4) { Keep::Newest } else { Keep::UntilTaken });
        let mut pushed: Vec<Record> = Vec::new();
        let mut readers: Vec<(u64, u64)> = Vec::new();
        for _ in 0..400 {
            match below(10) {
                0..=3 => {
                    let record = record(below(60_000) as usize);
                    if ring.has_room_for(&record) {
                        ring.push(&record);
                        pushed.push(record);
                    }
                }
                4 if readers.len() < 3 => {
                    let start = below(pushed.len() as u64 + 1);
                    let (id, next, _) = ring.add_reader(Position::Offset(start));
                    readers.push((id, next));
                }
                5 if !readers.is_empty() => {
                    let (id, _) = readers.swap_remove(below(readers.len() as u64) as usize);
                    ring.remove_reader(id);
                }
                _ => {
                    for (id, next) in &mut readers {
                        let (batch, after) = ring.read(*next);
                        let gone = batch.gap.map_or(0, |(first, last)| last - first + 1);
                        assert_eq!(after, *next + gone + batch.records.len() as u64, "{seed}");
                        for stored in &batch.records {
                            let sent = &pushed[stored.offset as usize];
                            assert_eq!(sent.value, stored.value, "{seed}");
                        }
                        assert_eq!(batch.end_offset, pushed.len() as u64, "{seed}");
                        *next = after;
                        if below(2) == 0 && after > 0 {
                            ring.taken(*id, after - 1);
                        }
                    }
                }
            }
            ring.check(seed);
        }
    }
}
