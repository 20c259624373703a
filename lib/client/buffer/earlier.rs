//! The buffer's part that has to do with what is on disk and has to be sent: sessions of earlier
//! runs, and what was put away of this one.
//!
//! Sessions of earlier runs come first in the backlog, the oldest first; then what is on disk of
//! this one; then the rest. All of it is paced together, behind live frames.

use super::{Acked, Buffer};
use crate::client::shelf::Shelf;
use crate::client::spool::Recovered;
use crate::metric::{Declaration, Frame, SeqRange, SessionId};
use crate::wire::message::EarlierSession;

/// Earlier sessions that are kept with their frames. Together with the bare ones and the own that
/// is less than Hello may name (256) and than the ledger keeps open of one host (64). A client
/// that restarts every minute without a server has half an hour of them.
pub(in crate::client) const EARLIER_SESSIONS_MAX: usize = 32;

/// Sessions given up beyond that, of which only the loss is still to be declared.
pub(in crate::client) const EARLIER_BARE_MAX: usize = 16;

/// Frames read back are asked for when no more than this many are left to send.
const RECALLED_LOW: usize = 32;

impl Buffer {
    /// Sessions that earlier runs left.
    pub(in crate::client) fn found(&mut self, sessions: Vec<Recovered>) {
        if let Some(spooled) = &mut self.spooled {
            spooled.earlier.extend(sessions.into_iter().map(Shelf::earlier));
        }
    }

    /// Earlier sessions of which something changed that the disk does not know.
    pub(in crate::client) fn changed(&self) -> Vec<SessionId> {
        let changed = self.earlier().filter(|shelf| shelf.is_changed);
        changed.map(|shelf| shelf.session).collect()
    }

    /// Numbers of the earlier sessions that hold frames, oldest first; then of those that have
    /// nothing but declarations.
    pub(in crate::client) fn earlier_sessions(&self) -> (Vec<SessionId>, Vec<SessionId>) {
        let split = self.earlier().map(|shelf| (shelf.session, shelf.kept.is_empty()));
        let (bare, full): (Vec<_>, Vec<_>) = split.partition(|(_, is_bare)| *is_bare);
        let ids = |list: Vec<(SessionId, bool)>| list.into_iter().map(|(id, _)| id).collect();
        (ids(full), ids(bare))
    }

    /// A session of which nothing can be said any more.
    pub(in crate::client) fn forget(&mut self, session: SessionId) {
        if let Some(spooled) = &mut self.spooled {
            let known = spooled.earlier.len();
            spooled.earlier.retain(|shelf| shelf.session != session);
            spooled.forgotten += (known - spooled.earlier.len()) as u64;
            spooled.finished.push(session);
        }
    }

    /// Earlier sessions that are settled: their files can go.
    pub(in crate::client) fn take_finished(&mut self) -> Vec<SessionId> {
        self.spooled.as_mut().map_or_else(Vec::new, |it| std::mem::take(&mut it.finished))
    }

    /// What to read back next.
    pub(in crate::client) fn wanted(&self) -> Option<(SessionId, SeqRange)> {
        let spooled = self.spooled.as_ref()?;
        if spooled.recalled.len() > RECALLED_LOW {
            return None;
        }
        let announced = self.earlier().filter(|shelf| shelf.is_announced);
        let first = |shelf: &Shelf| Some((shelf.session, shelf.wanted()?));
        announced.chain([&self.own]).find_map(first)
    }

    /// Frames were read back. If they are not what is wanted next, they were asked for on an
    /// earlier stream, and this one begins before them: they are read again.
    pub(in crate::client) fn recalled(&mut self, asked: SessionId, frames: Vec<Frame>) {
        let Some(spooled) = &mut self.spooled else { return };
        spooled.is_unreadable = false;
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        let (first, last) = (first.seq, last.seq);
        let Some(shelf) = self.shelf_mut(asked) else { return };
        if shelf.wanted().is_none_or(|wanted| wanted.0 != first) {
            return;
        }
        shelf.asked_through(last);
        if let Some(spooled) = &mut self.spooled {
            spooled.recalled.extend(frames.into_iter().map(Box::new));
        }
    }

    /// Nothing can be read now.
    pub(in crate::client) fn set_unreadable(&mut self) {
        if let Some(spooled) = &mut self.spooled {
            spooled.is_unreadable = true;
        }
    }

