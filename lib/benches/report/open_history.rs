//! A process that opens a history, begins to use it, and says how long each took.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use realtime_monitor::analysis::history::{self, HistoryConfig, Tiers, WRITE_AFTER};
use realtime_monitor::analysis::{self, Config, HOSTS_MAX, LIVE_BYTES_MAX};
use realtime_monitor::base::clock::Real;
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::bus::Bus;
use realtime_monitor::bus::embedded::EmbeddedBus;
use serde_json::{Value, json};

use super::super::made_up::PARTITIONS;

/// Analysis with a history, and how long it took.
pub struct Begun {
    pub analysis: analysis::Handle,
    open: Duration,
    begin: Duration,
}

/// Opens the history of a directory as `monitor` does.
pub fn begin(dir: PathBuf) -> Result<Begun, String> {
    let config = HistoryConfig {
        dir,
        tiers: Tiers::default(),
        bytes_max: 0,
        write_after: WRITE_AFTER,
        logs_bus: true,
    };
    let clock = Real::shared();
    let start = Instant::now();
    let history = history::open(config, clock.wall_ms()).map_err(|error| error.to_string())?;
    let open = start.elapsed();
    let bus: Arc<dyn Bus> =
        EmbeddedBus::starting_at(&history.log_ends(PARTITIONS), Arc::clone(&clock));
    let config = Config {
        history: Some(history),
        hosts_max: HOSTS_MAX,
        live_bytes_max: LIVE_BYTES_MAX,
        counts: CountSources::default(),
    };
    let analysis = analysis::start(config, &bus, clock).map_err(|error| error.to_string())?;
    Ok(Begun { analysis, open, begin: start.elapsed() - open })
}

/// `--history DIR`
pub fn run(arguments: &[String]) -> Result<(), String> {
    let dir = super::flag(arguments, "--history").ok_or("--history is missing")?;
    let Begun { analysis, open, begin } = begin(PathBuf::from(dir))?;
    let counts = analysis.view().counts();
    let read = counts.iter().find(|count| count.name == "history_read_bytes_total");
    let ready = json!({
        "open_us": open.as_micros() as u64,
        "begin_us": begin.as_micros() as u64,
        "file_read_bytes": read.map(|count| count.value),
    });
    super::serve(&ready, || Value::Null)
}
