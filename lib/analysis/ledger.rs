//! What was sampled, what arrived, what is on its way, what is missing and why.
//!
//! Frames are told apart by `(host, session, seq)` and kept as ranges, never as a high-water
//! mark: live frames and backlog interleave. How one session's account works is in `account.rs`;
//! here are a host's sessions, and what becomes of those that are too many.

use std::collections::VecDeque;
use std::time::Duration;

use crate::analysis::view::{Ledger, SessionLedger};
use crate::metric::SessionId;
use crate::wire::json::SessionRecord;

mod account;
mod alone;
mod fold;
mod keep;
mod sets;

pub(in crate::analysis) use account::BYE;
pub(in crate::analysis) use account::Verdict;
use account::{Account, Around};
pub use alone::LedgerAlone;
pub(in crate::analysis) use keep::LedgerRows;

/// Open accounts of one host: a client that restarts every minute has an hour of them.
pub(in crate::analysis) const SESSIONS_PER_HOST_MAX: usize = 64;

/// Sessions whose accounts were closed and which are still recognised, so that a frame that comes
/// again is not counted again. 4 KiB a host at most.
const CLOSED_REMEMBERED_MAX: usize = 256;

/// The accounts of one host.
#[derive(Debug, Default)]
pub(in crate::analysis) struct HostLedger {
    /// In the order in which they were first heard of.
    sessions: Vec<(SessionId, Account)>,
    closed: VecDeque<SessionId>,
    /// The sum of the closed ones.
    folded: Ledger,
    folded_sessions: u64,
    /// Closed since the store was last told; as many as are remembered.
    newly_closed: Vec<SessionId>,
}

impl HostLedger {
    /// A frame arrived. `live`: sent right after it was sampled, and not overtaken since.
    pub(in crate::analysis) fn frame(
        &mut self,
        session: SessionId,
        seq: u64,
        live: bool,
        now: Duration,
    ) -> Verdict {
        if seq > account::SEQ_MAX {
            return Verdict::TooLate;
        }
        match self.account(session, now) {
            Some(account) => account.frame(seq, live, now),
            None => Verdict::TooLate,
        }
    }

    /// A session record arrived.
    ///
    /// # Errors
    /// Words, when nothing of it was taken.
    pub(in crate::analysis) fn record(
        &mut self,
        record: &SessionRecord,
        now: Duration,
    ) -> Result<(), String> {
        match self.account(record.session, now) {
            Some(account) => account.record(record, now),
            None => Err(format!("the account of session {} is closed", record.session)),
        }
    }

    /// Records of this host's partition were gone from the bus before they were read.
    pub(in crate::analysis) fn note_gap(&mut self) {
        self.sessions.iter_mut().for_each(|(_, account)| account.note_gap());
    }

    /// Of the frames of a session so many are not kept one by one.
    pub(in crate::analysis) fn note_thinned(&mut self, session: SessionId, count: u64) {
        let known = self.sessions.iter_mut().rfind(|(known, _)| *known == session);
        if let Some((_, account)) = known {
            account.note_thinned(count);
        }
    }

    /// Every session, newest first.
    pub(in crate::analysis) fn sessions(&self, now: Duration) -> Vec<SessionLedger> {
        let newest = self.sessions.len().saturating_sub(1);
        let tallies = self.sessions.iter().enumerate().map(|(at, (session, account))| {
            let tally = account.tally(Around { now, replaced: at < newest });
            SessionLedger {
                session: *session,
                account: tally.ledger,
                missing_ranges: tally.missing,
                ended: tally.ended,
            }
        });
        let mut sessions: Vec<_> = tallies.collect();
        sessions.reverse();
        sessions
    }

    /// The sum over all sessions, closed ones included.
    pub(in crate::analysis) fn total(&self, now: Duration) -> Ledger {
        let newest = self.sessions.len().saturating_sub(1);
        let mut total = self.folded;
        for (at, (_, account)) in self.sessions.iter().enumerate() {
            add(&mut total, &account.tally(Around { now, replaced: at < newest }).ledger);
        }
        total
    }

    /// How many accounts were closed because there were too many.
    pub(in crate::analysis) fn folded_sessions(&self) -> u64 {
        self.folded_sessions
    }

    /// The account of a session, opened if need be; `None` when it is closed.
    fn account(&mut self, session: SessionId, now: Duration) -> Option<&mut Account> {
        // The newest is nearly always the one.
        let at = self.sessions.iter().rposition(|(known, _)| *known == session);
        if let Some(at) = at {
            return Some(&mut self.sessions[at].1);
        }
        if self.closed.contains(&session) {
            return None;
        }
        if self.sessions.len() == SESSIONS_PER_HOST_MAX {
            self.fold_one(now);
        }
        self.sessions.push((session, Account::default()));
        self.sessions.last_mut().map(|(_, account)| account)
    }

    /// Closes one account: of those that are over, else of all, the one not heard of for longest.
    fn fold_one(&mut self, now: Duration) {
        let around = Around { now, replaced: true };
        let order = |(_, account): &(SessionId, Account)| (!account.is_over(around), account.heard);
        let oldest = (0..self.sessions.len()).min_by_key(|at| order(&self.sessions[*at]));
        let Some(at) = oldest else { return };
        let (session, account) = self.sessions.remove(at);
        // Nothing can be waited for any more.
        let mut last = account.tally(around).ledger;
        last.missing = last.missing.saturating_add(std::mem::take(&mut last.waiting));
        add(&mut self.folded, &last);
        self.folded_sessions += 1;
        if self.closed.len() == CLOSED_REMEMBERED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(session);
        self.newly_closed.truncate(CLOSED_REMEMBERED_MAX - 1);
        self.newly_closed.push(session);
    }
}

/// Adds up accounts.
pub(in crate::analysis) fn add(sum: &mut Ledger, other: &Ledger) {
    combine(sum, other, u64::saturating_add);
}

/// Takes an account out of a sum.
pub(in crate::analysis) fn subtract(sum: &mut Ledger, other: &Ledger) {
    combine(sum, other, u64::saturating_sub);
}

fn combine(sum: &mut Ledger, other: &Ledger, with: impl Fn(u64, u64) -> u64) {
    for (mine, theirs) in [
        (&mut sum.sampled, other.sampled),
        (&mut sum.acknowledged, other.acknowledged),
        (&mut sum.stored, other.stored),
        (&mut sum.thinned, other.thinned),
        (&mut sum.waiting, other.waiting),
        (&mut sum.missing, other.missing),
        (&mut sum.doubled, other.doubled),
        (&mut sum.dropped, other.dropped),
        (&mut sum.tails_unknown, other.tails_unknown),
    ] {
        *mine = with(*mine, theirs);
    }
}

#[cfg(test)]
#[path = "ledger/ledger_tests.rs"]
mod tests;
