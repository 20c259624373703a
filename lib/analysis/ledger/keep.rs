//! The accounts as bytes, for the store: what a host's ledger knew up to one offset.
//!
//! One row for each account that has changed, and one for the host: which accounts are open, in
//! their order, which are closed, and the sum of those. Each row ends in its CRC-32: a row that is
//! not as it was written is refused, and the session counts from where it is met again.

use std::collections::VecDeque;
use std::time::Duration;

use super::account::{Account, Before, Doubt};
use super::{CLOSED_REMEMBERED_MAX, HostLedger, SESSIONS_PER_HOST_MAX};
use crate::analysis::live::bits::{Source, put_varint};
use crate::analysis::view::Ledger;
use crate::metric::{SeqRanges, SessionId};

/// First byte of every row.
const ROW_VERSION: u8 = 1;

/// Longest text that is read back: the words of a server about an end.
const TEXT_LEN_MAX: usize = 4_096;

/// What the store is to write of a host's ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::analysis) struct LedgerRows {
    /// The host's own row.
    pub(in crate::analysis) summary: Vec<u8>,
    /// Accounts that have changed.
    pub(in crate::analysis) accounts: Vec<(SessionId, Vec<u8>)>,
    /// Accounts that are no more.
    pub(in crate::analysis) closed: Vec<SessionId>,
}

impl HostLedger {
    /// What has changed since the last time.
    pub(in crate::analysis) fn export(&mut self) -> LedgerRows {
        let changed = self.sessions.iter_mut().filter(|(_, account)| account.changed);
        let accounts = changed.map(|(session, account)| {
            account.changed = false;
            (*session, account_row(account))
        });
        LedgerRows {
            accounts: accounts.collect(),
            summary: self.summary_row(),
            closed: std::mem::take(&mut self.newly_closed),
        }
    }

    /// A ledger as it was written, and how many of its rows could not be read. `now`: monotonic.
    pub(in crate::analysis) fn import(
        summary: &[u8],
        accounts: &[(SessionId, Vec<u8>)],
        now: Duration,
    ) -> (Self, usize) {
        let mut ledger = Self::default();
        let order = ledger.read_summary(summary);
        let mut broken = usize::from(order.is_none());
        let order = order.unwrap_or_else(|| accounts.iter().map(|(session, _)| *session).collect());
        for session in order.iter().take(SESSIONS_PER_HOST_MAX) {
            let Some((_, row)) = accounts.iter().find(|(known, _)| known == session) else {
                continue;
            };
            match read_account(row, now) {
                Some(account) => ledger.sessions.push((*session, account)),
                None => broken += 1,
            }
        }
        (ledger, broken)
    }

    fn summary_row(&self) -> Vec<u8> {
        let mut out = vec![ROW_VERSION];
        put_varint(&mut out, self.sessions.len() as u64);
        self.sessions.iter().for_each(|(session, _)| put_session(&mut out, *session));
        put_varint(&mut out, self.closed.len() as u64);
        self.closed.iter().for_each(|session| put_session(&mut out, *session));
        put_ledger(&mut out, &self.folded);
        put_varint(&mut out, self.folded_sessions);
        sealed(out)
    }

    /// Takes the host's row over; the order of its open accounts, `None` when it cannot be read.
    fn read_summary(&mut self, row: &[u8]) -> Option<Vec<SessionId>> {
        let mut source = opened(row)?;
        let open = source.varint() as usize;
        let order = (0..open.min(SESSIONS_PER_HOST_MAX)).map(|_| session(&mut source)).collect();
        let closed = source.varint() as usize;
        let closed: VecDeque<SessionId> =
            (0..closed.min(CLOSED_REMEMBERED_MAX)).map(|_| session(&mut source)).collect();
        self.closed = closed;
        self.folded = ledger(&mut source);
        self.folded_sessions = source.varint();
        Some(order)
    }
}

