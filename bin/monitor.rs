//! `monitor`: the whole system in one process, with its own host as the first client. No Kafka:
//! frames go from the server to analysis through memory.

mod common;
#[path = "flags/monitor.rs"]
mod flags;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use realtime_monitor::base::{clock::Real, stop};
use realtime_monitor::bus::Bus;
use realtime_monitor::bus::embedded::EmbeddedBus;
use realtime_monitor::bus::kafka::PARTITIONS;
use realtime_monitor::{analysis, client, http, server};

/// Watches this machine, and every host whose client joins
#[derive(Debug, Parser)]
#[command(name = "monitor", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    monitor: flags::MonitorFlags,
    #[command(flatten)]
    log: common::LogFlags,
}

const EXAMPLES: &str = "Examples:
  monitor                                              then open http://localhost:8003/
  monitor --interval 100ms --schedule diskio=1s
  monitor --listen 0.0.0.0:8003 --grpc-listen 0.0.0.0:50051 --insecure
  MONITOR_LISTEN=127.0.0.1:9000 monitor";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::start_log(&arguments.log);
    common::exit(run(arguments.monitor))
}

fn run(flags: flags::MonitorFlags) -> anyhow::Result<()> {
    let settings = flags.take();
    let stop = stop::on_signals().context("cannot install signal handlers")?;
    let clock = Real::shared();
    let history = settings.open(&clock)?;
    let bus = match &history {
        Some(history) => EmbeddedBus::starting_at(&history.log_ends(PARTITIONS), clock.clone()),
        None => EmbeddedBus::new(PARTITIONS, clock.clone()),
    };
    let shared: Arc<dyn Bus> = bus.clone();

    // From the sink back to the source; stopping begins at the source.
    let counts = flags::Counts::default();
    let analysis = analysis::start(counts.analysis(&bus, history), &shared, clock.clone())?;
    let server = server::start(&settings.server, shared, clock.clone())?;
    let own = settings.client(server.address())?;
    let client = client::start(own, Box::new(settings.sample.set()), clock.clone())?;
    counts.set(client.counts());
    let web = http::start(settings.web, analysis.view(), clock)?;

    stop.wait_forever();
    client.stop();
    drop(server);
    bus.shutdown();
    drop((web, analysis));
    Ok(())
}
