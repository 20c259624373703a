//! What the server knows of one session on one stream. Pure: no clock, no I/O, no lock.
//!
//! A stream brings frames of its own session and of earlier ones that its Hello listed (their
//! client ended and left them in a spool). Each has a [`Book`]: its account and what is on its way.
//! Nothing of this outlives the stream: what is durable is on the bus, and what is not the client
//! sends again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, Told};
use crate::metric::{Declaration, HostName, SeqRange, SessionId};
use crate::wire::json::SessionRecord;
use crate::wire::message::{CatalogueEntry, Hello, LEFT_IN_PART, LEFT_IN_SPOOL, Schedule, Status};

/// How often a session record is written while the session runs.
pub(super) const RECORD_INTERVAL: Duration = Duration::from_secs(10);

/// How often a client is asked how it does.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Largest frame number: what every reader of JSON can hold exactly (2^53 - 1).
pub(super) const SEQ_MAX: u64 = (1 << 53) - 1;

/// How a record says that the client took its leave; readers tell by it that nothing more comes.
const BYE: &str = "bye";

/// The client's own words, shared by all records of the session.
#[derive(Debug)]
pub(super) struct Described {
    pub host: HostName,
    pub id: SessionId,
    pub boot_id: String,
    pub labels: BTreeMap<String, String>,
    /// Shared by all clients that have the same: most of a fleet.
    pub catalogue: Arc<Vec<CatalogueEntry>>,
    pub schedule: Schedule,
}

/// The account of one session and what is on its way.
#[derive(Debug)]
struct Book {
    session: SessionId,
    account: Account,
    first_seq: u64,
    sampled_through: u64,
    /// Frames received and neither durable nor refused.
    in_hand: u64,
    /// A record waits in the queue: it will say what is known when it is taken out.
    record_queued: bool,
    /// Something that no record has told yet.
    changed: bool,
    /// Of an earlier session: it may have sampled more than its client knows.
    tail_unknown: bool,
}

/// One session on one stream.
#[derive(Debug)]
pub(super) struct Session {
    pub described: Described,
    /// The own session first, then earlier ones.
    books: Vec<Book>,
    ended: Option<String>,
    bye: bool,
    /// The stream is to end: every settled frame is told at once.
    closing: bool,
    status: Option<Status>,
    record_due: Duration,
    ping_due: Duration,
}

/// What time has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub ack: bool,
    pub ping: bool,
    pub records: Vec<SessionId>,
}

impl Session {
    /// For a Hello that was accepted at `now`.
    pub(super) fn new(hello: &Hello, described: Described, now: Duration) -> Self {
        let own = Book::new(hello.session, hello.first_seq, 0, hello.window_frames);
        let earlier = hello.earlier_sessions.iter().map(|earlier| {
            let (first, last) = earlier.range;
            let book = Book::new(earlier.session, first, last, hello.window_frames);
            Book { tail_unknown: earlier.tail_unknown, ..book }
        });
        Self {
            books: std::iter::once(own).chain(earlier).collect(),
            described,
            ended: None,
            bye: false,
            closing: false,
            status: None,
            record_due: now + RECORD_INTERVAL,
            ping_due: now + PING_INTERVAL,
        }
    }

