//! What other processes use: CPU time to the nanosecond, memory as their share of it (PSS).

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::figures;
use super::support::wait;

/// In how many parts a window is divided, to see how even it was.
const SLICES: u32 = 6;

/// Follows the CPU time of a process, of its threads and of its children.
///
/// From `/proc/PID/task/TID/schedstat`, whose first field is the time on a processor in ns; the
/// ticks of `/proc/PID/stat` are 10 ms, as much as a client uses in 15 s. A thread that ends takes
/// with it what it used since the last look.
pub struct Meter {
    pid: u32,
    seen: BTreeMap<(u32, u32), u64>,
}

impl Meter {
    pub fn new(pid: u32) -> Self {
        let mut meter = Self { pid, seen: BTreeMap::new() };
        meter.advance();
        meter
    }

    /// CPU time since the last call.
    pub fn advance(&mut self) -> Duration {
        let mut now = BTreeMap::new();
        threads(self.pid, &mut now);
        let since = |(id, ns): (&(u32, u32), &u64)| {
            ns.saturating_sub(self.seen.get(id).copied().unwrap_or(0))
        };
        let used = now.iter().map(since).sum();
        self.seen = now;
        Duration::from_nanos(used)
    }
}

/// CPU time and memory of one process over a window.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Percent of one core, in each slice of the window.
    pub slices_percent: Vec<f64>,
    /// CPU time over the whole window.
    pub cpu: Duration,
    /// Length of the window.
    pub window: Duration,
    /// Memory at its end.
    pub pss_bytes: u64,
}

impl Cost {
    /// Percent of one core over the whole window.
    pub fn percent(&self) -> f64 {
        self.cpu.as_secs_f64() / self.window.as_secs_f64() * 100.0
    }

    /// `0.061 % of a core (0.055 to 0.070), 5.8 MB`.
    pub fn words(&self) -> String {
        let low = self.slices_percent.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.slices_percent.iter().copied().fold(0.0, f64::max);
        format!(
            "{} % of a core ({} to {}), {}",
            figures::digits(self.percent()),
            figures::digits(low),
            figures::digits(high),
            figures::bytes(self.pss_bytes as f64)
        )
    }
}

/// Watches several processes at the same time.
pub fn watch(pids: &[u32], window: Duration) -> Vec<Cost> {
    let mut meters: Vec<_> = pids.iter().map(|pid| Meter::new(*pid)).collect();
    let mut costs = vec![Cost::default(); pids.len()];
    for _ in 0..SLICES {
        let start = Instant::now();
        wait::pause(window / SLICES);
        let slice = start.elapsed();
        for (meter, cost) in meters.iter_mut().zip(&mut costs) {
            let used = meter.advance();
            cost.slices_percent.push(used.as_secs_f64() / slice.as_secs_f64() * 100.0);
            cost.cpu += used;
            cost.window += slice;
        }
    }
    for (pid, cost) in pids.iter().zip(&mut costs) {
        cost.pss_bytes = pss_bytes(*pid);
    }
    costs
}

/// Proportional set size of a process and its children; 0 when it is gone.
pub fn pss_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024 + children(pid).into_iter().map(pss_bytes).sum::<u64>()
}

/// Bytes that a process has made the kernel write to a disk (`write_bytes` of `/proc/PID/io`:
/// pages made dirty; one that is changed again before it was written counts once).
pub fn written_bytes(pid: u32) -> u64 {
    of_io(pid, "write_bytes: ")
}

/// Bytes that a process has made the kernel read from a disk.
pub fn read_bytes(pid: u32) -> u64 {
    of_io(pid, "read_bytes: ")
}

fn of_io(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// CPU time of a process since its start, threads that have ended included, in ticks of 10 ms
/// (`/proc/PID/stat`): for many short threads, over a second or so.
pub fn cpu_time(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything, come the fields from the third on.
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
}

/// CPU time by thread name of this process.
pub fn own_threads() -> BTreeMap<String, Duration> {
    let pid = std::process::id();
    let mut times = BTreeMap::new();
    threads(pid, &mut times);
    let mut by_name = BTreeMap::new();
    for ((_, thread), ns) in times {
        let name = fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm"));
        let name = name.unwrap_or_default().trim().to_owned();
        *by_name.entry(name).or_default() += Duration::from_nanos(ns);
    }
    by_name
}

/// CPU time in ns of every thread of a process and its children.
fn threads(pid: u32, out: &mut BTreeMap<(u32, u32), u64>) {
    for thread in numbers_in(&format!("/proc/{pid}/task")) {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat"));
        let ns = text.ok().and_then(|text| text.split(' ').next()?.parse().ok());
        if let Some(ns) = ns {
            out.insert((pid, thread), ns);
        }
    }
    for child in children(pid) {
        threads(child, out);
    }
}

fn children(pid: u32) -> Vec<u32> {
    let of_thread = |thread| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
        let text = text.unwrap_or_default();
        text.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<u32>>()
    };
    numbers_in(&format!("/proc/{pid}/task")).into_iter().flat_map(of_thread).collect()
}

fn numbers_in(folder: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