fn account_row(account: &Account) -> Vec<u8> {
    let mut out = vec![ROW_VERSION];
    for set in [&account.stored, &account.declared, &account.settled, &account.doubt.numbers] {
        put_ranges(&mut out, set);
    }
    match &account.before {
        Before::Open { first, first_live } => {
            out.push(0);
            put_option(&mut out, *first);
            put_option(&mut out, *first_live);
        }
        Before::Known(set) => {
            out.push(1);
            put_ranges(&mut out, set);
        }
    }
    put_varint(&mut out, account.doubt.streams.len() as u64);
    for (server, first_seq) in &account.doubt.streams {
        put_text(&mut out, server);
        put_varint(&mut out, *first_seq);
    }
    for number in [account.top, account.floor, account.doubled, account.thinned] {
        put_varint(&mut out, number);
    }
    put_ledger(&mut out, &account.folded);
    out.push(u8::from(account.gap));
    match &account.ended {
        None => out.push(0),
        Some(words) => {
            out.push(1);
            put_text(&mut out, words);
        }
    }
    sealed(out)
}

fn read_account(row: &[u8], now: Duration) -> Option<Account> {
    let mut source = opened(row)?;
    let [stored, declared, settled, numbers] = std::array::from_fn(|_| ranges(&mut source));
    let before = match source.byte() {
        0 => Before::Open { first: option(&mut source), first_live: option(&mut source) },
        _ => Before::Known(ranges(&mut source)),
    };
    let streams = source.varint().min(super::account::DOUBT_STREAMS_MAX as u64);
    let streams =
        (0..streams).map(|_| (text(&mut source).as_str().into(), source.varint())).collect();
    let [top, floor, doubled, thinned] = std::array::from_fn(|_| source.varint());
    Some(Account {
        stored,
        declared,
        settled,
        before,
        doubt: Doubt { numbers, streams },
        top,
        floor,
        folded: ledger(&mut source),
        doubled,
        thinned,
        gap: source.byte() != 0,
        ended: (source.byte() != 0).then(|| text(&mut source)),
        newest_first: 0,
        heard: now,
        changed: false,
    })
}

/// Appends the CRC.
fn sealed(mut row: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&row);
    row.extend_from_slice(&crc.to_le_bytes());
    row
}

/// What is behind the version of a row that is as it was written.
fn opened(row: &[u8]) -> Option<Source<'_>> {
    let (body, crc) = row.split_last_chunk::<4>()?;
    let right = crc32fast::hash(body) == u32::from_le_bytes(*crc);
    let mut source = Source::new(body);
    (right && source.byte() == ROW_VERSION).then_some(source)
}

/// Ranges as the distances from one to the next.
fn put_ranges(out: &mut Vec<u8>, set: &SeqRanges) {
    put_varint(out, set.as_slice().len() as u64);
    let mut last = 0;
    for (first, end) in set.as_slice() {
        put_varint(out, first - last);
        put_varint(out, end - first);
        last = *end;
    }
}

fn ranges(source: &mut Source<'_>) -> SeqRanges {
    let mut set = SeqRanges::new();
    let mut last = 0_u64;
    for _ in 0..source.varint().min(2 * super::account::LEDGER_RANGES_MAX as u64) {
        let first = last.saturating_add(source.varint());
        last = first.saturating_add(source.varint());
        set.insert_range((first, last));
    }
    set
}

fn put_session(out: &mut Vec<u8>, session: SessionId) {
    out.extend_from_slice(&session.0.to_le_bytes());
}

fn session(source: &mut Source<'_>) -> SessionId {
    let bytes = source.take(16).try_into().unwrap_or_default();
    SessionId(u128::from_le_bytes(bytes))
}

fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    put_varint(out, value.unwrap_or_default());
}

fn option(source: &mut Source<'_>) -> Option<u64> {
    let is_some = source.byte() != 0;
    let value = source.varint();
    is_some.then_some(value)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(TEXT_LEN_MAX)];
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn text(source: &mut Source<'_>) -> String {
    let len = source.varint().min(TEXT_LEN_MAX as u64) as usize;
    String::from_utf8_lossy(source.take(len)).into_owned()
}

