//! A real broker's topics: what its records look like to others, and what happens to them while
//! programs run: retention passes a reader, partitions are added, a topic is made anew.

use std::time::{SystemTime, UNIX_EPOCH};

use realtime_monitor::bus::kafka::KafkaBus;
use realtime_monitor::bus::{Batch, Bus, Position, Record, Topic};

use super::broker::Broker;
use super::real::{fresh_config, kcat_lines, publish_until_stored, read_all, shared_broker};
use super::{PATIENCE, connect, contract, record};

fn numbered(numbers: std::ops::Range<u32>) -> Vec<Record> {
    numbers.map(|number| record(number.to_string().as_bytes())).collect()
}

fn values(batch: &Batch) -> Vec<String> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    batch.records.iter().map(|record| text(&record.value)).collect()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// In the crate's `Producer`, an empty value becomes null: a deletion to whoever compacts the
/// topic, and to readers a record without a value.
#[test]
fn k12_an_empty_value_arrives_as_empty_and_not_as_none() {
    let config = fresh_config(shared_broker());
    let bus = connect(config.clone()).unwrap();
    let records = [
        record(b""),
        record(b"a"),
        Record { key: Vec::new(), value: Vec::new() },
        Record { key: Vec::new(), value: b"b".to_vec() },
    ];
    bus.publisher().publish(Topic::Metrics, 1, &records).unwrap();
    // Lengths of key and value; of none, kcat says -1.
    let lengths = kcat_lines(shared_broker(), &config.metrics_topic, 1, "%o %K %S");
    assert_eq!(lengths, ["0 1 0", "1 1 1", "2 0 0", "3 0 1"]);
    let read: Vec<_> = read_all(&bus, 1).into_iter().map(|r| (r.key, r.value)).collect();
    let sent: Vec<_> = records.into_iter().map(|r| (r.key, r.value)).collect();
    assert_eq!(read, sent);
}

/// The crate sends no times, and readers of a topic that does not stamp its records see -1.
#[test]
fn k13_records_carry_the_time_at_which_the_broker_took_them() {
    let config = fresh_config(shared_broker());
    let bus = connect(config.clone()).unwrap();
    let before = now_ms();
    bus.publisher().publish(Topic::Metrics, 0, &numbered(0..3)).unwrap();
    let after = now_ms();
    let times = kcat_lines(shared_broker(), &config.metrics_topic, 0, "%T");
    assert_eq!(times.len(), 3);
    for time in times {
        let time: u64 = time.parse().expect("a time; -1 is none");
        assert!((before..=after).contains(&time), "{before} <= {time} <= {after}");
    }
    // The programs' own topics are created with it, in the command that an operator is told too.
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/bin/kafka/topics");
    for line in std::fs::read_to_string(own).unwrap().lines().filter(|line| !line.starts_with('#'))
    {
        assert!(line.contains("message.timestamp.type=LogAppendTime"), "{line}");
    }
}

/// Retention takes the older half away behind a reader's back, and the broker is restarted
/// and comes back with what is left.
#[test]
fn k18_a_log_that_retention_cut_short_is_read_on_after_a_restart() {
    const KEPT_FROM: u64 = 60;
    let mut broker = Broker::start_with(&["monitor_events:1"]);
    let config = fresh_config(&broker);
    let bus = connect(config.clone()).unwrap();
    publish_until_stored(&bus, b"0");
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    assert_eq!(values(&contract::read(reader.as_mut(), PATIENCE)), ["0"]);
    bus.publisher().publish(Topic::Metrics, 0, &numbered(1..100)).unwrap();
    broker.delete_records(&config.metrics_topic, 0, KEPT_FROM);
    // Killed, it would have the records again: it writes down where its log begins once a minute.
    broker.restart_in_order();
    publish_until_stored(&bus, b"100");

    let batch = contract::read(reader.as_mut(), PATIENCE);
    assert_eq!((batch.gap, batch.records[0].offset), (Some((1, KEPT_FROM - 1)), KEPT_FROM));
    let mut read = values(&batch);
    while read.last().is_none_or(|last| last != "100") {
        let batch = contract::read(reader.as_mut(), PATIENCE);
        assert_eq!(batch.gap, None, "told once");
        read.extend(values(&batch));
    }
    let mut expected: Vec<String> = (KEPT_FROM..=100).map(|n| n.to_string()).collect();
    // The last may have been sent twice, over the restart.
    expected.extend(std::iter::repeat_n("100".to_owned(), read.len() - expected.len()));
    assert_eq!(read, expected);
    let counts = bus.counts();
    assert_eq!((counts.offset_resets.get(), counts.gap_offsets.get()), (1, KEPT_FROM - 1));

    // Who comes from before, or by time, begins at what is left too.
    for from in [Position::Offset(7), Position::Earliest, Position::SinceMs(0)] {
        let mut reader = bus.reader(Topic::Metrics, 0, from);
        let batch = contract::read(reader.as_mut(), PATIENCE);
        assert_eq!(batch.records[0].offset, KEPT_FROM, "{from:?}");
    }
}

/// Hosts stay where they are: programs keep to the number they were started with.
#[test]
fn partitions_that_are_added_while_running_change_nothing() {
    let broker = shared_broker();
    let config = fresh_config(broker);
    let bus = connect(config.clone()).unwrap();
    let mut publisher = bus.publisher();
    publisher.publish(Topic::Metrics, 3, &numbered(0..5)).unwrap();
    let mut reader = bus.reader(Topic::Metrics, 3, Position::Earliest);
    assert_eq!(contract::read(reader.as_mut(), PATIENCE).records.len(), 5);

    let alter = ["--alter", "--topic", &config.metrics_topic, "--partitions", "6"];
    broker.tool("TopicCommand", &alter);
    let told = broker.tool("TopicCommand", &["--describe", "--topic", &config.metrics_topic]);
    assert!(told.contains("PartitionCount: 6"), "{told}");

    // The clients of before, those that come now, and a program that starts now.
    publisher.publish(Topic::Metrics, 3, &numbered(5..10)).unwrap();
    assert_eq!(values(&contract::read(reader.as_mut(), PATIENCE)), ["5", "6", "7", "8", "9"]);
    let topic = config.metrics_topic.clone();
    let started: &KafkaBus = &connect(config).unwrap();
    for bus in [&*bus, started] {
        assert_eq!(bus.partitions(Topic::Metrics), 4);
        bus.publisher().publish(Topic::Metrics, 0, &numbered(0..1)).unwrap();
        assert_eq!(read_all(bus, 3).len(), 10);
    }
    assert_eq!(bus.counts().publish_failures.get() + bus.counts().read_failures.get(), 0);
    assert_eq!(kcat_lines(broker, &topic, 4, "%o").len(), 0, "nobody uses the new ones");
}
