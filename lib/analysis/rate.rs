//! The only place where counters become rates, and readings become what people look at.
//!
//! A [`Deriver`] follows one session, frame by frame in the order of `elapsed_us`:
//! - a rate is the difference to this series' reading before, divided by the difference of
//!   `elapsed_us` (`CLOCK_MONOTONIC` of the host; it stands still while a machine is suspended,
//!   as its counters do); the wall clock has no part in it;
//! - the first reading of a series yields nothing: not zero;
//! - a counter that went backwards was reset: no rate for that step, counted. A 32 or 64-bit
//!   counter that wrapped looks the same and is treated the same: a step without a rate is a
//!   small hole, a guessed one is a lie;
//! - each series has its own reading before, because series may have different intervals.
//!
//! Names and formulas: `plan.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::analysis::view::SUMMARY_COLUMNS;
use crate::metric::{Layout, Samples, SeriesKey, Value};

mod needs;
mod plan;
mod step;

pub(in crate::analysis) use needs::{Labels, derived_name, gauge_name, is_needed, sources_min};
pub(in crate::analysis) use plan::{KeyPool, Plan};
use plan::{Mode, Op};
pub(in crate::analysis) use step::Step;

/// Most series of one session: a 64-CPU host with per-CPU series has 640; six times that.
pub(in crate::analysis) const SERIES_PER_HOST_MAX: usize = 4_000;

/// Plans kept: one for each mix of metrics that falls due together. Building one costs some
/// microseconds, so an eleventh mix is slower and not wrong.
const PLANS_MAX: usize = 10;

/// When the table of series is full, those not read for this long make room.
const SERIES_IDLE_US: u64 = 15 * 60 * 1_000_000;

/// How far idle and iowait may step back without meaning a reset. The kernel's own documentation
/// says that iowait may decrease (proc_stat(5)), and idle follows it; node_exporter draws the
/// line at three seconds too.
const IDLE_STEP_BACK_S: f64 = 3.0;

/// Follows one session.
#[derive(Debug)]
pub(in crate::analysis) struct Deriver {
    pool: Arc<KeyPool>,
    series: HashMap<SeriesKey, u32>,
    readings: Vec<Reading>,
    plans: Vec<Arc<Plan>>,
    groups: Vec<Group>,
    memory_total: Option<f64>,
}

/// The last reading of a series.
#[derive(Debug, Clone, Copy)]
struct Reading {
    value: Value,
    elapsed_us: u64,
    /// False until the first one.
    taken: bool,
}

/// CPU time of the machine, or of one CPU, over the interval.
#[derive(Debug, Clone, Default)]
struct Group {
    total: f64,
    idle: f64,
    /// When the interval began; every mode must have been read then.
    since_us: Option<u64>,
    broken: bool,
    shares: Vec<(u32, f64)>,
}

impl Deriver {
    /// For a session of which nothing was seen yet.
    pub(in crate::analysis) fn new(pool: Arc<KeyPool>) -> Self {
        Self {
            pool,
            series: HashMap::new(),
            readings: Vec::new(),
            plans: Vec::new(),
            groups: Vec::new(),
            memory_total: None,
        }
    }

    /// Takes the next frame of the session.
    pub(in crate::analysis) fn derive(&mut self, elapsed_us: u64, samples: &Samples) -> Step {
        let mut step = Step::default();
        self.derive_into(elapsed_us, samples, &mut step);
        step
    }

