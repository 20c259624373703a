//! A span of one tier into the next: fewer frames, and what the others showed as extremes.
//!
//! Kept of the series that were sampled together: the last frame of each bucket, the first frame
//! of all, and both frames around a reset of any of them. A rate between two kept frames of one
//! bucket or of neighbours is then what grew over the time it took, as in the finer tier: a mean
//! weighted by time is the same to the last digits.
//!
//! A value that is made of several series (the sum over disks) needs their frames together:
//! where one of them comes or goes, both frames around that are kept of all.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::assemble::{self, Kept};
use super::fold::{Before, Folding, floor};
use super::merge::unite;
use super::segment::{Group, Segment};
use super::table::{Class, Table};
use super::thin::SECOND_MS;
use crate::analysis::live::Row;
use crate::analysis::rate::{KeyPool, Plan, is_reset};
use crate::metric::{SeriesKey, SessionId, Value};

/// Rolls segments of one tier, of any sessions of a host, up into buckets of `bucket_ms`, a
/// multiple of theirs: one segment for each session.
///
/// `around`: segments of the same tier before the span (and after it, where a clock stepped
/// back): rates of the first frames begin at the frames in there. Without, nothing becomes wrong:
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
    let table = unite(segments);
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

/// The frames of other segments that those of a table follow: of each group the last one before,
/// and all that lie between the table's.
fn frames_around(frames: &Group, around: &[&Segment]) -> Vec<Before> {
    if frames.len() == 0 {
        return Vec::new();
    }
    let (first, last) = (frames.order(0), frames.order(frames.len() - 1));
    let mut found: BTreeMap<(u64, u64), (u64, Vec<(SeriesKey, Value)>)> = BTreeMap::new();
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
    let row = |((elapsed_us, seq), (time_ms, readings)): ((u64, u64), (u64, Vec<_>))| Before {
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

/// Decides which frames stay.
struct Keeper<'a> {
    table: &'a Table,
    bucket_ms: u64,
    /// The last reading of each series before the table's frames.
    earlier: HashMap<&'a SeriesKey, Value>,
    /// Frames of elsewhere that lie between the table's.
    between: Vec<(u64, u64)>,
}

impl<'a> Keeper<'a> {
    fn new(table: &'a Table, before: &'a [Before], bucket_ms: u64) -> Self {
        let first = if table.frames.len() > 0 { table.frames.order(0) } else { (0, 0) };
        let order = |before: &Before| (before.row.elapsed_us, before.row.seq);
        let earlier = before.iter().filter(|before| order(before) < first);
        Self {
            table,
            bucket_ms,
            earlier: earlier.flat_map(|before| before.row.samples.iter()).collect(),
            between: before.iter().map(order).filter(|order| *order > first).collect(),
        }
    }

    fn kept(&self, pool: &KeyPool) -> Vec<Kept> {
        let classes = &self.table.classes;
        let mut kept: Vec<Kept> = classes.iter().map(|class| self.of_class(class)).collect();
        self.keep_together(&mut kept, pool);
        kept
    }

    fn of_class(&self, class: &Class) -> Kept {
        let frames = &self.table.frames;
        let bucket = |place: usize| floor(frames.time_ms[class.at[place] as usize], self.bucket_ms);
        let order = |place: usize| frames.order(class.at[place] as usize);
        let mut kept: Kept = vec![false; class.len()];
        for place in 1..class.len() {
            // Where a clock steps back a bucket comes twice: each time its last frame stays, so
            // that what grew in between is not given to another.
            kept[place - 1] |= bucket(place - 1) != bucket(place);
            // Between two frames at one time nothing is derived, as at a reset.
            if order(place - 1).0 == order(place).0
                || !self.between.is_empty() && self.is_parted(order(place - 1), order(place))
            {
                (kept[place - 1], kept[place]) = (true, true);
            }
        }
        for (key, values) in &class.columns {
            for (place, pair) in values.windows(2).enumerate() {
                if is_less(pair[1], pair[0]) && is_reset(key, pair[0], pair[1]) {
                    (kept[place], kept[place + 1]) = (true, true);
                }
            }
        }
        let begins = |(key, values): &(SeriesKey, Vec<Value>)| match self.earlier.get(key) {
            Some(earlier) => values.first().is_some_and(|first| is_reset(key, *earlier, *first)),
            None => true,
        };
        if class.columns.iter().any(begins) {
            kept.first_mut().into_iter().for_each(|first| *first = true);
        }
        kept.last_mut().into_iter().for_each(|last| *last = true);
        kept
    }

    /// Whether a frame of elsewhere lies between two.
    fn is_parted(&self, one: (u64, u64), other: (u64, u64)) -> bool {
        let after = self.between.partition_point(|order| *order <= one);
        self.between.get(after).is_some_and(|order| *order < other)
    }

    /// Keeps the frames around the coming and going of a series that others are added to.
    fn keep_together(&self, kept: &mut [Kept], pool: &KeyPool) {
        let shared = self.shared_outputs(pool);
        let mut last: Vec<Vec<(u32, u32)>> = vec![Vec::new(); shared.len()];
        self.table.places(|_, places| {
            for (classes, last) in shared.iter().zip(&mut last) {
                let now = places.iter().filter(|(class, _)| classes.contains(class));
                let now: Vec<(u32, u32)> = now.copied().collect();
                if now.is_empty() {
                    continue;
                }
                let class = |place: &(u32, u32)| place.0;
                if !now.iter().map(class).eq(last.iter().map(class)) {
                    for (class, place) in last.iter().chain(&now) {
                        kept[*class as usize][*place as usize] = true;
                    }
                }
                *last = now;
            }
        });
    }

    /// Of each output that is made of series in several classes: these classes.
    fn shared_outputs(&self, pool: &KeyPool) -> Vec<Vec<u32>> {
        if self.table.classes.len() < 2 {
            return Vec::new();
        }
        let mut mixes: HashSet<Vec<u32>> = HashSet::new();
        self.table.places(|_, places| {
            mixes.insert(places.iter().map(|(class, _)| *class).collect());
        });
        let mut classes_of: HashMap<SeriesKey, Vec<u32>> = HashMap::new();
        for mix in &mixes {
            let layout = self.table.layout(mix.iter().copied());
            let sizes = mix.iter().map(|class| self.table.classes[*class as usize].columns.len());
            let class_at: Vec<u32> = mix
                .iter()
                .zip(sizes)
                .flat_map(|(class, series)| std::iter::repeat_n(*class, series))
                .collect();
            let plan = Plan::of(&layout, pool);
            for (place, output) in plan.sources() {
                let key = &plan.outputs[output as usize];
                let classes = classes_of.entry(key.clone()).or_default();
                if !classes.contains(&class_at[place]) {
                    classes.push(class_at[place]);
                }
            }
        }
        classes_of.retain(|_, classes| classes.len() > 1);
        let mut shared: Vec<Vec<u32>> = classes_of.into_values().collect();
        shared.iter_mut().for_each(|classes| classes.sort_unstable());
        shared.sort_unstable();
        shared.dedup();
        shared
    }
}

/// A quick look before the slow one.
fn is_less(now: Value, before: Value) -> bool {
    match (now, before) {
        (Value::Unsigned(now), Value::Unsigned(before)) => now < before,
        _ => now.as_f64() < before.as_f64(),
    }
}

#[cfg(test)]
#[path = "roll_tests.rs"]
mod tests;
