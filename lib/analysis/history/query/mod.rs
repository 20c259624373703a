//! What is asked of the past: names, a time and a number of points, for some hosts or all.
//!
//! ```text
//! QuerySpec -> plan: width of a point; which tier from when to when
//!   host by host, stretch by stretch: Past -> segments -> rows (each frame once, in order)
//!     -> one Deriver per session -> fold: min, mean, max of each point  (+ extremes of buckets)
//!   -> HostAnswer, at once; or aggregate: one series of all hosts, the first n of them
//! ```
//!
//! - [`past`]: what is read, behind a trait; `wanted`: names and labels
//! - `plan`, `limits`: how finely, from where, how much at most
//! - `rows`, `session`, `host`: frames of segments into values
//! - `fold`: values into points; `aggregate`: hosts into one
//!
//! A point is what was sampled inside it: a rate counts where the reading stands that ends it.
//! Means of rates and shares are weighted by the time they were taken over, means of readings
//! count each reading; so a mean is the same from whatever tier it comes. The smallest and largest
//! value are those of the finest values that were ever known.
//!
//! Points are multiples of their width, and each is whole: what begins before `from_ms` or ends
//! after `to_ms` counts as far as the points at either end reach. So the same point has the same
//! value whoever asks.

mod aggregate;
mod fold;
mod host;
mod limits;
pub(in crate::analysis) mod past;
mod plan;
mod rows;
mod session;
pub(in crate::analysis) mod wanted;

use std::collections::HashMap;
use std::sync::Arc;

use crate::analysis::rate::{KeyPool, sources_min};
use crate::analysis::view::{
    Aggregate, HostAnswer, QueryAnswer, QueryError, QuerySeries, QuerySpec,
};
use crate::counters;
use crate::metric::HostName;

use aggregate::Gathering;
use host::{HostRead, Question};
use limits::{
    HOSTS_MAX, METRICS_MAX, POINTS_ANSWERED_MAX, POINTS_MAX, SAMPLES_MAX, Work, check_estimate,
};
use past::Past;
use plan::Plan;
use wanted::Wanted;

counters! {
    /// What was asked of the past.
    pub(in crate::analysis) struct QueryCounts {
        queries: "history_queries_total", "Queries of the past.";
        refused: "history_queries_refused_total", "Queries that would have taken too much.";
        failed: "history_queries_failed_total", "Queries that failed for the store.", fault;
        samples: "history_query_samples_total", "Readings decoded for queries.";
        points: "history_query_points_total", "Points answered.";
    }
}

/// A query under way.
struct Answer {
    past: Arc<dyn Past>,
    pool: Arc<KeyPool>,
    counts: Arc<QueryCounts>,
    wanted: Wanted,
    plan: Plan,
    aggregate: Option<Aggregate>,
    hosts: std::vec::IntoIter<HostName>,
    /// Answers that are ready: of an aggregate, at the end.
    ready: std::vec::IntoIter<HostAnswer>,
    work: Work,
    /// Nothing comes after an error.
    is_over: bool,
}

/// Begins to answer.
///
/// # Errors
/// A host of which nothing is known; what would surely take too much.
pub(in crate::analysis) fn query(
    past: Arc<dyn Past>,
    pool: Arc<KeyPool>,
    counts: Arc<QueryCounts>,
    query: &QuerySpec,
) -> Result<QueryAnswer, QueryError> {
    counts.queries.increment();
    let begun = begin(past, pool, counts.clone(), query);
    match begun {
        Ok(answer) => Ok(Box::new(answer)),
        Err(error) => Err(note(&counts, error)),
    }
}

fn begin(
    past: Arc<dyn Past>,
    pool: Arc<KeyPool>,
    counts: Arc<QueryCounts>,
    query: &QuerySpec,
) -> Result<Answer, QueryError> {
    limits::check(query.points as u64, POINTS_MAX as u64, "points of a series")?;
    limits::check(query.metrics.len() as u64, METRICS_MAX as u64, "names")?;
    let hosts = hosts(past.as_ref(), &query.hosts)?;
    limits::check(hosts.len() as u64, HOSTS_MAX as u64, "hosts")?;
    let plan = Plan::new(query, past.as_ref());
    estimate(past.as_ref(), &plan, query, &hosts)?;
    Ok(Answer {
        past,
        pool,
        counts,
        wanted: Wanted::new(query),
        plan,
        aggregate: query.aggregate,
        hosts: hosts.into_iter(),
        ready: Vec::new().into_iter(),
        work: Work::default(),
        is_over: false,
    })
}

/// The hosts asked for, by name, each once.
fn hosts(past: &dyn Past, asked: &[HostName]) -> Result<Vec<HostName>, QueryError> {
    let mut known = past.hosts();
    known.sort_unstable();
    known.dedup();
    if asked.is_empty() {
        return Ok(known);
    }
    let mut hosts = asked.to_vec();
    hosts.sort_unstable();
    hosts.dedup();
    match hosts.iter().find(|host| known.binary_search(host).is_err()) {
        Some(unknown) => Err(QueryError::UnknownHost(unknown.clone())),
        None => Ok(hosts),
    }
}

