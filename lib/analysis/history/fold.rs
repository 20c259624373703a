//! What the frames that go would have shown: extremes of the derived values, by buckets.
//!
//! A value is told by the frames that stay when they are the very ones it is worked out from: its
//! own, and for a rate the one before of the same series. A bucket in which every value of an
//! output is told needs no extremes of it; where one is not, they are over all of its values.

use std::collections::HashMap;
use std::sync::Arc;

use super::assemble::{Kept, Ranges, SpanPicker};
use super::segment::{Extremes, Segment};
use super::table::{Table, Visit};
use super::tiers::SECOND_MS;
use crate::analysis::live::Row;
use crate::analysis::rate::{Deriver, KeyPool, Plan, Step};
use crate::metric::SeriesKey;

/// Plans whose routes are at hand; more than a [`Deriver`] has at once.
const ROUTES_MAX: usize = 16;

/// An earlier frame of the session that belongs elsewhere: rates begin at it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::analysis) struct Before {
    pub(in crate::analysis) row: Row,
    /// Where it belongs it is kept.
    pub(in crate::analysis) kept: bool,
}

/// What is to be folded.
#[derive(Debug)]
pub(in crate::analysis) struct Folding<'a> {
    pub(in crate::analysis) table: &'a Table,
    /// Which frames stay, by class.
    pub(in crate::analysis) kept: &'a [Kept],
    /// In order; none of them is in the table.
    pub(in crate::analysis) before: &'a [Before],
    /// What the table was united from, for its extremes; empty when it was not.
    pub(in crate::analysis) finer: &'a [&'a Segment],
    /// Width of the buckets to be made; a multiple of those of `finer`.
    pub(in crate::analysis) bucket_ms: u64,
    /// Values of frames widen minimum and maximum even where finer extremes tell what was really
    /// there, so that no mean lies outside: a rate between the first frames of two seconds is
    /// told at the second and was, for a part, of the first.
    pub(in crate::analysis) widen: bool,
}

/// One derived output.
#[derive(Debug)]
struct Output {
    key: SeriesKey,
    instant: bool,
    entries: Vec<Entry>,
    /// Finer extremes of it: segment, and their place there; ascending.
    covers: Vec<(u32, usize)>,
}

/// A bucket of one output.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start_ms: u64,
    min: f64,
    max: f64,
    /// The sum, while frames are walked through.
    mean: f64,
    count: u64,
    needed: bool,
}

/// Where a plan's output goes, and the classes that it is made of.
#[derive(Debug, Default)]
struct Route {
    output: usize,
    classes: Vec<u32>,
}

/// Of the frame that is visited, for one class.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    now_kept: bool,
    before_kept: bool,
    segment: u32,
}

#[derive(Debug)]
struct Folder<'a> {
    folding: &'a Folding<'a>,
    finer_ms: u64,
    outputs: Vec<Output>,
    known: HashMap<SeriesKey, usize>,
    class_of: HashMap<&'a SeriesKey, u32>,
    routes: Vec<(Arc<Plan>, Vec<Route>)>,
    standings: Vec<Standing>,
    /// Whether the frame before the first of each class is kept.
    first_before_kept: Vec<bool>,
}

impl Folding<'_> {
    /// Derives every value and folds what the kept frames do not tell.
    pub(in crate::analysis) fn run(&self, pool: &Arc<KeyPool>) -> Ranges {
        let mut folder = Folder::new(self);
        let mut deriver = Deriver::new(pool.clone());
        let mut before = self.before.iter().peekable();
        let frames = &self.table.frames;
        self.table.walk(|visit| {
            let order = frames.order(visit.frame);
            while let Some(Before { row, .. }) =
                before.next_if(|before| (before.row.elapsed_us, before.row.seq) < order)
            {
                let _ = deriver.derive(row.elapsed_us, &row.samples);
            }
            let step = deriver.derive(order.0, visit.samples);
            folder.take(&visit, &step);
        });
        folder.finish()
    }
}

