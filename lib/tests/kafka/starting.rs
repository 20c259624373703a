//! The start: no broker, the wrong one, no topic.

use std::io::Write;
use std::net::TcpListener;

use realtime_monitor::base::clock::Real;
use realtime_monitor::base::{stop, thread};
use realtime_monitor::bus::BusError;
use realtime_monitor::bus::kafka::{KafkaBus, KafkaConfig};

use super::scripted::{Cue, METADATA, Scripted, VERSIONS};
use super::{SHORT, config, connect};

fn unavailable(config: KafkaConfig) -> String {
    match connect(config) {
        Err(BusError::Unavailable { what }) => what,
        other => panic!("{other:?}"),
    }
}

fn unusable(config: KafkaConfig) -> String {
    match connect(config) {
        Err(BusError::Unusable { what }) => what,
        other => panic!("{other:?}"),
    }
}

/// An address where nothing listens.
fn closed_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_broker_that_is_there_is_enough() {
    let broker = Scripted::start();
    connect(config(&broker.address())).unwrap();
}

#[test]
fn an_absent_broker_is_named_with_what_to_do() {
    let address = closed_address();
    let expected =
        format!("cannot reach Kafka at {address}: connection refused; is it running? (make kafka)");
    assert_eq!(unavailable(config(&address)), expected);
}

#[test]
fn the_second_broker_is_asked_when_the_first_is_absent() {
    let broker = Scripted::start();
    let brokers = vec![closed_address(), broker.address()];
    connect(KafkaConfig::new(brokers)).unwrap();
    let both = vec![closed_address(), closed_address()];
    let words = unavailable(KafkaConfig::new(both.clone()));
    assert!(words.contains(&both[0]) && words.contains(&both[1]), "{words}");
}

#[test]
fn k01_a_broker_that_never_answers_is_given_up() {
    let broker = Scripted::start();
    broker.cue(VERSIONS, Cue::Silence);
    let words = unavailable(KafkaConfig { call_limit: SHORT, ..config(&broker.address()) });
    assert!(words.contains("no answer within 450ms"), "{words}");

    // Past the probe, inside the crate.
    let broker = Scripted::start();
    broker.cue(METADATA, Cue::Silence);
    let words = unavailable(KafkaConfig { call_limit: SHORT, ..config(&broker.address()) });
    assert!(words.contains("given up, no answer within 1500ms"), "{words}");
}

#[test]
fn k04_what_does_not_speak_kafka_is_not_asked_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = thread::spawn("test-http", move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // The listener is closed here: a second question would be refused.
    });
    let words = unusable(config(&address));
    assert!(words.contains(&address) && words.contains("does not speak Kafka"), "{words}");
    drop(answering);
}

/// To a request of an unknown kind, a broker closes the connection.
#[test]
fn k20_a_broker_of_version_4_is_told_by_its_versions() {
    let broker = Scripted::start();
    broker.state().fetch_version_min = 4;
    let words = unusable(config(&broker.address()));
    assert!(words.contains("needs Kafka <= 3.9"), "{words}");
    assert_eq!(broker.seen.try_iter().collect::<Vec<_>>(), [VERSIONS]);
}

#[test]
fn k08_a_missing_topic_is_waited_for_and_then_told_with_the_command() {
    let broker = Scripted::start();
    broker.state().topics.remove("monitor_metrics");
    let address = broker.address();
    let words = unusable(config(&address));
    let command = format!(
        "kafka-topics.sh --bootstrap-server {address} --create --topic monitor_metrics \
         --partitions 4 --config message.timestamp.type=LogAppendTime --config \
         segment.bytes=67108864"
    );
    assert!(words.ends_with(&command), "{words}");
    assert!(words.contains("within 1500ms"), "{words}");
}

#[test]
fn k08_a_topic_that_the_broker_creates_on_demand_comes_with_the_second_question() {
    let broker = Scripted::start();
    // LEADER_NOT_AVAILABLE, no partitions; the crate drops the error.
    broker.cue(METADATA, Cue::Error(5));
    connect(config(&broker.address())).unwrap();
}

#[test]
fn k08_odd_partition_numbers_end_one_client_and_not_the_process() {
    let broker = Scripted::start();
    broker.state().topics.insert("monitor_metrics".to_owned(), vec![0, 7]);
    let panics = thread::panics_total();
    let words = unavailable(config(&broker.address()));
    assert!(words.contains("panicked"), "{words}");
    assert!(thread::panics_total() > panics);
}

#[test]
fn too_few_partitions_are_told() {
    let broker = Scripted::start();
    broker.state().topics.insert("monitor_metrics".to_owned(), vec![0, 1]);
    let words = unusable(config(&broker.address()));
    assert!(words.contains("has 2 partitions, 4 were expected"), "{words}");
}

#[test]
fn an_advertised_address_that_is_closed_is_told() {
    let broker = Scripted::start();
    let closed = closed_address();
    broker.state().advertised = closed.parse().unwrap();
    let words = unavailable(config(&broker.address()));
    assert!(words.contains(&closed) && words.contains("advertised.listeners"), "{words}");
}

#[test]
fn flags_that_cannot_be_right_are_told() {
    for bad in ["localhost", ":9094", "localhost:port", "localhost:99999"] {
        let words = unusable(config(bad));
        assert!(words.contains(bad) && words.contains("localhost:9094"), "{words}");
    }
    unusable(KafkaConfig::new(Vec::new()));
    unusable(KafkaConfig { partitions: 0, ..config("localhost:9094") });
}

#[test]
fn trying_again_ends_with_the_broker_the_stop_or_what_only_an_operator_can_change() {
    let (stopper, stop) = stop::pair();
    let clock = Real::shared();
    let broker = Scripted::start();
    broker.cue(VERSIONS, Cue::Close);
    broker.cue(VERSIONS, Cue::Close);
    KafkaBus::connect_with_retry(&config(&broker.address()), &clock, &stop, &|_| ()).unwrap();

    broker.state().fetch_version_min = 4;
    let error = KafkaBus::connect_with_retry(&config(&broker.address()), &clock, &stop, &|_| ());
    assert!(matches!(error, Err(BusError::Unusable { .. })));

    let absent = config(&closed_address());
    let trying = thread::spawn("test-connect", move || {
        let error = KafkaBus::connect_with_retry(&absent, &clock, &stop, &|_| ());
        assert_eq!(error.err(), Some(BusError::Stopped));
    });
    drop(stopper);
    drop(trying);
}
