//! The frames of one session inside the live window, in the order of `elapsed_us`.
//!
//! The newest rows are open, everything older is sealed in blocks. A late frame opens the block
//! it belongs to; that block is sealed again when another is opened, or when it has grown to two,
//! so that a client's backlog, which arrives in order, costs one opening and not one per frame.

use std::collections::VecDeque;
use std::sync::Arc;

use super::block::{Block, Row};
use crate::analysis::rate::{Deriver, KeyPool, Step};
use crate::metric::{SessionId, Value};

/// Rows of a block: enough that its first values and headers weigh little, few enough that the
/// open rows (on average half a block, at 16 bytes a sample) do not.
pub(super) const BLOCK_ROWS: usize = 32;

/// Rows in front of a late one that its rates are worked out from at least, if there are any.
const LOOK_BACK_ROWS: usize = 8;

/// Consecutive rows.
#[derive(Debug, Clone)]
pub(super) enum Segment {
    Sealed(Arc<Block>),
    Open(Vec<Row>),
}

/// Where a row went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// After all others.
    Newest,
    /// Between others.
    Among,
}

/// The frames of one session.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) session: SessionId,
    /// The last one is open and holds the newest rows; never empty itself, but for the first push.
    segments: VecDeque<Segment>,
    /// The segment that late frames opened, if it is not the last one.
    late_at: Option<usize>,
    cursor: Deriver,
    /// Derives a run of late frames; with the row it stands at.
    late_cursor: Option<(Deriver, (u64, u64))>,
    pool: Arc<KeyPool>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Segment {
    fn first_us(&self) -> u64 {
        match self {
            Self::Sealed(block) => block.first_elapsed_us,
            Self::Open(rows) => rows.first().map_or(0, |row| row.elapsed_us),
        }
    }

    fn last_us(&self) -> u64 {
        match self {
            Self::Sealed(block) => block.last_elapsed_us,
            Self::Open(rows) => rows.last().map_or(0, |row| row.elapsed_us),
        }
    }

    fn last_key(&self) -> (u64, u64) {
        match self {
            Self::Sealed(block) => (block.last_elapsed_us, block.last_seq),
            Self::Open(rows) => rows.last().map_or((0, 0), sort_key),
        }
    }

    fn last_time_ms(&self) -> u64 {
        match self {
            Self::Sealed(block) => block.last_time_ms,
            Self::Open(rows) => rows.last().map_or(0, |row| row.time_ms),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Sealed(block) => block.rows,
            Self::Open(rows) => rows.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Sealed(block) => block.bytes_len(),
            Self::Open(rows) => rows.iter().map(row_bytes).sum(),
        }
    }

    /// The rows, decoded if need be.
    pub(super) fn open(&self) -> Vec<Row> {
        match self {
            Self::Sealed(block) => block.open(),
            Self::Open(rows) => rows.clone(),
        }
    }
}

impl Ring {
    pub(super) fn new(session: SessionId, pool: Arc<KeyPool>) -> Self {
        Self {
            session,
            segments: VecDeque::new(),
            late_at: None,
            cursor: Deriver::new(pool.clone()),
            late_cursor: None,
            pool,
            rows: 0,
            bytes: 0,
        }
    }

    /// Elapsed of the newest row.
    pub(super) fn newest_us(&self) -> Option<u64> {
        self.segments.back().map(Segment::last_us)
    }

    /// Time of the newest row.
    pub(super) fn newest_ms(&self) -> Option<u64> {
        self.segments.back().map(Segment::last_time_ms)
    }

    /// Puts a row in its place and derives its values.
    pub(super) fn push(&mut self, mut row: Row) -> (Place, Step) {
        let key = (row.elapsed_us, row.seq);
        let newest = match self.segments.back() {
            Some(Segment::Open(rows)) => rows.last().is_none_or(|last| sort_key(last) <= key),
            _ => true,
        };
        let (place, step) = if newest {
            let step = self.cursor.derive(row.elapsed_us, &row.samples);
            step.plan.keep(&mut row.samples);
            self.append(row);
            (Place::Newest, step)
        } else {
            let (elapsed_us, samples) = (row.elapsed_us, row.samples.clone());
            let key = sort_key(&row);
            let place = self.insert(row);
            let mut deriver = self.late_deriver(place);
            let step = deriver.derive(elapsed_us, &samples);
            self.late_cursor = Some((deriver, key));
            (Place::Among, step)
        };
        (place, step)
    }

    fn append(&mut self, row: Row) {
        self.rows += 1;
        self.bytes += row_bytes(&row);
        if let Some(Segment::Open(rows)) = self.segments.back_mut() {
            rows.push(row);
            if rows.len() <= BLOCK_ROWS {
                return;
            }
            // The newest row stays open, so that the last segment always is.
            let last = rows.pop();
            self.seal(self.segments.len() - 1);
            self.segments.push_back(Segment::Open(last.into_iter().collect()));
        } else {
            self.segments.push_back(Segment::Open(vec![row]));
        }
    }

