//! A real broker: the contract, kill -9 in the middle, a broker that sleeps, an independent
//! reader. All share one broker, each test has a topic of its own, except those that disturb it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::bounded;
use realtime_monitor::base::thread;
use realtime_monitor::bus::kafka::{KafkaBus, KafkaConfig};
use realtime_monitor::bus::{Bus, BusError, Position, Record, StoredRecord, Topic};

use super::broker::Broker;
use super::{PATIENCE, connect, contract, record};

/// For as long as the tests of this process run; see `Broker` for what removes it.
pub(crate) fn shared_broker() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| Broker::start_with(&["monitor_events:1"]))
}

/// Topics that nobody has used; the broker creates them when they are asked for.
pub(crate) fn fresh_config(broker: &Broker) -> KafkaConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    KafkaConfig {
        metrics_topic: format!("metrics-{number}"),
        events_topic: format!("events-{number}"),
        topic_limit: PATIENCE,
        ..KafkaConfig::new(vec![broker.address()])
    }
}

fn with_bus(case: fn(&dyn Bus)) {
    case(connect(fresh_config(shared_broker())).unwrap().as_ref());
}

contract_tests!(with_bus);

/// Publishes one value until it is acknowledged, over as many faults as it takes.
pub(crate) fn publish_until_stored(bus: &KafkaBus, value: &[u8]) {
    let mut publisher = bus.publisher();
    while let Err(error) = publisher.publish(Topic::Metrics, 0, &[record(value)]) {
        assert!(matches!(error, BusError::Unavailable { .. }), "{error}");
    }
}

/// Everything in a partition of the metrics topic, once there is something.
pub(crate) fn read_all(bus: &KafkaBus, partition: u32) -> Vec<StoredRecord> {
    let mut reader = bus.reader(Topic::Metrics, partition, Position::Earliest);
    let mut records: Vec<StoredRecord> = Vec::new();
    loop {
        let batch = contract::read(reader.as_mut(), PATIENCE);
        assert_eq!(batch.gap, None);
        records.extend(batch.records);
        if records.last().is_some_and(|last| last.offset + 1 >= batch.end_offset) {
            return records;
        }
    }
}

/// What kcat prints of each record of a partition.
pub(crate) fn kcat_lines(
    broker: &Broker,
    topic: &str,
    partition: u32,
    format: &str,
) -> Vec<String> {
    super::broker::kcat(&broker.address(), topic, &["-p", &partition.to_string()], format)
}

fn kcat(broker: &Broker, topic: &str, partition: u32) -> Vec<(u64, String, String)> {
    kcat_lines(broker, topic, partition, "%o\\t%k\\t%s")
        .iter()
        .map(|line| {
            let mut parts = line.split('\t').map(str::to_owned);
            let mut next = || parts.next().unwrap();
            (next().parse().unwrap(), next(), next())
        })
        .collect()
}

#[test]
fn kcat_reads_what_was_published() {
    let config = fresh_config(shared_broker());
    let bus = connect(config.clone()).unwrap();
    let records: Vec<_> = (0..1_000)
        .map(|i| Record { key: b"web-1".to_vec(), value: format!("value {i}").into_bytes() })
        .collect();
    bus.publisher().publish(Topic::Metrics, 2, &records).unwrap();
    let read = kcat(shared_broker(), &config.metrics_topic, 2);
    assert_eq!(read.len(), records.len());
    for (i, (offset, key, value)) in read.into_iter().enumerate() {
        assert_eq!((offset, key, value), (i as u64, "web-1".to_owned(), format!("value {i}")));
    }
}

