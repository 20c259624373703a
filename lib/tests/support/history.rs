//! Ninety days in a directory: frames of long ago, written by the way that all frames go, through
//! a bus and analysis into the history.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use realtime_monitor::analysis::history::{self, HistoryConfig, Tiers};
use realtime_monitor::analysis::{self, HOSTS_MAX, LIVE_BYTES_MAX};
use realtime_monitor::base::clock::Real;
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::bus::embedded::EmbeddedBus;
use realtime_monitor::bus::kafka::PARTITIONS;
use realtime_monitor::bus::{Bus, Record, Topic, partition_of};
use realtime_monitor::metric::{Frame, SeriesKey, SessionId, Value};
use realtime_monitor::wire::json::{FrameRecord, encode_frame};

use super::wait;

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600_000;

/// Records handed over at once.
const BATCH: usize = 500;

/// How long writing it all down may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is to be there.
#[derive(Debug, Clone, Copy)]
pub struct Seed<'a> {
    pub host: &'a str,
    pub from_ms: u64,
    pub to_ms: u64,
    /// Beginning of the one second in which the CPU is busy through and through.
    pub busy_ms: u64,
    /// From and to: nothing was sampled; a new session begins after it.
    pub gap_ms: (u64, u64),
}

/// Fills the history in a directory for state: a frame a minute, one every ten seconds in the last
/// day, one a second in the last six hours and around the busy second.
pub fn seed(data: &Path, seed: &Seed<'_>) {
    let dir = data.join("history");
    std::fs::create_dir_all(&dir).unwrap();
    let config = HistoryConfig {
        dir,
        tiers: Tiers::default(),
        bytes_max: 0,
        write_after: Duration::from_millis(200),
        logs_bus: true,
    };
    let clock = Real::shared();
    let history = history::open(config, clock.wall_ms()).unwrap();
    let bus = EmbeddedBus::starting_at(&history.log_ends(PARTITIONS), clock.clone());
    let config = analysis::Config {
        hosts_max: HOSTS_MAX,
        live_bytes_max: LIVE_BYTES_MAX,
        history: Some(history),
        counts: CountSources::default(),
    };
    let shared: Arc<dyn Bus> = bus.clone();
    let analysis = analysis::start(config, &shared, clock).unwrap();
    let mut publisher = shared.publisher();
    let partition = partition_of(seed.host.as_bytes(), PARTITIONS);
    let times = times(seed);
    let mut busy_s = 0.0;
    let (mut records, mut last) = (Vec::new(), None);
    let mut seq = 0;
    for (at, time_ms) in times.iter().enumerate() {
        let before_ms = at.checked_sub(1).map(|at| times[at]);
        let begins = |before_ms: u64| before_ms < seed.gap_ms.0 && *time_ms >= seed.gap_ms.1;
        seq = if before_ms.is_some_and(begins) { 1 } else { seq + 1 };
        let frame = frame(seed, seq, *time_ms, &mut busy_s, before_ms);
        let mut value = Vec::new();
        encode_frame(&frame, &mut value);
        records.push(Record { key: seed.host.as_bytes().to_vec(), value });
        if records.len() == BATCH || at + 1 == times.len() {
            let records = std::mem::take(&mut records);
            last = Some(publisher.begin(Topic::Metrics, partition, &records).unwrap());
        }
    }
    last.unwrap().wait().unwrap();
    wait::until("the past is written down", PATIENCE, || {
        let stored = analysis.view().fleet_ledger().stored;
        (stored == times.len() as u64).then_some(())
    });
    bus.shutdown();
}

fn times(seed: &Seed<'_>) -> Vec<u64> {
    let mut times = Vec::new();
    let mut time_ms = seed.from_ms;
    while time_ms < seed.to_ms {
        if !(seed.gap_ms.0..seed.gap_ms.1).contains(&time_ms) {
            times.push(time_ms);
        }
        let is_near = time_ms.abs_diff(seed.busy_ms) <= 120 * SECOND_MS;
        time_ms += match seed.to_ms - time_ms {
            left if left <= 6 * HOUR_MS || is_near => SECOND_MS,
            left if left <= 24 * HOUR_MS => 10 * SECOND_MS,
            _ => 60 * SECOND_MS,
        };
    }
    times
}

/// A machine with two CPUs that is busy by day, and calm by night.
fn frame(
    seed: &Seed<'_>,
    seq: u64,
    time_ms: u64,
    busy_s: &mut f64,
    before_ms: Option<u64>,
) -> FrameRecord {
    let elapsed_ms = time_ms - seed.from_ms;
    let seconds = elapsed_ms as f64 / 1e3;
    let step_s = before_ms.map_or(0.0, |before| (time_ms - before) as f64 / 1e3);
    let by_day = (time_ms as f64 / (24.0 * HOUR_MS as f64) * std::f64::consts::TAU).sin();
    // The frame that ends the busy second.
    let is_busy = time_ms.saturating_sub(seed.busy_ms).wrapping_sub(1) < SECOND_MS;
    *busy_s += 2.0 * step_s * if is_busy { 1.0 } else { 0.18 + 0.1 * by_day };
    let counted = |per_second: f64| Value::Unsigned((per_second * seconds) as u64);
    let of = |text: &str, value: Value| (SeriesKey::parse(text).unwrap(), value);
    let used = 0.4 + 0.1 * by_day;
    let round = |value: f64| Value::Float((value * 100.0).round() / 100.0);
    let samples = [
        of("cpu_seconds_total{mode=\"idle\"}", round(2.0 * seconds - *busy_s)),
        of("cpu_seconds_total{mode=\"system\"}", round(*busy_s * 0.25)),
        of("cpu_seconds_total{mode=\"user\"}", round(*busy_s * 0.75)),
        of("disk_read_bytes_total{device=\"sda\"}", counted(40_960.0)),
        of("disk_written_bytes_total{device=\"sda\"}", counted(81_920.0)),
        of("load1", round(0.4 + 0.2 * by_day)),
        of("memory_available_bytes", Value::Unsigned((8e9 * (1.0 - used)) as u64)),
        of("memory_free_bytes", Value::Unsigned((4e9 * (1.0 - used)) as u64)),
        of("memory_total_bytes", Value::Unsigned(8_000_000_000)),
        of("network_receive_bytes_total{interface=\"eth0\"}", counted(125_000.0)),
        of("network_transmit_bytes_total{interface=\"eth0\"}", counted(50_000.0)),
        of("processes", Value::Unsigned(180 + seq % 7)),
        of("uptime_seconds", round(seconds)),
    ];
    // The second session counts from its own beginning.
    let is_second = time_ms >= seed.gap_ms.1;
    let start_ms = if is_second { seed.gap_ms.1 } else { seed.from_ms };
    FrameRecord {
        host: seed.host.into(),
        server: "seed".into(),
        received_ms: time_ms,
        clock_wrong: false,
        overtaken: false,
        frame: Frame {
            session: SessionId(if is_second { 0x5eee } else { 0x5eed }),
            seq,
            elapsed_us: (time_ms - start_ms) * 1_000,
            time_ms,
            uncertainty_ms: 1,
            host_time_ms: time_ms,
            interval_ms: 1_000,
            sent_ms: time_ms,
            samples: samples.into_iter().collect(),
        },
    }
}
