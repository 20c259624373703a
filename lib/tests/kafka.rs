//! The Kafka bus: against a scripted broker that shows the crate's faults one by one (names begin
//! with the fault's number, as in the table of `lib/bus/kafka/mod.rs`), and against a real one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use realtime_monitor::base::clock::Real;
use realtime_monitor::bus::kafka::{KafkaBus, KafkaConfig};
use realtime_monitor::bus::{BusError, Record};
use realtime_monitor::{base, bus};

#[macro_use]
#[path = "../bus/contract.rs"]
mod contract;

#[path = "kafka/absent.rs"]
mod absent;
#[path = "kafka/answers.rs"]
mod answers;
#[allow(dead_code, unreachable_pub, reason = "other suites use the rest")]
#[path = "support/broker.rs"]
mod broker;
#[path = "kafka/codec.rs"]
mod codec;
#[path = "kafka/partitions.rs"]
mod partitions;
#[path = "kafka/reading.rs"]
mod reading;
#[path = "kafka/real.rs"]
mod real;
#[path = "kafka/scripted.rs"]
mod scripted;
#[path = "kafka/sending.rs"]
mod sending;
#[path = "kafka/slow.rs"]
mod slow;
#[path = "kafka/starting.rs"]
mod starting;
#[path = "kafka/topics.rs"]
mod topics;
#[allow(dead_code, unreachable_pub, reason = "other suites use the rest")]
#[path = "support/wait.rs"]
mod wait;

/// Far beyond what anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call is given up after this long in the tests that wait for it.
const SHORT: Duration = Duration::from_millis(1_500);

fn config(broker: &str) -> KafkaConfig {
    KafkaConfig { topic_limit: SHORT, ..KafkaConfig::new(vec![broker.to_owned()]) }
}

fn connect(config: KafkaConfig) -> Result<Arc<KafkaBus>, BusError> {
    let (_stopper, stop) = base::stop::pair();
    KafkaBus::connect(config, Real::shared(), &stop)
}

fn record(value: &[u8]) -> Record {
    Record { key: b"h".to_vec(), value: value.to_vec() }
}
