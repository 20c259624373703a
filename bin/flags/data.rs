//! Where state lives: for every program that keeps some.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use realtime_monitor::analysis::history::{self, HistoryConfig, OpenHistory, Tiers, WRITE_AFTER};
use realtime_monitor::base::clock::SharedClock;
use realtime_monitor::base::quantity::{format_duration, parse_bytes, parse_duration};

/// The past inside the directory for state.
const HISTORY: &str = "history";

/// The directory for state, and what is kept in it.
#[derive(Debug, Args)]
#[command(next_help_heading = "State")]
pub(crate) struct DataFlags {
    /// Directory for state, made for this user alone if it is missing; without it the past is the
    /// last quarter of an hour, in memory
    #[arg(long, env = "MONITOR_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// What is kept how long: resolution and time, the finest first, each longer than the one before
    #[arg(
        long,
        env = "MONITOR_KEEP",
        value_name = "RESOLUTION:TIME,...",
        default_value = "1s:24h,10s:7d,1m:90d",
        value_parser = Tiers::parse
    )]
    keep: Tiers,

    /// Most space for it on disk; beyond it what reaches back farthest is shortened first. 0B: as
    /// much as there is
    #[arg(
        long,
        env = "MONITOR_HISTORY_MAX",
        value_name = "SIZE",
        default_value = "20GiB",
        value_parser = parse_bytes
    )]
    history_max: u64,

    /// How long what was read may wait in memory before it is written: what a crash makes it read
    /// again. Shorter writes more, 5m at most
    #[arg(
        long,
        env = "MONITOR_WRITE_AFTER",
        value_name = "TIME",
        default_value = "5m",
        value_parser = write_after
    )]
    write_after: Duration,
}

impl DataFlags {
    /// The past, opened; `None` without a directory. `logs_bus`: the bus keeps nothing itself.
    ///
    /// # Errors
    /// When the directory cannot be made, or the past cannot be opened.
    pub(crate) fn open(
        &self,
        logs_bus: bool,
        clock: &SharedClock,
    ) -> anyhow::Result<Option<OpenHistory>> {
        let Some(data) = &self.data else {
            log::info!("the past is kept in memory only, for 15 minutes; --data DIR keeps it");
            return Ok(None);
        };
        let dir = history_dir(data);
        make(&dir)?;
        let config = HistoryConfig {
            dir,
            tiers: self.keep.clone(),
            bytes_max: self.history_max,
            write_after: self.write_after,
            logs_bus,
        };
        Ok(Some(history::open(config, clock.wall_ms())?))
    }
}

fn write_after(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        time if (Duration::from_millis(100)..=WRITE_AFTER).contains(&time) => Ok(time),
        _ => Err(format!("'{text}': expected 100ms to {}", format_duration(WRITE_AFTER))),
    }
}

/// Where the past is inside a directory for state.
pub(crate) fn history_dir(data: &Path) -> PathBuf {
    data.join(HISTORY)
}

fn make(dir: &Path) -> anyhow::Result<()> {
    // Readable by nobody else: what a host does is its owner's business.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| {
        format!("cannot make '{}'; expected a directory that can be made", dir.display())
    })
}
