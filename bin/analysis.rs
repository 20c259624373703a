//! `monitor-analysis`: reads what the servers put into Kafka, keeps live and past values of every
//! series and the account of frames, and serves the page and the API.

mod common;
#[path = "flags/analysis.rs"]
mod flags;
#[path = "flags/maintain.rs"]
mod maintain;
use flags::data;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use realtime_monitor::analysis::{self, HOSTS_MAX, LIVE_BYTES_MAX};
use realtime_monitor::base::{clock::Real, stop};
use realtime_monitor::bus::Bus;
use realtime_monitor::http;

/// Reads monitored hosts' frames from Kafka and serves the dashboard
#[derive(Debug, Parser)]
#[command(name = "monitor-analysis", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    maintain: Option<maintain::Maintain>,
    #[command(flatten)]
    analysis: flags::AnalysisFlags,
    #[command(flatten)]
    log: common::LogFlags,
}

const EXAMPLES: &str = "Examples:
  monitor-analysis
  monitor-analysis --kafka kafka-1:9092,kafka-2:9092 --data /var/lib/monitor-analysis
  monitor-analysis --listen 0.0.0.0:8003 --insecure --public-name monitor.example.org
  monitor-analysis backup --data /var/lib/monitor-analysis /mnt/backup/history
  monitor-analysis check --data /var/lib/monitor-analysis";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::start_log(&arguments.log);
    common::exit(match arguments.maintain {
        Some(maintain) => maintain.run(),
        None => run(arguments.analysis),
    })
}

fn run(flags: flags::AnalysisFlags) -> anyhow::Result<()> {
    let clock = Real::shared();
    let (web, broker, history) = flags.take(&clock)?;
    let stop = stop::on_signals().context("cannot install signal handlers")?;
    let bus: Arc<dyn Bus> = Arc::new(broker.bus());
    let config = analysis::Config {
        hosts_max: HOSTS_MAX,
        live_bytes_max: LIVE_BYTES_MAX,
        history,
        counts: broker.counts(),
    };
    let analysis = analysis::start(config, &bus, Arc::clone(&clock))?;
    let web = http::start(web, analysis.view(), Arc::clone(&clock))?;
    // The page is served from here on; until the broker answers it says why it is empty.
    let Some(kafka) = broker.reach(&clock, &stop)? else { return Ok(()) };
    stop.wait_forever();
    // Viewers first; then what feeds them.
    drop(web);
    kafka.shutdown();
    drop(analysis);
    Ok(())
}