impl<'a> Folder<'a> {
    fn new(folding: &'a Folding<'a>) -> Self {
        let classes = &folding.table.classes;
        let mut class_of = HashMap::new();
        for (number, class) in classes.iter().enumerate() {
            class_of.extend(class.columns.iter().map(|(key, _)| (key, number as u32)));
        }
        let mut earlier: HashMap<&SeriesKey, (u64, bool)> = HashMap::new();
        for Before { row, kept } in folding.before {
            let second_ms = floor(row.time_ms, u64::from(SECOND_MS));
            for key in &*row.samples.layout {
                let last = earlier.insert(key, (second_ms, *kept));
                // Another frame of the same second was kept in its place.
                if last.is_some_and(|(last_ms, _)| last_ms == second_ms) {
                    earlier.insert(key, (second_ms, false));
                }
            }
        }
        let before_kept = |key: &SeriesKey| earlier.get(key).is_none_or(|(_, kept)| *kept);
        let first_before_kept =
            classes.iter().map(|class| class.columns.iter().all(|(key, _)| before_kept(key)));
        let mut folder = Self {
            finer_ms: folding.finer.first().map_or(1, |segment| u64::from(segment.bucket_ms)),
            outputs: Vec::new(),
            known: HashMap::new(),
            class_of,
            routes: Vec::new(),
            standings: vec![Standing::default(); classes.len()],
            first_before_kept: first_before_kept.collect(),
            folding,
        };
        for (number, segment) in folding.finer.iter().enumerate() {
            for (at, extremes) in segment.extremes.iter().enumerate() {
                let output = folder.output(&extremes.key);
                folder.outputs[output].covers.push((number as u32, at));
            }
        }
        folder
    }

    fn output(&mut self, key: &SeriesKey) -> usize {
        if let Some(at) = self.known.get(key) {
            return *at;
        }
        self.known.insert(key.clone(), self.outputs.len());
        let (entries, covers) = (Vec::new(), Vec::new());
        self.outputs.push(Output { key: key.clone(), instant: false, entries, covers });
        self.outputs.len() - 1
    }

    /// Takes the values of one frame.
    fn take(&mut self, visit: &Visit<'_>, step: &Step) {
        let time_ms = self.folding.table.frames.time_ms[visit.frame];
        let start_ms = floor(time_ms, self.folding.bucket_ms);
        let finer_start_ms = floor(time_ms, self.finer_ms);
        for (class, place) in visit.places {
            let (class, place) = (*class as usize, *place as usize);
            let kept = &self.folding.kept[class];
            let earlier = place.checked_sub(1).map(|earlier| kept[earlier]);
            self.standings[class] = Standing {
                now_kept: kept[place],
                before_kept: earlier.unwrap_or(self.first_before_kept[class]),
                segment: self.folding.table.classes[class].from[place],
            };
        }
        self.route(&step.plan);
        let Some((_, routes)) = self.routes.first() else { return };
        for got in &step.values {
            let Some(route) = routes.get(got.output as usize) else { continue };
            let output = &mut self.outputs[route.output];
            let instant = got.over_us == 0;
            output.instant |= instant;
            let standings = &self.standings;
            let classes = || route.classes.iter().map(|class| &standings[*class as usize]);
            let told = classes().all(|at| at.now_kept && (instant || at.before_kept));
            let covered = !output.covers.is_empty()
                && classes().next().is_some_and(|at| {
                    output.is_covered(self.folding.finer, at.segment, finer_start_ms)
                });
            if !covered || self.folding.widen {
                output.add(start_ms, got.value, u64::from(!covered), !told);
            }
        }
    }

    /// Brings the routes of a plan to the front.
    fn route(&mut self, plan: &Arc<Plan>) {
        match self.routes.iter().position(|(known, _)| Arc::ptr_eq(known, plan)) {
            Some(0) => return,
            Some(at) => return self.routes[..=at].rotate_right(1),
            None => {}
        }
        let mut routes: Vec<Route> = Vec::with_capacity(plan.outputs.len());
        for key in &plan.outputs {
            routes.push(Route { output: self.output(key), classes: Vec::new() });
        }
        for (place, output) in plan.sources() {
            let class = self.class_of.get(&plan.layout[place]);
            let classes = &mut routes[output as usize].classes;
            classes.extend(class.filter(|class| !classes.contains(class)).copied());
        }
        self.routes.truncate(ROUTES_MAX - 1);
        self.routes.insert(0, (plan.clone(), routes));
    }

