//! The account of one session: every number from 1 to the largest one heard of is in exactly one
//! class, so that `sampled = stored + waiting + missing + dropped` cannot fail to hold.
//!
//! The classes, the first that fits:
//!
//! | class | the number |
//! |---|---|
//! | stored | arrived |
//! | dropped | was declared gone by the client, and did not arrive |
//! | before our time | was settled before analysis first heard of the session, or may have been; not counted at all |
//! | missing | is settled, and did not arrive; or its session has ended, and nobody will send it |
//! | waiting | everything else: sampled, and on its way or in the client's buffer |
//!
//! *Settled* is what a server's session record says: acknowledged (`acked`), or below the first
//! number that the client still had to send (`first_seq`). Why no grace is needed: a server
//! acknowledges a frame after the bus has it, and writes the session record that tells of it
//! after that, with the same key. So in the one partition of the host, every frame that a record
//! lists stands before the record: when the record is read, the frame was read, or it is gone.
//!
//! *May have been*: when analysis meets a session in the middle, a number that its first record
//! does not list may be with the client still, or with a server that died before it told. If it
//! then turns up as settled by nobody whose earlier word is known, it is not called missing.

use std::sync::Arc;
use std::time::Duration;

use super::sets;
use crate::analysis::view::Ledger;
use crate::metric::{SeqRange, SeqRanges};
use crate::wire::json::SessionRecord;
use crate::wire::message::{LEFT_IN_PART, LEFT_IN_SPOOL};

/// Largest frame number: what every reader of JSON holds exactly (2^53 - 1), as on the server.
pub(super) const SEQ_MAX: u64 = (1 << 53) - 1;

/// Most ranges that one account keeps of each kind; a client that loses every second frame for
/// 34 minutes at 1 Hz gets there. 16 KiB a set.
pub(super) const LEDGER_RANGES_MAX: usize = 1_024;

/// Missing ranges that one answer lists.
pub(super) const MISSING_RANGES_SHOWN_MAX: usize = 64;

/// How servers say in `ended` that the client took its leave; any other reason means that the
/// stream broke, and that nobody knows what else the client sampled.
pub(in crate::analysis) const BYE: &str = "bye";

/// How servers say that a later run of the client brings what this one left in its spool, where
/// each frame was written before it was sent: then the tail is known.
const SPOOLED: &str = LEFT_IN_SPOOL;

/// Streams of one session whose word is remembered while anything is in doubt.
pub(super) const DOUBT_STREAMS_MAX: usize = 8;

/// How long after a session was last heard of, while the host has a newer one, its frames may
/// still be on their way: a client that restarts with a spool sends the old ones at once.
const REPLACED_GRACE: Duration = Duration::from_secs(60);

/// How long a session that nobody replaced may be silent: a client keeps about an hour of frames
/// in its buffer while it looks for a server.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60 * 60);

/// What became of a frame that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) enum Verdict {
    /// Seen for the first time.
    New,
    /// Seen before.
    Doubled,
    /// Its part of the account is closed; nobody can tell whether it was seen before.
    TooLate,
}

/// The account of one session.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) stored: SeqRanges,
    pub(super) declared: SeqRanges,
    pub(super) settled: SeqRanges,
    pub(super) before: Before,
    pub(super) doubt: Doubt,
    /// Largest number heard of.
    pub(super) top: u64,
    /// Numbers below it were folded into `folded` and are in no set any more.
    pub(super) floor: u64,
    pub(super) folded: Ledger,
    pub(super) doubled: u64,
    /// Stored frames that history does not keep one by one.
    pub(super) thinned: u64,
    pub(super) ended: Option<String>,
    /// Where the newest stream began, as far as was heard since the start of this process.
    pub(super) newest_first: u64,
    /// Monotonic.
    pub(super) heard: Duration,
    /// Records of this host's partition were gone from the bus before they were read.
    pub(super) gap: bool,
    /// Since the store was last told.
    pub(super) changed: bool,
}

/// What was settled before analysis first heard of the session.
#[derive(Debug)]
pub(super) enum Before {
    /// No session record yet: everything below the first frame seen.
    Open { first: Option<u64>, first_live: Option<u64> },
    /// As the session records told.
    Known(SeqRanges),
}

/// Numbers of a session met in the middle of which the first record said nothing, and the streams
/// whose word is known: server, and the first number on that stream.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    pub(super) numbers: SeqRanges,
    pub(super) streams: Vec<(Arc<str>, u64)>,
}

/// What else is going on at the session's host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    /// Monotonic.
    pub(super) now: Duration,
    /// The host has a newer session.
    pub(super) replaced: bool,
}

/// The account in numbers and words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) ledger: Ledger,
    pub(super) missing: Vec<(SeqRange, String)>,
    pub(super) ended: Option<String>,
}

impl Default for Before {
    fn default() -> Self {
        Self::Open { first: None, first_live: None }
    }
}

