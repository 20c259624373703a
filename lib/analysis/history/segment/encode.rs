//! A segment into bytes.

use std::fmt;

use super::layout::{Layer, PARTS_MAX, VALUES_MAX};
use super::{Column, Extremes, Group, Segment, Spans};
use crate::analysis::history::column::{
    FRAMES_MAX, put_extremes, put_integers, put_part, put_times, put_values, version,
};
use crate::analysis::live::bits::{put_varint, zigzag};
use crate::metric::SeriesKey;

/// Why a segment cannot be written: it could not be read either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::analysis) enum EncodeError {
    /// More than is ever read at once; make two of it.
    TooLarge { what: &'static str, count: usize, max: usize },
    /// It is not what [`Segment`] says of itself.
    Malformed { what: &'static str, key: SeriesKey },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { what, count, max } => {
                write!(f, "a segment has {count} {what}, at most {max} fit; make two of it")
            }
            Self::Malformed { what, key } => {
                write!(f, "a segment is not well formed: {what} at {key}; please report this")
            }
        }
    }
}

impl std::error::Error for EncodeError {}

/// Writes a segment. `id` gives each series, read or derived, its number in the catalogue.
///
/// # Errors
/// When it has more than [`FRAMES_MAX`] frames, [`PARTS_MAX`] parts or [`VALUES_MAX`] values, or
/// is not what [`Segment`] says of itself.
pub(in crate::analysis) fn encode(
    segment: &Segment,
    id: &mut dyn FnMut(&SeriesKey) -> u32,
) -> Result<Vec<u8>, EncodeError> {
    check(segment)?;
    let frames = Frames::of(&segment.groups);
    fits("frames", frames.all.seq.len(), FRAMES_MAX)?;
    let mut layer = Layer::default();
    layer.directory.extend_from_slice(&version());
    layer.directory.extend_from_slice(&segment.session.0.to_le_bytes());
    layer.number(segment.bucket_ms as usize);
    layer.number(frames.all.seq.len());
    layer.number(segment.groups.len());
    layer.number(segment.spans.len());
    layer.number(segment.columns.len());
    layer.number(segment.extremes.len());
    if let Some((first_ms, last_ms)) = segment.bounds_ms() {
        put_varint(&mut layer.directory, first_ms);
        put_varint(&mut layer.directory, last_ms - first_ms);
    }
    put_frames(&mut layer, &frames);
    segment.spans.iter().for_each(|spans| put_spans(&mut layer, spans));
    let mut ids = Ids { id, last: 0 };
    let mut bytes = Vec::new();
    for column in &segment.columns {
        ids.put(&mut layer, &column.key);
        if segment.groups.len() > 1 {
            layer.number(column.group);
        }
        bytes.clear();
        put_values(&mut bytes, &column.values);
        layer.place(&bytes);
    }
    for extremes in &segment.extremes {
        ids.put(&mut layer, &extremes.key);
        layer.number(extremes.spans << 1 | usize::from(!extremes.mean.is_empty()));
        bytes.clear();
        put_extremes(&mut bytes, &extremes.min, &extremes.max, &extremes.mean);
        layer.place(&bytes);
    }
    Ok(layer.finish())
}

/// Series as differences of their ids.
struct Ids<'a> {
    id: &'a mut dyn FnMut(&SeriesKey) -> u32,
    last: u32,
}

impl Ids<'_> {
    fn put(&mut self, layer: &mut Layer, key: &SeriesKey) {
        let id = (self.id)(key);
        put_varint(&mut layer.directory, zigzag(i64::from(id) - i64::from(self.last) - 1));
        self.last = id;
    }
}

/// All frames of all groups, each once, and which of them each group has.
struct Frames {
    all: Group,
    places: Vec<Vec<u64>>,
}

