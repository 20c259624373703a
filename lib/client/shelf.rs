//! One session's frames in the spool, as numbers: which are there, which were sent, what is next.
//! Pure; the frames themselves are read when their turn comes.

use super::gone::Gone;
use super::spool::{Recovered, State};
use crate::metric::{SeqRange, SeqRanges, SessionId};

/// Most ranges that acks may leave of what waits. A server that gets there acknowledges every
/// second frame; what it acknowledges beyond that waits on, and is sent again one day.
const RANGES_MAX: usize = 4_096;

/// Frames asked for at a time.
const WANTED_MAX: u64 = 64;

/// What waits of one session.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) session: SessionId,
    /// Last frame sampled, as far as is known; of an earlier session alone.
    pub(super) last: u64,
    /// There may have been more: its disk failed when it ended.
    pub(super) tail_unknown: bool,
    /// On disk, and not acknowledged.
    pub(super) kept: SeqRanges,
    /// Of these, what is on disk alone.
    pub(super) away: SeqRanges,
    /// Of these, what was sent on this stream.
    sent: SeqRanges,
    /// Everything below was asked for on this stream.
    next: u64,
    pub(super) gone: Gone,
    /// What was written of this is outdated.
    pub(super) is_changed: bool,
    /// The server knows from Hello that this session's frames may come.
    pub(super) is_announced: bool,
}

impl Shelf {
    /// The own session's, empty.
    pub(super) fn own(session: SessionId) -> Self {
        Self {
            session,
            last: 0,
            tail_unknown: false,
            kept: SeqRanges::new(),
            away: SeqRanges::new(),
            sent: SeqRanges::new(),
            next: 0,
            gone: Gone::default(),
            is_changed: false,
            is_announced: true,
        }
    }

    /// An earlier session's.
    pub(super) fn earlier(found: Recovered) -> Self {
        let mut shelf = Self::own(found.session);
        (shelf.last, shelf.is_announced, shelf.is_changed) = (found.last, false, true);
        shelf.tail_unknown = found.tail_unknown;
        (shelf.away, shelf.kept) = (found.waiting.clone(), found.waiting);
        found.gone.into_iter().for_each(|(range, reason)| shelf.gone.add(range, reason));
        shelf
    }

    /// A new stream has seen nothing.
    pub(super) fn start_stream(&mut self) {
        self.sent = SeqRanges::new();
        self.next = 0;
        self.gone.start_stream();
    }

    /// Frames that were read back and sent on this stream.
    pub(super) fn in_flight(&self) -> u64 {
        self.sent.count()
    }

    /// Whether there is nothing more to say of this session.
    pub(super) fn is_settled(&self) -> bool {
        self.kept.is_empty() && self.gone.is_empty()
    }

    /// The lowest number that is not settled.
    pub(super) fn first(&self) -> Option<u64> {
        [self.kept.first(), self.gone.first()].into_iter().flatten().min()
    }

    /// A frame is from now on to be found here alone; `sent`: it was sent on this stream.
    pub(super) fn put_away(&mut self, seq: u64, sent: bool) {
        self.away.insert(seq);
        if sent {
            self.sent.insert(seq);
        } else {
            self.next = self.next.min(seq);
        }
    }

    /// What to read next: neighbours, none of which was sent or asked for on this stream.
    pub(super) fn wanted(&self) -> Option<SeqRange> {
        let open = self.away.within((self.next, u64::MAX));
        open.flat_map(|range| self.sent.missing_in(range))
            .next()
            .map(|(first, last)| (first, last.min(first.saturating_add(WANTED_MAX - 1))))
    }

    /// These were read, or cannot be.
    pub(super) fn asked_through(&mut self, seq: u64) {
        self.next = self.next.max(seq.saturating_add(1));
    }

    /// Marks a frame that was read as sent; false when it may not be sent any more, or was.
    pub(super) fn send(&mut self, seq: u64) -> bool {
        self.away.contains(seq) && self.sent.insert(seq)
    }

    /// Takes out what an ack covers: how many of those that are here alone and were sent, and
    /// whether it spoke of some that were not.
    pub(super) fn acknowledge(&mut self, range: SeqRange) -> (u64, bool) {
        self.is_changed |= !self.gone.is_empty();
        self.gone.acknowledge(range);
        let here = self.away.count_in(range);
        if here == 0 {
            return (0, false);
        }
        let covered: Vec<SeqRange> = self.sent.within(range).collect();
        let mut count = 0;
        for part in covered {
            if self.kept.as_slice().len() < RANGES_MAX {
                count += self.forget(part);
            }
        }
        (count, count < here)
    }

    /// Gives up what is here alone; which that was, and how many of it were sent on this stream.
    pub(super) fn give_up(&mut self, range: SeqRange) -> (Vec<SeqRange>, u64) {
        let lost: Vec<SeqRange> = self.away.within(range).collect();
        let sent = lost.iter().map(|range| self.sent.count_in(*range)).sum();
        for range in &lost {
            self.forget(*range);
        }
        self.kept.remove_range(range);
        self.is_changed = true;
        (lost, sent)
    }

    /// What became of an earlier session.
    pub(super) fn state(&self) -> State {
        let open = self.kept.as_slice().to_vec();
        State { through: self.last, open, gone: self.gone.list() }
    }

    fn forget(&mut self, range: SeqRange) -> u64 {
        self.is_changed = true;
        self.kept.remove_range(range);
        self.sent.remove_range(range);
        self.away.remove_range(range)
    }
}