    /// Takes the next frame of the session; what it gave replaces what is in `step`, whose memory
    /// is used again.
    pub(in crate::analysis) fn derive_into(
        &mut self,
        elapsed_us: u64,
        samples: &Samples,
        step: &mut Step,
    ) {
        let plan = self.plan_for(&samples.layout, elapsed_us);
        step.begin(&plan);
        self.groups.iter_mut().for_each(Group::clear);
        self.groups.resize_with(plan.groups.max(self.groups.len()), Group::default);
        let mut available = None;
        let mut sums: [Option<(f64, u64)>; SUMMARY_COLUMNS.len()] = [None; SUMMARY_COLUMNS.len()];
        for (op, value) in plan.ops.iter().zip(&samples.values) {
            match *op {
                Op::Skip => {}
                Op::Gauge { slot, output } => {
                    self.note(slot, *value, elapsed_us);
                    step.put(output, value.as_f64());
                }
                Op::MemoryTotal { slot } => {
                    self.note(slot, *value, elapsed_us);
                    self.memory_total = Some(value.as_f64());
                    step.put(plan::MEMORY_TOTAL, value.as_f64());
                }
                Op::MemoryAvailable { slot, output } => {
                    self.note(slot, *value, elapsed_us);
                    available = Some(value.as_f64());
                    step.put(output, value.as_f64());
                }
                Op::Rate { slot, output, total } => {
                    let rate = self.rate(slot, *value, elapsed_us, step);
                    let Some((rate, over_us)) = rate else { continue };
                    step.put_over(output, rate, over_us);
                    if let Some(total) = total {
                        sums[total as usize].get_or_insert((0.0, over_us)).0 += rate;
                    }
                }
                Op::Busy { slot, output } => {
                    let rate = self.rate(slot, *value, elapsed_us, step);
                    let Some((rate, over_us)) = rate else { continue };
                    step.put_over(output, percent(rate), over_us);
                }
                Op::Cpu { slot, group, mode, output } => {
                    self.cpu(slot, *value, elapsed_us, (group, mode, output), step);
                }
            }
        }
        for (column, sum) in sums.iter().enumerate() {
            if let Some((sum, over_us)) = sum {
                step.put_over(column as u32, *sum, *over_us);
            }
        }
        self.finish_memory(available, step);
        self.finish_cpu(&plan, elapsed_us, step);
    }

    /// The plan for a layout, found by address, by content, or built.
    fn plan_for(&mut self, layout: &Layout, elapsed_us: u64) -> Arc<Plan> {
        let same_address = |plan: &Arc<Plan>| std::ptr::eq(plan.layout.as_ptr(), layout.as_ptr());
        let at = self
            .plans
            .iter()
            .position(same_address)
            .or_else(|| self.plans.iter().position(|plan| plan.layout == *layout));
        if let Some(at) = at {
            // The one used last stands first, where it is found at once.
            self.plans[..=at].rotate_right(1);
            return self.plans[0].clone();
        }
        if self.series.len() + layout.len() > SERIES_PER_HOST_MAX {
            self.forget_idle(elapsed_us);
        }
        let pool = self.pool.clone();
        let plan = Arc::new(Plan::build(layout, &pool, |key| self.slot(key)));
        self.plans.truncate(PLANS_MAX - 1);
        self.plans.insert(0, plan.clone());
        plan
    }

    fn slot(&mut self, key: &SeriesKey) -> Option<u32> {
        if let Some(slot) = self.series.get(key) {
            return Some(*slot);
        }
        if self.series.len() >= SERIES_PER_HOST_MAX {
            return None;
        }
        let slot = self.readings.len() as u32;
        self.readings.push(Reading { value: Value::Unsigned(0), elapsed_us: 0, taken: false });
        self.series.insert(key.clone(), slot);
        Some(slot)
    }

    /// Drops series that were not read for a while: containers come and go, and their names never
    /// come back.
    fn forget_idle(&mut self, now_us: u64) {
        let mut kept = Vec::new();
        let readings = &self.readings;
        self.series.retain(|_, slot| {
            let reading = readings[*slot as usize];
            let keep = reading.taken && now_us.saturating_sub(reading.elapsed_us) < SERIES_IDLE_US;
            if keep {
                *slot = kept.len() as u32;
                kept.push(reading);
            }
            keep
        });
        self.readings = kept;
        self.plans.clear();
    }

    /// Remembers a reading; returns the one before.
    fn note(&mut self, slot: u32, value: Value, elapsed_us: u64) -> Option<Reading> {
        let reading = &mut self.readings[slot as usize];
        let before = reading.taken.then_some(*reading);
        *reading = Reading { value, elapsed_us, taken: true };
        before
    }

