//! The answer of one host: its sessions followed through all that is read, and folded.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::fold::{Fold, Item};
use super::limits::{POINTS_HELD_MAX, Work, check};
use super::past::Past;
use super::plan::{Grid, Plan, Span};
use super::session::Session;
use super::wanted::Wanted;
use crate::analysis::history::segment::{Extremes, Group, Segment};
use crate::analysis::live::Row;
use crate::analysis::rate::KeyPool;
use crate::analysis::view::QueryError;
use crate::metric::{HostName, SeriesKey, SessionId};

/// Sessions of one host that are followed at once, some 10 KB each; of more, the one that ended
/// first goes. It is missed only if it comes back.
const SESSIONS_MAX: usize = 256;

/// What every host of a query needs.
pub(super) struct Question<'a> {
    pub(super) past: &'a dyn Past,
    pub(super) pool: &'a Arc<KeyPool>,
    pub(super) wanted: &'a Wanted,
    pub(super) plan: &'a Plan,
    /// Widths of points that other hosts' series have already.
    pub(super) fixed: &'a HashMap<SeriesKey, Grid>,
}

/// One host as far as it was read.
pub(super) struct HostRead<'a> {
    question: &'a Question<'a>,
    sessions: HashMap<SessionId, Session>,
    /// Time and number of the first frame of each.
    firsts: HashMap<SessionId, (u64, u64)>,
    pub(super) series: Series<'a>,
}

/// The series of one host.
pub(super) struct Series<'a> {
    plan: &'a Plan,
    fixed: &'a HashMap<SeriesKey, Grid>,
    pub(super) wanted: &'a Wanted,
    places: HashMap<SeriesKey, usize>,
    /// Each with its own grid, if that is fixed.
    folds: Vec<(Fold, Option<&'a Grid>)>,
    points: u64,
}

/// Buckets in which the mean of readings of an instant is known: the frame kept of them must not
/// count again.
#[derive(Debug)]
pub(super) struct Cover<'a> {
    pub(super) segment: usize,
    pub(super) place: usize,
    starts_ms: &'a [u64],
    bucket_ms: u64,
    /// Where the last one was found: readings come in the order of time.
    at: usize,
}

impl<'a> HostRead<'a> {
    pub(super) fn new(question: &'a Question<'a>) -> Self {
        let Question { plan, fixed, wanted, .. } = *question;
        let (places, folds) = (HashMap::new(), Vec::new());
        let series = Series { plan, fixed, wanted, places, folds, points: 0 };
        Self { question, sessions: HashMap::new(), firsts: HashMap::new(), series }
    }

    /// Reads everything of the host that the plan asks for.
    pub(super) fn read(&mut self, host: &HostName, work: &mut Work) -> Result<(), QueryError> {
        let Question { past, plan, .. } = *self.question;
        let mut live = Vec::new();
        let mut until_ms = u64::MAX;
        if plan.native {
            live = past.live(host, plan.live_from_ms(), plan.to_ms);
            let first = live.iter().flat_map(|(_, rows)| rows).map(|row| row.time_ms).min();
            until_ms = first.unwrap_or(u64::MAX);
        }
        for (number, mut span) in plan.spans(host, past).into_iter().enumerate() {
            span.to_ms = span.to_ms.min(until_ms);
            if span.from_ms < span.to_ms {
                self.read_span(host, span, number == 0, work)?;
            }
        }
        live.iter().try_for_each(|(session, rows)| self.read_live(*session, rows, work))
    }

