//! The buffer's part that has to do with writing to the spool: what is to be written, what was
//! written, and what was put away.
//!
//! A frame is sent when it has been written, so that a later run knows of every frame that a
//! server may know of. A disk that cannot be written does not hold a frame back, and one that
//! makes no progress does so for [`PATIENCE_US`] at most: then frames go on as without a spool.

use std::collections::VecDeque;

use super::{Buffer, Place};
use crate::client::shelf::Shelf;
use crate::client::spool::State;
use crate::metric::{Frame, SeqRanges, SessionId};

/// How long a frame waits for a disk that makes no progress before it is sent all the same.
const PATIENCE_US: u64 = 1_000_000;

/// Frames written at a time.
const WRITE_FRAMES_MAX: usize = 64;

/// Memory of frames written at a time; on disk they take less.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// How it stands with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Writes {
    /// What earlier runs left is being read.
    Starting,
    /// It takes what it gets.
    Good,
    /// It does not; frames are in memory alone.
    Failing,
}

/// What is kept beside the frames.
#[derive(Debug)]
pub(super) struct Spooled {
    /// Oldest first.
    pub(super) earlier: VecDeque<Shelf>,
    /// In memory and not on disk yet.
    pub(super) unwritten: SeqRanges,
    writes: Writes,
    /// Since when a frame has waited to be written, as far as that was noticed.
    blocked_us: Option<u64>,
    pub(super) recalled: VecDeque<Box<Frame>>,
    /// Nothing can be read now: what is in memory goes first.
    pub(super) is_unreadable: bool,
    pub(super) finished: Vec<SessionId>,
    pub(super) forgotten: u64,
}

/// What is to be written next.
#[derive(Debug, Default)]
pub(in crate::client) struct Batch {
    pub(in crate::client) frames: Vec<Frame>,
    pub(in crate::client) state: State,
    pub(in crate::client) is_state_due: bool,
}

impl Buffer {
    /// From now on there is a spool, which is being opened.
    pub(in crate::client) fn use_spool(&mut self) {
        self.spooled = Some(Box::new(Spooled {
            earlier: VecDeque::new(),
            unwritten: SeqRanges::new(),
            writes: Writes::Starting,
            blocked_us: None,
            recalled: VecDeque::new(),
            is_unreadable: false,
            finished: Vec::new(),
            forgotten: 0,
        }));
    }

    /// How it stands with the disk; `None` without a spool.
    pub(in crate::client) fn writes(&self) -> Option<Writes> {
        self.spooled.as_ref().map(|spooled| spooled.writes)
    }

    /// The disk can be written or it cannot.
    pub(in crate::client) fn set_writes(&mut self, writes: Writes) {
        if let Some(spooled) = &mut self.spooled {
            spooled.writes = writes;
        }
    }

    /// Copies of the oldest frames that are not on disk, and what became of the others.
    pub(in crate::client) fn take_batch(&mut self) -> Batch {
        let Some(spooled) = &self.spooled else { return Batch::default() };
        let (mut frames, mut bytes) = (Vec::new(), 0);
        for seq in spooled.unwritten.as_slice().iter().flat_map(|range| range.0..=range.1) {
            if frames.len() >= WRITE_FRAMES_MAX || bytes >= WRITE_BYTES_MAX {
                break;
            }
            let Some(entry) = self.waiting.get(&seq) else { continue };
            bytes += entry.bytes;
            let mut frame = (*entry.frame).clone();
            // When it is sent is known later, and the difference takes the least room.
            frame.sent_ms = frame.time_ms;
            frames.push(frame);
        }
        if frames.is_empty() {
            return Batch::default();
        }
        let is_state_due = std::mem::take(&mut self.own.is_changed);
        Batch { frames, state: self.own_state(), is_state_due }
    }

    /// Frames are on disk now, or cannot be written at all (`refused`).
    pub(in crate::client) fn written(&mut self, frames: &SeqRanges, refused: &SeqRanges) {
        let Some(spooled) = &mut self.spooled else { return };
        spooled.blocked_us = None;
        for range in frames.as_slice() {
            // An ack may have been faster, or the buffer's limit.
            self.own.kept.extend(spooled.unwritten.within(*range));
            let gone = self.own.kept.count_in(*range) < range.1 - range.0 + 1;
            self.own.is_changed |= gone;
        }
        for range in frames.as_slice().iter().chain(refused.as_slice()) {
            spooled.unwritten.remove_range(*range);
        }
    }

    /// The state of a session as it is to be written; with it the word that it is on its way.
    pub(in crate::client) fn take_state(&mut self, session: SessionId) -> Option<State> {
        if session == self.session {
            self.own.is_changed = false;
            return Some(self.own_state());
        }
        let shelf = self.shelf_mut(session)?;
        shelf.is_changed = false;
        Some(shelf.state())
    }

