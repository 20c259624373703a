//! Several segments of a session into one, and one into several at the borders of spans.
//!
//! Segments may overlap, in any way and order: what arrived late decides anew which frame of a
//! second has the lowest number, and the frame that goes leaves its trace in the extremes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assemble::{self, Picker, Ranges, SpanPicker};
use super::fold::{Folding, floor};
use super::segment::{Column, Extremes, Segment};
pub(in crate::analysis) use super::table::unite;
use super::thin::lowest_of_seconds;
use super::tiers::SECOND_MS;
use crate::analysis::rate::KeyPool;

/// Makes one of several segments of the same session and tier; `None` of none. Returns also how
/// many frames that removed: those of a second in which another has a lower number.
///
/// A frame that is in several counts once. Extremes of one bucket are united: minimum, maximum,
/// means weighted by counts, counts added. Where only some of the segments have extremes of a
/// bucket, the frames of the others count with their values, as far as these can be known.
pub(in crate::analysis) fn merge(
    segments: &[&Segment],
    pool: &Arc<KeyPool>,
) -> Option<(Segment, u64)> {
    let first = *segments.first()?;
    if segments.len() == 1 {
        return Some((first.clone(), 0));
    }
    let table = unite(segments);
    let kept = match first.bucket_ms {
        SECOND_MS => lowest_of_seconds(&table),
        _ => table.classes.iter().map(|class| vec![true; class.len()]).collect(),
    };
    let all = kept.iter().flatten().all(|kept| *kept);
    let ranges = if all && segments.iter().all(|segment| segment.extremes.is_empty()) {
        Ranges::default()
    } else {
        let folding = Folding {
            table: &table,
            kept: &kept,
            before: &[],
            finer: segments,
            bucket_ms: u64::from(first.bucket_ms),
            widen: false,
        };
        folding.run(pool)
    };
    Some(assemble::segment(first.session, first.bucket_ms, table, &kept, ranges))
}

/// Cuts a segment at the multiples of `span_ms`: each piece with the beginning of its span, in
/// order. Every frame goes where its time says, also where the clock stepped back.
pub(in crate::analysis) fn cut(segment: Segment, span_ms: u64) -> Vec<(u64, Segment)> {
    let Some((first_ms, last_ms)) = segment.bounds_ms() else { return Vec::new() };
    if floor(first_ms, span_ms) == floor(last_ms, span_ms) {
        return vec![(floor(first_ms, span_ms), segment)];
    }
    let table = unite(&[&segment]);
    let mut pieces: BTreeMap<u64, Piece> = BTreeMap::new();
    for class in &table.classes {
        let mut places: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for (place, at) in class.at.iter().enumerate() {
            let start_ms = floor(table.frames.time_ms[*at as usize], span_ms);
            places.entry(start_ms).or_default().push(place as u32);
        }
        for (start_ms, places) in places {
            let piece = pieces.entry(start_ms).or_default();
            let at = places.iter().map(|place| class.at[*place as usize]).collect();
            let group = piece.picker.group(&table.frames, at);
            piece.columns.extend(class.columns.iter().map(|(key, values)| Column {
                key: key.clone(),
                group,
                values: pick(values, &places),
            }));
        }
    }
    for extremes in &segment.extremes {
        cut_extremes(&segment, extremes, span_ms, &mut pieces);
    }
    let whole = |piece: Piece| piece.finish(&segment);
    pieces.into_iter().map(|(start_ms, piece)| (start_ms, whole(piece))).collect()
}

/// What falls into one span.
#[derive(Debug, Default)]
struct Piece {
    picker: Picker,
    columns: Vec<Column>,
    span_picker: SpanPicker,
    extremes: Vec<Extremes>,
}

impl Piece {
    fn finish(mut self, of: &Segment) -> Segment {
        self.columns.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Segment {
            session: of.session,
            bucket_ms: of.bucket_ms,
            groups: self.picker.groups,
            columns: self.columns,
            spans: self.span_picker.spans,
            extremes: self.extremes,
        }
    }
}

fn cut_extremes(
    segment: &Segment,
    extremes: &Extremes,
    span_ms: u64,
    pieces: &mut BTreeMap<u64, Piece>,
) {
    let spans = &segment.spans[extremes.spans];
    let mut places: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (place, start_ms) in spans.start_ms.iter().enumerate() {
        places.entry(floor(*start_ms, span_ms)).or_default().push(place as u32);
    }
    for (start_ms, places) in places {
        let piece = pieces.entry(start_ms).or_default();
        let (starts, counts) = (pick(&spans.start_ms, &places), pick(&spans.counts, &places));
        let whole = !extremes.mean.is_empty();
        piece.extremes.push(Extremes {
            key: extremes.key.clone(),
            spans: piece.span_picker.spans(starts, counts),
            min: pick(&extremes.min, &places),
            max: pick(&extremes.max, &places),
            mean: if whole { pick(&extremes.mean, &places) } else { Vec::new() },
        });
    }
}

fn pick<T: Copy>(all: &[T], places: &[u32]) -> Vec<T> {
    places.iter().map(|place| all[*place as usize]).collect()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
