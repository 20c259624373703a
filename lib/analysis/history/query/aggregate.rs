//! The same series of many hosts as one; or those of the first few.
//!
//! The first host that has a series says how wide its points are; from then on every other host
//! is folded to that. One that was sampled more seldom stands in a point between its own with the
//! value before, so that a sum does not flicker. The aggregate is made of the smallest values, the
//! means and the largest values of a point apart: the first and the last are bounds of it.

use std::collections::{BTreeMap, HashMap};

use super::limits::{POINTS_HELD_MAX, check};
use super::plan::{Grid, floor};
use crate::analysis::view::{Aggregate, HostAnswer, QueryError, QueryPoint, QuerySeries};
use crate::metric::{HostName, SeriesKey};

/// A point of a sparser host holds for one and a half of its spacings.
const HOLDS_NUM: u64 = 3;
const HOLDS_DEN: u64 = 2;

/// Hosts as far as they were read.
#[derive(Debug)]
pub(super) struct Gathering {
    aggregate: Aggregate,
    grid: Grid,
    fixed: HashMap<SeriesKey, Grid>,
    series: BTreeMap<SeriesKey, Gathered>,
    /// For the first few: their means, largest first, and when their sessions began.
    first: BTreeMap<SeriesKey, Vec<(f64, QuerySeries)>>,
    starts_ms: BTreeMap<HostName, Vec<u64>>,
    held: u64,
}

/// One series of many hosts.
#[derive(Debug, Default)]
struct Gathered {
    hosts: usize,
    points: BTreeMap<u64, Together>,
}

/// One point of many hosts.
#[derive(Debug)]
enum Together {
    /// Sums, extremes: minimum, mean, maximum; and of how many.
    Running([f64; 3], u64),
    /// All of them, for quantiles.
    All([Vec<f64>; 3]),
}

impl Gathering {
    pub(super) fn new(aggregate: Aggregate, grid: &Grid) -> Self {
        Self {
            aggregate,
            grid: grid.clone(),
            fixed: HashMap::new(),
            series: BTreeMap::new(),
            first: BTreeMap::new(),
            starts_ms: BTreeMap::new(),
            held: 0,
        }
    }

    /// Widths of points that are settled.
    pub(super) fn fixed(&self) -> &HashMap<SeriesKey, Grid> {
        &self.fixed
    }

    /// Takes the series of a host, each with its mean over the whole range.
    pub(super) fn add(
        &mut self,
        host: &HostName,
        starts_ms: Vec<u64>,
        series: Vec<(f64, QuerySeries)>,
    ) -> Result<(), QueryError> {
        let few = matches!(self.aggregate, Aggregate::Top(_));
        if few && !series.is_empty() {
            self.starts_ms.insert(host.clone(), starts_ms);
        }
        for (mean, series) in series {
            match self.aggregate {
                Aggregate::Top(count) => self.rank(count, mean, series),
                _ => self.join(series),
            }
            check(self.held, POINTS_HELD_MAX, "points of an aggregate in memory")?;
        }
        Ok(())
    }

    fn rank(&mut self, count: usize, mean: f64, series: QuerySeries) {
        let ranked = self.first.entry(series.key.clone()).or_default();
        let at = ranked.partition_point(|(other, _)| *other >= mean);
        if at < count {
            self.held += series.points.len() as u64;
            ranked.insert(at, (mean, series));
            let gone = ranked.drain(count.min(ranked.len())..);
            self.held -= gone.map(|(_, series)| series.points.len() as u64).sum::<u64>();
        }
    }

    fn join(&mut self, mut series: QuerySeries) {
        if !self.fixed.contains_key(&series.key) {
            self.fixed.insert(series.key.clone(), self.grid.widened(series.interval_ms));
        }
        hold(&mut series);
        let gathered = self.series.entry(series.key).or_default();
        gathered.hosts += 1;
        for point in &series.points {
            let values = [point.min, point.mean, point.max];
            let before = gathered.points.get_mut(&point.time_ms);
            let is_quantile = matches!(self.aggregate, Aggregate::Quantile(_));
            self.held += u64::from(is_quantile || before.is_none());
            match before {
                Some(together) => together.add(self.aggregate, values),
                None if is_quantile => {
                    let all = Together::All(values.map(|value| vec![value]));
                    gathered.points.insert(point.time_ms, all);
                }
                None => {
                    gathered.points.insert(point.time_ms, Together::Running(values, 1));
                }
            }
        }
    }

