//! The machine that measures: how many processors, how busy, how even.

use std::fs;
use std::time::Instant;

use super::figures;

/// A fixed computation, timed between the measurements: what else the machine did meanwhile.
#[derive(Default)]
pub struct Noise {
    ms: Vec<f64>,
    load: Vec<f64>,
}

impl Noise {
    pub fn look(&mut self) {
        // The quickest of five is the machine's speed at this moment.
        let quickest = (0..5).map(|_| fixed_work_ms()).fold(f64::INFINITY, f64::min);
        self.ms.push(quickest);
        self.load.push(load_average());
    }

    /// A sentence for the head of the table.
    pub fn words(&self) -> String {
        let low = self.ms.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.ms.iter().copied().fold(0.0, f64::max);
        let busiest = self.load.iter().copied().fold(0.0, f64::max);
        format!(
            "Measured on {} ({} processors, Linux {}); the same fixed computation took {} to {} ms \
             in between ({:.0} % apart), load average {:.1} at the start, {busiest:.1} at most.",
            processor(),
            processors(),
            kernel(),
            figures::digits(low),
            figures::digits(high),
            (high / low - 1.0) * 100.0,
            self.load.first().copied().unwrap_or_default(),
        )
    }
}

/// For the progress lines.
pub fn load() -> String {
    format!("load average {:.1}", load_average())
}

pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
    name.to_owned()
}

fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.split('-').next().unwrap_or_default().trim().to_owned()
}

/// About ten milliseconds of arithmetic that depends on itself.
fn fixed_work_ms() -> f64 {
    let start = Instant::now();
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..5_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    std::hint::black_box(state);
    start.elapsed().as_secs_f64() * 1e3
}