/// Two publishers number their records and go on over every fault, as the server does; the broker
/// is killed with -9 in the middle and comes back.
#[test]
fn a_killed_broker_loses_nothing_that_was_acknowledged() {
    const BATCH: u32 = 20;
    let mut broker = Broker::start_with(&["monitor_events:1"]);
    let config = fresh_config(&broker);
    let bus = connect(config.clone()).unwrap();
    let (stopper, stop) = super::base::stop::pair();
    let (acked, acks) = bounded::<(u32, u32)>(1_000_000);
    let publishing: Vec<_> = (0..2_u32)
        .map(|partition| {
            let (mut publisher, stop, acked) = (bus.publisher(), stop.clone(), acked.clone());
            let publish = move || {
                let mut next = 0;
                while !stop.is_stopped() {
                    let numbers = next..next + BATCH;
                    let records: Vec<_> =
                        numbers.map(|n| record(n.to_string().as_bytes())).collect();
                    match publisher.publish(Topic::Metrics, partition, &records) {
                        Ok(()) => {
                            next += BATCH;
                            acked.send((partition, next)).unwrap();
                        }
                        Err(error) => {
                            assert!(matches!(error, BusError::Unavailable { .. }), "{error}");
                        }
                    }
                }
            };
            thread::spawn("test-publisher", publish).unwrap()
        })
        .collect();
    // Dropped before the threads are joined, also when something below fails.
    let stopped_first = stopper;

    let mut through = HashMap::new();
    let mut until_acked = |batches: usize| {
        for _ in 0..batches {
            let (partition, next) = acks.recv_timeout(PATIENCE).expect("publishing goes on");
            through.insert(partition, next);
        }
        through.clone()
    };
    until_acked(200);
    broker.kill();
    until_acked(acks.len());
    broker.restart();
    let before = until_acked(acks.len());
    let after = until_acked(200);
    assert!(after.values().sum::<u32>() > before.values().sum::<u32>(), "it went on");
    drop(stopped_first);
    drop(publishing);
    let through = until_acked(acks.len());

    for (partition, next) in through {
        let records = read_all(&bus, partition);
        let values: Vec<u32> = records
            .iter()
            .map(|record| std::str::from_utf8(&record.value).unwrap().parse().unwrap())
            .collect();
        let stored: HashSet<u32> = values.iter().copied().collect();
        let missing: Vec<u32> = (0..next).filter(|number| !stored.contains(number)).collect();
        assert!(missing.is_empty(), "{partition}: acknowledged, not there: {missing:?}");
        // Doubles come only as whole batches that were sent again: first sights are in order.
        let mut highest = None;
        for value in &values {
            assert!(highest.is_none_or(|highest| *value <= highest + 1), "{value} came early");
            highest = highest.max(Some(*value));
        }
        let by_kcat: Vec<_> = kcat(&broker, &config.metrics_topic, partition)
            .into_iter()
            .map(|(_, _, value)| value.parse::<u32>().unwrap())
            .collect();
        assert_eq!(by_kcat, values, "kcat sees what we see");
    }
}

/// A stopped process keeps its connections and takes what is sent to it. Without the probe it
/// would find the batch once for each try when it wakes up.
#[test]
fn k01_k05_a_broker_that_sleeps_gets_a_batch_twice_at_most() {
    let broker = Broker::start_with(&["monitor_events:1"]);
    let config = KafkaConfig { call_limit: Duration::from_secs(2), ..fresh_config(&broker) };
    let bus = connect(config).unwrap();
    publish_until_stored(&bus, b"before");
    let mut publisher = bus.publisher();
    publisher.publish(Topic::Metrics, 0, &[record(b"before")]).unwrap();
    broker.freeze();
    for _ in 0..5 {
        let answer = publisher.publish(Topic::Metrics, 0, &[record(b"asleep")]);
        assert!(matches!(answer, Err(BusError::Unavailable { .. })), "{answer:?}");
    }
    assert_eq!(bus.counts().calls_given_up.get(), 1);
    broker.thaw();
    publish_until_stored(&bus, b"asleep");
    publish_until_stored(&bus, b"after");
    let records = read_all(&bus, 0);
    let copies = records.iter().filter(|record| record.value == b"asleep").count();
    assert!((1..=2).contains(&copies), "{copies} copies");
    assert_eq!(records.last().unwrap().value, b"after");
}

#[test]
fn a_reader_and_a_publisher_survive_a_restart() {
    let mut broker = Broker::start_with(&["monitor_events:1"]);
    let bus: Arc<KafkaBus> = connect(fresh_config(&broker)).unwrap();
    publish_until_stored(&bus, b"one");
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    assert_eq!(contract::read(reader.as_mut(), PATIENCE).records[0].value, b"one");
    broker.restart();
    publish_until_stored(&bus, b"two");
    // Errors are tried over, from the same position.
    let batch = contract::read(reader.as_mut(), PATIENCE);
    assert_eq!((batch.gap, batch.records.len()), (None, 1));
    assert_eq!(batch.records[0].value, b"two");
}
