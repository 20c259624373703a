//! How a query is answered: the width of its points, and which tier is read from when to when.

use super::past::Past;
use crate::analysis::history::Tier;
use crate::analysis::live::WINDOW_MS;
use crate::analysis::view::QuerySpec;

/// How much wider than asked points may become so that a coarser tier serves: a quarter, 800
/// points instead of 1,000, for a tenth of the work.
const WIDER_NUM: u64 = 5;
const WIDER_DEN: u64 = 4;

/// How far in front of the first point is read, so that the first rate has a reading before it:
/// what is sampled once a minute, and a little late.
const LOOK_BACK_MS: u64 = 65_000;

/// How far ahead of the clock anything can be: what a server allows a host's clock.
const AHEAD_MS: u64 = 6 * 60_000;

/// The last time that can be asked for, some 35,000 years on: sums of it do not overflow.
const TIME_MS_MAX: u64 = 1 << 50;

/// Points of one query, the same for all hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grid {
    /// Width of a point, ms.
    pub(super) step_ms: u64,
    /// Where the first one begins; a multiple of `step_ms`, save for a single point.
    pub(super) from_ms: u64,
    /// How many.
    pub(super) points: usize,
    /// Extremes stand for multiples of this: the resolution of the coarsest tier that is read.
    pub(super) grain_ms: u64,
}

/// The plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) grid: Grid,
    /// First and last time whose readings count; multiples of the grain.
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    /// Tiers that serve, the coarsest first; none: the live window alone.
    tiers: Vec<Tier>,
    /// The newest is read from the live window, at its native rate.
    pub(super) native: bool,
}

/// A stretch of one tier, read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) bucket_ms: u64,
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    /// Length of a whole segment: how much further back to look where a host was silent just
    /// before the range.
    pub(super) back_ms: u64,
}

impl Plan {
    /// For a query whose `from_ms < to_ms`.
    pub(super) fn new(query: &QuerySpec, past: &dyn Past) -> Self {
        let (tiers, now_ms) = (past.tiers(), past.now_ms());
        let from_ms = query.from_ms.min(TIME_MS_MAX);
        let to_ms = query.to_ms.min(TIME_MS_MAX).max(from_ms + 1);
        let points = query.points.max(1) as u64;
        let asked_ms = (to_ms - from_ms).div_ceil(points);
        let in_window = from_ms >= now_ms.saturating_sub(WINDOW_MS);
        let native = tiers.first().is_none_or(|tier| asked_ms < tier.bucket_ms && in_window);
        let fit = |grain_ms: u64| fit((from_ms, to_ms), points, grain_ms);
        let (mut step_ms, mut serving) = (fit(1), Vec::<Tier>::new());
        if native {
            serving.extend(tiers.first());
        } else {
            let holds = |tier: &Tier| now_ms.saturating_sub(tier.keep_ms) <= from_ms;
            let finest = tiers.iter().position(holds).unwrap_or(tiers.len() - 1);
            let near = |tier: &&Tier| fit(tier.bucket_ms) <= asked_ms * WIDER_NUM / WIDER_DEN;
            let coarsest = tiers[finest..].iter().rev().find(near).unwrap_or(&tiers[finest]);
            step_ms = fit(coarsest.bucket_ms);
            let divides = |tier: &&Tier| step_ms.is_multiple_of(tier.bucket_ms);
            serving.extend(tiers.iter().rev().filter(divides));
        }
        let grain_ms = if native { 1 } else { serving[0].bucket_ms };
        // What never was, and what is not yet, costs nothing.
        let reach_ms = tiers.last().map_or(WINDOW_MS, |tier| tier.keep_ms + tier.span_ms());
        let from_ms = from_ms.max(now_ms.saturating_sub(reach_ms)).min(to_ms);
        let to_ms = to_ms.min(now_ms + AHEAD_MS).max(from_ms);
        let width_ms = if points == 1 { grain_ms } else { step_ms };
        let (from_ms, to_ms) = (floor(from_ms, width_ms), to_ms.next_multiple_of(width_ms));
        let grid = Grid {
            step_ms,
            from_ms: if points == 1 { floor(from_ms, step_ms) } else { from_ms },
            points: if points == 1 { 1 } else { ((to_ms - from_ms) / step_ms) as usize },
            grain_ms,
        };
        Self { grid, from_ms, to_ms, tiers: serving, native }
    }

    /// What is read of a host, in the order of time, in pieces that fit into memory; what of it
    /// lies before `from_ms` of the plan is there for the first rates alone.
    pub(super) fn spans(&self, host: &str, past: &dyn Past) -> Vec<Span> {
        let mut spans = Vec::new();
        for stretch in self.stretches(host, past) {
            let mut at_ms = stretch.from_ms;
            while at_ms < stretch.to_ms {
                // Where segments end.
                let next_ms = floor(at_ms, stretch.back_ms) + stretch.back_ms;
                let to_ms = next_ms.min(stretch.to_ms);
                spans.push(Span { from_ms: at_ms, to_ms, ..stretch });
                at_ms = to_ms;
            }
        }
        spans
    }

    /// Frames that can be read of a host at most.
    pub(super) fn frames(&self, host: &str, past: &dyn Past) -> u64 {
        let stretches = self.stretches(host, past);
        stretches.iter().map(|span| (span.to_ms - span.from_ms) / span.bucket_ms).sum()
    }

    /// Which tier from when to when.
    fn stretches(&self, host: &str, past: &dyn Past) -> Vec<Span> {
        let Some(first_ms) = past.first_ms(host) else { return Vec::new() };
        let from_ms = self.from_ms.max(first_ms);
        let mut stretches: Vec<Span> = Vec::new();
        for (at, tier) in self.tiers.iter().enumerate() {
            let bucket_ms = tier.bucket_ms;
            let to_ms = if at + 1 == self.tiers.len() {
                self.to_ms
            } else {
                floor(past.complete_through_ms(host, bucket_ms).min(self.to_ms), bucket_ms)
            };
            let look_back_ms = LOOK_BACK_MS.max(2 * bucket_ms);
            let before_ms = floor(from_ms.saturating_sub(look_back_ms), bucket_ms);
            let reached_ms = stretches.last().map_or(before_ms, |last| last.to_ms);
            if to_ms > from_ms.max(reached_ms) {
                let back_ms = tier.span_ms();
                stretches.push(Span { bucket_ms, from_ms: reached_ms, to_ms, back_ms });
            }
        }
        stretches
    }

    /// From when the live window is read, for the first rates too.
    pub(super) fn live_from_ms(&self) -> u64 {
        self.from_ms.saturating_sub(LOOK_BACK_MS)
    }
}

/// The narrowest width, a multiple of the grain, at which no more than `points` multiples of it
/// cover the range; a single point need not begin with the range.
fn fit((from_ms, to_ms): (u64, u64), points: u64, grain_ms: u64) -> u64 {
    let width = |points: u64| (to_ms - from_ms).div_ceil(points).next_multiple_of(grain_ms);
    let step_ms = width(points);
    let covering = (to_ms.next_multiple_of(step_ms) - floor(from_ms, step_ms)) / step_ms;
    if points == 1 || covering <= points { step_ms } else { width(points - 1) }
}

pub(super) fn floor(time_ms: u64, width_ms: u64) -> u64 {
    time_ms - time_ms % width_ms
}
