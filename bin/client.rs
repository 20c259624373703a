//! `monitor-client`: reads this machine, sends what the server's schedule asks for, and keeps it
//! until the server has acknowledged it.

mod common;
#[path = "flags/client.rs"]
mod flags;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use realtime_monitor::base::{clock::Real, stop};
use realtime_monitor::client;
use realtime_monitor::metric::MetricDef;
use realtime_monitor::wire::prometheus;

/// Measures this host and streams it to a server
#[derive(Debug, Parser)]
#[command(name = "monitor-client", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    client: flags::ClientFlags,
    #[command(flatten)]
    log: common::LogFlags,
}

const EXAMPLES: &str = "Examples:
  monitor-client --server metrics.example.org:50051
  monitor-client --server a.example.org:50051,b.example.org:50051
  monitor-client --collectors default,cpu_core --interval-min 200ms --label rack=7
  monitor-client --spool /var/lib/monitor-client --spool-max 256MiB
  monitor-client --once | promtool check metrics
  MONITOR_SERVER=10.0.0.5:50051 monitor-client";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::start_log(&arguments.log);
    common::exit(if arguments.client.once { once(&arguments) } else { run(arguments) })
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let flags = arguments.client;
    let stop = stop::on_signals().context("cannot install signal handlers")?;
    let config = flags.sample.config(flags.servers, flags.spool, flags.sampled_log)?;
    let client = client::start(config, Box::new(flags.sample.set()), Real::shared())?;
    stop.wait_forever();
    client.stop();
    Ok(())
}

fn once(arguments: &Arguments) -> anyhow::Result<()> {
    let sample = &arguments.client.sample;
    let mut set = sample.set();
    let reading = set.collect(&|_| true);
    if reading.samples.is_empty() {
        bail!("nothing could be read under {}", sample.root.display());
    }
    let definitions: Vec<&MetricDef> = set.metrics().collect();
    let mut text = String::new();
    prometheus::write(&definitions, &reading.samples, &mut text);
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}
