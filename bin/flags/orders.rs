//! What hosts are told to sample: for every program with a server in it.

use std::time::Duration;

use clap::Args;
use realtime_monitor::identity;
use realtime_monitor::server::{self, Orders};

/// The standing order, and one-shot orders.
#[derive(Debug, Args)]
#[command(next_help_heading = "Orders to clients")]
pub(crate) struct OrderFlags {
    /// How often everything is sampled that --schedule does not name
    #[arg(
        long,
        env = "MONITOR_INTERVAL",
        value_name = "TIME",
        default_value = "1s",
        value_parser = server::parse_interval
    )]
    interval: Duration,

    /// How often a collector or metric is sampled: cpu=500ms,disk_*=5s,uptime=off
    #[arg(
        long,
        env = "MONITOR_SCHEDULE",
        value_name = "NAME=TIME,...",
        value_delimiter = ',',
        value_parser = server::parse_schedule_entry
    )]
    schedule: Vec<(String, Duration)>,

    /// Have a host collect this once, each time it connects; may be given several times
    #[arg(
        long,
        env = "MONITOR_COLLECT",
        value_name = "METRIC@HOST",
        value_delimiter = ',',
        value_parser = server::parse_collect
    )]
    collect: Vec<(String, realtime_monitor::metric::HostName)>,

    /// What the server calls itself in records [default: this machine's name]
    #[arg(long, env = "MONITOR_NAME", value_name = "NAME")]
    name: Option<String>,
}

impl OrderFlags {
    /// The orders, and the name of the server that gives them.
    pub(crate) fn take(self) -> (Orders, String) {
        let orders =
            Orders { interval: self.interval, schedule: self.schedule, collect: self.collect };
        (orders, self.name.unwrap_or_else(identity::nodename))
    }
}
