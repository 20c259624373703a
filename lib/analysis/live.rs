//! The newest fifteen minutes of every series of a host at their native rate, in RAM.
//!
//! Frames stand in the order of `elapsed_us` inside their session; rates never cross from one
//! session to another. What is bounded: sessions, frames and bytes of a host; series of a session
//! (`rate`); hosts (`hosts`). Reading copies references under the host's lock and decodes after.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::analysis::rate::{Deriver, KeyPool, SERIES_PER_HOST_MAX, Step};
use crate::analysis::view::{SUMMARY_COLUMNS, SummaryValues, Window};
use crate::metric::{Frame, SeriesKey, SessionId};

pub(in crate::analysis) mod bits;
mod block;
mod column;
mod ring;

pub(in crate::analysis) use block::{Block, Row};
use ring::{Place, Ring, Segment};

/// How far back the live store reaches.
pub(in crate::analysis) const WINDOW_MS: u64 = 15 * 60 * 1_000;

/// Frames of one host: fifteen minutes at 20 Hz, the shortest interval a client allows by
/// default, and a ninth more because blocks go as a whole.
pub(in crate::analysis) const FRAMES_PER_HOST_MAX: usize = 20_000;

/// Memory of one host: 640 series (64 CPUs, each by itself) at 10 Hz take 7 MB.
pub(in crate::analysis) const BYTES_PER_HOST_MAX: usize = 16 << 20;

/// Sessions of one host: a client that is restarted every minute.
const SESSIONS_MAX: usize = 16;

/// Newest values kept for `/api/metrics`, which shows 15.
pub(in crate::analysis) const NEWEST_MAX: usize = 16;

/// Newest values kept of the first column, for sparklines.
pub(in crate::analysis) const SPARK_MAX: usize = 60;

/// The live store of one host.
#[derive(Debug)]
pub(in crate::analysis) struct HostLive {
    pool: Arc<KeyPool>,
    /// In the order in which they were first seen.
    rings: VecDeque<Ring>,
    /// Newest values of each summary column, by time.
    newest: [VecDeque<(u64, f64)>; SUMMARY_COLUMNS.len()],
}

/// A frame that is in its place.
#[derive(Debug)]
pub(in crate::analysis) struct Placed {
    /// Its values.
    pub(in crate::analysis) step: Step,
    /// No later one of its session is there.
    pub(in crate::analysis) newest: bool,
}

/// A host's window as it stands, to be decoded without a lock.
#[derive(Debug)]
pub(in crate::analysis) struct Parts {
    pool: Arc<KeyPool>,
    sessions: Vec<(SessionId, Vec<Segment>)>,
    since_ms: u64,
}

impl HostLive {
    pub(in crate::analysis) fn new(pool: Arc<KeyPool>) -> Self {
        Self { pool, rings: VecDeque::new(), newest: Default::default() }
    }

    /// Puts a frame in its place; `None` when it is older than the window reaches. Returns also how
    /// many frames had to make room before their time.
    pub(in crate::analysis) fn put(&mut self, frame: &Frame) -> (Option<Placed>, u64) {
        let since_ms = self.since_ms(frame.time_ms);
        let at = self.rings.iter().rposition(|ring| ring.session == frame.session);
        let newest_us = at.and_then(|at| self.rings[at].newest_us());
        let too_old = match newest_us {
            Some(newest_us) => frame.elapsed_us < before_us(newest_us),
            None => frame.time_ms < since_ms,
        };
        if too_old {
            return (None, 0);
        }
        let at = at.unwrap_or_else(|| {
            if self.rings.len() == SESSIONS_MAX {
                self.rings.pop_front();
            }
            self.rings.push_back(Ring::new(frame.session, self.pool.clone()));
            self.rings.len() - 1
        });
        let (place, step) = self.rings[at].push(Row::from(frame));
        self.note_newest(frame.time_ms, &step.summary);
        let crowded_out = self.trim(at, since_ms);
        (Some(Placed { step, newest: place == Place::Newest }), crowded_out)
    }

