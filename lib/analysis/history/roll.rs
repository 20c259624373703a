//! A span of one tier into the next: fewer frames, and what the others showed as extremes.
//!
//! Kept of the series that were sampled together: the last frame of each bucket, the first frame
//! of all, and both frames around a reset of any of them. A rate between two kept frames of one
//! bucket or of neighbours is then what grew over the time it took, as in the finer tier: a mean
//! weighted by time is the same to the last digits.
//!
//! A value that is made of several series (the sum over disks) needs their frames together:
//! where one of them comes or goes, both frames around that are kept of all. Without resets and
//! such it is one frame a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assemble;
use super::fold::{Before, Folding};
use super::merge::unite;
use super::segment::{Group, Segment};
use super::tiers::SECOND_MS;
use crate::analysis::live::Row;
use crate::analysis::rate::KeyPool;
use crate::metric::{SeriesKey, SessionId, Value};

mod keep;
mod remainder;

use keep::{Keeper, part_restless};
pub(in crate::analysis) use remainder::with_remainder;

/// Rolls segments of one tier, of any sessions of a host, up into buckets of `bucket_ms`, a
/// multiple of theirs: one segment for each session.
///
/// `around`: segments before the span (and after it, where a clock stepped back), and what else
/// is known of the span: rates of the first frames begin at the frames in there. Without, nothing becomes wrong:
/// the first frames are kept.
pub(in crate::analysis) fn roll(
    segments: &[&Segment],
    around: &[&Segment],
    bucket_ms: u32,
    pool: &Arc<KeyPool>,
) -> Vec<Segment> {
    let mut sessions: BTreeMap<SessionId, Vec<&Segment>> = BTreeMap::new();
    for segment in segments {
        sessions.entry(segment.session).or_default().push(segment);
    }
    let rolled = sessions.into_iter().map(|(session, segments)| {
        let around: Vec<&Segment> =
            around.iter().filter(|segment| segment.session == session).copied().collect();
        roll_session(&segments, &around, bucket_ms, pool)
    });
    rolled.filter(|segment| !segment.groups.is_empty()).collect()
}

fn roll_session(
    segments: &[&Segment],
    around: &[&Segment],
    bucket_ms: u32,
    pool: &Arc<KeyPool>,
) -> Segment {
    let first = segments[0];
    let mut table = unite(segments);
    part_restless(&mut table);
    let before = frames_around(&table.frames, around);
    let kept = Keeper::new(&table, &before, u64::from(bucket_ms)).kept(pool);
    let folding = Folding {
        table: &table,
        kept: &kept,
        before: &before,
        finer: segments,
        bucket_ms: u64::from(bucket_ms),
        // In a coarser tier a step ends in the bucket that all of it is of.
        widen: first.bucket_ms == SECOND_MS,
    };
    let ranges = folding.run(pool);
    assemble::segment(first.session, bucket_ms, table, &kept, ranges).0
}

/// What was read in a frame.
type Readings = Vec<(SeriesKey, Value)>;

/// The frames of other segments that those of a table follow: of each group the last one before,
/// and all that lie between the table's.
fn frames_around(frames: &Group, around: &[&Segment]) -> Vec<Before> {
    if frames.len() == 0 {
        return Vec::new();
    }
    let (first, last) = (frames.order(0), frames.order(frames.len() - 1));
    let mut found: BTreeMap<(u64, u64), (u64, Readings)> = BTreeMap::new();
    for segment in around {
        for (number, group) in segment.groups.iter().enumerate() {
            let orders = || (0..group.len()).map(|at| (at, group.order(at)));
            let newest = orders().filter(|(_, order)| *order < first).max_by_key(|of| of.1);
            let between = orders().filter(|(_, order)| first < *order && *order < last);
            for (at, order) in newest.into_iter().chain(between) {
                let columns = segment.columns.iter().filter(|column| column.group == number);
                let readings = columns.map(|column| (column.key.clone(), column.values[at]));
                let frame = found.entry(order).or_insert((group.time_ms[at], Vec::new()));
                frame.1.extend(readings);
            }
        }
    }
    found.retain(|order, _| frames.find(*order).is_err());
    let row = |((elapsed_us, seq), (time_ms, readings)): ((u64, u64), (u64, Readings))| Before {
        row: Row {
            seq,
            elapsed_us,
            time_ms,
            interval_ms: 0,
            samples: readings.into_iter().collect(),
        },
        kept: true,
    };
    found.into_iter().map(row).collect()
}

#[cfg(test)]
#[path = "roll_tests.rs"]
mod tests;