    /// The state that was taken last did not reach the disk.
    pub(in crate::client) fn state_not_written(&mut self, session: SessionId) {
        if let Some(shelf) = self.shelf_mut(session) {
            shelf.is_changed = true;
        }
    }

    /// Whether any number of a file still waits, of its session.
    pub(in crate::client) fn needs(&self, session: SessionId, numbers: &SeqRanges) -> bool {
        let shelf = self.earlier().chain([&self.own]).find(|shelf| shelf.session == session);
        shelf.is_some_and(|shelf| {
            numbers.as_slice().iter().any(|range| shelf.kept.count_in(*range) > 0)
        })
    }

    /// Whether anything on disk waits for an ack.
    pub(in crate::client) fn needs_any(&self) -> bool {
        self.earlier().chain([&self.own]).any(|shelf| !shelf.is_settled())
    }

    /// These numbers are not on disk any more. What is not in memory either is gone, for `reason`;
    /// how many that are.
    pub(in crate::client) fn give_up(
        &mut self,
        session: SessionId,
        numbers: &SeqRanges,
        reason: &'static str,
    ) -> u64 {
        let is_own = session == self.session;
        let Some(shelf) = self.shelf_mut(session) else { return 0 };
        let (mut dropped, mut in_flight) = (0, 0);
        for range in numbers.as_slice() {
            let (lost, sent) = shelf.give_up(*range);
            in_flight += sent;
            for range in lost {
                dropped += range.1 - range.0 + 1;
                shelf.gone.add(range, reason);
            }
        }
        self.landed(in_flight);
        self.account.dropped += if is_own { dropped } else { 0 };
        dropped
    }

    /// When a frame that waits for the disk is sent all the same, monotonic us; `None` when none
    /// waits, or it may be sent at `now_us`.
    pub(in crate::client) fn patient_until_us(&self, now_us: u64) -> Option<u64> {
        let until_us = self.spooled.as_ref()?.blocked_us?.saturating_add(PATIENCE_US);
        (until_us > now_us).then_some(until_us)
    }

    /// What a kill would lose.
    #[cfg(test)]
    pub(in crate::client) fn in_memory_alone(&self) -> SeqRanges {
        let here = self.waiting.keys().filter(|seq| !self.own.kept.contains(**seq));
        here.map(|seq| (*seq, *seq)).collect()
    }

    /// Whether every frame in memory has had its chance to get to the disk.
    pub(in crate::client) fn is_written(&self) -> bool {
        self.spooled
            .as_ref()
            .is_none_or(|it| it.unwritten.is_empty() || it.writes == Writes::Failing)
    }

    /// Whether a frame may be sent: it is on disk, or the disk is not to be waited for.
    pub(super) fn may_send(&mut self, seq: u64, now_us: u64) -> bool {
        let Some(spooled) = &mut self.spooled else { return true };
        if spooled.writes == Writes::Failing || !spooled.unwritten.contains(seq) {
            return true;
        }
        now_us >= spooled.blocked_us.get_or_insert(now_us).saturating_add(PATIENCE_US)
    }

    /// Takes a frame out of memory that is on disk; false when it is not.
    pub(super) fn put_away(&mut self, seq: u64) -> bool {
        if !self.own.kept.contains(seq) {
            return false;
        }
        let place = self.waiting.get(&seq).map_or(Place::Unsent, |entry| entry.place);
        if !self.remove(seq) {
            return false;
        }
        self.own.kept.insert(seq);
        let is_sent = place != Place::Unsent;
        self.own.put_away(seq, is_sent);
        // What is on disk counts as backlog, also while it is in flight.
        if is_sent {
            self.pace.put_away();
        }
        true
    }

    /// Frames that are on disk alone are in flight no more.
    pub(super) fn landed(&mut self, frames: u64) {
        let frames = usize::try_from(frames).unwrap_or(usize::MAX);
        self.pace.backlog_landed(frames);
    }

    fn own_state(&self) -> State {
        let mut open = self.own.away.clone();
        open.extend(self.waiting.keys().map(|seq| (*seq, *seq)));
        let (through, open) = (self.account.sampled, open.as_slice().to_vec());
        State { through, open, gone: self.own.gone.list() }
    }

    pub(super) fn earlier(&self) -> impl Iterator<Item = &Shelf> {
        self.spooled.iter().flat_map(|spooled| &spooled.earlier)
    }

    pub(super) fn shelf_mut(&mut self, session: SessionId) -> Option<&mut Shelf> {
        if session == self.session {
            return Some(&mut self.own);
        }
        self.spooled.as_mut()?.earlier.iter_mut().find(|shelf| shelf.session == session)
    }
}
