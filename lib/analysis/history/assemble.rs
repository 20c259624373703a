//! From parts to a [`Segment`] that keeps its promises: equal groups and spans stand there once,
//! keys are sorted, nothing is empty.

use std::collections::HashMap;

use super::segment::{Column, Extremes, Group, Segment, Spans};
use super::table::Table;
use crate::metric::{SessionId, Value};

/// Frames of one class that are kept, by their places in the class.
pub(in crate::analysis) type Kept = Vec<bool>;

/// Spans and the extremes on them.
pub(in crate::analysis) type Ranges = (Vec<Spans>, Vec<Extremes>);

/// The kept frames of a table, and extremes, as a segment. Returns also how many frames no class
/// keeps.
pub(in crate::analysis) fn segment(
    session: SessionId,
    bucket_ms: u32,
    table: Table,
    kept: &[Kept],
    (spans, extremes): Ranges,
) -> (Segment, u64) {
    let mut columns: Vec<Column> = Vec::new();
    let mut anywhere = vec![false; table.frames.len()];
    let mut picker = Picker::default();
    for (class, kept) in table.classes.into_iter().zip(kept) {
        let places = filter(&class.at, kept);
        if places.is_empty() {
            continue;
        }
        places.iter().for_each(|at| anywhere[*at as usize] = true);
        let whole = places.len() == class.at.len();
        let group = picker.group(&table.frames, places);
        columns.extend(class.columns.into_iter().map(|(key, values)| {
            let values: Vec<Value> = if whole { values } else { filter(&values, kept) };
            Column { key, group, values }
        }));
    }
    columns.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let removed = anywhere.iter().filter(|kept| !**kept).count() as u64;
    (Segment { session, bucket_ms, groups: picker.groups, columns, spans, extremes }, removed)
}

/// Gives each list of frames its group, equal ones the same.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Picker {
    known: HashMap<Vec<u32>, usize>,
    pub(in crate::analysis) groups: Vec<Group>,
}

impl Picker {
    /// The group of some of the frames.
    pub(in crate::analysis) fn group(&mut self, frames: &Group, places: Vec<u32>) -> usize {
        let groups = &mut self.groups;
        *self.known.entry(places).or_insert_with_key(|places| {
            groups.push(frames.pick(places));
            groups.len() - 1
        })
    }
}

/// Gives each list of buckets its spans, equal ones the same.
#[derive(Debug, Default)]
pub(in crate::analysis) struct SpanPicker {
    known: HashMap<(Vec<u64>, Vec<u32>), usize>,
    pub(in crate::analysis) spans: Vec<Spans>,
}

impl SpanPicker {
    /// The spans of some buckets, and how many values each stands for.
    pub(in crate::analysis) fn spans(&mut self, start_ms: Vec<u64>, counts: Vec<u32>) -> usize {
        let spans = &mut self.spans;
        *self.known.entry((start_ms, counts)).or_insert_with_key(|(start_ms, counts)| {
            spans.push(Spans { start_ms: start_ms.clone(), counts: counts.clone() });
            spans.len() - 1
        })
    }
}

/// What is kept of a list.
pub(in crate::analysis) fn filter<T: Copy>(all: &[T], kept: &[bool]) -> Vec<T> {
    all.iter().zip(kept).filter(|(_, kept)| **kept).map(|(one, _)| *one).collect()
}
