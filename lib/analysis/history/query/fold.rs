//! Values of one series into points.
//!
//! How often a series was sampled is known only at its end, and points must not be finer than
//! that, or every line would be full of holes. So values are kept as they are while they are few,
//! and put into cells of the grid's width once they are more than two for each: then half of
//! them, at least, lie no further apart than a cell is wide.

use super::plan::{Grid, floor};
use crate::analysis::view::{QueryPoint, QuerySeries};
use crate::metric::{HostName, SeriesKey};

/// Points are made wider where otherwise more than one in so many would be a hole.
const HOLES: usize = 100;

/// A spacing may be over a multiple of the resolution by a tenth of it: clocks tremble.
const TREMBLE_DEN: u64 = 10;

/// Fewer than this many cells gained are a session's beginning or end, and no trembling.
const TREMBLES_MIN: usize = 3;

/// Native spacings this near to a multiple of ten milliseconds are meant to be that.
const NATIVE_TREMBLE_MS: u64 = 2;

/// How far apart readings are taken to be when there is only one of them.
const LONE_SPACING_MS: u64 = 1_000;

/// A value, or what is known of several inside a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Item {
    pub(super) time_ms: u64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
    /// What the mean counts: microseconds of a rate or share, how many of readings, 0 for nothing.
    pub(super) weight: u32,
    /// It is one value.
    pub(super) single: bool,
}

/// What fell into one point.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    min: f64,
    max: f64,
    sum: f64,
    weight: f64,
}

/// A series as far as it was read.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) key: SeriesKey,
    few: Vec<Item>,
    singles: usize,
    cells: Vec<Cell>,
    total: Cell,
}

const EMPTY: Cell = Cell { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, weight: 0.0 };

impl Cell {
    fn add(&mut self, item: &Item) {
        self.min = self.min.min(item.min);
        self.max = self.max.max(item.max);
        self.sum += item.mean * f64::from(item.weight);
        self.weight += f64::from(item.weight);
    }

    fn is_empty(&self) -> bool {
        self.min > self.max
    }

    fn point(&self, time_ms: u64) -> QueryPoint {
        // A quotient of sums may miss what it lies between by a rounding.
        let mean = (self.sum / self.weight).clamp(self.min, self.max);
        QueryPoint { time_ms, min: self.min, mean, max: self.max }
    }
}

impl Fold {
    /// Nothing yet. With `fixed` the width of points is the grid's, however seldom it is sampled.
    pub(super) fn new(key: SeriesKey, grid: &Grid, fixed: bool) -> Self {
        let cells = if fixed { vec![EMPTY; grid.points] } else { Vec::new() };
        Self { key, few: Vec::new(), singles: 0, cells, total: EMPTY }
    }

    /// One value more, at any time of the grid.
    pub(super) fn add(&mut self, grid: &Grid, item: Item) {
        self.total.add(&item);
        if !self.cells.is_empty() {
            return self.cells[grid.cell(item.time_ms)].add(&item);
        }
        self.few.push(item);
        self.singles += usize::from(item.single);
        if self.few.len() > 2 * grid.points + 2 {
            self.cells = vec![EMPTY; grid.points];
            for item in std::mem::take(&mut self.few) {
                self.cells[grid.cell(item.time_ms)].add(&item);
            }
        }
    }

    /// The mean over all of it.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.total.weight > 0.0).then(|| self.total.sum / self.total.weight)
    }

    /// The series; `None` when it has no point.
    pub(super) fn finish(mut self, grid: &Grid, host: Option<HostName>) -> Option<QuerySeries> {
        let (interval_ms, points) = if self.cells.is_empty() {
            self.few.sort_by_key(|item| item.time_ms);
            self.few_points(grid)
        } else {
            let time = |at: usize| grid.from_ms + at as u64 * grid.step_ms;
            let cells = self.cells.iter().enumerate().map(|(at, cell)| (time(at), *cell));
            (grid.step_ms, points(cells, grid.step_ms))
        };
        let key = self.key;
        (!points.is_empty()).then_some(QuerySeries { host, key, interval_ms, hosts: 1, points })
    }

    fn few_points(&self, grid: &Grid) -> (u64, Vec<QueryPoint>) {
        let singles = || self.few.iter().filter(|item| item.single).map(|item| item.time_ms);
        let spacing_ms = median_spacing(singles());
        let mut interval_ms = grid.step_ms;
        let lone = self.few.first().filter(|item| self.few.len() == 1 && item.single);
        if let Some(lone) = lone.filter(|_| grid.points > 1) {
            interval_ms = round(lone_spacing_ms(lone), grid.grain_ms).max(interval_ms);
        } else if spacing_ms > interval_ms && grid.points > 1 && has_holes(singles(), interval_ms) {
            interval_ms = round(spacing_ms, grid.grain_ms).max(interval_ms);
        }
        // About one value in each: where their times tremble over the edges, the nearest edge is
        // where they belong.
        let about_one = 20 * spacing_ms.abs_diff(interval_ms) <= interval_ms;
        let singles_only = self.singles == self.few.len();
        let shift = singles_only && about_one && trembles(&self.few, interval_ms);
        let shift_ms = if shift { interval_ms / 2 } else { 0 };
        let mut cells: Vec<(u64, Cell)> = Vec::new();
        let place = |item: &Item| match grid.points {
            1 => grid.from_ms,
            _ => floor(item.time_ms + shift_ms, interval_ms),
        };
        for item in &self.few {
            let place = place(item);
            if cells.last().is_none_or(|last| last.0 != place) {
                cells.push((place, EMPTY));
            }
            if let Some(last) = cells.last_mut() {
                last.1.add(item);
            }
        }
        (interval_ms, points(cells.into_iter(), interval_ms))
    }
}

