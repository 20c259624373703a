//! Publishing to a broker that misbehaves.

use std::sync::Arc;

use crossbeam_channel::bounded;
use realtime_monitor::base::thread;
use realtime_monitor::bus::kafka::{KafkaBus, KafkaConfig};
use realtime_monitor::bus::{Bus, BusError, Record, Topic};

use super::scripted::{Cue, PRODUCE, Scripted, VERSIONS};
use super::{PATIENCE, SHORT, config, connect, record};

const NOT_LEADER: i16 = 6;
const MESSAGE_TOO_LARGE: i16 = 10;
const CORRUPT: i16 = 2;
const TOPIC_NOT_ALLOWED: i16 = 29;

fn start() -> (Scripted, Arc<KafkaBus>) {
    let broker = Scripted::start();
    let bus = connect(config(&broker.address())).unwrap();
    let _ = broker.seen.try_iter().count();
    (broker, bus)
}

fn start_impatient() -> (Scripted, Arc<KafkaBus>) {
    let broker = Scripted::start();
    let bus = connect(KafkaConfig { call_limit: SHORT, ..config(&broker.address()) }).unwrap();
    let _ = broker.seen.try_iter().count();
    (broker, bus)
}

fn publish(bus: &KafkaBus, records: &[Record]) -> Result<(), BusError> {
    bus.publisher().publish(Topic::Metrics, 0, records)
}

#[test]
fn an_acknowledged_batch_is_stored_once_and_in_order() {
    let (broker, bus) = start();
    publish(&bus, &[record(b"a"), record(b""), record(b"c")]).unwrap();
    assert_eq!(broker.values(0), [&b"a"[..], b"", b"c"]);
    let counts = bus.counts();
    assert_eq!((counts.published_records.get(), counts.publish_requests.get()), (3, 1));
    assert_eq!((counts.published_bytes.get(), counts.clients_made.get()), (5, 1));
}

#[test]
fn k01_a_call_without_an_answer_is_given_up_and_sent_again() {
    let (broker, bus) = start_impatient();
    broker.cue(PRODUCE, Cue::Silence);
    publish(&bus, &[record(b"a")]).unwrap();
    assert_eq!(broker.values(0), [b"a"]);
    let counts = bus.counts();
    assert_eq!((counts.calls_given_up.get(), counts.publish_failures.get()), (1, 1));
    assert_eq!((counts.abandoned_threads.get(), counts.clients_made.get()), (1, 2));
}

/// The crate does not compare correlation ids. After a timeout the answer to the first request is
/// still under way, and a client that is used again takes it for the answer to the second: here
/// the broker rejects the second request, and a reused client would report it as stored.
#[test]
fn k05_late_answer_is_not_taken_for_the_next() {
    let (broker, bus) = start_impatient();
    let (release_first, first) = bounded::<()>(0);
    let (release_second, second) = bounded::<()>(0);
    broker.cue(PRODUCE, Cue::Hold(first, Box::new(Cue::Play)));
    broker.cue(PRODUCE, Cue::Hold(second, Box::new(Cue::Error(MESSAGE_TOO_LARGE))));
    broker.cue(PRODUCE, Cue::Error(MESSAGE_TOO_LARGE));
    let (done, is_done) = bounded(1);
    let publishing = thread::spawn("test-publisher", move || {
        done.send(publish(&bus, &[record(b"a")])).unwrap();
    });
    broker.wait_for(PRODUCE);
    broker.wait_for(PRODUCE);
    // The late answer goes out while the client waits for the second one.
    drop(release_first);
    super::wait::until("the late store", PATIENCE, || (broker.values(0).len() == 1).then_some(()));
    drop(release_second);
    let answer = is_done.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(answer, Err(BusError::Refused { .. })), "{answer:?}");
    drop(publishing);
}

/// Otherwise a broker that merely sleeps gets the batch once for each try.
#[test]
fn k05_nothing_is_sent_again_before_the_probe_is_answered() {
    let (broker, bus) = start_impatient();
    broker.cue(PRODUCE, Cue::Silence);
    // The publisher's first client, and the one after the give-up.
    broker.cue(VERSIONS, Cue::Play);
    broker.cue(VERSIONS, Cue::Silence);
    let answer = publish(&bus, &[record(b"a")]);
    assert!(matches!(answer, Err(BusError::Unavailable { .. })), "{answer:?}");
    let sent = broker.seen.try_iter().filter(|kind| *kind == PRODUCE).count();
    assert_eq!((sent, broker.values(0).len()), (1, 0));
}

#[test]
fn k03_a_closed_connection_is_replaced() {
    let (broker, bus) = start();
    let mut publisher = bus.publisher();
    for value in [b"a", b"b"] {
        broker.cue(PRODUCE, Cue::Close);
        publisher.publish(Topic::Metrics, 0, &[record(value)]).unwrap();
    }
    assert_eq!(broker.values(0), [b"a", b"b"]);
}