    /// Puts a late row among the others; returns segment and place.
    fn insert(&mut self, row: Row) -> (usize, usize) {
        let key = sort_key(&row);
        let after = self.segments.partition_point(|segment| segment.first_us() <= row.elapsed_us);
        let at = after.saturating_sub(1);
        self.open_for_late(at);
        self.rows += 1;
        self.bytes += row_bytes(&row);
        let last = at + 1 == self.segments.len();
        let Some(Segment::Open(rows)) = self.segments.get_mut(at) else { return (at, 0) };
        let place = rows.partition_point(|known| sort_key(known) <= key);
        rows.insert(place, row);
        if rows.len() < 2 * BLOCK_ROWS {
            return (at, place);
        }
        let upper = rows.split_off(BLOCK_ROWS);
        self.segments.insert(at + 1, Segment::Open(upper));
        if last {
            self.seal(at);
        } else {
            // The run of late rows goes on where this one went.
            let (keep, seal) = if place < BLOCK_ROWS { (at, at + 1) } else { (at + 1, at) };
            self.seal(seal);
            self.late_at = Some(keep);
        }
        if place < BLOCK_ROWS { (at, place) } else { (at + 1, place - BLOCK_ROWS) }
    }

    /// Opens a segment for late rows, and seals the one that was open before.
    fn open_for_late(&mut self, at: usize) {
        if let Some(before) = self.late_at.filter(|before| *before != at) {
            self.late_at = None;
            self.seal(before);
        }
        if let Some(Segment::Sealed(block)) = self.segments.get(at) {
            let opened = Segment::Open(block.open());
            self.replace(at, opened);
            self.late_at = Some(at);
        }
    }

    fn seal(&mut self, at: usize) {
        if let Some(Segment::Open(rows)) = self.segments.get(at)
            && !rows.is_empty()
        {
            let sealed = Segment::Sealed(Arc::new(Block::seal(rows)));
            self.replace(at, sealed);
        }
    }

    fn replace(&mut self, at: usize, segment: Segment) {
        if let Some(place) = self.segments.get_mut(at) {
            self.bytes = self.bytes.saturating_sub(place.bytes()) + segment.bytes();
            *place = segment;
        }
    }

    /// What derives a late row that was put at `place`: the one that derived the row before it,
    /// or a fresh one that has read the rows in front of it.
    fn late_deriver(&mut self, (segment, place): (usize, usize)) -> Deriver {
        let front = match self.segments.get(segment) {
            Some(Segment::Open(rows)) => &rows[..place.min(rows.len())],
            _ => &[],
        };
        let earlier = segment.checked_sub(1).and_then(|at| self.segments.get(at));
        let before = front.last().map(sort_key).or_else(|| earlier.map(Segment::last_key));
        if let Some((deriver, _)) = self.late_cursor.take_if(|(_, at)| Some(*at) == before) {
            return deriver;
        }
        let mut fresh = Deriver::new(self.pool.clone());
        let earlier = earlier.filter(|_| front.len() < LOOK_BACK_ROWS).map(Segment::open);
        for row in earlier.unwrap_or_default().iter().chain(front) {
            let _ = fresh.derive(row.elapsed_us, &row.samples);
        }
        fresh
    }

    /// Lets go of what lies wholly before the window; returns how many rows.
    pub(super) fn trim(&mut self, before_us: u64, before_ms: u64) -> usize {
        let mut gone = 0;
        while self.segments.front().is_some_and(|segment| {
            segment.last_us() < before_us || segment.last_time_ms() < before_ms
        }) && self.segments.len() > 1
        {
            gone += self.pop_front();
        }
        gone
    }

    /// Whether even the newest row is older.
    pub(super) fn ends_before(&self, before_ms: u64) -> bool {
        self.newest_ms().is_none_or(|newest| newest < before_ms)
    }

    /// Lets go of the oldest segment; returns how many rows.
    pub(super) fn pop_front(&mut self) -> usize {
        let Some(segment) = self.segments.pop_front() else { return 0 };
        let rows = segment.rows();
        self.rows -= rows;
        self.bytes = self.bytes.saturating_sub(segment.bytes());
        self.late_at = self.late_at.and_then(|at| at.checked_sub(1));
        rows
    }

    pub(super) fn is_single(&self) -> bool {
        self.segments.len() <= 1
    }

    /// Every segment, to be read without a lock.
    pub(super) fn segments(&self) -> Vec<Segment> {
        self.segments.iter().cloned().collect()
    }
}

fn sort_key(row: &Row) -> (u64, u64) {
    (row.elapsed_us, row.seq)
}

fn row_bytes(row: &Row) -> usize {
    size_of::<Row>() + row.samples.values.len() * size_of::<Value>()
}
