//! A table of segments, which may overlap.

use std::collections::HashMap;

use super::{Class, Table};
use crate::analysis::history::segment::{Group, Segment};
use crate::metric::{SeriesKey, Value};

/// Where a class of united segments comes from: segments and groups.
type Sources = Vec<(u32, u32)>;

/// A series with its columns, one for each of its sources.
type Pieces<'a> = (&'a SeriesKey, Vec<&'a [Value]>);

/// Unites segments of one session: frames by their number, each once. A reading that stands in
/// several segments is taken from the first.
pub(in crate::analysis) fn unite(segments: &[&Segment]) -> Table {
    let groups = || segments.iter().flat_map(|segment| &segment.groups);
    let mut all: Vec<(u64, u64, u64)> = Vec::with_capacity(groups().map(Group::len).sum());
    for group in groups() {
        all.extend((0..group.len()).map(|at| {
            let (elapsed_us, seq) = group.order(at);
            (elapsed_us, seq, group.time_ms[at])
        }));
    }
    // What is sorted piece by piece is sorted in one pass.
    all.sort_by_key(|frame| (frame.0, frame.1));
    all.dedup_by_key(|frame| (frame.0, frame.1));
    let mut frames = Group::default();
    all.iter().for_each(|(elapsed_us, seq, time_ms)| frames.push(*seq, *time_ms, *elapsed_us));
    let places: Vec<Vec<Vec<u32>>> = segments
        .iter()
        .map(|segment| segment.groups.iter().map(|group| places_in(&frames, group)).collect())
        .collect();
    let mut by_frames: HashMap<(Vec<u32>, Vec<u32>), usize> = HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    for (sources, series) in by_sources(segments) {
        let joint = Joint::of(&sources, &places);
        let columns = series.into_iter().map(|(key, pieces)| (key.clone(), joint.take(&pieces)));
        // Two histories of segments may come to the same frames.
        let fresh = classes.len();
        let at = *by_frames.entry((joint.at.clone(), joint.from.clone())).or_insert(fresh);
        if at == fresh {
            classes.push(Class { columns: columns.collect(), at: joint.at, from: joint.from });
        } else {
            classes[at].columns.extend(columns);
        }
    }
    Table { frames, classes }
}

/// Series by the groups they stand in: those of the same groups have the same frames.
fn by_sources<'a>(segments: &[&'a Segment]) -> Vec<(Sources, Vec<Pieces<'a>>)> {
    let mut series: HashMap<&SeriesKey, usize> = HashMap::new();
    let mut found: Vec<(Sources, Pieces<'a>)> = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        for column in &segment.columns {
            let at = *series.entry(&column.key).or_insert_with(|| {
                found.push((Vec::new(), (&column.key, Vec::new())));
                found.len() - 1
            });
            found[at].0.push((number as u32, column.group as u32));
            found[at].1.1.push(&column.values);
        }
    }
    let mut places: HashMap<Sources, usize> = HashMap::new();
    let mut all: Vec<(Sources, Vec<Pieces<'a>>)> = Vec::new();
    for (sources, pieces) in found {
        let at = *places.entry(sources).or_insert_with_key(|sources| {
            all.push((sources.clone(), Vec::new()));
            all.len() - 1
        });
        all[at].1.push(pieces);
    }
    all
}

/// Where the frames of a group stand among all.
fn places_in(frames: &Group, group: &Group) -> Vec<u32> {
    let mut next = 0;
    let find = |at: usize| {
        let order = group.order(at);
        while next < frames.len() && frames.order(next) < order {
            next += 1;
        }
        // A group that is out of order itself is no reason to give up.
        if next == frames.len() || frames.order(next) != order {
            next = frames.find(order).unwrap_or_else(|place| place);
        }
        next as u32
    };
    (0..group.len()).map(find).collect()
}

/// The frames of some groups as one list, and how to take their values together.
struct Joint {
    at: Vec<u32>,
    from: Vec<u32>,
    /// Which of the groups, and which of its frames: first and end.
    runs: Vec<(usize, usize, usize)>,
}

impl Joint {
    fn of(sources: &[(u32, u32)], places: &[Vec<Vec<u32>>]) -> Self {
        let mut all: Vec<(u32, usize, usize)> = Vec::new();
        for (number, (segment, group)) in sources.iter().enumerate() {
            let at = &places[*segment as usize][*group as usize];
            all.extend(at.iter().enumerate().map(|(local, at)| (*at, number, local)));
        }
        if !all.is_sorted_by(|one, other| one.0 < other.0) {
            all.sort_by_key(|(at, number, _)| (*at, *number));
            all.dedup_by_key(|(at, ..)| *at);
        }
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        for (_, number, local) in &all {
            match runs.last_mut() {
                Some(run) if run.0 == *number && run.2 == *local => run.2 += 1,
                _ => runs.push((*number, *local, local + 1)),
            }
        }
        Self {
            at: all.iter().map(|(at, ..)| *at).collect(),
            from: all.iter().map(|(_, number, _)| sources[*number].0).collect(),
            runs,
        }
    }

    /// One series' values, from its column in each of the groups.
    fn take(&self, columns: &[&[Value]]) -> Vec<Value> {
        let mut values = Vec::with_capacity(self.at.len());
        for (number, first, end) in &self.runs {
            values.extend_from_slice(&columns[*number][*first..*end]);
        }
        values
    }
}
