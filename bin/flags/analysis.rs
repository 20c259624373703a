//! The flags of `monitor-analysis`.

use clap::Args;
use realtime_monitor::analysis::history::OpenHistory;
use realtime_monitor::base::clock::SharedClock;
use realtime_monitor::http;

#[path = "data.rs"]
pub(crate) mod data;
#[path = "kafka.rs"]
mod kafka;
#[path = "web.rs"]
mod web;
use kafka::Broker;

/// Where it reads, where it serves, what it keeps.
#[derive(Debug, Args)]
pub(crate) struct AnalysisFlags {
    #[command(flatten)]
    web: web::WebFlags,
    #[command(flatten)]
    kafka: kafka::KafkaFlags,
    #[command(flatten)]
    data: data::DataFlags,
}

impl AnalysisFlags {
    /// As the rooms take it; the past is opened.
    pub(crate) fn take(
        self,
        clock: &SharedClock,
    ) -> anyhow::Result<(http::Config, Broker, Option<OpenHistory>)> {
        let web = self.web.take(std::env::temp_dir());
        // Kafka keeps what was published.
        let history = self.data.open(false, clock)?;
        Ok((web, Broker::new(self.kafka.take()), history))
    }
}