    /// The earlier sessions for Hello, with the first and last number that is not settled. Only
    /// their frames may be on the stream.
    pub(in crate::client) fn announce(&mut self) -> Vec<EarlierSession> {
        let earlier = self.spooled.iter_mut().flat_map(|spooled| &mut spooled.earlier);
        earlier
            .take(EARLIER_SESSIONS_MAX + EARLIER_BARE_MAX)
            .filter_map(|shelf| {
                shelf.is_announced = true;
                let (session, tail_unknown) = (shelf.session, shelf.tail_unknown);
                Some(EarlierSession { session, range: (shelf.first()?, shelf.last), tail_unknown })
            })
            .collect()
    }

    /// Whether there are sessions that this stream's Hello did not name.
    pub(in crate::client) fn is_hello_outdated(&self) -> bool {
        let mut named = self.earlier().take(EARLIER_SESSIONS_MAX + EARLIER_BARE_MAX);
        named.any(|shelf| !shelf.is_announced)
    }

    /// Takes out what an ack of an earlier session covers; `None` when there is no such session.
    pub(in crate::client) fn acknowledge_earlier(
        &mut self,
        session: SessionId,
        through: u64,
        ranges: &[SeqRange],
    ) -> Option<Acked> {
        let shelf = self.shelf_mut(session).filter(|shelf| shelf.is_announced)?;
        let mut acked = Acked::default();
        for range in [(0, through)].iter().chain(ranges).filter(|(a, b)| a <= b) {
            let (frames, beyond) = shelf.acknowledge(*range);
            acked.frames += frames;
            acked.beyond |= beyond || range.1 > shelf.last;
        }
        let is_settled = shelf.is_settled();
        self.pace.answered(acked.frames);
        self.landed(acked.frames);
        if is_settled && let Some(spooled) = &mut self.spooled {
            spooled.earlier.retain(|shelf| shelf.session != session);
            spooled.finished.push(session);
        }
        Some(acked)
    }

    /// Frames of earlier sessions on their way.
    pub(super) fn earlier_in_flight(&self) -> u64 {
        self.earlier().map(Shelf::in_flight).sum()
    }

    /// Frames of earlier sessions that wait.
    pub(in crate::client) fn earlier_waiting(&self) -> u64 {
        self.earlier().map(|shelf| shelf.kept.count()).sum()
    }

    /// Sessions and ranges whose declarations were given up.
    pub(in crate::client) fn earlier_forgotten(&self) -> u64 {
        let lists: u64 = self.earlier().map(|shelf| shelf.gone.forgotten()).sum();
        lists + self.spooled.as_ref().map_or(0, |spooled| spooled.forgotten)
    }

    /// The next frame that was read back and still waits, marked as sent.
    pub(super) fn next_recalled(&mut self, now_us: u64) -> Option<Box<Frame>> {
        loop {
            let frame = self.spooled.as_mut()?.recalled.pop_front()?;
            let seq = frame.seq;
            if self.shelf_mut(frame.session).is_some_and(|shelf| shelf.send(seq)) {
                self.pace.sent_backlog(frame.interval_ms, now_us);
                return Some(frame);
            }
        }
    }

    /// Whether frames are to be read back before those in memory go on.
    pub(super) fn is_recalling(&self) -> bool {
        self.spooled.as_ref().is_some_and(|spooled| !spooled.is_unreadable)
            && self.wanted().is_some()
    }

    /// The next declaration of an earlier session.
    pub(super) fn next_earlier_declaration(&mut self) -> Option<Declaration> {
        let spooled = self.spooled.as_mut()?;
        spooled.earlier.iter_mut().filter(|shelf| shelf.is_announced).find_map(|shelf| {
            let (range, reason) = shelf.gone.next()?;
            Some(Declaration { session: shelf.session, range, reason })
        })
    }

    /// Whether something of an earlier session was not handed to this stream yet.
    pub(super) fn has_earlier(&self) -> bool {
        let unsent = |shelf: &Shelf| shelf.gone.has_unsent() || shelf.wanted().is_some();
        let recalled = self.spooled.as_ref().is_some_and(|it| !it.recalled.is_empty());
        recalled || self.earlier().any(|shelf| shelf.is_announced && unsent(shelf))
    }

    pub(super) fn start_stream_of_earlier(&mut self) {
        let Some(spooled) = &mut self.spooled else { return };
        spooled.recalled.clear();
        spooled.earlier.iter_mut().for_each(Shelf::start_stream);
    }
}