    /// All sessions of the stream, the own one first.
    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.books.iter().map(|book| book.session).collect()
    }

    /// A frame came in.
    pub(super) fn frame_received(&mut self, session: SessionId, seq: u64) {
        let Some(book) = self.book(session) else { return };
        book.in_hand += 1;
        book.sampled_through = book.sampled_through.max(seq);
        book.changed = true;
    }

    /// A frame is durable that was received at `received` (Unix us and monotonic). True when an ack
    /// is due.
    pub(super) fn frame_durable(
        &mut self,
        session: SessionId,
        seq: u64,
        received: (u64, Duration),
        now: Duration,
    ) -> bool {
        let closing = self.closing;
        let Some(book) = self.book(session) else { return false };
        book.in_hand = book.in_hand.saturating_sub(1);
        book.account.frame_durable(seq, received);
        book.changed = true;
        if closing {
            book.account.ask();
        }
        book.account.is_due(now)
    }

    /// A frame will never be durable: it is declared dropped, with the bus's reason.
    pub(super) fn frame_refused(&mut self, session: SessionId, seq: u64, reason: &str) {
        let Some(book) = self.book(session) else { return };
        book.in_hand = book.in_hand.saturating_sub(1);
        book.account.declare((seq, seq), reason.to_owned());
    }

    /// A frame is left behind; the client will send it again on another stream.
    pub(super) fn frame_abandoned(&mut self, session: SessionId) {
        if let Some(book) = self.book(session) {
            book.in_hand = book.in_hand.saturating_sub(1);
        }
    }

    /// The client says that frames are gone.
    pub(super) fn declare(&mut self, declaration: Declaration) {
        let Some(book) = self.book(declaration.session) else { return };
        book.sampled_through = book.sampled_through.max(declaration.range.1);
        book.account.declare(declaration.range, declaration.reason);
    }

    /// The client says goodbye.
    pub(super) fn bye(&mut self, last_seq: u64, reason: &str) {
        let book = &mut self.books[0];
        book.sampled_through = book.sampled_through.max(last_seq);
        self.bye = true;
        self.ended = Some(if reason.starts_with(LEFT_IN_SPOOL) {
            // More comes, but not from this run.
            reason.to_owned()
        } else if reason.is_empty() {
            BYE.to_owned()
        } else {
            format!("{BYE}: {reason}")
        });
        self.close();
    }

    /// The client answered a ping.
    pub(super) fn answered(&mut self, status: Status) {
        let book = &mut self.books[0];
        book.sampled_through = book.sampled_through.max(status.sampled_through);
        self.status = Some(status);
    }

    /// The client's newest account of itself.
    #[cfg(test)]
    pub(super) fn status(&self) -> Option<Status> {
        self.status
    }

    /// From now on everything is acknowledged at once.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.ask();
    }

    /// An ack of whatever is settled, now.
    pub(super) fn ask(&mut self) {
        self.books.iter_mut().for_each(|book| book.account.ask());
    }

    /// The stream has ended. The client's own word for it comes first.
    pub(super) fn end(&mut self, words: &str) {
        self.ended.get_or_insert_with(|| words.to_owned());
    }

    /// The next ack that is due, and of which session (`None`: the own one).
    pub(super) fn take_ack(&mut self, now: Duration) -> Option<(Option<SessionId>, Told)> {
        let own = self.described.id;
        self.books.iter_mut().find_map(|book| {
            let told = book.account.take_due(now)?;
            Some(((book.session != own).then_some(book.session), told))
        })
    }

    /// No declaration can be taken before some have been published.
    pub(super) fn is_full(&self) -> bool {
        self.books.iter().any(|book| book.account.is_full())
    }

    /// More holes than can be kept account of.
    pub(super) fn is_torn(&self) -> bool {
        self.books.iter().any(|book| book.account.is_torn())
    }

    /// Nothing is on its way and everything settled has been told.
    pub(super) fn is_quiet(&self) -> bool {
        self.books.iter().all(|book| book.in_hand == 0 && book.account.is_quiet())
    }

    /// What is due at `now`, at most once each.
    pub(super) fn tick(&mut self, now: Duration) -> Due {
        let mut due = Due::default();
        if self.ping_due <= now {
            self.ping_due = now + PING_INTERVAL;
            due.ping = true;
            // Readers give up what nobody speaks of for a minute; this only waits for its turn.
            self.books.iter_mut().for_each(|book| book.changed |= book.is_waited_for());
        }
        if self.record_due <= now {
            self.record_due = now + RECORD_INTERVAL;
            let own = self.described.id;
            let told = self.books.iter().filter(|book| book.changed || book.session == own);
            due.records = told.map(|book| book.session).collect();
        }
        due.ack = self.books.iter_mut().any(|book| book.account.is_due(now));
        due
    }

    /// Claims the one place that a record of this session has in the queue; false when it is
    /// taken.
    pub(super) fn claim_record(&mut self, session: SessionId) -> bool {
        let claimed = self.book(session);
        claimed.is_some_and(|book| !std::mem::replace(&mut book.record_queued, true))
    }

    /// The record, taken out of the queue; with it all declarations go on their way.
    pub(super) fn begin_record(
        &mut self,
        session: SessionId,
        server: &Arc<str>,
        time_ms: u64,
    ) -> Option<SessionRecord> {
        let own = self.described.id;
        let ended = self.ended.clone().filter(|_| session == own);
        let book = self.book(session)?;
        let ended = ended.or_else(|| {
            let words = if book.tail_unknown { LEFT_IN_PART } else { LEFT_IN_SPOOL };
            (session != own).then(|| format!("{words}; session {own} brings what it left"))
        });
        book.record_queued = false;
        book.changed = false;
        book.account.record_begun();
        let mut record = book.record();
        let described = &self.described;
        record.host = described.host.clone();
        record.server = server.clone();
        record.time_ms = time_ms;
        record.boot_id = described.boot_id.clone();
        record.catalogue = described.catalogue.to_vec();
        record.labels = described.labels.clone();
        record.schedule = described.schedule.clone();
        record.ended = ended;
        Some(record)
    }

    /// The record is durable, and so are its declarations. Returns whether declarations came in
    /// meanwhile (another record is needed), and how many older ones will not be repeated.
    pub(super) fn record_durable(&mut self, session: SessionId, now: Duration) -> (bool, usize) {
        let closing = self.closing;
        let Some(book) = self.book(session) else { return (false, 0) };
        let forgotten = book.account.record_durable(now);
        if closing {
            book.account.ask();
        }
        (book.account.has_pending(), forgotten)
    }

    /// The record will never be durable.
    pub(super) fn record_refused(&mut self, session: SessionId) {
        if let Some(book) = self.book(session) {
            book.account.record_refused();
        }
    }

    fn book(&mut self, session: SessionId) -> Option<&mut Book> {
        self.books.iter_mut().find(|book| book.session == session)
    }
}

impl Book {
    fn new(session: SessionId, first_seq: u64, sampled_through: u64, window: u64) -> Self {
        let sampled_through = sampled_through.max(first_seq.saturating_sub(1));
        Self {
            session,
            account: Account::new(first_seq, window),
            first_seq,
            sampled_through,
            in_hand: 0,
            record_queued: false,
            changed: true,
            tail_unknown: false,
        }
    }

    /// Its client has more of it than was settled here.
    fn is_waited_for(&self) -> bool {
        self.account.through() < self.sampled_through
    }

    /// The account's part of a record; the rest is the same for all sessions of the stream.
    fn record(&self) -> SessionRecord {
        let durable: &[SeqRange] = self.account.durable();
        SessionRecord {
            host: "".into(),
            session: self.session,
            server: "".into(),
            time_ms: 0,
            first_seq: self.first_seq,
            sampled_through: self.sampled_through,
            acked: durable.to_vec(),
            dropped: self.account.declarations().cloned().collect(),
            boot_id: String::new(),
            catalogue: Vec::new(),
            labels: BTreeMap::new(),
            schedule: Schedule::default(),
            ended: None,
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
pub(super) mod tests;