    /// Frames held.
    #[cfg(test)]
    pub(in crate::analysis) fn rows(&self) -> usize {
        self.rings.iter().map(|ring| ring.rows).sum()
    }

    /// Memory held by frames.
    pub(in crate::analysis) fn bytes(&self) -> usize {
        self.rings.iter().map(|ring| ring.bytes).sum()
    }

    /// The newest `count` values of each summary column, in rows by time.
    pub(in crate::analysis) fn newest(&self, count: usize) -> Vec<(u64, SummaryValues)> {
        let mut rows: BTreeMap<u64, SummaryValues> = BTreeMap::new();
        for (column, values) in self.newest.iter().enumerate() {
            let count = count.min(NEWEST_MAX);
            for (time_ms, value) in values.iter().skip(values.len().saturating_sub(count)) {
                let row = rows.entry(*time_ms).or_insert([None; SUMMARY_COLUMNS.len()]);
                row[column] = Some(*value);
            }
        }
        rows.into_iter().collect()
    }

    /// The newest values of the first column, with their times.
    pub(in crate::analysis) fn spark(&self, count: usize) -> Vec<(u64, f64)> {
        let values = &self.newest[0];
        values.iter().skip(values.len().saturating_sub(count)).copied().collect()
    }

    /// What the window is made of.
    pub(in crate::analysis) fn parts(&self) -> Parts {
        let sessions = self.rings.iter().map(|ring| (ring.session, ring.segments())).collect();
        Parts { pool: self.pool.clone(), sessions, since_ms: self.since_ms(0) }
    }

    /// Lets go of the oldest frames of the host; returns how many.
    pub(in crate::analysis) fn drop_oldest(&mut self) -> u64 {
        let Some(first) = self.rings.front_mut() else { return 0 };
        if !first.is_single() {
            return first.pop_front() as u64;
        }
        if self.rings.len() > 1 {
            return self.rings.pop_front().map_or(0, |ring| ring.rows as u64);
        }
        0
    }

    /// Where the window begins, given the time of one more frame.
    fn since_ms(&self, time_ms: u64) -> u64 {
        let newest = self.rings.iter().filter_map(Ring::newest_ms).max().unwrap_or(0);
        newest.max(time_ms).saturating_sub(WINDOW_MS)
    }

    fn trim(&mut self, current: usize, since_ms: u64) -> u64 {
        let session = self.rings[current].session;
        for ring in &mut self.rings {
            // Inside a session its own clock decides, which nobody sets.
            let since_us = ring.newest_us().map_or(0, before_us);
            ring.trim(since_us, if ring.session == session { 0 } else { since_ms });
        }
        self.rings.retain(|ring| ring.session == session || !ring.ends_before(since_ms));
        let mut crowded_out = 0;
        while self.rings.iter().map(|ring| ring.rows).sum::<usize>() > FRAMES_PER_HOST_MAX
            || self.bytes() > BYTES_PER_HOST_MAX
        {
            match self.drop_oldest() {
                0 => break,
                gone => crowded_out += gone,
            }
        }
        crowded_out
    }

    fn note_newest(&mut self, time_ms: u64, summary: &SummaryValues) {
        for (column, value) in summary.iter().enumerate() {
            let Some(value) = value else { continue };
            let values = &mut self.newest[column];
            let max = if column == 0 { SPARK_MAX } else { NEWEST_MAX };
            let at = values.iter().rposition(|(time, _)| *time <= time_ms).map_or(0, |at| at + 1);
            if values.len() == max {
                if at == 0 {
                    continue;
                }
                values.pop_front();
                values.insert(at - 1, (time_ms, *value));
            } else {
                values.insert(at, (time_ms, *value));
            }
        }
    }
}

