//! How long frames take, stage by stage, over the last minute.
//!
//! Only what is live counts: a frame that was sent within [`BACKLOG_MS`] of being sampled, and
//! read when its reader stood at the end of the topic. An hour of backlog that comes in a minute
//! would drown what people ask of these figures, which is how fast it is now; it is counted apart.
//!
//! [`BACKLOG_MS`]: super::presence::BACKLOG_MS

use std::time::Duration;

use crate::analysis::view::{STAGES_WINDOW_S, StageLatency, Stages};
use crate::base::histogram::Histogram;
use crate::metric::Frame;
use crate::wire::json::FrameRecord;

/// Slots of the ring: one a second of the window, and the one being filled.
const SLOTS: usize = STAGES_WINDOW_S as usize + 1;

/// A stage, as a place in its slot.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Sent,
    Received,
    Durable,
    Consumed,
    Pushed,
    SampledToPushed,
}

const STAGES: usize = 6;

/// The last minute: 61 x 6 x 1.9 KiB = 690 KiB.
#[derive(Debug)]
pub(in crate::analysis) struct StageRing {
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    second: u64,
    stages: [Histogram; STAGES],
}

/// Latencies of one frame up to here.
#[derive(Debug, Clone, Copy)]
pub(in crate::analysis) struct Passage {
    sent_ms: u64,
    received_ms: u64,
    consumed_ms: u64,
}

impl Passage {
    /// Of a frame that was read at `consumed_ms`.
    pub(in crate::analysis) fn of(record: &FrameRecord, consumed_ms: u64) -> Self {
        let Frame { time_ms, sent_ms, .. } = record.frame;
        Self {
            sent_ms: sent_ms.saturating_sub(time_ms),
            received_ms: record.received_ms.saturating_sub(sent_ms),
            consumed_ms: consumed_ms.saturating_sub(record.received_ms),
        }
    }
}

impl Default for StageRing {
    fn default() -> Self {
        let slot = |_| Slot { second: 0, stages: std::array::from_fn(|_| Histogram::new()) };
        Self { slots: (0..SLOTS).map(slot).collect() }
    }
}

impl StageRing {
    /// Counts live frames that were just read.
    pub(in crate::analysis) fn consumed(&mut self, now: Duration, passages: &[Passage]) {
        let slot = self.slot(now);
        for passage in passages {
            slot.record(Stage::Sent, passage.sent_ms);
            slot.record(Stage::Received, passage.received_ms);
            slot.record(Stage::Consumed, passage.consumed_ms);
        }
    }

    /// Counts latencies that a server measured.
    pub(in crate::analysis) fn durable(&mut self, now: Duration, latencies: &[(u64, u32)]) {
        let slot = self.slot(now);
        for (us, count) in latencies {
            slot.stages[Stage::Durable as usize].record_many(*us, *count);
        }
    }

    /// Counts a frame that was written to the browsers.
    pub(in crate::analysis) fn pushed(&mut self, now: Duration, pushed_ms: u64, total_ms: u64) {
        let slot = self.slot(now);
        slot.record(Stage::Pushed, pushed_ms);
        slot.record(Stage::SampledToPushed, total_ms);
    }

    /// The figures.
    pub(in crate::analysis) fn read(&self, now: Duration) -> Stages {
        let current = now.as_secs();
        let recent =
            |slot: &&Slot| slot.second <= current && current - slot.second < STAGES_WINDOW_S;
        let latency = |stage: Stage| {
            let mut all = Histogram::new();
            for slot in self.slots.iter().filter(recent) {
                let histogram = &slot.stages[stage as usize];
                if histogram.count() > 0 {
                    all.merge(histogram);
                }
            }
            StageLatency {
                p50_ms: all.quantile_us(0.5) as f64 / 1e3,
                p99_ms: all.quantile_us(0.99) as f64 / 1e3,
                max_ms: all.max_us() as f64 / 1e3,
                count: all.count(),
            }
        };
        Stages {
            sent: latency(Stage::Sent),
            received: latency(Stage::Received),
            durable: latency(Stage::Durable),
            consumed: latency(Stage::Consumed),
            pushed: latency(Stage::Pushed),
            sampled_to_pushed: latency(Stage::SampledToPushed),
        }
    }

    fn slot(&mut self, now: Duration) -> &mut Slot {
        let second = now.as_secs();
        let slot = &mut self.slots[(second % SLOTS as u64) as usize];
        if slot.second != second {
            slot.second = second;
            slot.stages.iter_mut().for_each(Histogram::clear);
        }
        slot
    }
}

impl Slot {
    fn record(&mut self, stage: Stage, ms: u64) {
        self.stages[stage as usize].record(ms.saturating_mul(1_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_last_minute() {
        let mut ring = StageRing::default();
        let fast = Passage { sent_ms: 2, received_ms: 3, consumed_ms: 5 };
        let slow = Passage { sent_ms: 2_000, ..fast };
        ring.consumed(Duration::from_secs(10), &[slow]);
        ring.consumed(Duration::from_secs(11), &[fast; 9]);
        ring.durable(Duration::from_secs(11), &[(4_000, 7)]);
        ring.pushed(Duration::from_secs(11), 1, 11);
        let at = |second| ring.read(Duration::from_secs(second));
        assert_eq!((at(11).sent.count, at(11).sent.max_ms), (10, 2_000.0));
        assert!((at(11).sent.p50_ms - 2.0).abs() < 0.2, "{:?}", at(11));
        assert_eq!((at(69).sent.count, at(70).sent.count, at(71).sent.count), (10, 9, 0));
        assert_eq!(at(70).durable.count, 7);
        assert_eq!(at(70).sampled_to_pushed.max_ms, 11.0);
        assert_eq!(at(200), Stages::default());
    }

    #[test]
    fn clocks_that_disagree_give_zero_and_not_a_million_years() {
        let mut ring = StageRing::default();
        ring.pushed(Duration::ZERO, 0, u64::MAX);
        assert_eq!(ring.read(Duration::ZERO).pushed.max_ms, 0.0);
    }
}
