//! The flags of every program that samples its own host: `monitor-client` and `monitor`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use realtime_monitor::base::quantity::{parse_bytes, parse_duration};
use realtime_monitor::client::{Config, SpoolConfig};
use realtime_monitor::collector::{self, Context, Registration, Set};
use realtime_monitor::identity;
use realtime_monitor::metric::HostName;

/// What is sampled, and as whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SampleFlags {
    /// Name of this host, its identity everywhere [default: the machine's name]
    #[arg(long, env = "MONITOR_HOST", value_name = "NAME", value_parser = identity::host_name)]
    pub(crate) host: Option<HostName>,

    /// Collectors to run: names, 'default' or 'all', as in default,cpu_core
    #[arg(
        long,
        env = "MONITOR_COLLECTORS",
        value_name = "LIST",
        default_value = "default",
        value_parser = collectors
    )]
    pub(crate) collectors: Collectors,

    /// Shortest interval this host accepts, whoever asks
    #[arg(
        long,
        env = "MONITOR_INTERVAL_MIN",
        value_name = "DURATION",
        default_value = "50ms",
        value_parser = parse_duration
    )]
    pub(crate) interval_min: Duration,

    /// Take loop devices, partitions, virtual interfaces and the like as well
    #[arg(long, env = "MONITOR_INCLUDE_FILTERED")]
    pub(crate) include_filtered: bool,

    /// Root of the machine to measure: DIR/proc and DIR/sys are read
    #[arg(long, env = "MONITOR_ROOT", value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,

    /// Memory for frames that the server has not acknowledged; about an hour at 1 Hz
    #[arg(
        long,
        env = "MONITOR_BUFFER",
        value_name = "SIZE",
        default_value = "4MiB",
        value_parser = parse_bytes
    )]
    pub(crate) buffer: u64,

    /// Most that the spool takes on disk; the oldest goes first, and is declared
    #[arg(
        long,
        env = "MONITOR_SPOOL_MAX",
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = parse_bytes
    )]
    pub(crate) spool_max: u64,

    /// A word about this host, shown beside it; may be given several times
    #[arg(
        long = "label",
        env = "MONITOR_LABEL",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        value_parser = label
    )]
    pub(crate) labels: Vec<(String, String)>,
}

/// The chosen collectors.
#[derive(Debug, Clone)]
pub(crate) struct Collectors(Vec<&'static Registration>);

impl SampleFlags {
    /// The collectors, ready to read.
    pub(crate) fn set(&self) -> Set {
        let mut context = Context::new(&self.root);
        context.include_filtered = self.include_filtered;
        Set::new(&self.collectors.0, context)
    }

    /// A client that sends to one of `servers` and spools to the directory `spool`.
    ///
    /// # Errors
    /// When the machine's own name cannot name a host and no other was given.
    pub(crate) fn config(
        &self,
        servers: Vec<String>,
        spool: Option<PathBuf>,
        sampled_log: Option<PathBuf>,
    ) -> anyhow::Result<Config> {
        let host = match &self.host {
            Some(host) => host.clone(),
            None => identity::host_name(&identity::nodename())
                .map_err(anyhow::Error::msg)
                .context("the machine's own name does not do, give one with --host")?,
        };
        Ok(Config {
            servers,
            host,
            root: self.root.clone(),
            labels: self.labels.iter().cloned().collect(),
            interval_min: self.interval_min,
            buffer_bytes: self.buffer,
            spool: spool.map(|dir| SpoolConfig { dir, bytes_max: self.spool_max }),
            sampled_log,
        })
    }
}

fn collectors(list: &str) -> Result<Collectors, String> {
    collector::select(list).map(Collectors).map_err(|error| error.to_string())
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is no label: expected NAME=VALUE, as rack=7")),
    }
}
