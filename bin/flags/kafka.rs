//! Where the broker is: for every program that uses one.

use std::sync::{Arc, OnceLock};

use clap::Args;
use realtime_monitor::base::clock::SharedClock;
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::base::stop::Stop;
use realtime_monitor::bus::kafka::{EVENTS_PARTITIONS, KafkaBus, KafkaConfig, PARTITIONS};
use realtime_monitor::bus::{BusError, LateBus};

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

/// A broker that the program does not wait for before it serves.
#[derive(Debug)]
pub(crate) struct Broker {
    config: KafkaConfig,
    late: LateBus,
    arrived: Arc<OnceLock<Arc<KafkaBus>>>,
}

impl Broker {
    /// Not reached yet.
    pub(crate) fn new(config: KafkaConfig) -> Self {
        let late = LateBus::new(config.partitions, EVENTS_PARTITIONS);
        Self { config, late, arrived: Arc::default() }
    }

    /// Stands in for it from now on.
    pub(crate) fn bus(&self) -> LateBus {
        self.late.clone()
    }

    /// Its counters, none until it has been reached.
    pub(crate) fn counts(&self) -> CountSources {
        let arrived = self.arrived.clone();
        let read = move || arrived.get().map_or_else(Vec::new, |bus| bus.counts().read());
        CountSources(vec![Arc::new(read)])
    }

    /// Tries until it answers; `None` when it is time to stop before that.
    ///
    /// # Errors
    /// When an operator has to act.
    pub(crate) fn reach(
        &self,
        clock: &SharedClock,
        stop: &Stop,
    ) -> anyhow::Result<Option<Arc<KafkaBus>>> {
        let failing = |why: &str| self.late.fail(why);
        match KafkaBus::connect_with_retry(&self.config, clock, stop, &failing) {
            Ok(bus) => {
                // Called once, by the program's start list.
                let _ = self.arrived.set(bus.clone());
                self.late.arrive(bus.clone());
                Ok(Some(bus))
            }
            Err(BusError::Stopped) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
