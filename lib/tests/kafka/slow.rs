//! K06: the crate hands a request to the socket with one `write` and does not look at how much of
//! it went.

use realtime_monitor::bus::kafka::KafkaConfig;
use realtime_monitor::bus::{BATCH_BYTES_MAX, Bus, Record, Topic};

use super::scripted::{PRODUCE, Scripted};
use super::{SHORT, config, connect, record};

/// About as much as one request holds, each value told from every other.
fn large_batch() -> Vec<Record> {
    const VALUE_BYTES: usize = 4_000;
    let count = BATCH_BYTES_MAX * 15 / 16 / VALUE_BYTES;
    let value = |n: usize| n.to_be_bytes().into_iter().cycle().take(VALUE_BYTES).collect();
    (0..count).map(|n| record(&Vec::<u8>::clone(&value(n)))).collect()
}

fn assert_stored_once(broker: &Scripted, records: &[Record]) {
    let stored = broker.values(1);
    assert_eq!(stored.len(), records.len());
    assert!(stored.iter().zip(records).all(|(stored, record)| *stored == record.value));
}

/// The broker has room for 4 KiB and reads 2 KiB at a time. A socket that blocks takes all of it.
#[test]
fn k06_a_large_request_to_a_slow_reader_arrives_whole_and_once() {
    let broker = Scripted::start_slow();
    let bus = connect(config(&broker.address())).unwrap();
    let _ = broker.seen.try_iter().count();
    let records = large_batch();
    // The kernel has room for some such requests; the later ones have to wait for the reader.
    let mut publisher = bus.publisher();
    publisher.publish(Topic::Metrics, 1, &records).unwrap();
    assert_stored_once(&broker, &records);
    let sent = broker.seen.try_iter().filter(|kind| *kind == PRODUCE).count();
    assert_eq!((sent, bus.counts().publish_requests.get()), (1, 1), "in one request");
    assert_eq!((bus.counts().publish_failures.get(), bus.counts().clients_made.get()), (0, 1));
}

/// What a short write looks like from the broker's side: half of a request, and then nothing.
#[test]
fn k06_a_request_of_which_half_arrives_is_given_up_and_sent_again_whole() {
    let broker = Scripted::start();
    let bus = connect(KafkaConfig { call_limit: SHORT, ..config(&broker.address()) }).unwrap();
    broker.state().halved = 1;
    let records = large_batch();
    bus.publisher().publish(Topic::Metrics, 1, &records).unwrap();
    assert_stored_once(&broker, &records);
    assert_eq!((bus.counts().calls_given_up.get(), bus.counts().publish_failures.get()), (1, 1));
}
