//! One session through everything that is read of it: one deriver, from the first frame to the
//! last, whatever tier and segment they come from.

use std::sync::Arc;

use super::fold::Item;
use super::host::{Cover, Series};
use super::plan::Span;
use super::rows::{Layouts, Row, Rows};
use super::wanted::Wanted;
use crate::analysis::history::segment::Segment;
use crate::analysis::live;
use crate::analysis::rate::{Deriver, KeyPool, Plan, Step};
use crate::analysis::view::QueryError;
use crate::metric::{Layout, Samples};

/// Mixes of series that are remembered; as many as the deriver's plans.
const MIXES_MAX: usize = 10;

/// A session as far as it was followed.
pub(super) struct Session {
    follower: Follower,
    layouts: Layouts,
    /// Time and number of its first frame.
    pub(super) first: Option<(u64, u64)>,
    /// Time of its last frame.
    pub(super) last_ms: u64,
}

/// Frames one after the other.
struct Follower {
    deriver: Deriver,
    step: Step,
    /// The last frame.
    last: Option<(u64, u64)>,
    /// Where derived values go, by plan, and where readings go, by layout; used last first.
    derived: Vec<(Arc<Plan>, Vec<Option<usize>>)>,
    readings: Vec<(Layout, Vec<(usize, usize)>)>,
}

/// What of a layout is needed.
struct Projection {
    layout: Layout,
    places: Vec<usize>,
    samples: Samples,
}

impl Session {
    pub(super) fn new(pool: Arc<KeyPool>) -> Self {
        let follower = Follower {
            deriver: Deriver::new(pool),
            step: Step::default(),
            last: None,
            derived: Vec::new(),
            readings: Vec::new(),
        };
        Self { follower, layouts: Layouts::default(), first: None, last_ms: 0 }
    }