    /// The rate since the reading before, and the time since then.
    fn rate(
        &mut self,
        slot: u32,
        value: Value,
        elapsed_us: u64,
        step: &mut Step,
    ) -> Option<(f64, u64)> {
        let before = self.note(slot, value, elapsed_us)?;
        let passed_us = elapsed_us.checked_sub(before.elapsed_us).filter(|us| *us > 0)?;
        let Some(grown) = growth(before.value, value) else {
            step.resets += 1;
            return None;
        };
        Some((grown / (passed_us as f64 / 1e6), passed_us))
    }

    fn cpu(
        &mut self,
        slot: u32,
        value: Value,
        elapsed_us: u64,
        (group, mode, output): (u32, Mode, Option<u32>),
        step: &mut Step,
    ) {
        let before = self.note(slot, value, elapsed_us);
        let group = &mut self.groups[group as usize];
        let grown = before.and_then(|before| {
            growth(before.value, value).or_else(|| {
                let back = before.value.as_f64() - value.as_f64();
                let small = mode == Mode::Idle && back < IDLE_STEP_BACK_S;
                *(if small { &mut step.idle_steps_back } else { &mut step.resets }) += 1;
                small.then_some(0.0)
            })
        });
        let (Some(before), Some(grown)) = (before, grown) else {
            group.broken |= mode != Mode::Apart;
            return;
        };
        if mode != Mode::Apart {
            let since = *group.since_us.get_or_insert(before.elapsed_us);
            group.broken |= since != before.elapsed_us || elapsed_us <= since;
            group.total += grown;
        }
        if mode == Mode::Idle {
            group.idle += grown;
        }
        if let Some(output) = output {
            group.shares.push((output, grown));
        }
    }

    fn finish_memory(&self, available: Option<f64>, step: &mut Step) {
        let (Some(available), Some(total)) = (available, self.memory_total) else { return };
        let used = (total - available).max(0.0);
        step.put(plan::MEMORY_USED, used);
        if total > 0.0 {
            step.put(plan::MEMORY_USED_PERCENT, percent(used / total));
        }
    }

    fn finish_cpu(&self, plan: &Plan, elapsed_us: u64, step: &mut Step) {
        for (group, usage) in self.groups.iter().zip(&plan.usages) {
            let Some(since_us) = group.since_us else { continue };
            if group.broken || group.total <= 0.0 {
                continue;
            }
            let over_us = elapsed_us - since_us;
            if let Some(usage) = usage {
                step.put_over(*usage, percent(1.0 - group.idle / group.total), over_us);
            }
            for (output, grown) in &group.shares {
                step.put_over(*output, percent(grown / group.total), over_us);
            }
        }
    }
}

impl Group {
    fn clear(&mut self) {
        (self.total, self.idle, self.since_us, self.broken) = (0.0, 0.0, None, false);
        self.shares.clear();
    }
}

/// How much a counter grew; `None` when it went backwards.
fn growth(before: Value, now: Value) -> Option<f64> {
    match (before, now) {
        (Value::Unsigned(before), Value::Unsigned(now)) => {
            now.checked_sub(before).map(|grown| grown as f64)
        }
        _ => Some(now.as_f64() - before.as_f64()).filter(|grown| *grown >= 0.0),
    }
}

/// Whether the series is a counter that was reset between two readings of it.
pub(in crate::analysis) fn is_reset(key: &SeriesKey, before: Value, now: Value) -> bool {
    if growth(before, now).is_some() || !key.name().ends_with("_total") {
        return false;
    }
    let back = before.as_f64() - now.as_f64();
    !(back < IDLE_STEP_BACK_S && plan::is_idle_time(key))
}

/// A share as a percentage; rounding must not show 100.01 or -0.
fn percent(share: f64) -> f64 {
    (100.0 * share).clamp(0.0, 100.0) + 0.0
}

#[cfg(test)]
#[path = "rate/rate_tests.rs"]
mod tests;