impl Parts {
    /// The frames of a time as they were sampled, session by session.
    pub(in crate::analysis) fn rows(self, from_ms: u64, to_ms: u64) -> Vec<(SessionId, Vec<Row>)> {
        let of_session = |(session, segments): (SessionId, Vec<Segment>)| {
            let rows = segments.iter().flat_map(Segment::open);
            (session, rows.filter(|row| (from_ms..to_ms).contains(&row.time_ms)).collect())
        };
        self.sessions.into_iter().map(of_session).collect()
    }

    /// Decodes and derives everything; the slow part, without a lock.
    pub(in crate::analysis) fn window(self) -> Window {
        let mut builder = WindowBuilder::default();
        for (number, (_, segments)) in self.sessions.into_iter().enumerate() {
            let mut deriver = Deriver::new(self.pool.clone());
            let mut first = true;
            for row in segments.iter().flat_map(Segment::open) {
                let step = deriver.derive(row.elapsed_us, &row.samples);
                if row.time_ms < self.since_ms {
                    continue;
                }
                if std::mem::take(&mut first) && (number > 0 || row.seq == 1) {
                    builder.window.session_starts_ms.push(row.time_ms);
                }
                builder.row(&row, &step);
            }
        }
        builder.finish()
    }
}

/// Rows of values into columns.
#[derive(Default)]
struct WindowBuilder {
    window: Window,
    columns: HashMap<SeriesKey, usize>,
    /// Columns of the outputs of the plan used last.
    plan_columns: Vec<Option<usize>>,
    plan: Option<Arc<crate::analysis::rate::Plan>>,
}

impl WindowBuilder {
    fn row(&mut self, row: &Row, step: &Step) {
        if !self.plan.as_ref().is_some_and(|plan| Arc::ptr_eq(plan, &step.plan)) {
            self.plan_columns = vec![None; step.plan.outputs.len()];
            self.plan = Some(step.plan.clone());
        }
        let at = self.window.time_ms.len();
        self.window.time_ms.push(row.time_ms);
        self.window.interval_ms.push(row.interval_ms);
        for got in &step.values {
            let output = got.output as usize;
            let column =
                self.plan_columns[output].or_else(|| self.column(&step.plan.outputs[output]));
            let Some(column) = column else { continue };
            self.plan_columns[output] = Some(column);
            let values = &mut self.window.series[column].1;
            values.resize(at, None);
            values.push(Some(got.value));
        }
    }

    /// The column of a series; `None` when there are too many.
    fn column(&mut self, key: &SeriesKey) -> Option<usize> {
        if let Some(column) = self.columns.get(key) {
            return Some(*column);
        }
        if self.columns.len() >= SERIES_PER_HOST_MAX {
            return None;
        }
        let column = self.window.series.len();
        self.window.series.push((key.clone(), Vec::with_capacity(self.window.time_ms.capacity())));
        self.columns.insert(key.clone(), column);
        Some(column)
    }

    /// Sessions one after the other become one line of time.
    fn finish(self) -> Window {
        let mut window = self.window;
        let rows = window.time_ms.len();
        for (_, values) in &mut window.series {
            values.resize(rows, None);
        }
        window.series.sort_by(|one, other| one.0.cmp(&other.0));
        window.session_starts_ms.sort_unstable();
        if !window.time_ms.is_sorted() {
            let mut order: Vec<usize> = (0..rows).collect();
            order.sort_by_key(|at| window.time_ms[*at]);
            window.time_ms = order.iter().map(|at| window.time_ms[*at]).collect();
            window.interval_ms = order.iter().map(|at| window.interval_ms[*at]).collect();
            for (_, values) in &mut window.series {
                *values = order.iter().map(|at| values[*at]).collect();
            }
        }
        window
    }
}

fn before_us(newest_us: u64) -> u64 {
    newest_us.saturating_sub(WINDOW_MS * 1_000)
}

#[cfg(test)]
#[path = "live/live_tests.rs"]
mod tests;
