//! What is durable of one session on one stream, and when the client is to be told. Pure.
//!
//! Nothing below the number the client began with was published here, so the account starts with
//! everything before it settled: the client itself no longer holds those frames.

use std::time::Duration;

use crate::metric::{SeqRange, SeqRanges};
use crate::wire::ACK_RANGES_MAX;

/// An ack is sent at the latest after this many frames ...
const FRAMES_PER_ACK_MAX: u64 = 32;

/// ... or this fraction of the client's window, so that it never runs dry waiting for one ...
const WINDOW_PARTS: u64 = 4;

/// ... or this long after the first frame it covers was received, or became known as gone. A bus
/// that needs as long to make frames durable adds nothing to it.
pub(super) const ACK_DELAY_MAX: Duration = Duration::from_secs(5);

/// Frames at the start of a stream that are acknowledged singly: each is one measurement for the
/// client's estimate of the server's clock.
const SINGLE_ACKS: u32 = 10;

/// Most ranges an account keeps (16 KiB). A client sends in order, so there are few: each stands
/// for a hole that the client neither filled nor declared.
pub(super) const RANGES_MAX: usize = 1_024;

/// Most declarations that wait to be published, and most published ones that are repeated in every
/// session record. Neighbours with the same reason count as one.
pub(super) const DECLARATIONS_MAX: usize = 256;

/// A client's word that frames are gone: which, and why.
pub(super) type Declared = (SeqRange, String);

/// One session's account.
#[derive(Debug)]
pub(super) struct Account {
    /// Durable or declared, and everything before the first number.
    settled: SeqRanges,
    /// Durable frames alone.
    durable: SeqRanges,
    /// Settled and not yet covered by an ack.
    untold: SeqRanges,
    untold_frames: u64,
    untold_since: Option<Duration>,
    /// Heard, not yet published.
    pending: Vec<Declared>,
    /// In a record on its way to the bus.
    publishing: Vec<Declared>,
    /// Published; the newest few.
    declared: Vec<Declared>,
    frames_per_ack: u64,
    singles_left: u32,
    due: bool,
    /// The frame received last among the settled ones, and when (Unix us).
    echo: (u64, u64),
}

/// What an ack says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub through: u64,
    pub ranges: Vec<SeqRange>,
    pub echo: (u64, u64),
}

impl Account {
    /// For a client that still holds frames from `first_seq` on and keeps `window_frames` in
    /// flight.
    pub(super) fn new(first_seq: u64, window_frames: u64) -> Self {
        let mut settled = SeqRanges::new();
        settled.insert_range((0, first_seq.saturating_sub(1)));
        Self {
            settled,
            durable: SeqRanges::new(),
            untold: SeqRanges::new(),
            untold_frames: 0,
            untold_since: None,
            pending: Vec::new(),
            publishing: Vec::new(),
            declared: Vec::new(),
            frames_per_ack: (window_frames / WINDOW_PARTS).clamp(1, FRAMES_PER_ACK_MAX),
            singles_left: SINGLE_ACKS,
            due: false,
            echo: (0, 0),
        }
    }

    /// A frame is durable; it was received at `received` (Unix us and monotonic).
    pub(super) fn frame_durable(&mut self, seq: u64, received: (u64, Duration)) {
        let (received_us, received_at) = received;
        self.durable.insert(seq);
        if received_us >= self.echo.1 {
            self.echo = (seq, received_us);
        }
        self.settle((seq, seq), received_at);
        self.untold_frames += 1;
        let single = self.singles_left > 0;
        self.singles_left = self.singles_left.saturating_sub(1);
        self.due |= single || self.untold_frames >= self.frames_per_ack;
    }

    /// Frames are gone; this counts as settled once it has been published.
    pub(super) fn declare(&mut self, range: SeqRange, reason: String) {
        push_merged(&mut self.pending, (range, reason));
    }

    /// No more declarations can be taken before some are published.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= DECLARATIONS_MAX
    }

    /// A record that holds all declarations so far is being made.
    pub(super) fn record_begun(&mut self) {
        for declared in self.pending.drain(..) {
            push_merged(&mut self.publishing, declared);
        }
    }

    /// That record is durable. Returns how many older declarations will not be repeated.
    pub(super) fn record_durable(&mut self, now: Duration) -> usize {
        for (range, reason) in std::mem::take(&mut self.publishing) {
            self.settle(range, now);
            self.due = true;
            push_merged(&mut self.declared, (range, reason));
        }
        let forgotten = self.declared.len().saturating_sub(DECLARATIONS_MAX);
        self.declared.drain(..forgotten);
        forgotten
    }

    /// That record will never be durable: its declarations are not settled.
    pub(super) fn record_refused(&mut self) {
        self.publishing.clear();
    }

    /// An ack is wanted now, if there is anything to say: a ping, or the end of the stream.
    pub(super) fn ask(&mut self) {
        self.due |= !self.untold.as_slice().is_empty();
    }

    /// Whether an ack is due at `now`.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        self.due |= self.untold_since.is_some_and(|since| now >= since + ACK_DELAY_MAX);
        self.due
    }

    /// The ack that is due; the caller sends it. Still due afterwards if its ranges had no room
    /// for everything.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Told> {
        if !self.is_due(now) {
            return None;
        }
        let through = self.through();
        let mut ranges: Vec<SeqRange> = Vec::new();
        while ranges.len() < ACK_RANGES_MAX
            && let Some((first, _)) = self.untold.remove_first()
        {
            let known = ranges.last().is_some_and(|last| last.1 >= first);
            if first > through && !known {
                ranges.extend(self.settled_around(first));
            }
        }
        self.untold_frames = 0;
        self.due = !self.untold.as_slice().is_empty();
        if !self.due {
            self.untold_since = None;
        }
        Some(Told { through, ranges, echo: self.echo })
    }

    /// Every number up to this one is settled.
    pub(super) fn through(&self) -> u64 {
        self.settled.as_slice().first().map_or(0, |range| range.1)
    }

    /// Durable frames.
    pub(super) fn durable(&self) -> &[SeqRange] {
        self.durable.as_slice()
    }

    /// Every declaration that is still repeated, published or not.
    pub(super) fn declarations(&self) -> impl Iterator<Item = &Declared> {
        self.declared.iter().chain(&self.publishing).chain(&self.pending)
    }

    /// Declarations wait to be published.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Nothing waits: neither for the bus nor to be told.
    pub(super) fn is_quiet(&self) -> bool {
        self.pending.is_empty()
            && self.publishing.is_empty()
            && self.untold.as_slice().is_empty()
            && !self.due
    }

    /// More holes than are kept account of.
    pub(super) fn is_torn(&self) -> bool {
        self.settled.as_slice().len() > RANGES_MAX || self.durable.as_slice().len() > RANGES_MAX
    }

    fn settle(&mut self, range: SeqRange, since: Duration) {
        self.settled.insert_range(range);
        self.untold.insert_range(range);
        self.untold_since = Some(self.untold_since.map_or(since, |first| first.min(since)));
    }

    fn settled_around(&self, seq: u64) -> Option<SeqRange> {
        let ranges = self.settled.as_slice();
        let at = ranges.partition_point(|range| range.1 < seq);
        ranges.get(at).copied()
    }
}

/// Appends, melting neighbours with the same reason into one.
fn push_merged(list: &mut Vec<Declared>, (range, reason): Declared) {
    if let Some((last, same)) = list.last_mut()
        && *same == reason
        && last.1.checked_add(1) == Some(range.0)
    {
        last.1 = range.1;
        return;
    }
    list.push((range, reason));
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