    fn finish(self) -> Ranges {
        let mut picker = SpanPicker::default();
        let mut extremes = Vec::new();
        for output in self.outputs {
            extremes.extend(output.finish(self.folding, &mut picker));
        }
        extremes.sort_unstable_by(|one: &Extremes, other| one.key.cmp(&other.key));
        (picker.spans, extremes)
    }
}

impl Output {
    /// Whether extremes of the segment that a frame came from have its value.
    fn is_covered(&self, finer: &[&Segment], segment: u32, start_ms: u64) -> bool {
        let Ok(at) = self.covers.binary_search_by_key(&segment, |cover| cover.0) else {
            return false;
        };
        let (number, at) = self.covers[at];
        let segment = finer[number as usize];
        let spans = &segment.spans[segment.extremes[at].spans];
        spans.start_ms.binary_search(&start_ms).is_ok()
    }

    fn add(&mut self, start_ms: u64, value: f64, count: u64, needed: bool) {
        let sum = if count > 0 { value } else { 0.0 };
        match self.entries.last_mut() {
            Some(last) if last.start_ms == start_ms => {
                last.min = last.min.min(value);
                last.max = last.max.max(value);
                last.mean += sum;
                last.count += count;
                last.needed |= needed;
            }
            _ => {
                let (min, max) = (value, value);
                self.entries.push(Entry { start_ms, min, max, mean: sum, count, needed });
            }
        }
    }

    /// Adds the finer extremes to what the frames gave; `None` when nothing is needed.
    fn finish(mut self, folding: &Folding<'_>, picker: &mut SpanPicker) -> Option<Extremes> {
        for entry in self.entries.iter_mut().filter(|entry| entry.count > 0) {
            entry.mean /= entry.count as f64;
        }
        for (number, at) in &self.covers {
            let segment = folding.finer[*number as usize];
            let finer = &segment.extremes[*at];
            self.instant |= !finer.mean.is_empty();
            let spans = &segment.spans[finer.spans];
            for (at, start_ms) in spans.start_ms.iter().enumerate() {
                self.entries.push(Entry {
                    start_ms: floor(*start_ms, folding.bucket_ms),
                    min: finer.min[at],
                    max: finer.max[at],
                    mean: finer.mean.get(at).copied().unwrap_or_default(),
                    count: u64::from(spans.counts[at]),
                    needed: true,
                });
            }
        }
        // A clock that stepped back comes to a bucket twice; and pieces are in order each.
        self.entries.sort_by_key(|entry| entry.start_ms);
        self.entries.dedup_by(|later, entry| {
            let same = later.start_ms == entry.start_ms;
            if same {
                entry.unite(later);
            }
            same
        });
        self.entries.retain(|entry| entry.needed);
        let entries = &self.entries;
        let column = |of: fn(&Entry) -> f64| entries.iter().map(of).collect::<Vec<f64>>();
        let count = |entry: &Entry| u32::try_from(entry.count).unwrap_or(u32::MAX);
        (!entries.is_empty()).then(|| Extremes {
            spans: picker.spans(
                entries.iter().map(|entry| entry.start_ms).collect(),
                entries.iter().map(count).collect(),
            ),
            min: column(|entry| entry.min),
            max: column(|entry| entry.max),
            // A weighted mean may leave its bounds by a rounding.
            mean: if self.instant {
                column(|entry| entry.mean.clamp(entry.min, entry.max))
            } else {
                Vec::new()
            },
            key: self.key,
        })
    }
}

impl Entry {
    fn unite(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.needed |= other.needed;
        let count = self.count + other.count;
        if count > 0 {
            self.mean += (other.mean - self.mean) * (other.count as f64 / count as f64);
        }
        self.count = count;
    }
}

/// The bucket that a time is in.
pub(in crate::analysis) fn floor(time_ms: u64, bucket_ms: u64) -> u64 {
    time_ms - time_ms % bucket_ms.max(1)
}
