//! `monitor-server`: takes the clients' streams, tells them what to sample, and forwards what they
//! bring into Kafka; nothing is acknowledged before the broker has it.

mod common;
#[path = "flags/server.rs"]
mod flags;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Parser;
use crossbeam_channel::select;
use realtime_monitor::base::{clock::Real, stop};
use realtime_monitor::server;

/// Forwards the streams of monitored hosts into Kafka
#[derive(Debug, Parser)]
#[command(name = "monitor-server", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    server: flags::ServerFlags,
    #[command(flatten)]
    log: common::LogFlags,
}

const EXAMPLES: &str = "Examples:
  monitor-server
  monitor-server --kafka kafka-1:9092,kafka-2:9092 --interval 5s --schedule cpu=500ms,memory=1s
  monitor-server --listen 0.0.0.0:50051 --insecure
  MONITOR_KAFKA=kafka-1:9092 monitor-server --collect cpu_core@web-1";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::start_log(&arguments.log);
    common::exit(run(arguments.server))
}

fn run(flags: flags::ServerFlags) -> anyhow::Result<()> {
    let (config, broker) = flags.take();
    let stop = stop::on_signals().context("cannot install signal handlers")?;
    let clock = Real::shared();
    let server = server::start(&config, Arc::new(broker.bus()), Arc::clone(&clock))?;
    let Some(bus) = broker.reach(&clock, &stop)? else { return Ok(()) };
    let failed = select! {
        recv(stop.channel()) -> _ => None,
        recv(server.failed()) -> words => words.ok(),
    };
    // The server first: what it has received still goes to the broker.
    drop(server);
    bus.shutdown();
    match failed {
        Some(words) => bail!("{words}"),
        None => Ok(()),
    }
}