impl Frames {
    fn of(groups: &[Group]) -> Self {
        if let [only] = groups {
            let places = vec![(0..only.seq.len() as u64).collect()];
            return Self { all: only.clone(), places };
        }
        let frames = |group: &Group| {
            let times = group.elapsed_us.iter().zip(&group.seq).zip(&group.time_ms);
            times.map(|((elapsed_us, seq), time_ms)| (*elapsed_us, *seq, *time_ms)).collect()
        };
        let mut all: Vec<(u64, u64, u64)> = Vec::new();
        let groups: Vec<Vec<(u64, u64, u64)>> = groups.iter().map(frames).collect();
        groups.iter().for_each(|group| all.extend(group));
        all.sort_unstable();
        all.dedup();
        let place = |frame| all.binary_search(frame).unwrap_or_default() as u64;
        let places = groups.iter().map(|group| group.iter().map(place).collect()).collect();
        let all = Group {
            seq: all.iter().map(|(_, seq, _)| *seq).collect(),
            time_ms: all.iter().map(|(_, _, time_ms)| *time_ms).collect(),
            elapsed_us: all.iter().map(|(elapsed_us, _, _)| *elapsed_us).collect(),
        };
        Self { all, places }
    }
}

fn put_frames(layer: &mut Layer, frames: &Frames) {
    let mut bytes = Vec::new();
    if !frames.all.seq.is_empty() {
        put_times(&mut bytes, &frames.all);
        layer.place(&bytes);
    }
    for places in &frames.places {
        bytes.clear();
        put_integers(&mut bytes, 0, places);
        layer.number(places.len());
        layer.place(&bytes);
    }
}

fn put_spans(layer: &mut Layer, spans: &Spans) {
    let mut bytes = Vec::new();
    put_part(&mut bytes, |out| put_integers(out, 0, &spans.start_ms));
    let counts: Vec<u64> = spans.counts.iter().map(|count| u64::from(*count)).collect();
    put_integers(&mut bytes, 0, &counts);
    layer.number(spans.start_ms.len());
    layer.place(&bytes);
}

fn fits(what: &'static str, count: usize, max: usize) -> Result<(), EncodeError> {
    if count > max { Err(EncodeError::TooLarge { what, count, max }) } else { Ok(()) }
}

/// What reading relies on.
fn check(segment: &Segment) -> Result<(), EncodeError> {
    let Segment { groups, columns, spans, extremes, .. } = segment;
    fits("parts", groups.len() + columns.len() + spans.len() + extremes.len(), PARTS_MAX)?;
    let of_columns = columns.iter().map(|column| column.values.len());
    let of_extremes = extremes.iter().map(|extremes| extremes.min.len() * 3);
    let of_groups = groups.iter().map(|group| group.seq.len() * 3);
    let of_spans = spans.iter().map(|spans| spans.start_ms.len() * 2);
    let values = of_columns.chain(of_extremes).chain(of_groups).chain(of_spans).sum();
    fits("values", values, VALUES_MAX)?;
    for group in groups {
        let count = group.seq.len();
        fits("frames", count, FRAMES_MAX)?;
        if group.time_ms.len() != count || group.elapsed_us.len() != count {
            return malformed("a group of several lengths", columns.first().map(|one| &one.key));
        }
    }
    for one in spans {
        fits("buckets", one.start_ms.len(), FRAMES_MAX)?;
        if one.counts.len() != one.start_ms.len() {
            return malformed("spans of several lengths", extremes.first().map(|one| &one.key));
        }
    }
    for Column { key, group, values } in columns {
        if groups.get(*group).is_none_or(|group| group.seq.len() != values.len()) {
            return malformed("a column that does not fit its group", Some(key));
        }
    }
    for Extremes { key, spans: at, min, max, mean } in extremes {
        let fits = |list: &[f64]| spans.get(*at).is_some_and(|of| of.counts.len() == list.len());
        if !fits(min) || !fits(max) || !(mean.is_empty() || fits(mean)) {
            return malformed("extremes that do not fit their spans", Some(key));
        }
    }
    let columns = columns.windows(2).find(|two| two[0].key >= two[1].key).map(|two| &two[1].key);
    let extremes = extremes.windows(2).find(|two| two[0].key >= two[1].key).map(|two| &two[1].key);
    match columns.or(extremes) {
        Some(key) => malformed("a series out of order", Some(key)),
        None => Ok(()),
    }
}

fn malformed(what: &'static str, key: Option<&SeriesKey>) -> Result<(), EncodeError> {
    let key = key.cloned().unwrap_or_else(|| SeriesKey::plain("no series"));
    Err(EncodeError::Malformed { what, key })
}
