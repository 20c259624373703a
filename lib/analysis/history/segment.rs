//! A stretch of one session in one tier, in memory.
//!
//! A tier keeps *real frames*: of each of its buckets a few frames as they were sampled, so that
//! every rate is worked out by [`rate`](crate::analysis::rate) from counters as read, the same way
//! in every tier. What the frames left out would have shown, the extremes of the derived values
//! inside a bucket, stands beside them.
//!
//! - tier of a second: of each second the frame with the lowest number
//! - coarser tiers: of each bucket the last frame; and both sides of a reset, and the first frame
//!   of a series, so that no growth is lost or invented
//!
//! Segments of one session may overlap (a backlog that arrived late): frames are told apart by
//! their number, extremes of one bucket are united.
//!
//! As bytes ([`encode()`], [`Reader`]) a segment begins with a directory, so that a few of its series
//! can be read without the others; `layout` says how they lie. What comes back is exactly what was
//! written, but for extremes, which are rounded outwards.

use crate::metric::{SeriesKey, SessionId, Value};

mod decode;
mod encode;
mod layout;
mod parts;

pub(in crate::analysis) use decode::{Bytes, ReadError, Reader};
pub(in crate::analysis) use encode::encode;

/// A stretch of one session in one tier.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::analysis) struct Segment {
    pub(in crate::analysis) session: SessionId,
    /// Width of a bucket of this tier, ms; 1,000 in the finest.
    pub(in crate::analysis) bucket_ms: u32,
    /// Frames. Series that were sampled in exactly the same frames share a group, and no two
    /// groups have the same frames. One frame may stand in several groups.
    pub(in crate::analysis) groups: Vec<Group>,
    /// Readings, sorted by key; a key stands in one column only.
    pub(in crate::analysis) columns: Vec<Column>,
    /// Buckets that extremes refer to; no two are the same.
    pub(in crate::analysis) spans: Vec<Spans>,
    /// Extremes of derived values, sorted by key; one per key.
    pub(in crate::analysis) extremes: Vec<Extremes>,
}

/// Some frames, in the order of (`elapsed_us`, `seq`). All of the same length, at least 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::analysis) struct Group {
    pub(in crate::analysis) seq: Vec<u64>,
    /// Unix ms by the server's clock; usually ascending, but that clock may step.
    pub(in crate::analysis) time_ms: Vec<u64>,
    pub(in crate::analysis) elapsed_us: Vec<u64>,
}

/// One series over the frames of a group.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::analysis) struct Column {
    pub(in crate::analysis) key: SeriesKey,
    /// Place of its group.
    pub(in crate::analysis) group: usize,
    /// As many as the group has frames.
    pub(in crate::analysis) values: Vec<Value>,
}

/// Buckets of time, ascending.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::analysis) struct Spans {
    /// Unix ms, multiples of the tier's `bucket_ms`.
    pub(in crate::analysis) start_ms: Vec<u64>,
    /// How many values of the finest tier each one stands for.
    pub(in crate::analysis) counts: Vec<u32>,
}

/// Smallest and largest value of one derived output inside buckets in which more than the kept
/// frame was sampled. Kept to 0.1 %, rounded outwards; see [`column`](super::column).
#[derive(Debug, Clone, PartialEq)]
pub(in crate::analysis) struct Extremes {
    /// Name of the derived value, as [`rate`](crate::analysis::rate) gives it.
    pub(in crate::analysis) key: SeriesKey,
    /// Place of its buckets.
    pub(in crate::analysis) spans: usize,
    pub(in crate::analysis) min: Vec<f64>,
    pub(in crate::analysis) max: Vec<f64>,
    /// Of values that are readings of an instant; empty for rates and shares, whose mean over a
    /// bucket follows from the frames.
    pub(in crate::analysis) mean: Vec<f64>,
}

impl Segment {
    /// How many frames there are.
    pub(in crate::analysis) fn frames(&self) -> usize {
        if let [group] = &self.groups[..] {
            return group.seq.len();
        }
        let mut seqs: Vec<u64> = self.groups.iter().flat_map(|group| &group.seq).copied().collect();
        seqs.sort_unstable();
        seqs.dedup();
        seqs.len()
    }

    /// Time of the earliest and of the latest frame or bucket, Unix ms; `None` when there is none.
    pub(in crate::analysis) fn bounds_ms(&self) -> Option<(u64, u64)> {
        let frames = self.groups.iter().flat_map(|group| &group.time_ms);
        let buckets = self.spans.iter().flat_map(|spans| &spans.start_ms);
        let times = || frames.clone().chain(buckets.clone()).copied();
        Some((times().min()?, times().max()?))
    }
}

#[cfg(test)]
#[path = "segment/segment_tests.rs"]
mod tests;