impl Grid {
    fn cell(&self, time_ms: u64) -> usize {
        let at = time_ms.saturating_sub(self.from_ms) / self.step_ms;
        (at as usize).min(self.points - 1)
    }
}

/// Cells into points. Where only extremes are known (a session's first moments, before its first
/// rate) they go to the next point: its mean was taken over that time.
fn points(cells: impl Iterator<Item = (u64, Cell)>, interval_ms: u64) -> Vec<QueryPoint> {
    let mut points = Vec::new();
    let mut ahead: Option<(u64, Cell)> = None;
    for (time_ms, mut cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
        if let Some((at_ms, early)) = ahead.take().filter(|(at, _)| at + interval_ms == time_ms) {
            debug_assert!(at_ms < time_ms);
            (cell.min, cell.max) = (cell.min.min(early.min), cell.max.max(early.max));
        }
        if cell.weight > 0.0 {
            points.push(cell.point(time_ms));
        } else {
            ahead = Some((time_ms, cell));
        }
    }
    points
}

/// The (lower) median of the times from one value to the next; 0 for fewer than two.
fn median_spacing(times_ms: impl Iterator<Item = u64> + Clone) -> u64 {
    let next = times_ms.clone().skip(1);
    let mut spacings: Vec<u64> = times_ms.zip(next).map(|(time, next)| next - time).collect();
    if spacings.is_empty() {
        return 0;
    }
    let middle = (spacings.len() - 1) / 2;
    *spacings.select_nth_unstable(middle).1
}

/// What is known of the spacing when there is one value alone: a rate was taken over it.
fn lone_spacing_ms(lone: &Item) -> u64 {
    let over_ms = u64::from(lone.weight) / 1_000;
    if over_ms > 0 { over_ms } else { LONE_SPACING_MS }
}

/// A spacing as a multiple of the resolution, not less than it was meant to be.
fn round(spacing_ms: u64, grain_ms: u64) -> u64 {
    if grain_ms > 1 {
        return (spacing_ms - grain_ms / TREMBLE_DEN).next_multiple_of(grain_ms);
    }
    let ten_ms = (spacing_ms + 5) / 10 * 10;
    if ten_ms.abs_diff(spacing_ms) <= NATIVE_TREMBLE_MS { ten_ms.max(1) } else { spacing_ms }
}

/// Whether points of this width would often be missing between others.
fn has_holes(times_ms: impl Iterator<Item = u64> + Clone, width_ms: u64) -> bool {
    let next = times_ms.clone().skip(1);
    let (mut holes, mut all) = (0, 1);
    for (time_ms, next_ms) in times_ms.zip(next) {
        let apart = next_ms / width_ms - time_ms / width_ms;
        holes += usize::from(apart > 1);
        all += usize::from(apart > 0);
    }
    holes * HOLES > all
}

/// Whether clearly more cells have a value when each goes to the nearest edge than when each goes
/// to the edge before it.
fn trembles(items: &[Item], width_ms: u64) -> bool {
    let cells = |shift_ms: u64| {
        let place = |item: &Item| (item.time_ms + shift_ms) / width_ms;
        1 + items.windows(2).filter(|pair| place(&pair[0]) != place(&pair[1])).count()
    };
    let (nearest, before) = (cells(width_ms / 2), cells(0));
    nearest >= before + TREMBLES_MIN && nearest * HOLES > before * (HOLES + 1)
}