    /// The answers.
    pub(super) fn finish(self) -> Vec<HostAnswer> {
        if let Aggregate::Top(_) = self.aggregate {
            return few(self.first, self.starts_ms);
        }
        let (aggregate, fixed) = (self.aggregate, self.fixed);
        let one = |(key, gathered): (SeriesKey, Gathered)| {
            let interval_ms = fixed.get(&key).map_or(self.grid.step_ms, |grid| grid.step_ms);
            let point = |(time_ms, together): (u64, Together)| {
                let [min, mean, max] = together.result(aggregate);
                QueryPoint { time_ms, min, mean, max }
            };
            let points = gathered.points.into_iter().map(point).collect();
            QuerySeries { host: None, key, interval_ms, hosts: gathered.hosts, points }
        };
        let series = self.series.into_iter().map(one).collect();
        vec![HostAnswer { host: None, session_starts_ms: Vec::new(), series }]
    }
}

/// The first few of each series, host by host.
fn few(
    first: BTreeMap<SeriesKey, Vec<(f64, QuerySeries)>>,
    mut starts_ms: BTreeMap<HostName, Vec<u64>>,
) -> Vec<HostAnswer> {
    let mut hosts: BTreeMap<HostName, Vec<QuerySeries>> = BTreeMap::new();
    for (_, series) in first.into_values().flatten() {
        if let Some(host) = &series.host {
            hosts.entry(host.clone()).or_default().push(series);
        }
    }
    let answer = |(host, series): (HostName, Vec<QuerySeries>)| HostAnswer {
        session_starts_ms: starts_ms.remove(&host).unwrap_or_default(),
        host: Some(host),
        series,
    };
    hosts.into_iter().map(answer).collect()
}

impl Grid {
    /// The same time in points of another width.
    fn widened(&self, step_ms: u64) -> Self {
        if self.points == 1 || step_ms == self.step_ms {
            return self.clone();
        }
        let end_ms = self.from_ms + self.points as u64 * self.step_ms;
        let from_ms = floor(self.from_ms, step_ms);
        let points = ((end_ms - from_ms).div_ceil(step_ms)) as usize;
        Self { step_ms, from_ms, points, grain_ms: self.grain_ms }
    }
}

impl Together {
    fn add(&mut self, aggregate: Aggregate, values: [f64; 3]) {
        match self {
            Self::All(all) => {
                all.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
            }
            Self::Running(running, count) => {
                *count += 1;
                for (running, value) in running.iter_mut().zip(values) {
                    *running = match aggregate {
                        Aggregate::Min => running.min(value),
                        Aggregate::Max => running.max(value),
                        _ => *running + value,
                    };
                }
            }
        }
    }

    fn result(self, aggregate: Aggregate) -> [f64; 3] {
        match (self, aggregate) {
            (Self::All(all), Aggregate::Quantile(quantile)) => {
                all.map(|values| at_quantile(values, quantile))
            }
            (Self::Running(sums, count), Aggregate::Mean) => sums.map(|sum| sum / count as f64),
            (Self::Running(running, _), _) => running,
            (Self::All(all), _) => all.map(|values| at_quantile(values, 0.5)),
        }
    }
}

/// A quantile of at least one value, by linear interpolation between the two it lies between (as
/// Prometheus and the default of numpy have it).
fn at_quantile(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = quantile.clamp(0.0, 1.0) * (values.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    values[below] + (values[above] - values[below]) * (place - place.floor())
}

/// Fills the points between those of a host that was sampled more seldom than they are wide.
fn hold(series: &mut QuerySeries) {
    let width_ms = series.interval_ms;
    let between = |pair: &[QueryPoint]| pair[1].time_ms - pair[0].time_ms;
    let mut spacings: Vec<u64> = series.points.windows(2).map(between).collect();
    if spacings.is_empty() {
        return;
    }
    let middle = spacings.len() / 2;
    let spacing_ms = *spacings.select_nth_unstable(middle).1;
    if spacing_ms <= width_ms {
        return;
    }
    let mut held = Vec::with_capacity(series.points.len());
    for (at, point) in series.points.iter().enumerate() {
        held.push(*point);
        let Some(next) = series.points.get(at + 1) else { break };
        if next.time_ms - point.time_ms > spacing_ms * HOLDS_NUM / HOLDS_DEN {
            continue;
        }
        let mut time_ms = point.time_ms + width_ms;
        while time_ms < next.time_ms {
            held.push(QueryPoint { time_ms, ..*point });
            time_ms += width_ms;
        }
    }
    series.points = held;
}