#[test]
fn k03_a_broker_that_closes_for_ever_is_told_in_words() {
    let (broker, bus) = start();
    for _ in 0..3 {
        broker.cue(PRODUCE, Cue::Close);
    }
    let mut publisher = bus.publisher();
    match publisher.publish(Topic::Metrics, 0, &[record(b"a")]) {
        Err(BusError::Unavailable { what }) => {
            assert!(what.contains(&broker.address()) && what.contains("closed"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    publisher.publish(Topic::Metrics, 0, &[record(b"a")]).unwrap();
    assert_eq!(broker.values(0), [b"a"]);
}

/// The crate allocates what the peer announces: a negative length is a capacity overflow.
#[test]
fn k04_a_negative_length_ends_one_client() {
    let (broker, bus) = start();
    broker.cue(PRODUCE, Cue::Raw((-1_i32).to_be_bytes().to_vec()));
    publish(&bus, &[record(b"a")]).unwrap();
    assert_eq!((broker.values(0), bus.counts().publish_failures.get()), (vec![b"a".to_vec()], 1));
}

/// Two GiB are reserved, not touched, until the call is given up.
#[test]
fn k04_a_huge_length_is_given_up() {
    let (broker, bus) = start_impatient();
    broker.cue(PRODUCE, Cue::Raw(i32::MAX.to_be_bytes().to_vec()));
    publish(&bus, &[record(b"a")]).unwrap();
    assert_eq!((broker.values(0), bus.counts().calls_given_up.get()), (vec![b"a".to_vec()], 1));
}

#[test]
fn k11_an_error_inside_a_confirmation_sends_the_same_bytes_again() {
    let (broker, bus) = start();
    broker.cue(PRODUCE, Cue::Error(NOT_LEADER));
    publish(&bus, &[record(b"a"), record(b"b")]).unwrap();
    assert_eq!(broker.values(0), [b"a", b"b"]);
    assert_eq!(bus.counts().clients_made.get(), 2, "metadata is loaded anew");
}

#[test]
fn k11_an_answer_without_the_confirmation_is_none() {
    let (broker, bus) = start();
    broker.cue(PRODUCE, Cue::Nothing);
    publish(&bus, &[record(b"a")]).unwrap();
    assert_eq!((broker.values(0), bus.counts().publish_failures.get()), (vec![b"a".to_vec()], 1));
}

#[test]
fn k14_a_batch_that_is_too_large_is_divided_until_it_goes() {
    let (broker, bus) = start();
    broker.state().batch_bytes_max = 1_000;
    let records: Vec<_> = (0..100_u8).map(|i| record(&[i; 100])).collect();
    publish(&bus, &records).unwrap();
    let stored: Vec<u8> = broker.values(0).iter().map(|value| value[0]).collect();
    assert!(stored.into_iter().eq(0..100));
    assert!(bus.counts().split_batches.get() > 0);
}

#[test]
fn k14_one_record_that_is_too_large_is_refused_and_the_others_are_stored() {
    let (broker, bus) = start();
    broker.state().batch_bytes_max = 1_000;
    let large = record(&[7; 2_000]);
    let mut publisher = bus.publisher();
    let answer = publisher.publish(Topic::Metrics, 0, &[record(b"a"), large.clone(), record(b"b")]);
    match answer {
        Err(BusError::Refused { what }) => assert!(
            what.starts_with("1 of 3 records refused")
                && what.contains("MessageSizeTooLarge")
                && what.contains("key h, 2000 bytes"),
            "{what}"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(broker.values(0), [b"a", b"b"]);
    let alone = publisher.publish(Topic::Metrics, 0, &[large]);
    assert!(matches!(alone, Err(BusError::Refused { .. })));
    assert_eq!((bus.counts().refused_records.get(), bus.counts().clients_made.get()), (2, 1));
}

#[test]
fn one_flipped_bit_refuses_nothing() {
    let (broker, bus) = start();
    broker.cue(PRODUCE, Cue::Error(CORRUPT));
    publish(&bus, &[record(b"a")]).unwrap();
    assert_eq!(broker.values(0), [b"a"]);
}

#[test]
fn what_only_an_operator_can_change_is_told_at_once() {
    let (broker, bus) = start();
    broker.cue(PRODUCE, Cue::Error(TOPIC_NOT_ALLOWED));
    match publish(&bus, &[record(b"a")]) {
        Err(BusError::Unusable { what }) => assert!(what.contains("Authorization"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn shutdown_wakes_a_publisher_inside_a_call() {
    let (broker, bus) = start();
    broker.cue(PRODUCE, Cue::Silence);
    let (done, is_done) = bounded(1);
    let publishing_bus = Arc::clone(&bus);
    let publishing = thread::spawn("test-publisher", move || {
        let mut publisher = publishing_bus.publisher();
        for _ in 0..2 {
            done.send(publisher.publish(Topic::Metrics, 0, &[record(b"a")])).unwrap();
        }
    });
    broker.wait_for(PRODUCE);
    bus.shutdown();
    for _ in 0..2 {
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Err(BusError::Stopped)));
    }
    drop(publishing);
}
