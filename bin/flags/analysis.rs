//! The flags of `monitor-analysis`.

use std::path::PathBuf;

use clap::Args;
use realtime_monitor::http;

#[path = "data.rs"]
mod data;
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
    /// As the rooms take it; the directory for state is made.
    pub(crate) fn take(self) -> anyhow::Result<(http::Config, Broker, Option<PathBuf>)> {
        let web = self.web.take(std::env::temp_dir());
        Ok((web, Broker::new(self.kafka.take()), self.data.take()?))
    }
}