    fn read_span(
        &mut self,
        host: &HostName,
        mut span: Span,
        is_first: bool,
        work: &mut Work,
    ) -> Result<(), QueryError> {
        let Question { past, wanted, plan, .. } = *self.question;
        let ask =
            |span: &Span| past.segments(host, span.bucket_ms, span.from_ms, span.to_ms, wanted);
        let mut segments = ask(&span)?;
        // Empty where the host itself is younger than the range.
        let before_range = span.from_ms..plan.from_ms;
        let is_silent = |segments: &[Segment]| {
            !segments.iter().any(|segment| has_frame(segment, &before_range))
        };
        if is_first && !before_range.is_empty() && is_silent(&segments) {
            // The first rates reach back to before a silence.
            work.add_samples(segments.iter().map(readings).sum())?;
            span.from_ms = span.from_ms.saturating_sub(span.back_ms);
            segments = ask(&span)?;
        }
        work.add_samples(segments.iter().map(readings).sum())?;
        segments.sort_by_key(|segment| segment.session);
        for of_session in segments.chunk_by(|one, other| one.session == other.session) {
            let mut covers = Vec::new();
            for (place, segment) in of_session.iter().enumerate() {
                if is_doubled(of_session, place) {
                    continue;
                }
                for extremes in &segment.extremes {
                    self.series.add_extremes((segment, place), extremes, span, &mut covers)?;
                }
            }
            let id = of_session[0].session;
            let session = session_of(&mut self.sessions, id, self.question);
            session.read_segments(of_session, span, &mut covers, &mut self.series)?;
            self.note_first(id);
        }
        Ok(())
    }

    fn read_live(
        &mut self,
        id: SessionId,
        rows: &[Row],
        work: &mut Work,
    ) -> Result<(), QueryError> {
        work.add_samples(rows.iter().map(|row| row.samples.len() as u64).sum())?;
        let session = session_of(&mut self.sessions, id, self.question);
        session.read_rows(rows, &mut self.series)?;
        self.note_first(id);
        Ok(())
    }

    fn note_first(&mut self, id: SessionId) {
        if let Some(first) = self.sessions.get(&id).and_then(|session| session.first) {
            self.firsts.entry(id).or_insert(first);
        }
    }

    /// Times inside the range at which a session begins.
    pub(super) fn session_starts_ms(&self) -> Vec<u64> {
        let plan = self.question.plan;
        let mut firsts: Vec<(u64, u64)> = self.firsts.values().copied().collect();
        firsts.sort_unstable();
        // What was there before anything else is known to begin only if it says so.
        let begins = |(at, (time_ms, seq)): (usize, &(u64, u64))| {
            let inside = plan.from_ms <= *time_ms && *time_ms < plan.to_ms;
            (inside && (at > 0 || *seq == 1)).then_some(*time_ms)
        };
        firsts.iter().enumerate().filter_map(begins).collect()
    }

    /// The series by name, each with its grid.
    pub(super) fn finish(self) -> Vec<(Fold, &'a Grid)> {
        let plan = self.question.plan;
        let grid = |(fold, fixed): (Fold, Option<&'a Grid>)| (fold, fixed.unwrap_or(&plan.grid));
        let mut folds: Vec<_> = self.series.folds.into_iter().map(grid).collect();
        folds.sort_by(|one, other| one.0.key.cmp(&other.0.key));
        folds
    }
}

fn session_of<'s>(
    sessions: &'s mut HashMap<SessionId, Session>,
    id: SessionId,
    question: &Question<'_>,
) -> &'s mut Session {
    if sessions.len() >= SESSIONS_MAX && !sessions.contains_key(&id) {
        let oldest = sessions.iter().min_by_key(|(_, session)| session.last_ms);
        if let Some(oldest) = oldest.map(|(id, _)| *id) {
            sessions.remove(&oldest);
        }
    }
    sessions.entry(id).or_insert_with(|| Session::new(question.pool.clone()))
}

/// Whether all frames of a segment are in another one, found where it moved on to meanwhile: its
/// extremes must not count twice.
fn is_doubled(segments: &[Segment], place: usize) -> bool {
    let one = &segments[place];
    let keys = |group: &Group, at: usize| (group.elapsed_us[at], group.seq[at]);
    let ends = |group: &Group| {
        let last = group.seq.len().checked_sub(1)?;
        Some([keys(group, 0), keys(group, last)])
    };
    let has = |other: &Segment, key: (u64, u64)| {
        let inside = |group: &Group| {
            let at = group.elapsed_us.partition_point(|elapsed_us| *elapsed_us < key.0);
            let same = group.elapsed_us[at..].iter().take_while(|elapsed_us| **elapsed_us == key.0);
            (at..at + same.count()).any(|at| group.seq[at] == key.1)
        };
        other.groups.iter().any(inside)
    };
    let within = |one: &Segment, other: &Segment| {
        let mut ends = one.groups.iter().filter_map(ends).flatten();
        ends.all(|key| has(other, key))
    };
    let elsewhere = |(at, other): (usize, &Segment)| {
        // Of two that are the same the first one counts.
        at != place && within(one, other) && (at < place || !within(other, one))
    };
    let can_be = !one.extremes.is_empty() && !one.groups.is_empty();
    can_be && segments.iter().enumerate().any(elsewhere)
}

