//! The frames of one host that are in no closed chunk yet.
//!
//! They stay in the order of their arrival, sealed in blocks of one session each as they come:
//! about two and a half bytes a sample. What is bounded: everything is due to be closed at
//! [`CHUNK_POINTS_MAX`], [`CHUNK_AGE_MAX`] or [`OPEN_BYTES_MAX`], whichever is first; sessions
//! that are remembered; layouts and earlier frames of each.

use std::sync::Arc;
use std::time::Duration;

use super::fold::Before;
#[cfg(test)]
use super::segment::Segment;
use super::thin::{SessionRows, Thinned, thin};
use super::tiers::SECOND_MS;
use crate::analysis::live::{Block, Row};
use crate::analysis::rate::KeyPool;
use crate::metric::{Layout, SessionId, Value};

/// A chunk is closed at so many seconds of frames: ten minutes at 1 Hz, should they arrive faster
/// than that (a backlog does).
pub(in crate::analysis) const CHUNK_POINTS_MAX: usize = 600;

/// A chunk is closed so long after its first frame arrived: what is read again after a crash.
pub(in crate::analysis) const CHUNK_AGE_MAX: Duration = Duration::from_secs(300);

/// A chunk is closed at so much memory: 600 seconds of 640 series (64 CPUs, each by itself) at
/// 2 Hz, at two and a half bytes a sample.
pub(in crate::analysis) const OPEN_BYTES_MAX: usize = 2 << 20;

/// Sessions of a host whose last frames are remembered: a client that is restarted every minute.
const SESSIONS_MAX: usize = 16;

/// Rows of a block, as in the live window.
const BLOCK_ROWS: usize = 32;

/// Mixes of series of a session that are remembered, so that its frames share them: one for each
/// set of metrics that falls due together. A ninth is kept twice and is not wrong.
const LAYOUTS_MAX: usize = 8;

/// Last frames of a session that are remembered: some kilobytes, 128 KB of the largest ones.
const LANES_MAX: usize = 8;

/// The frames of one host that are in no closed chunk yet.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Open {
    /// The one heard of last stands last.
    sessions: Vec<Session>,
    sealed: Vec<(SessionId, Arc<Block>)>,
    points: usize,
    /// Of blocks, waiting rows and layouts.
    bytes: usize,
    first: Option<(Duration, u64)>,
    times: Times,
}

/// The first and the last time of some frames, Unix ms.
#[derive(Debug, Clone, Copy)]
struct Times(u64, u64);

impl Default for Times {
    fn default() -> Self {
        Self(u64::MAX, 0)
    }
}

/// One session of the host.
#[derive(Debug)]
struct Session {
    id: SessionId,
    /// Not sealed yet.
    waiting: Vec<Row>,
    layouts: Vec<Layout>,
    /// What the first rates of this chunk begin at, and what those of the next will.
    before: Vec<Lane>,
    lanes: Vec<Lane>,
    newest: (u64, u64),
    /// Second of the frame that came last.
    second: Option<u64>,
}

/// The last frame of one layout, of those that come in order or of those that come late: both
/// come at the same time while a client sends its backlog. The one used last stands last.
#[derive(Debug, Clone)]
struct Lane {
    late: bool,
    layout: Layout,
    second: Option<u64>,
    kept: bool,
    /// Place of the last frame among the rows that are looked at.
    place: Option<usize>,
    row: Option<Row>,
}

/// What was taken to be closed. Cloning shares what is sealed.
#[derive(Debug, Clone, Default)]
pub(in crate::analysis) struct Taken {
    sealed: Vec<(SessionId, Arc<Block>)>,
    waiting: Vec<(SessionId, Vec<Row>)>,
    /// What each session's first rates begin at.
    before: Vec<(SessionId, Vec<Before>)>,
    times: Times,
}

impl Open {
    /// Takes a frame that was read at `offset` of its partition and arrived `now` (monotonic).
    pub(in crate::analysis) fn push(
        &mut self,
        mut row: Row,
        session: SessionId,
        offset: u64,
        now: Duration,
    ) {
        self.first.get_or_insert((now, offset));
        self.times = Times(self.times.0.min(row.time_ms), self.times.1.max(row.time_ms));
        let at = self.session(session);
        let session = &mut self.sessions[at];
        let grown = session.share_layout(&mut row) + row_bytes(&row);
        self.bytes += grown;
        self.points += usize::from(session.second.replace(second(&row)) != Some(second(&row)));
        session.waiting.push(row);
        if session.waiting.len() >= BLOCK_ROWS {
            self.seal(at);
        }
    }