impl Account {
    /// A frame arrived. `live`: it was sent right after it was sampled, in the order of numbers, and
    /// not overtaken in its server, so that every larger number was published after it.
    pub(super) fn frame(&mut self, seq: u64, live: bool, now: Duration) -> Verdict {
        self.heard = self.heard.max(now);
        self.changed = true;
        if seq < self.floor {
            return Verdict::TooLate;
        }
        if !self.stored.insert(seq) {
            self.doubled += 1;
            return Verdict::Doubled;
        }
        if let Before::Open { first, first_live } = &mut self.before {
            first.get_or_insert(seq);
            if live {
                first_live.get_or_insert(seq);
            }
        }
        self.top = self.top.max(seq);
        // The stream has found another way; a client that took its leave does not come back, and
        // frames from its spool do not bring it back.
        if live && !self.has_last_word() {
            self.ended = None;
        }
        self.bound();
        Verdict::New
    }

    /// A server's session record arrived.
    ///
    /// # Errors
    /// Words, when it holds numbers that cannot be meant; nothing of it was taken.
    pub(super) fn record(&mut self, record: &SessionRecord, now: Duration) -> Result<(), String> {
        let below_first = (1, record.first_seq.saturating_sub(1));
        let dropped = record.dropped.iter().map(|(range, _)| *range);
        let ranges = record.acked.iter().copied().chain(dropped.clone()).chain([below_first]);
        let top = ranges.map(|range| range.1).max().unwrap_or(0).max(record.sampled_through);
        if top > SEQ_MAX {
            return Err(format!(
                "frame {top} of session {}: expected at most {SEQ_MAX}",
                record.session
            ));
        }
        self.heard = self.heard.max(now);
        self.changed = true;
        self.top = self.top.max(top);
        let mut settled = SeqRanges::new();
        settled.insert_range(below_first);
        for range in &record.acked {
            settled.insert_range(*range);
        }
        self.resolve_before(record, &settled);
        for range in settled.as_slice() {
            self.settled.insert_range(sets::at_least(*range, self.floor));
        }
        for range in dropped {
            self.declared.insert_range(sets::at_least(range, self.floor));
        }
        self.take_end(record);
        self.bound();
        Ok(())
    }

    /// What a record says of the session's end. A server that a client has left may notice much
    /// later that the stream is gone, when another one has long carried the session on: streams
    /// follow each other with growing first numbers, and the newest says how it stands.
    fn take_end(&mut self, record: &SessionRecord) {
        let is_newest = record.first_seq >= self.newest_first;
        self.newest_first = self.newest_first.max(record.first_seq);
        let is_last_word = record.ended.as_deref().is_some_and(is_last_word);
        if !self.said_goodbye() && (is_last_word || is_newest && !self.has_last_word()) {
            self.ended.clone_from(&record.ended);
        }
    }

    /// Works out what was before our time.
    fn resolve_before(&mut self, record: &SessionRecord, settled: &SeqRanges) {
        let before = match &mut self.before {
            Before::Known(before) => before,
            Before::Open { first_live, .. } => {
                // What follows the first live frame seen was published after it: it was to be
                // seen.
                let limit = first_live.unwrap_or(u64::MAX);
                let through = record.sampled_through.min(limit.saturating_sub(1));
                let said_nothing = sets::Rest::new((record.first_seq.max(1), through));
                self.doubt.numbers = sets::collect(said_nothing.without(settled).0.ranges());
                self.before = Before::Known(sets::below(settled, limit));
                self.doubt.streams.push((record.server.clone(), record.first_seq));
                return;
            }
        };
        if self.doubt.numbers.as_slice().is_empty() {
            return;
        }
        let stream = (record.server.clone(), record.first_seq);
        let known = self.doubt.streams.contains(&stream);
        let (open, told) = sets::Rest::of(&self.doubt.numbers).split(settled);
        for range in told.ranges() {
            // A stream that did not list it before lists it now: it was published in between.
            let listed = if known { record.acked.as_slice() } else { &[] };
            for range in sets::Rest::new(*range).without(&sets::collect(listed)).0.ranges() {
                before.insert_range(*range);
            }
        }
        self.doubt.numbers = sets::collect(open.ranges());
        if !known {
            // More streams than this in one session are as good as unknown.
            self.doubt.streams.truncate(DOUBT_STREAMS_MAX - 1);
            self.doubt.streams.push(stream);
        }
    }

    /// Records of this host's partition are gone: what turns out missing has a likely reason.
    pub(super) fn note_gap(&mut self) {
        (self.gap, self.changed) = (true, true);
    }

    /// Frames that history does not keep one by one.
    pub(super) fn note_thinned(&mut self, count: u64) {
        self.thinned += count;
        self.changed |= count > 0;
    }

    /// Whether the session is over, as far as anybody can tell.
    pub(super) fn is_over(&self, around: Around) -> bool {
        self.ended.is_some() || self.given_up(around).is_some()
    }

    /// Whether the client took its leave.
    pub(super) fn said_goodbye(&self) -> bool {
        self.ended.as_ref().is_some_and(|reason| reason.starts_with(BYE))
    }

