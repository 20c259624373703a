//! What every bus must do, as test cases. They run over the embedded bus (`embedded/tests.rs`) and
//! over a real broker (`lib/tests/kafka.rs`); both include this file, which therefore names the
//! other rooms by `super` only.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select};

use super::base::stop::{self, Stopper};
use super::base::thread::{self, Joined};
use super::bus::{
    BATCH_BYTES_MAX, Batch, Bus, BusError, Position, Reader, Record, StoredRecord, Topic,
    VALUE_BYTES_MAX,
};

/// Far beyond what anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes one `#[test]` of each case. `$with` makes a fresh bus and hands it to the case.
macro_rules! contract_tests {
    ($with:path) => {
        contract_tests! { $with:
            keeps_the_order_of_a_partition
            has_the_records_when_publish_returns
            gives_back_the_bytes_that_went_in
            tells_how_far_behind_a_reader_is
            takes_two_publishers_at_once
            takes_large_batches
            refuses_a_record_that_is_too_large_and_takes_the_others
            starts_a_reader_again_where_it_was
            reports_a_gap_when_the_offset_is_of_another_run
            keeps_partitions_apart
            wakes_a_reader_that_waits
            takes_events_that_nobody_reads
            has_several_batches_in_flight
            gives_records_to_readers_before_they_are_taken
            settles_a_receipt_once_and_for_all
        }
    };
    ($with:path: $($case:ident)+) => {
        $(#[test] fn $case() { $with(contract::$case); })+
    };
}

fn record(key: &str, value: impl Into<Vec<u8>>) -> Record {
    Record { key: key.as_bytes().to_vec(), value: value.into() }
}

fn numbered(key: &str, numbers: std::ops::Range<u32>) -> Vec<Record> {
    numbers.map(|number| record(key, number.to_be_bytes())).collect()
}

fn number_of(record: &StoredRecord) -> u32 {
    u32::from_be_bytes(record.value.as_slice().try_into().unwrap())
}

/// Reads as a consumer does: what cannot be reached now is tried again.
pub(crate) fn read(reader: &mut dyn Reader, wait: Duration) -> Batch {
    loop {
        match reader.read(wait) {
            Ok(batch) => return batch,
            Err(BusError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads and takes a partition in the background, as analysis does.
struct Taker {
    _stop: Stopper,
    records: Receiver<StoredRecord>,
    _thread: Joined,
}

impl Taker {
    fn start(bus: &dyn Bus, partition: u32) -> Self {
        let mut reader = bus.reader(Topic::Metrics, partition, Position::Earliest);
        let (stopper, stop) = stop::pair();
        let (sender, records) = bounded(100_000);
        let thread = thread::spawn("test-taker", move || {
            while !stop.is_stopped() {
                let batch = read(reader.as_mut(), Duration::from_millis(50));
                assert_eq!(batch.gap, None);
                let last = batch.records.last().map(|record| record.offset);
                for record in batch.records {
                    sender.send(record).unwrap();
                }
                if let Some(last) = last {
                    reader.taken(last);
                }
            }
        });
        Self { _stop: stopper, records, _thread: thread.unwrap() }
    }

    fn next(&self) -> StoredRecord {
        self.records.recv_timeout(PATIENCE).expect("a record")
    }

    fn take(&self, count: usize) -> Vec<StoredRecord> {
        (0..count).map(|_| self.next()).collect()
    }
}

pub(crate) fn keeps_the_order_of_a_partition(bus: &dyn Bus) {
    let taker = Taker::start(bus, 0);
    let mut publisher = bus.publisher();
    let mut next = 0;
    for size in (1..30).chain([200, 1, 300]) {
        publisher.publish(Topic::Metrics, 0, &numbered("h", next..next + size)).unwrap();
        next += size;
    }
    for (expected, record) in taker.take(next as usize).iter().enumerate() {
        assert_eq!((record.offset, number_of(record)), (expected as u64, expected as u32));
    }
}

pub(crate) fn has_the_records_when_publish_returns(bus: &dyn Bus) {
    let _taker = Taker::start(bus, 0);
    let mut publisher = bus.publisher();
    for round in 0..20 {
        publisher.publish(Topic::Metrics, 0, &numbered("h", round..round + 1)).unwrap();
        let mut reader = bus.reader(Topic::Metrics, 0, Position::Offset(round.into()));
        let batch = read(reader.as_mut(), PATIENCE);
        assert_eq!(batch.records.iter().map(number_of).collect::<Vec<_>>(), [round]);
        assert_eq!((batch.end_offset, batch.gap), (u64::from(round) + 1, None));
    }
    publisher.publish(Topic::Metrics, 0, &[]).unwrap();
}

pub(crate) fn gives_back_the_bytes_that_went_in(bus: &dyn Bus) {
    let all: Vec<u8> = (0..=255).collect();
    let records = [
        record("h", all.clone()),
        record("", b"no key".to_vec()),
        record("empty value", Vec::new()),
        Record { key: all.clone(), value: all },
    ];
    let taker = Taker::start(bus, 0);
    bus.publisher().publish(Topic::Metrics, 0, &records).unwrap();
    for (sent, stored) in records.iter().zip(taker.take(records.len())) {
        assert_eq!((&sent.key, &sent.value), (&stored.key, &stored.value));
    }
}

pub(crate) fn tells_how_far_behind_a_reader_is(bus: &dyn Bus) {
    let taker = Taker::start(bus, 0);
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    let batch = read(reader.as_mut(), Duration::ZERO);
    assert_eq!((batch.records.len(), batch.end_offset, batch.gap), (0, 0, None));
    drop(reader);
    bus.publisher().publish(Topic::Metrics, 0, &numbered("h", 0..7)).unwrap();
    taker.take(7);
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Offset(7));
    let batch = read(reader.as_mut(), Duration::from_millis(20));
    assert_eq!((batch.records.len(), batch.end_offset, batch.gap), (0, 7, None));
}

pub(crate) fn takes_two_publishers_at_once(bus: &dyn Bus) {
    const EACH: u32 = 500;
    let taker = Taker::start(bus, 0);
    let publishing: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|key| {
            let mut publisher = bus.publisher();
            thread::spawn("test-publisher", move || {
                for first in (0..EACH).step_by(5) {
                    let records = numbered(key, first..first + 5);
                    publisher.publish(Topic::Metrics, 0, &records).unwrap();
                }
            })
            .unwrap()
        })
        .collect();
    let records = taker.take(2 * EACH as usize);
    for key in ["a", "b"] {
        let of_key = records.iter().filter(|record| record.key == key.as_bytes());
        assert!(of_key.map(number_of).eq(0..EACH), "{key}: lost, doubled or out of order");
    }
    drop(publishing);
}

pub(crate) fn takes_large_batches(bus: &dyn Bus) {
    let taker = Taker::start(bus, 0);
    let records: Vec<_> = (0..5_000).map(|i| record("h", vec![i as u8; 700])).collect();
    assert!(records.len() * 700 > 6 * BATCH_BYTES_MAX);
    let mut publisher = bus.publisher();
    publisher.publish(Topic::Metrics, 0, &records).unwrap();
    for (i, stored) in taker.take(records.len()).into_iter().enumerate() {
        assert_eq!((stored.offset, stored.value[0]), (i as u64, i as u8));
    }
    let largest = record("", vec![1; VALUE_BYTES_MAX]);
    publisher.publish(Topic::Metrics, 0, &[largest.clone(), largest]).unwrap();
    assert!(taker.take(2).iter().all(|stored| stored.value.len() == VALUE_BYTES_MAX));
}

pub(crate) fn refuses_a_record_that_is_too_large_and_takes_the_others(bus: &dyn Bus) {
    let taker = Taker::start(bus, 0);
    let large = record("h", vec![0; VALUE_BYTES_MAX + 1]);
    let records = [record("h", *b"before"), large.clone(), record("h", *b"after")];
    let mut publisher = bus.publisher();
    for (records, words) in [(&records[..], "1 of 3"), (&[large][..], "1 of 1")] {
        match publisher.publish(Topic::Metrics, 0, records) {
            Err(BusError::Refused { what }) => {
                assert!(what.contains(words) && what.contains("512000 bytes"), "{what}");
            }
            other => panic!("{other:?}"),
        }
    }
    let values: Vec<_> = taker.take(2).into_iter().map(|stored| stored.value).collect();
    assert_eq!(values, [b"before".to_vec(), b"after".to_vec()]);
}

pub(crate) fn starts_a_reader_again_where_it_was(bus: &dyn Bus) {
    let taker = Taker::start(bus, 0);
    bus.publisher().publish(Topic::Metrics, 0, &numbered("h", 0..50)).unwrap();
    taker.take(50);
    for start in [0, 1, 25, 49] {
        let mut reader = bus.reader(Topic::Metrics, 0, Position::Offset(start));
        let batch = read(reader.as_mut(), PATIENCE);
        assert_eq!((batch.records[0].offset, batch.gap), (start, None));
    }
    for from in [Position::Earliest, Position::SinceMs(1)] {
        let mut reader = bus.reader(Topic::Metrics, 0, from);
        let batch = read(reader.as_mut(), PATIENCE);
        assert_eq!((batch.records[0].offset, batch.gap), (0, None));
    }
}

pub(crate) fn reports_a_gap_when_the_offset_is_of_another_run(bus: &dyn Bus) {
    let taker = Taker::start(bus, 0);
    bus.publisher().publish(Topic::Metrics, 0, &numbered("h", 0..3)).unwrap();
    taker.take(3);
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Offset(1_000));
    let batch = read(reader.as_mut(), PATIENCE);
    assert_eq!(batch.gap, Some((1_000, 1_000)));
    assert_eq!(batch.records.iter().map(number_of).collect::<Vec<_>>(), [0, 1, 2]);
}

pub(crate) fn keeps_partitions_apart(bus: &dyn Bus) {
    let partitions = bus.partitions(Topic::Metrics);
    assert!(partitions > 1);
    let takers: Vec<_> = (0..partitions).map(|p| Taker::start(bus, p)).collect();
    let mut publisher = bus.publisher();
    for round in 0..10 {
        for partition in 0..partitions {
            let number = round * partitions + partition;
            let records = numbered("h", number..number + 1);
            publisher.publish(Topic::Metrics, partition, &records).unwrap();
        }
    }
    for (partition, taker) in (0..).zip(&takers) {
        for (round, stored) in (0..).zip(taker.take(10)) {
            assert_eq!(number_of(&stored), round * partitions + partition);
            assert_eq!(stored.offset, u64::from(round));
        }
    }
}

pub(crate) fn wakes_a_reader_that_waits(bus: &dyn Bus) {
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    // So that it has connected before the record comes.
    assert_eq!(read(reader.as_mut(), Duration::from_millis(1)).records, []);
    let mut publisher = bus.publisher();
    let publishing = thread::spawn("test-publisher", move || {
        publisher.publish(Topic::Metrics, 0, &numbered("h", 0..1)).unwrap();
    });
    let batch = read(reader.as_mut(), PATIENCE);
    assert_eq!(batch.records.len(), 1);
    reader.taken(0);
    drop(publishing);
}

pub(crate) fn takes_events_that_nobody_reads(bus: &dyn Bus) {
    assert_eq!(bus.partitions(Topic::Events), 1);
    let mut publisher = bus.publisher();
    publisher.publish(Topic::Events, 0, &numbered("h", 0..3)).unwrap();
    let mut reader = bus.reader(Topic::Events, 0, Position::Earliest);
    let records = read(reader.as_mut(), PATIENCE).records;
    assert!(records.iter().map(number_of).eq(0..3));
    publisher.publish(Topic::Events, 0, &numbered("h", 3..4)).unwrap();
    assert!(read(reader.as_mut(), PATIENCE).records.iter().map(number_of).eq(3..4));
}

pub(crate) fn has_several_batches_in_flight(bus: &dyn Bus) {
    let taker = Taker::start(bus, 0);
    let mut publisher = bus.publisher();
    let receipts: Vec<_> = (0..40)
        .map(|number| {
            let records = numbered("h", 5 * number..5 * number + 5);
            publisher.begin(Topic::Metrics, 0, &records).unwrap()
        })
        .collect();
    // Receipts are settled in order: with the last, all are.
    assert_eq!(receipts.last().unwrap().wait(), Ok(()));
    assert!(receipts.iter().all(|receipt| receipt.poll() == Some(Ok(()))));
    for (expected, record) in taker.take(200).iter().enumerate() {
        assert_eq!((record.offset, number_of(record)), (expected as u64, expected as u32));
    }
}

pub(crate) fn gives_records_to_readers_before_they_are_taken(bus: &dyn Bus) {
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    let mut publisher = bus.publisher();
    for number in 0..3 {
        let records = numbered("h", number..number + 1);
        let receipt = publisher.begin(Topic::Metrics, 0, &records).unwrap();
        let batch = read(reader.as_mut(), PATIENCE);
        assert_eq!(batch.records.iter().map(number_of).collect::<Vec<_>>(), [number]);
        reader.taken(batch.records[0].offset);
        assert_eq!(receipt.wait(), Ok(()));
    }
}

pub(crate) fn settles_a_receipt_once_and_for_all(bus: &dyn Bus) {
    let _taker = Taker::start(bus, 0);
    let mut publisher = bus.publisher();
    let nothing = publisher.begin(Topic::Metrics, 0, &[]).unwrap();
    assert_eq!(nothing.poll(), Some(Ok(())));
    let receipt = publisher.begin(Topic::Metrics, 0, &numbered("h", 0..1)).unwrap();
    for _ in 0..2 {
        select! {
            recv(receipt.channel()) -> nothing => assert!(nothing.is_err(), "it closes"),
            default(PATIENCE) => panic!("no answer"),
        }
        assert_eq!((receipt.poll(), receipt.wait()), (Some(Ok(())), Ok(())));
    }
}
