//! Where the broker is: for every program that uses one.

use clap::Args;
use realtime_monitor::bus::kafka::{KafkaConfig, PARTITIONS};

/// The broker and its topics.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct KafkaFlags {
    /// One or more brokers of the cluster
    #[arg(
        long,
        env = "MONITOR_KAFKA",
        value_name = "HOST:PORT,...",
        default_value = "localhost:9094",
        value_delimiter = ','
    )]
    kafka: Vec<String>,

    /// Topic of frames and sessions
    #[arg(long, env = "MONITOR_TOPIC", value_name = "NAME", default_value = "monitor_metrics")]
    topic: String,

    /// Topic of stage latencies and, later, snapshots and alerts
    #[arg(
        long,
        env = "MONITOR_EVENTS_TOPIC",
        value_name = "NAME",
        default_value = "monitor_events"
    )]
    events_topic: String,

    /// Partitions of the metrics topic that are used; the same number for all programs
    #[arg(
        long,
        env = "MONITOR_PARTITIONS",
        value_name = "COUNT",
        default_value_t = PARTITIONS,
        value_parser = clap::value_parser!(u32).range(1..=1_024)
    )]
    partitions: u32,
}

impl KafkaFlags {
    /// As the bus takes it.
    pub(crate) fn take(self) -> KafkaConfig {
        KafkaConfig {
            metrics_topic: self.topic,
            events_topic: self.events_topic,
            partitions: self.partitions,
            ..KafkaConfig::new(self.kafka)
        }
    }
}