fn has_frame(segment: &Segment, times_ms: &Range<u64>) -> bool {
    segment.groups.iter().flat_map(|group| &group.time_ms).any(|time| times_ms.contains(time))
}

fn readings(segment: &Segment) -> u64 {
    let values = segment.columns.iter().map(|column| column.values.len());
    let extremes = segment.extremes.iter().map(|extremes| extremes.min.len());
    values.chain(extremes).sum::<usize>() as u64
}

impl<'a> Series<'a> {
    /// The place of a series, made if need be.
    pub(super) fn place(&mut self, key: &SeriesKey) -> Result<usize, QueryError> {
        if let Some(place) = self.places.get(key) {
            return Ok(*place);
        }
        let fixed = self.fixed.get(key);
        let grid = fixed.unwrap_or(&self.plan.grid);
        self.points += grid.points as u64;
        check(self.points, POINTS_HELD_MAX, "points of the series of one host")?;
        self.folds.push((Fold::new(key.clone(), grid, fixed.is_some()), fixed));
        self.places.insert(key.clone(), self.folds.len() - 1);
        Ok(self.folds.len() - 1)
    }

    /// Whether what is of this time counts.
    pub(super) fn counts(&self, time_ms: u64) -> bool {
        self.plan.from_ms <= time_ms && time_ms < self.plan.to_ms
    }

    /// One item of the series at `place`.
    pub(super) fn add(&mut self, place: usize, item: Item) {
        let (fold, fixed) = &mut self.folds[place];
        fold.add(fixed.unwrap_or(&self.plan.grid), item);
    }

    /// What is known of buckets beside their frames.
    fn add_extremes<'s>(
        &mut self,
        (segment, number): (&'s Segment, usize),
        extremes: &Extremes,
        span: Span,
        covers: &mut Vec<Cover<'s>>,
    ) -> Result<(), QueryError> {
        let itself = self.wanted.answers_derived(&extremes.key).then(|| extremes.key.clone());
        let sampled = self.wanted.as_sampled(&extremes.key).filter(|_| !extremes.mean.is_empty());
        let sampled = sampled.filter(|key| itself.as_ref() != Some(key));
        let buckets = &segment.spans[extremes.spans];
        for key in [itself, sampled].into_iter().flatten() {
            let place = self.place(&key)?;
            for (at, start_ms) in buckets.start_ms.iter().enumerate() {
                let inside = span.from_ms <= *start_ms && *start_ms < span.to_ms;
                if !inside || !self.counts(*start_ms) {
                    continue;
                }
                let (min, max) = (extremes.min[at], extremes.max[at]);
                let mean = extremes.mean.get(at).copied();
                let weight = mean.map_or(0, |_| buckets.counts[at]);
                let mean = mean.unwrap_or(0.0);
                let item = Item { time_ms: *start_ms, min, max, mean, weight, single: false };
                self.add(place, item);
            }
            if !extremes.mean.is_empty() {
                let (starts_ms, bucket_ms) = (&*buckets.start_ms, u64::from(segment.bucket_ms));
                covers.push(Cover { segment: number, place, starts_ms, bucket_ms, at: 0 });
            }
        }
        Ok(())
    }
}

impl Cover<'_> {
    /// Whether the mean over the bucket of this time is known.
    pub(super) fn has(&mut self, time_ms: u64) -> bool {
        let start_ms = time_ms - time_ms % self.bucket_ms;
        let next = (self.at..self.starts_ms.len().min(self.at + 2))
            .find(|at| self.starts_ms[*at] == start_ms);
        let found = next.or_else(|| self.starts_ms.binary_search(&start_ms).ok());
        self.at = found.unwrap_or(self.at);
        found.is_some()
    }
}