fn put_ledger(out: &mut Vec<u8>, ledger: &Ledger) {
    for number in [
        ledger.sampled,
        ledger.acknowledged,
        ledger.stored,
        ledger.thinned,
        ledger.waiting,
        ledger.missing,
        ledger.doubled,
        ledger.dropped,
        ledger.tails_unknown,
    ] {
        put_varint(out, number);
    }
}

fn ledger(source: &mut Source<'_>) -> Ledger {
    let mut number = || source.varint();
    Ledger {
        sampled: number(),
        acknowledged: number(),
        stored: number(),
        thinned: number(),
        waiting: number(),
        missing: number(),
        doubled: number(),
        dropped: number(),
        tails_unknown: number(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::session;
    use crate::base::dice::Dice;

    fn of(number: u128) -> SessionId {
        SessionId(number)
    }

    /// Writes what has changed over what was written before, as a store does.
    fn write(stored: &mut Vec<(SessionId, Vec<u8>)>, rows: &LedgerRows) {
        stored.retain(|(session, _)| !rows.closed.contains(session));
        for (session, row) in &rows.accounts {
            stored.retain(|(known, _)| known != session);
            stored.push((*session, row.clone()));
        }
    }

    #[test]
    fn a_ledger_comes_back_as_it_was_whatever_happened_to_it() {
        for seed in 1..60 {
            let mut dice = Dice::new(seed * 104_729);
            let (mut ledger, mut stored) = (HostLedger::default(), Vec::new());
            let now = Duration::from_secs(1);
            for _ in 0..dice.below(400) {
                let session_number = u128::from(1 + dice.below(if seed % 5 == 0 { 90 } else { 3 }));
                match dice.below(10) {
                    0 => {
                        let mut record = session("a", session_number, dice.below(50));
                        record.first_seq = 1 + dice.below(9);
                        record.dropped = vec![((3, 3 + dice.below(4)), "buffer full".to_owned())];
                        record.ended = (dice.below(4) == 0).then(|| "bye: stopped".to_owned());
                        let _ = ledger.record(&record, now);
                    }
                    1 => ledger.note_thinned(of(session_number), dice.below(3)),
                    2 => write(&mut stored, &ledger.export()),
                    _ => {
                        let seq = 1 + dice.below(60);
                        ledger.frame(of(session_number), seq, dice.below(2) == 0, now);
                    }
                }
            }
            let rows = ledger.export();
            write(&mut stored, &rows);
            let (mut back, broken) = HostLedger::import(&rows.summary, &stored, now);
            assert_eq!(broken, 0, "seed {seed}");
            assert_eq!(back.sessions(now), ledger.sessions(now), "seed {seed}");
            assert_eq!(back.total(now), ledger.total(now), "seed {seed}");
            // And it goes on the same way.
            for seq in 1..80 {
                let number = of(u128::from(1 + seq % 3));
                let same = ledger.frame(number, seq, true, now);
                assert_eq!(back.frame(number, seq, true, now), same, "seed {seed}");
            }
            assert_eq!(back.total(now), ledger.total(now), "seed {seed}");
        }
    }

    #[test]
    fn what_is_not_as_it_was_written_is_refused_and_costs_no_more_than_itself() {
        let (mut ledger, now) = (HostLedger::default(), Duration::ZERO);
        for seq in 1..=9 {
            ledger.frame(of(1), seq, true, now);
        }
        ledger.frame(of(2), 1, true, now);
        let rows = ledger.export();
        for (at, bit) in (0..rows.accounts[0].1.len()).flat_map(|at| [(at, 1), (at, 128)]) {
            let mut accounts = rows.accounts.clone();
            accounts[0].1[at] ^= bit;
            let (back, broken) = HostLedger::import(&rows.summary, &accounts, now);
            assert_eq!((broken, back.sessions.len()), (1, 1), "byte {at}");
        }
        let (back, broken) = HostLedger::import(&[], &rows.accounts, now);
        assert_eq!((broken, back.sessions.len()), (1, 2));
    }
}
