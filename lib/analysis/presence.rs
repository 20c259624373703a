//! Is a host live, stale or ended; and is it one host at all?
//!
//! By arrival, on the monotonic clock of analysis: no frame for three of its intervals (at least
//! two seconds) makes a host stale, whatever any wall clock says. A frame that comes late counts
//! as having arrived as much earlier as it is late: neither a client's backlog nor the reading of
//! the topic after a restart makes a host fresh that has been silent.

use std::time::Duration;

use crate::analysis::ledger::BYE;
use crate::analysis::view::HostState;
use crate::metric::{Frame, SessionId};
use crate::wire::json::{FrameRecord, SessionRecord};
use crate::wire::message::LEFT_IN_SPOOL;

/// Intervals without a frame after which a host is stale.
const STALE_INTERVALS: u64 = 3;

/// And no sooner than this: one lost packet is resent within it (RFC 6298: first timeout 1 s).
const STALE_MIN_MS: u64 = 2_000;

/// What is less late than this has just been sampled.
const LATE_MS: u64 = 2_000;

/// Sent later than this after it was sampled, a frame is backlog: it waited in a client's buffer
/// or spool for a server, and says nothing about the way.
pub(in crate::analysis) const BACKLOG_MS: u64 = 5_000;

/// Two sessions that take turns for longer than this are two machines. A client that is replaced
/// by another takes one turn; frames under way may make it two.
const TURNS_MS: u64 = 10_000;

/// And they no longer are when no turn was taken for this long.
const TURNS_OVER_MS: u64 = 30_000;

/// What is known of a host's being there.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Presence {
    session: Option<SessionId>,
    /// The session before it.
    other: Option<SessionId>,
    /// Monotonic, in ms; before the start of this process for what was read late.
    arrived_ms: Option<i64>,
    interval_ms: u32,
    ended: Option<String>,
    /// Where the newest stream of the session began.
    newest_first: u64,
    turns: Option<Turns>,
}

/// Two sessions in turn, by the servers' clock.
#[derive(Debug, Clone, Copy)]
struct Turns {
    first_ms: u64,
    last_ms: u64,
    newest_ms: u64,
}

/// Whether a frame was sent too long after it was sampled to be called live.
pub(in crate::analysis) fn is_backlog(frame: &Frame) -> bool {
    frame.sent_ms.saturating_sub(frame.time_ms) > BACKLOG_MS
}

impl Presence {
    /// A frame arrived. `behind_ms`: how old the record is, when what was written earlier is
    /// being read; 0 at the end of the topic. Returns whether the host has a new session.
    pub(in crate::analysis) fn frame(
        &mut self,
        record: &FrameRecord,
        behind_ms: u64,
        now: Duration,
    ) -> bool {
        let frame = &record.frame;
        let late_ms = record.received_ms.saturating_sub(frame.time_ms) + behind_ms;
        let late_ms = if late_ms > LATE_MS { late_ms } else { 0 };
        let arrived_ms = millis(now).saturating_sub_unsigned(late_ms);
        self.arrived_ms = self.arrived_ms.max(Some(arrived_ms));
        // What waited in a server says nothing of now either, once there is another session.
        let is_of_before = record.overtaken && self.session != Some(frame.session);
        if is_backlog(frame) || is_of_before {
            return self.session.is_none() && self.change_to(frame.session, record.received_ms);
        }
        if !self.said_goodbye() || self.session != Some(frame.session) {
            self.ended = None;
        }
        let changed = self.change_to(frame.session, record.received_ms);
        // A one-shot reading has no interval of its own.
        if frame.interval_ms > 0 {
            self.interval_ms = frame.interval_ms;
        }
        if let Some(turns) = &mut self.turns {
            turns.newest_ms = turns.newest_ms.max(record.received_ms);
        }
        changed
    }

    /// A session record arrived. Returns whether the host has a new session.
    pub(in crate::analysis) fn record(&mut self, record: &SessionRecord, now: Duration) -> bool {
        let known = [self.session, self.other].contains(&Some(record.session));
        // A session that says hello is the host's, whatever it had before.
        let changed = !known && record.ended.is_none() || self.session.is_none();
        if changed {
            self.change_to(record.session, record.time_ms);
            self.ended = None;
        }
        if self.session == Some(record.session) {
            // A server that the client has left may notice that when another has long taken over.
            let is_newest = record.first_seq >= self.newest_first;
            self.newest_first = self.newest_first.max(record.first_seq);
            let is_goodbye = record.ended.as_deref().is_some_and(is_goodbye);
            if !self.said_goodbye() && (is_newest || is_goodbye) {
                self.ended.clone_from(&record.ended);
            }
            if self.interval_ms == 0 {
                let intervals = record.schedule.entries.iter().map(|entry| entry.interval_ms);
                self.interval_ms = intervals.filter(|ms| *ms > 0).min().unwrap_or(0);
            }
        }
        self.arrived_ms.get_or_insert(millis(now));
        changed
    }

    /// A host as it was on disk, not heard of since. `age_ms`: how old its newest frame is.
    pub(in crate::analysis) fn restore(
        &mut self,
        record: &SessionRecord,
        age_ms: u64,
        now: Duration,
    ) {
        self.record(record, now);
        self.arrived_ms = Some(millis(now).saturating_sub_unsigned(age_ms));
    }

    /// The newest session.
    pub(in crate::analysis) fn session(&self) -> SessionId {
        self.session.unwrap_or(SessionId(0))
    }

    /// Shortest interval of the newest frame that had one.
    pub(in crate::analysis) fn interval_ms(&self) -> u32 {
        self.interval_ms
    }

    /// State, the words to go with it, and how long ago the newest frame arrived.
    pub(in crate::analysis) fn state(&self, now: Duration) -> (HostState, Option<String>, u64) {
        let arrived_ms = self.arrived_ms.unwrap_or_else(|| millis(now));
        let age_ms = u64::try_from(millis(now) - arrived_ms).unwrap_or(0);
        let stale_ms = (STALE_INTERVALS * u64::from(self.interval_ms)).max(STALE_MIN_MS);
        let state = if self.ended.is_some() {
            HostState::Ended
        } else if age_ms > stale_ms {
            HostState::Stale
        } else {
            HostState::Live
        };
        let two = self.two_machines().then(|| "two machines use this name".to_owned());
        (state, two.or_else(|| self.ended.clone()), age_ms)
    }

    fn said_goodbye(&self) -> bool {
        self.ended.as_deref().is_some_and(is_goodbye)
    }

    fn two_machines(&self) -> bool {
        self.turns.is_some_and(|turns| {
            turns.last_ms.saturating_sub(turns.first_ms) > TURNS_MS
                && turns.newest_ms.saturating_sub(turns.last_ms) < TURNS_OVER_MS
        })
    }

    fn change_to(&mut self, session: SessionId, at_ms: u64) -> bool {
        if self.session == Some(session) {
            return false;
        }
        let back = self.other == Some(session);
        self.other = self.session.replace(session);
        self.newest_first = 0;
        let turn = Turns { first_ms: at_ms, last_ms: at_ms, newest_ms: at_ms };
        match &mut self.turns {
            Some(turns) if back && at_ms.saturating_sub(turns.last_ms) < TURNS_OVER_MS => {
                turns.last_ms = at_ms;
            }
            turns => *turns = back.then_some(turn),
        }
        true
    }
}

/// Whether the client, or the next run of it, has told the end.
fn is_goodbye(reason: &str) -> bool {
    [BYE, LEFT_IN_SPOOL].iter().any(|it| reason.starts_with(it))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
