//! The thread that takes readings when they fall due and puts them into the buffer as frames.
//!
//! Ticks lie on a grid of server time (see [`schedule`](super::schedule)). A tick that comes late,
//! because a reading took long or the process was stopped, is taken once; what was missed
//! meanwhile is counted as skipped and never made up for: a burst of readings says nothing.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{never, select};

use super::sampled_log::SampledLog;
use super::schedule::{Grid, Known, Order, Plan, speaks_of};
use super::shared::{Instant, Shared, micros};
use super::split::Splitter;
use crate::base::quantity::format_duration;
use crate::base::stop::Stop;
use crate::base::thread::contain;
use crate::base::throttle::Throttle;
use crate::collector::{Registration, Set};
use crate::metric::{Frame, MetricDef, Samples};

/// One line about the sampled log that cannot be written in this time.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Who takes the readings.
pub trait Sampling: Send {
    /// The enabled collectors and all that each can take.
    fn offers(&self) -> Vec<Offer>;

    /// Takes the metrics that are due, now. What cannot be read is left out; equal series should
    /// share one layout from reading to reading.
    fn collect(&mut self, due: &dyn Fn(&MetricDef) -> bool) -> Samples;
}

/// A collector and what it takes.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Its name.
    pub collector: &'static str,
    /// Its metrics.
    pub metrics: &'static [MetricDef],
}

impl Sampling for Set {
    fn offers(&self) -> Vec<Offer> {
        let offer = |known: &Registration| Offer { collector: known.name, metrics: known.metrics };
        self.catalogue().map(offer).collect()
    }

    /// What went wrong is logged and counted by the collectors themselves.
    fn collect(&mut self, due: &dyn Fn(&MetricDef) -> bool) -> Samples {
        Set::collect(self, due).samples
    }
}

/// What the thread owns.
pub(super) struct Sampler {
    shared: Arc<Shared>,
    sampling: Box<dyn Sampling>,
    /// Sorted by the metric's name.
    known: Vec<Known>,
    grid: Grid,
    interval_min: Duration,
    order: Order,
    plan: Plan,
    last: Tick,
    next_seq: u64,
    splitter: Splitter,
    log: Option<SampledLog>,
    throttle: Throttle,
}

/// When the last tick was: by the server's clock, and by ours.
#[derive(Debug, Clone, Copy)]
struct Tick {
    server_us: u64,
    monotonic: Duration,
}

impl Sampler {
    pub(super) fn new(
        shared: Arc<Shared>,
        sampling: Box<dyn Sampling>,
        grid: Grid,
        interval_min: Duration,
        log: Option<SampledLog>,
    ) -> Self {
        let offers = sampling.offers();
        let mut known: Vec<Known> = offers
            .iter()
            .flat_map(|offer| offer.metrics.iter().map(|def| (offer.collector, def.name)))
            .map(|(collector, metric)| Known { collector, metric })
            .collect();
        known.sort_unstable_by_key(|known| known.metric);
        let now = shared.now();
        let order = Order::default_order();
        let plan = order.plan(&known, interval_min, now.monotonic);
        let last = Tick { server_us: now.server.unix_us, monotonic: now.monotonic };
        let (splitter, throttle) = (Splitter::default(), Throttle::new(LOG_PERIOD));
        Self {
            shared,
            sampling,
            known,
            grid,
            interval_min,
            order,
            plan,
            last,
            next_seq: 1,
            splitter,
            log,
            throttle,
        }
    }

    /// Samples until it is time to stop.
    pub(super) fn run(mut self, stop: &Stop) {
        let shared = Arc::clone(&self.shared);
        loop {
            let timer = self.wake_at().map_or_else(never, |when| shared.clock.at(when));
            select! {
                recv(stop.channel()) -> _ => return,
                recv(shared.orders.woken()) -> _ => self.take_orders(),
                recv(timer) -> _ => self.tick(),
            }
        }
    }

    /// When there is something to do: a tick, or the end of a lease. Monotonic.
    fn wake_at(&mut self) -> Option<Duration> {
        let now = self.shared.now();
        self.follow_back(now);
        let tick = self.plan.next_us(self.grid, self.last.server_us).map(|tick_us| {
            now.monotonic + Duration::from_micros(tick_us.saturating_sub(now.server.unix_us))
        });
        [tick, self.plan.valid_until].into_iter().flatten().min()
    }