/// Refuses what is surely too much before anything is read.
fn estimate(
    past: &dyn Past,
    plan: &Plan,
    query: &QuerySpec,
    hosts: &[HostName],
) -> Result<(), QueryError> {
    let (mut frames, mut points) = (0, 0);
    for host in hosts {
        let of_host = plan.frames(host, past);
        frames += of_host;
        points += (plan.grid.points as u64).min(of_host);
    }
    let (names, count) = (query.metrics.len() as u64, hosts.len());
    let series: u64 = query.metrics.iter().map(|name| sources_min(name)).sum();
    let factors = format!("{count} hosts, {series} series each, {frames} frames together");
    check_estimate(frames * series, SAMPLES_MAX, "readings to decode", &factors)?;
    if query.aggregate.is_none() {
        let factors = format!("{count} hosts, {names} series each");
        check_estimate(points * names, POINTS_ANSWERED_MAX, "points to answer", &factors)?;
    }
    Ok(())
}

/// Counts an error.
fn note(counts: &QueryCounts, error: QueryError) -> QueryError {
    match &error {
        QueryError::TooMuch { .. } => counts.refused.increment(),
        QueryError::Store(_) => counts.failed.increment(),
        QueryError::UnknownHost(_) => {}
    }
    error
}

impl Answer {
    /// The next host's series, as they are.
    fn host(&mut self, host: HostName) -> Result<HostAnswer, QueryError> {
        let fixed = HashMap::new();
        let question = question(&self.past, &self.pool, &self.wanted, &self.plan, &fixed);
        let mut read = HostRead::new(&question);
        read.read(&host, &mut self.work)?;
        let session_starts_ms = read.session_starts_ms();
        let folds = read.finish().into_iter();
        let series: Vec<QuerySeries> =
            folds.filter_map(|(fold, grid)| fold.finish(grid, Some(host.clone()))).collect();
        let points: usize = series.iter().map(|series| series.points.len()).sum();
        self.work.add_points(points as u64)?;
        self.counts.points.add(points as u64);
        Ok(HostAnswer { host: Some(host), session_starts_ms, series })
    }

    /// All hosts into one, or into the first of them.
    fn gather(&mut self, aggregate: Aggregate) -> Result<(), QueryError> {
        let mut gathering = Gathering::new(aggregate, &self.plan.grid);
        for host in self.hosts.by_ref() {
            stop_if_asked(self.past.as_ref())?;
            let question =
                question(&self.past, &self.pool, &self.wanted, &self.plan, gathering.fixed());
            let mut read = HostRead::new(&question);
            read.read(&host, &mut self.work)?;
            let starts_ms = read.session_starts_ms();
            let folds = read.finish().into_iter();
            let finish = |(fold, grid): (fold::Fold, &plan::Grid)| {
                let mean = fold.mean()?;
                Some((mean, fold.finish(grid, Some(host.clone()))?))
            };
            let series: Vec<(f64, QuerySeries)> = folds.filter_map(finish).collect();
            gathering.add(&host, starts_ms, series)?;
        }
        let answers = gathering.finish();
        let points =
            |answer: &HostAnswer| -> usize { answer.series.iter().map(|s| s.points.len()).sum() };
        self.counts.points.add(answers.iter().map(points).sum::<usize>() as u64);
        self.ready = answers.into_iter();
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<HostAnswer>, QueryError> {
        if let Some(ready) = self.ready.next() {
            return Ok(Some(ready));
        }
        if let Some(aggregate) = self.aggregate.take() {
            self.gather(aggregate)?;
            return Ok(self.ready.next());
        }
        stop_if_asked(self.past.as_ref())?;
        let Some(host) = self.hosts.next() else { return Ok(None) };
        self.host(host).map(Some)
    }
}

fn question<'a>(
    past: &'a Arc<dyn Past>,
    pool: &'a Arc<KeyPool>,
    wanted: &'a Wanted,
    plan: &'a Plan,
    fixed: &'a HashMap<crate::metric::SeriesKey, plan::Grid>,
) -> Question<'a> {
    Question { past: past.as_ref(), pool, wanted, plan, fixed }
}

fn stop_if_asked(past: &dyn Past) -> Result<(), QueryError> {
    if past.is_stopping() {
        return Err(QueryError::Store("the program is about to stop; ask again".to_owned()));
    }
    Ok(())
}

impl Iterator for Answer {
    type Item = Result<HostAnswer, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let before = self.work.samples;
        let advanced = self.advance();
        self.counts.samples.add(self.work.samples - before);
        match advanced {
            Ok(answer) => answer.map(Ok),
            Err(error) => {
                self.is_over = true;
                Some(Err(note(&self.counts, error)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
