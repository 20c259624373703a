//! What a coarse segment has that the finer tier does not have any more, or never had: frames
//! that came so late that only the coarse tier keeps their time, and those whose seconds have
//! expired. It is put beside what a span is made anew from.

use std::collections::HashSet;
use std::sync::Arc;

use crate::analysis::history::merge::{cut, merge};
use crate::analysis::history::segment::{Group, Segment};
use crate::analysis::rate::KeyPool;

/// Unites what was `rolled` with what else is `here` already: buckets of which no frame is among
/// the `finer` ones. Where one frame of a bucket is, all of the bucket is made from there.
pub(in crate::analysis) fn with_remainder(
    mut rolled: Vec<Segment>,
    here: &[Segment],
    finer: &[&Segment],
    pool: &Arc<KeyPool>,
) -> Vec<Segment> {
    for old in here {
        let same = finer.iter().filter(|segment| segment.session == old.session);
        let known: HashSet<(u64, u64)> = same.flat_map(|segment| orders(segment)).collect();
        let is_known = |order: &(u64, u64)| known.contains(order);
        if orders(old).iter().all(is_known) {
            continue;
        }
        let (session, bucket_ms) = (old.session, u64::from(old.bucket_ms));
        let mut parts: Vec<Segment> =
            cut(old.clone(), bucket_ms).into_iter().map(|(_, part)| part).collect();
        parts.retain(|part| !part.groups.is_empty() && !orders(part).iter().any(is_known));
        if let Some(at) = rolled.iter().position(|rolled| rolled.session == session) {
            parts.push(rolled.swap_remove(at));
        }
        let parts: Vec<&Segment> = parts.iter().collect();
        rolled.extend(merge(&parts, pool).map(|(merged, _)| merged));
    }
    rolled
}

/// What tells the frames of a session apart, of each group.
fn orders(segment: &Segment) -> Vec<(u64, u64)> {
    let of_group = |group: &Group| (0..group.len()).map(|at| group.order(at)).collect::<Vec<_>>();
    segment.groups.iter().flat_map(of_group).collect()
}
