//! Reading from a broker that misbehaves.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use realtime_monitor::base::thread;
use realtime_monitor::bus::kafka::{KafkaBus, KafkaConfig};
use realtime_monitor::bus::{Batch, Bus, BusError, Position, Reader, Topic};

use super::scripted::{Cue, FETCH, Scripted};
use super::{PATIENCE, SHORT, config, connect};

const NOT_LEADER: i16 = 6;

/// Attributes of a message that holds others, compressed by gzip.
const GZIP: i8 = 1;

fn start() -> (Scripted, Arc<KafkaBus>) {
    let broker = Scripted::start();
    let bus = connect(KafkaConfig { call_limit: SHORT, ..config(&broker.address()) }).unwrap();
    (broker, bus)
}

fn read_from(bus: &KafkaBus, offset: u64) -> Box<dyn Reader> {
    bus.reader(Topic::Metrics, 0, Position::Offset(offset))
}

/// Reads over errors, as a consumer does, until something came.
fn read_on(reader: &mut dyn Reader) -> Batch {
    super::wait::until("a batch", PATIENCE, || {
        let batch = reader.read(Duration::from_millis(200)).unwrap_or_default();
        (!batch.records.is_empty() || batch.gap.is_some()).then_some(batch)
    })
}

fn values(batch: &Batch) -> Vec<&[u8]> {
    batch.records.iter().map(|record| record.value.as_slice()).collect()
}

#[test]
fn k01_a_fetch_without_an_answer_is_given_up_and_the_position_stays() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    broker.cue(FETCH, Cue::Silence);
    let mut reader = read_from(&bus, 0);
    match reader.read(Duration::ZERO) {
        Err(BusError::Unavailable { what }) => assert!(what.contains("given up"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(values(&read_on(reader.as_mut())), [b"a"]);
    assert_eq!(bus.counts().calls_given_up.get(), 1);
}

#[test]
fn k03_a_connection_closed_between_two_reads_is_replaced() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    let mut reader = read_from(&bus, 0);
    assert_eq!(values(&read_on(reader.as_mut())), [b"a"]);
    broker.store(0, b"b");
    broker.cue(FETCH, Cue::Close);
    assert!(matches!(reader.read(PATIENCE), Err(BusError::Unavailable { .. })));
    assert_eq!(values(&read_on(reader.as_mut())), [b"b"]);
}

/// Metadata lost on the way makes the crate answer Ok and leave the partition out: without a
/// check a reader waits for ever.
#[test]
fn k07_a_partition_that_is_missing_in_the_answer_is_an_error() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    broker.cue(FETCH, Cue::Nothing);
    let mut reader = read_from(&bus, 0);
    match reader.read(PATIENCE) {
        Err(BusError::Unavailable { what }) => {
            assert!(what.contains("not in the answer"), "{what}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(values(&read_on(reader.as_mut())), [b"a"]);
}

#[test]
fn k17_an_error_for_the_partition_leaves_the_position() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    broker.store(0, b"b");
    broker.cue(FETCH, Cue::Error(NOT_LEADER));
    let mut reader = read_from(&bus, 0);
    assert!(matches!(reader.read(PATIENCE), Err(BusError::Unavailable { .. })));
    assert_eq!(values(&read_on(reader.as_mut())), [b"a", b"b"]);
}

#[test]
fn k15_a_batch_larger_than_the_fetch_is_asked_for_with_more() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    broker.state().fetch_bytes_min = 5 * 1024 * 1024;
    let batch = read_on(read_from(&bus, 0).as_mut());
    assert_eq!((values(&batch), batch.gap), (vec![&b"a"[..]], None));
    assert_eq!(bus.counts().skipped_offsets.get(), 0);
}

#[test]
fn k15_what_no_fetch_brings_is_skipped_reported_and_counted() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    broker.state().fetch_bytes_min = i32::MAX;
    let batch = read_on(read_from(&bus, 0).as_mut());
    assert_eq!((values(&batch), batch.gap, batch.end_offset), (vec![], Some((0, 0)), 1));
    assert_eq!(bus.counts().skipped_offsets.get(), 1);
}

#[test]
fn k18_out_of_range_goes_on_at_the_oldest_and_reports_the_gap() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    broker.state().logs.values_mut().for_each(|log| log.start = 50);
    let batch = read_on(read_from(&bus, 10).as_mut());
    assert_eq!((values(&batch), batch.gap), (vec![&b"a"[..]], Some((10, 49))));
    assert_eq!((batch.records[0].offset, batch.end_offset), (50, 51));
    let counts = bus.counts();
    assert_eq!((counts.gap_offsets.get(), counts.offset_resets.get()), (40, 1));
}

/// A topic that ends behind the offset that is gone was cut by retention, and not made anew: that is
/// told by its end, which has to be known also when there was no time to read any of it.
#[test]
fn k18_out_of_range_says_where_the_topic_ends() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    broker.state().logs.values_mut().for_each(|log| log.start = 50);
    let mut reader = read_from(&bus, 10);
    let batch = super::wait::until("an answer", PATIENCE, || reader.read(Duration::ZERO).ok());
    assert_eq!((values(&batch), batch.gap, batch.end_offset), (vec![], Some((10, 49)), 51));
    assert_eq!(values(&read_on(reader.as_mut())), [b"a"]);
}

#[test]
fn k18_a_topic_that_was_made_anew_is_read_from_its_start() {
    let (broker, bus) = start();
    broker.store(0, b"new");
    let batch = read_on(read_from(&bus, 500).as_mut());
    assert_eq!((values(&batch), batch.gap), (vec![&b"new"[..]], Some((500, 500))));
}

/// Built without compression, the crate fails the whole answer: what can be read before and after
/// must not be held up for ever, nor skipped in silence.
#[test]
fn k16_k19_an_unreadable_record_is_left_out_reported_and_counted() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    let mut reader = read_from(&bus, 0);
    assert_eq!(values(&read_on(reader.as_mut())), [b"a"]);
    broker.store(GZIP, b"compressed");
    broker.store(0, b"b");
    let batch = read_on(reader.as_mut());
    assert_eq!((values(&batch), batch.gap), (vec![&b"b"[..]], Some((1, 1))));
    assert_eq!(bus.counts().skipped_offsets.get(), 1);
}

#[test]
fn a_reader_finds_its_start_by_time_and_never_skips_to_the_end() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    for from in [Position::SinceMs(0), Position::SinceMs(u64::MAX), Position::Earliest] {
        let mut reader = bus.reader(Topic::Metrics, 0, from);
        assert_eq!(values(&read_on(reader.as_mut())), [b"a"], "{from:?}");
    }
}

#[test]
fn shutdown_wakes_a_reader_inside_a_fetch() {
    let (broker, bus) = start();
    broker.cue(FETCH, Cue::Silence);
    let mut reader = read_from(&bus, 0);
    let (done, is_done) = bounded(1);
    let reading = thread::spawn("test-reader", move || {
        for _ in 0..2 {
            done.send(reader.read(PATIENCE)).unwrap();
        }
    });
    broker.wait_for(FETCH);
    bus.shutdown();
    for _ in 0..2 {
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Err(BusError::Stopped)));
    }
    drop(reading);
}