    /// Takes a frame that an earlier run has committed and that is read again: the rates of those
    /// that follow begin at it.
    pub(in crate::analysis) fn note_replayed(&mut self, mut row: Row, session: SessionId) {
        let at = self.session(session);
        let session = &mut self.sessions[at];
        session.share_layout(&mut row);
        session.note(std::slice::from_ref(&row));
        session.before.clone_from(&session.lanes);
    }

    #[cfg(test)]
    /// Seconds of frames, nearly: a frame of another second than the one that came before it of
    /// its session counts.
    pub(in crate::analysis) fn points(&self) -> usize {
        self.points
    }

    #[cfg(test)]
    /// Memory of the frames.
    pub(in crate::analysis) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first frame came, monotonic; `None` when nothing is open.
    pub(in crate::analysis) fn opened_at(&self) -> Option<Duration> {
        self.first.map(|(at, _)| at)
    }

    #[cfg(test)]
    /// Offset of the first frame: from there the partition is to be read again after a crash.
    pub(in crate::analysis) fn first_offset(&self) -> Option<u64> {
        self.first.map(|(_, offset)| offset)
    }

    /// Whether it is time to close what is open.
    pub(in crate::analysis) fn is_due(&self, now: Duration) -> bool {
        self.opened_at().is_some_and(|at| {
            now.saturating_sub(at) >= CHUNK_AGE_MAX
                || self.points >= CHUNK_POINTS_MAX
                || self.bytes >= OPEN_BYTES_MAX
        })
    }

    /// Takes everything out, to be closed; cheap enough for a host's lock. What remains is what
    /// rates of the next frames begin at.
    pub(in crate::analysis) fn take(&mut self) -> Taken {
        let before = self.before();
        let mut waiting = Vec::with_capacity(self.sessions.len());
        for session in &mut self.sessions {
            let rows = std::mem::take(&mut session.waiting);
            session.note(&rows);
            session.before.clone_from(&session.lanes);
            session.second = None;
            waiting.push((session.id, rows));
        }
        (self.points, self.bytes, self.first) = (0, 0, None);
        let times = std::mem::take(&mut self.times);
        Taken { sealed: std::mem::take(&mut self.sealed), waiting, before, times }
    }

    /// Whether there is a frame with a time in `from_ms..to_ms`, or may be.
    pub(in crate::analysis) fn overlaps(&self, times_ms: (u64, u64)) -> bool {
        self.times.overlap(times_ms)
    }

    /// What is open now, to be read without the lock; nothing is taken out.
    pub(in crate::analysis) fn copy(&self) -> Taken {
        let waiting = |session: &Session| (session.id, session.waiting.clone());
        Taken {
            sealed: self.sealed.clone(),
            waiting: self.sessions.iter().map(waiting).collect(),
            before: self.before(),
            times: self.times,
        }
    }

    #[cfg(test)]
    /// What is open now, thinned: the whole work, which [`copy`](Self::copy) lets one do without
    /// the lock.
    pub(in crate::analysis) fn segments(&self, pool: &Arc<KeyPool>) -> Vec<Segment> {
        self.copy().thin(pool).segments
    }

    /// The place of a session, which now stands last; made if need be.
    fn session(&mut self, id: SessionId) -> usize {
        let newest = self.sessions.len().saturating_sub(1);
        match self.sessions.iter().rposition(|session| session.id == id) {
            Some(at) if at == newest => {}
            Some(at) => self.sessions[at..].rotate_left(1),
            None => {
                if self.sessions.len() == SESSIONS_MAX {
                    self.seal(0);
                    self.sessions.remove(0);
                }
                self.sessions.push(Session::new(id));
            }
        }
        self.sessions.len() - 1
    }

    /// Seals what waits of a session.
    fn seal(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        if session.waiting.is_empty() {
            return;
        }
        let rows = std::mem::take(&mut session.waiting);
        session.note(&rows);
        let block = Block::seal(&rows);
        let waited: usize = rows.iter().map(row_bytes).sum();
        self.bytes = self.bytes.saturating_sub(waited) + block.bytes_len();
        self.sealed.push((session.id, Arc::new(block)));
    }