    fn take_orders(&mut self) {
        let pending = self.shared.orders.take();
        if let Some((schedule, received)) = pending.schedule {
            log::debug!("standing order {}: {:?}", schedule.revision, schedule.entries);
            let now = self.shared.now();
            // What the old order had due is still taken.
            self.tick();
            self.order = Order::new(schedule, received);
            self.replan(now);
            self.tell_clamped();
        }
        if !pending.collect.is_empty() {
            let asked = |known: &Known| pending.collect.iter().any(|p| speaks_of(p, known));
            let due: Vec<bool> = self.known.iter().map(asked).collect();
            self.take(&due, 0);
        }
    }

    /// The order as it stands `now`, from where its ticks count.
    fn replan(&mut self, now: Instant) {
        self.plan = self.order.plan(&self.known, self.interval_min, now.monotonic);
        self.last = Tick { server_us: now.server.unix_us, monotonic: now.monotonic };
    }

    fn tell_clamped(&self) {
        if self.plan.clamped > 0 {
            self.shared.counts.metrics_clamped.add(self.plan.clamped as u64);
            log::warn!(
                "the server asks for {} metrics faster than --interval-min {} allows: they are \
                 taken at that",
                self.plan.clamped,
                format_duration(self.interval_min)
            );
        }
    }

    /// When the estimate has stepped back, the grid goes on from there.
    fn follow_back(&mut self, now: Instant) {
        if now.server.unix_us < self.last.server_us {
            self.last = Tick { server_us: now.server.unix_us, monotonic: now.monotonic };
        }
    }

    /// Takes what has fallen due, and follows the ends of leases.
    fn tick(&mut self) {
        let now = self.shared.now();
        self.follow_back(now);
        let planned_us = self.plan.next_us(self.grid, self.last.server_us);
        if let Some(planned_us) = planned_us.filter(|at| *at <= now.server.unix_us) {
            let interval_ms = self.plan.shortest_ms().unwrap_or(u32::MAX);
            // Lateness by our own clock, so that a step of the estimate is no skipped tick.
            let waited_us = micros(now.monotonic.saturating_sub(self.last.monotonic));
            let late_us = waited_us.saturating_sub(planned_us - self.last.server_us);
            self.shared.counts.ticks_skipped.add(late_us / (u64::from(interval_ms) * 1_000));
            let due = self.plan.due(self.grid, self.last.server_us, now.server.unix_us);
            self.last = Tick { server_us: now.server.unix_us, monotonic: now.monotonic };
            self.take(&due, interval_ms);
        }
        if self.plan.valid_until.is_some_and(|end| end <= now.monotonic) {
            self.replan(now);
        }
    }

    /// One reading, numbered, logged and buffered. `interval_ms` 0: a one-shot.
    fn take(&mut self, due: &[bool], interval_ms: u32) {
        let (known, sampling) = (&self.known, &mut self.sampling);
        let is_due = |def: &MetricDef| {
            known.binary_search_by_key(&def.name, |known| known.metric).is_ok_and(|at| due[at])
        };
        // Stamped before reading: what is read first is what changes fastest, the CPU times.
        let at = self.shared.now();
        let Some(samples) = contain("a reading", || sampling.collect(&is_due)) else {
            self.shared.counts.readings_failed.increment();
            return;
        };
        let parts = self.splitter.split(samples);
        if parts.is_empty() {
            self.shared.counts.readings_empty.increment();
            return;
        }
        for samples in parts {
            self.put(samples, at, interval_ms);
        }
        self.shared.frames_ready();
    }

    fn put(&mut self, samples: Samples, at: Instant, interval_ms: u32) {
        let frame = Frame {
            session: self.shared.session,
            seq: self.next_seq,
            elapsed_us: self.shared.elapsed_us(at.monotonic),
            time_ms: at.server.unix_us / 1_000,
            uncertainty_ms: at.server.uncertainty_ms,
            host_time_ms: at.wall_us / 1_000,
            interval_ms,
            sent_ms: 0,
            samples,
        };
        // Before it can be sent: what the server may know must be in this file.
        let written = self.log.as_mut().map(|log| log.write(&frame));
        if let Some(Err(error)) = written {
            self.shared.counts.sampled_log_failures.increment();
            if let Some(left_out) = self.throttle.pass() {
                log::warn!("--sampled-log: {error} ({left_out} times before)");
            }
        }
        self.next_seq += 1;
        let mut buffer = self.shared.buffer();
        let dropped = buffer.push(frame);
        self.shared.counts.frames_sampled.increment();
        self.shared.counts.frames_dropped.add(dropped);
        self.shared.count_buffer(&buffer);
    }
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