    /// Frames of a stretch of one tier.
    pub(super) fn read_segments(
        &mut self,
        segments: &[Segment],
        span: Span,
        covers: &mut [Cover<'_>],
        series: &mut Series<'_>,
    ) -> Result<(), QueryError> {
        let mut rows = Rows::new(segments, series.wanted, &mut self.layouts);
        while let Some(row) = rows.next(span.from_ms, span.to_ms) {
            self.first.get_or_insert((row.time_ms, row.seq));
            self.last_ms = row.time_ms;
            self.follower.take(&row, covers, series)?;
        }
        Ok(())
    }

    /// Rows of the live window.
    pub(super) fn read_rows(
        &mut self,
        rows: &[live::Row],
        series: &mut Series<'_>,
    ) -> Result<(), QueryError> {
        let mut projections: Vec<Projection> = Vec::new();
        for row in rows {
            let layout = &row.samples.layout;
            let same = |known: &Projection| std::ptr::eq(known.layout.as_ptr(), layout.as_ptr());
            let at = match projections.iter().position(same) {
                Some(at) => at,
                None => {
                    projections.truncate(MIXES_MAX - 1);
                    projections
                        .insert(0, Projection::new(layout, series.wanted, &mut self.layouts));
                    0
                }
            };
            let Projection { places, samples, .. } = &mut projections[at];
            if places.is_empty() {
                continue;
            }
            self.first.get_or_insert((row.time_ms, row.seq));
            self.last_ms = row.time_ms;
            samples.values.clear();
            samples.values.extend(places.iter().map(|place| row.samples.values[*place]));
            let (seq, time_ms, elapsed_us) = (row.seq, row.time_ms, row.elapsed_us);
            let row = Row { seq, time_ms, elapsed_us, samples, segments: &[] };
            self.follower.take(&row, &mut [], series)?;
        }
        Ok(())
    }
}

impl Projection {
    fn new(layout: &Layout, wanted: &Wanted, layouts: &mut Layouts) -> Self {
        let needed = |at: &usize| wanted.raw(&layout[*at]);
        let places: Vec<usize> = (0..layout.len()).filter(needed).collect();
        let kept = layouts.share(places.iter().map(|at| &layout[*at]));
        let samples = Samples { layout: kept, values: Vec::with_capacity(places.len()) };
        Self { layout: layout.clone(), places, samples }
    }
}

impl Follower {
    /// The next frame. One that comes before the last (the clock was set back, across the border
    /// of two stretches) is left out: what the counters grew by is in the rates around it.
    fn take(
        &mut self,
        row: &Row<'_>,
        covers: &mut [Cover<'_>],
        series: &mut Series<'_>,
    ) -> Result<(), QueryError> {
        let key = (row.elapsed_us, row.seq);
        if self.last.is_some_and(|last| key <= last) {
            return Ok(());
        }
        self.last = Some(key);
        self.deriver.derive_into(row.elapsed_us, row.samples, &mut self.step);
        if !series.counts(row.time_ms) {
            return Ok(());
        }
        if series.wanted.is_raw() {
            self.take_readings(row, covers, series)?;
        }
        let at = self.derived_at(&row.samples.layout, series)?;
        let places = &self.derived[at].1;
        for got in &self.step.values {
            let Some(place) = places[got.output as usize] else { continue };
            let counted = got.over_us == 0 && is_covered(covers, place, row);
            let weight = if counted { 0 } else { got.over_us.max(1) };
            series.add(place, item(row.time_ms, got.value, weight));
        }
        Ok(())
    }

    /// Where the values of the step's plan go.
    fn derived_at(
        &mut self,
        layout: &Layout,
        series: &mut Series<'_>,
    ) -> Result<usize, QueryError> {
        let plan = &self.step.plan;
        if let Some(at) = self.derived.iter().position(|known| Arc::ptr_eq(&known.0, plan)) {
            return Ok(at);
        }
        let mut places = Vec::with_capacity(plan.outputs.len());
        for output in &plan.outputs {
            // Raw, a name that is sampled stands for what was sampled.
            let taken = series.wanted.is_raw() && layout.contains(output);
            let asked = !taken && series.wanted.answers_derived(output);
            places.push(if asked { Some(series.place(output)?) } else { None });
        }
        self.derived.truncate(MIXES_MAX - 1);
        self.derived.insert(0, (plan.clone(), places));
        Ok(0)
    }

    /// What was read, as it was read.
    fn take_readings(
        &mut self,
        row: &Row<'_>,
        covers: &mut [Cover<'_>],
        series: &mut Series<'_>,
    ) -> Result<(), QueryError> {
        let layout = &row.samples.layout;
        let same = |known: &(Layout, _)| std::ptr::eq(known.0.as_ptr(), layout.as_ptr());
        let at = match self.readings.iter().position(same) {
            Some(at) => at,
            None => {
                let mut places = Vec::new();
                for (at, key) in layout.iter().enumerate() {
                    if series.wanted.answers_raw(key) {
                        places.push((at, series.place(key)?));
                    }
                }
                self.readings.truncate(MIXES_MAX - 1);
                self.readings.insert(0, (layout.clone(), places));
                0
            }
        };
        for (at, place) in &self.readings[at].1 {
            let weight = u32::from(!is_covered(covers, *place, row));
            series.add(*place, item(row.time_ms, row.samples.values[*at].as_f64(), weight));
        }
        Ok(())
    }
}

fn item(time_ms: u64, value: f64, weight: u32) -> Item {
    Item { time_ms, min: value, max: value, mean: value, weight, single: true }
}

/// Whether the reading is in the mean of a bucket already.
fn is_covered(covers: &mut [Cover<'_>], place: usize, row: &Row<'_>) -> bool {
    let of_row =
        |cover: &&mut Cover<'_>| cover.place == place && row.segments.contains(&cover.segment);
    covers.iter_mut().filter(of_row).any(|cover| cover.has(row.time_ms))
}
