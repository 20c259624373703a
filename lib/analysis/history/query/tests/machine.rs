//! A machine that is busy by lot, and what a client samples of it.

use std::collections::BTreeMap;

use super::world::{Run, row};
use crate::base::dice::Dice;
use crate::metric::{Samples, SeriesKey, SessionId, Value};

/// What a made-up machine counts.
#[derive(Debug)]
struct Machine {
    cpu: [f64; 8],
    busy_s: f64,
    counters: BTreeMap<&'static str, u64>,
}

const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];

const COUNTERS: [&str; 4] = [
    "disk_read_bytes_total{device=\"sda\"}",
    "disk_written_bytes_total{device=\"sda\"}",
    "network_receive_bytes_total{interface=\"eth0\"}",
    "network_transmit_bytes_total{interface=\"eth0\"}",
];

/// Comes and goes once.
const GUEST: &str = "disk_read_bytes_total{device=\"sdb\"}";

/// A session of `count` seconds at 1 Hz: a counter of its own now and then resets, seconds are
/// missing, some series are sampled every five and every seven seconds, and the server's clock is
/// set forward.
pub(super) fn session(dice: &mut Dice, id: u128, start_ms: u64, count: u64) -> Run {
    let mut machine = Machine { cpu: [1_000.0; 8], busy_s: 7.0, counters: BTreeMap::new() };
    let (guest_from, guest_to) = (dice.below(count), dice.below(count));
    let gap_from = dice.below(2 * count);
    let gap_to = gap_from + dice.below(300);
    let (mut rows, mut time_ms, mut elapsed_us) = (Vec::new(), start_ms, dice.below(5_000_000));
    for at in 0..count {
        let tremble_us = dice.below(800);
        let passed_s = if at == 0 { 0.0 } else { 1.0 + tremble_us as f64 / 1e6 };
        elapsed_us += if at == 0 { 0 } else { 1_000_000 + tremble_us };
        time_ms += 1_000;
        if dice.one_in(3_000) {
            time_ms += 1_000 * dice.below(40);
        }
        machine.turn(dice, passed_s);
        let lost = at > 0 && (dice.one_in(40) || (gap_from..gap_to).contains(&at));
        if lost {
            continue;
        }
        let guest = (guest_from..guest_to).contains(&at);
        rows.push(row(at + 1, time_ms, elapsed_us, machine.samples(dice, at, guest)));
    }
    let chunks = vec![0; rows.len()];
    Run { session: SessionId(id), rows, chunks }
}

impl Machine {
    fn turn(&mut self, dice: &mut Dice, passed_s: f64) {
        let shares: Vec<f64> = (0..8).map(|_| 1.0 + dice.below(100) as f64).collect();
        let all: f64 = shares.iter().sum();
        if dice.one_in(2_000) {
            self.cpu = [5.0; 8];
        }
        self.busy_s += dice.below(1_000) as f64 / 1_000.0;
        for (mode, share) in self.cpu.iter_mut().zip(shares) {
            *mode += 4.0 * passed_s * share / all;
        }
        for name in COUNTERS.into_iter().chain([GUEST, "slow_total"]) {
            let counter = self.counters.entry(name).or_insert(1 << 40);
            *counter += if dice.one_in(50) { dice.below(1 << 24) } else { dice.below(1 << 12) };
            if dice.one_in(1_500) {
                *counter = dice.below(1 << 10);
            }
        }
    }

    fn samples(&self, dice: &mut Dice, at: u64, guest: bool) -> Samples {
        let mut samples: BTreeMap<String, Value> = BTreeMap::new();
        for (mode, value) in MODES.iter().zip(self.cpu) {
            samples.insert(format!("cpu_seconds_total{{mode=\"{mode}\"}}"), Value::Float(value));
        }
        for name in COUNTERS {
            samples.insert(name.to_owned(), Value::Unsigned(self.counters[name]));
        }
        if guest {
            samples.insert(GUEST.to_owned(), Value::Unsigned(self.counters[GUEST]));
        }
        let busy = "disk_busy_seconds_total{device=\"sda\"}";
        samples.insert(busy.to_owned(), Value::Float(self.busy_s));
        let amount = Value::Unsigned(dice.below(1 << 33));
        samples.insert("memory_available_bytes".to_owned(), amount);
        samples.insert("memory_total_bytes".to_owned(), Value::Unsigned(1 << 33));
        samples.insert("processes".to_owned(), Value::Unsigned(200 + dice.below(50)));
        samples.insert("load1".to_owned(), Value::Float(dice.below(400) as f64 / 100.0));
        if at.is_multiple_of(5) {
            samples.insert("room_celsius".to_owned(), Value::Float(dice.below(30) as f64));
            samples.insert("slow_total".to_owned(), Value::Unsigned(self.counters["slow_total"]));
        }
        if at.is_multiple_of(7) {
            samples.insert("seventh".to_owned(), Value::Float(dice.below(30) as f64));
        }
        let parse = |(key, value): (String, Value)| (SeriesKey::parse(&key).unwrap(), value);
        samples.into_iter().map(parse).collect()
    }
}

/// Cuts a run into segments as they arrive: stretches of some minutes, some of them late, so that
/// what arrived on time surrounds them.
pub(super) fn scatter(dice: &mut Dice, run: &mut Run) {
    let (mut chunk, mut next, mut late) = (0, 1, None::<(usize, usize)>);
    for at in 0..run.chunks.len() {
        if dice.one_in(400) {
            chunk = next;
            next += 1;
        }
        if dice.one_in(300) {
            late = Some((next, at + dice.below(120) as usize));
            next += 1;
        }
        late = late.filter(|(_, until)| at < *until);
        run.chunks[at] = late.map_or(chunk, |(late, _)| late);
    }
}