    /// Whether how it ended is known from the client, so that no server's guess changes it.
    fn has_last_word(&self) -> bool {
        self.ended.as_deref().is_some_and(is_last_word)
    }

    /// Why the frames that still wait will not come any more.
    fn given_up(&self, around: Around) -> Option<&'static str> {
        let silence = around.now.saturating_sub(self.heard);
        if self.said_goodbye() {
            Some("the client stopped; they were neither acknowledged nor declared dropped")
        } else if around.replaced && silence >= REPLACED_GRACE {
            Some("the session ended without a goodbye and another took its place")
        } else if silence >= SILENCE_MAX {
            Some("the session has been silent for an hour")
        } else {
            None
        }
    }

    /// The account as it stands.
    pub(super) fn tally(&self, around: Around) -> Tally {
        let rest = sets::Rest::new((self.floor.max(1), self.top));
        let (rest, stored) = rest.without(&self.stored);
        let (rest, dropped) = rest.without(&self.declared);
        let (rest, _) = match &self.before {
            Before::Known(before) => rest.without(before),
            Before::Open { first, .. } => {
                // Until a record says more, the session begins with the first frame seen.
                let mut before = SeqRanges::new();
                before.insert_range((1, first.unwrap_or(1).saturating_sub(1)));
                rest.without(&before)
            }
        };
        let given_up = self.given_up(around);
        let rest = match given_up {
            // What stayed in doubt to the end was most likely settled before our time.
            Some(_) => rest.without(&self.doubt.numbers).0,
            None => rest,
        };
        let (unsettled, unaccounted) = rest.split(&self.settled);
        let lost = if given_up.is_some() { unsettled.count() } else { 0 };
        let mut ledger = Ledger {
            stored,
            dropped,
            missing: unaccounted.count() + lost,
            waiting: unsettled.count() - lost,
            doubled: self.doubled,
            thinned: self.thinned,
            tails_unknown: u64::from(self.tail_unknown(given_up).is_some()),
            ..Ledger::default()
        };
        ledger.sampled = ledger.stored + ledger.dropped + ledger.missing + ledger.waiting;
        // Settled, less what was settled before our time and never came.
        ledger.acknowledged = ledger.sampled - self.unacknowledged(&unsettled);
        super::add(&mut ledger, &self.folded);
        Tally {
            missing: self.missing(&unaccounted, given_up.map(|reason| (&unsettled, reason))),
            ledger,
            ended: self.ended_words(given_up),
        }
    }

    /// How many of those that count are not settled: the ones that wait, and those that arrived
    /// or were dropped ahead of their acknowledgement.
    fn unacknowledged(&self, unsettled: &sets::Rest) -> u64 {
        let ahead = |set: &SeqRanges, but: &SeqRanges| -> u64 {
            let rest = sets::Rest::of(set).split(&self.settled).0;
            rest.split(but).0.count()
        };
        let none = SeqRanges::new();
        unsettled.count() + ahead(&self.stored, &none) + ahead(&self.declared, &self.stored)
    }

    fn missing(
        &self,
        unaccounted: &sets::Rest,
        lost: Option<(&sets::Rest, &str)>,
    ) -> Vec<(SeqRange, String)> {
        let reason = if self.gap {
            "acknowledged, but gone from the bus before it was read"
        } else {
            "acknowledged, but not found in the bus"
        };
        let mut missing: Vec<_> = Vec::new();
        if self.folded.missing > 0 {
            let why = format!("{} of these, not kept one by one", self.folded.missing);
            missing.push(((1, self.floor - 1), why));
        }
        let with = |reason: &str| {
            let reason = reason.to_owned();
            move |range: &SeqRange| (*range, reason.clone())
        };
        missing.extend(unaccounted.ranges().iter().map(with(reason)));
        if let Some((lost, reason)) = lost {
            missing.extend(lost.ranges().iter().map(with(reason)));
        }
        missing.sort_by_key(|(range, _)| *range);
        missing.truncate(MISSING_RANGES_SHOWN_MAX);
        missing
    }

    fn ended_words(&self, given_up: Option<&str>) -> Option<String> {
        let Some(words) = self.tail_unknown(given_up) else { return self.ended.clone() };
        let top = self.top;
        Some(format!("{words}; tail unknown: nobody can tell what it sampled after frame {top}"))
    }

    /// How the session ended, if nobody can tell what else it sampled.
    fn tail_unknown<'a>(&'a self, given_up: Option<&'a str>) -> Option<&'a str> {
        match self.ended.as_deref() {
            Some(_) if self.said_goodbye() => None,
            // Where the disk failed, only some of it was written.
            Some(reason) if reason.starts_with(LEFT_IN_PART) => Some(reason),
            Some(reason) if reason.starts_with(SPOOLED) => None,
            ended => ended.or(given_up),
        }
    }
}

/// Whether an end is told by the client, or by the next run of it.
fn is_last_word(reason: &str) -> bool {
    reason.starts_with(BYE) || reason.starts_with(SPOOLED)
}