    fn before(&self) -> Vec<(SessionId, Vec<Before>)> {
        let lasts = |session: &Session| {
            let last = |lane: &Lane| Some(Before { row: lane.row.clone()?, kept: lane.kept });
            let mut lasts: Vec<Before> = session.before.iter().filter_map(last).collect();
            lasts.sort_by_key(|before| order(&before.row));
            (session.id, lasts)
        };
        self.sessions.iter().map(lasts).collect()
    }
}

impl Session {
    fn new(id: SessionId) -> Self {
        Self {
            id,
            waiting: Vec::new(),
            layouts: Vec::new(),
            before: Vec::new(),
            lanes: Vec::new(),
            newest: (0, 0),
            second: None,
        }
    }

    /// Makes a row share its layout with the rows before it; returns the memory of a new one.
    fn share_layout(&mut self, row: &mut Row) -> usize {
        let layout = &mut row.samples.layout;
        let same_address = |known: &&Layout| is_same(known, layout);
        let known = self.layouts.iter().find(same_address);
        if let Some(known) = known.or_else(|| self.layouts.iter().find(|known| *known == layout)) {
            *layout = known.clone();
            return 0;
        }
        if self.layouts.len() == LAYOUTS_MAX {
            self.layouts.remove(0);
        }
        self.layouts.push(layout.clone());
        layout.iter().map(|key| size_of_val(key) + key.as_str().len()).sum()
    }

    /// Remembers the last of some rows, in each lane.
    fn note(&mut self, rows: &[Row]) {
        for (at, row) in rows.iter().enumerate() {
            let late = order(row) < self.newest;
            self.newest = self.newest.max(order(row));
            let layout = &row.samples.layout;
            let known = |lane: &Lane| lane.late == late && is_same(&lane.layout, layout);
            let mut lane = match self.lanes.iter().rposition(known) {
                Some(place) => self.lanes.remove(place),
                None => Lane {
                    late,
                    layout: layout.clone(),
                    second: None,
                    kept: true,
                    place: None,
                    row: None,
                },
            };
            // The first frame of a second is the one that is kept of it.
            lane.kept = lane.second.replace(second(row)) != Some(second(row));
            lane.place = Some(at);
            if self.lanes.len() == LANES_MAX {
                self.lanes.remove(0);
            }
            self.lanes.push(lane);
        }
        for lane in &mut self.lanes {
            if let Some(row) = lane.place.take().and_then(|at| rows.get(at)) {
                lane.row = Some(row.clone());
            }
        }
    }
}

impl Times {
    fn overlap(self, (from_ms, to_ms): (u64, u64)) -> bool {
        self.0 < to_ms && self.1 >= from_ms
    }
}

impl Taken {
    /// Whether there is a frame with a time in `from_ms..to_ms`, or may be.
    pub(in crate::analysis) fn overlaps(&self, times_ms: (u64, u64)) -> bool {
        self.times.overlap(times_ms)
    }

    #[cfg(test)]
    /// Whether there is no frame.
    pub(in crate::analysis) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.waiting.iter().all(|(_, rows)| rows.is_empty())
    }

    /// The frames by session, each in order of arrival, with what their first rates begin at.
    pub(in crate::analysis) fn rows(self) -> Vec<SessionRows> {
        let mut sessions: Vec<SessionRows> = Vec::new();
        let sealed = self.sealed.iter().map(|(session, block)| (*session, block.open()));
        for (session, mut rows) in sealed.chain(self.waiting) {
            if rows.is_empty() {
                continue;
            }
            match sessions.iter_mut().find(|known| known.session == session) {
                Some(known) => known.rows.append(&mut rows),
                None => {
                    let before = self.before.iter().find(|(known, _)| *known == session);
                    let before = before.map_or_else(Vec::new, |(_, before)| before.clone());
                    sessions.push(SessionRows { session, before, rows });
                }
            }
        }
        sessions
    }

    /// One segment of the finest tier for each session.
    pub(in crate::analysis) fn thin(self, pool: &Arc<KeyPool>) -> Thinned {
        thin(self.rows(), pool)
    }
}

fn order(row: &Row) -> (u64, u64) {
    (row.elapsed_us, row.seq)
}

fn second(row: &Row) -> u64 {
    row.time_ms / u64::from(SECOND_MS)
}

fn row_bytes(row: &Row) -> usize {
    size_of::<Row>() + row.samples.values.len() * size_of::<Value>()
}

fn is_same(one: &Layout, other: &Layout) -> bool {
    std::ptr::eq(one.as_ptr(), other.as_ptr())
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
