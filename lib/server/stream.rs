//! One stream as all threads of the server see it.
//!
//! What is to be sent is kept as facts, one place each, and put into words at the moment the
//! stream can take it: a client that reads slowly gets the newest ack instead of a queue of old
//! ones, and a stream's memory is bounded by construction.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;

use super::account::Told;
use super::names::StreamId;
use super::session::Session;
use crate::base::clock::SharedClock;
use crate::metric::SessionId;
use crate::wire::message::{Ack, ToClient, Welcome};

/// How long a stream may take to end in good order before it is cut.
pub(super) const END_LIMIT: Duration = Duration::from_secs(5);

/// Why a stream ends; each is one gRPC status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndKind {
    /// The client ended it and has been told everything.
    Done,
    /// A rule of order was broken.
    OutOfOrder,
    /// A message made no sense.
    Garbage,
    /// Another version is needed on one side.
    Version,
    /// The host cannot be called so.
    BadName,
    /// Another session has the host's name.
    NameTaken,
    /// A newer stream has taken over.
    Replaced,
    /// A limit of this server is reached.
    Full,
    /// The server is stopping.
    GoingAway,
}

/// The end of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub kind: EndKind,
    pub words: String,
}

/// What the stream is to do next.
#[derive(Debug)]
pub(super) enum Next {
    Send(ToClient),
    End(End),
}

/// One stream.
pub(super) struct Stream {
    pub id: StreamId,
    /// Address of the other side, for the log.
    pub peer: String,
    /// When it was opened.
    pub opened: Duration,
    /// Says to whoever shares it that this is still there.
    pub trace: Arc<()>,
    waker: AtomicWaker,
    /// Place in the line of those who wait for room; 0 for none.
    ticket: AtomicU64,
    /// The batch of its lane in which its last frame went to the bus; 0 for none.
    last_batch: AtomicU64,
    state: Mutex<State>,
}

/// What is behind a stream's lock.
#[derive(Debug, Default)]
pub(super) struct State {
    /// From Hello on.
    pub session: Option<Session>,
    /// The client has been told that it may speak.
    pub welcomed: bool,
    /// The client sends nothing more.
    pub half_closed: bool,
    /// The server is stopping: nothing more is read, and the stream ends once all is told.
    pub stopping: bool,
    /// A newer stream of the same session carries on.
    pub superseded: bool,
    /// Nothing more will be waited for.
    pub cut: bool,
    orders: Orders,
    end: Option<End>,
    end_ordered: Option<Duration>,
}

#[derive(Debug, Default)]
struct Orders {
    welcome: Option<Box<Welcome>>,
    collect: Vec<String>,
    ping: Option<u64>,
    drain: Option<(u32, String)>,
}

impl Stream {
    pub(super) fn new(id: StreamId, peer: String, opened: Duration) -> Self {
        Self {
            id,
            peer,
            opened,
            trace: Arc::default(),
            waker: AtomicWaker::new(),
            ticket: AtomicU64::new(0),
            last_batch: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// The state; held for moments only, by no thread that waits for anything.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the stream look at its state again.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Who is woken by [`wake`](Self::wake).
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Whether this server keeps the stream from being read.
    pub(super) fn is_held(&self) -> bool {
        self.ticket() != 0
    }

    pub(super) fn ticket(&self) -> u64 {
        self.ticket.load(Ordering::Acquire)
    }

    pub(super) fn set_ticket(&self, ticket: u64) {
        self.ticket.store(ticket, Ordering::Release);
    }

    pub(super) fn last_batch(&self) -> u64 {
        self.last_batch.load(Ordering::Relaxed)
    }

    /// Said by the one lane that all its frames go through.
    pub(super) fn set_last_batch(&self, number: u64) {
        self.last_batch.store(number, Ordering::Relaxed);
    }

    /// Ends it without waiting for anything, if its end has been ordered and the limit is over.
    pub(super) fn cut_if_late(&self, now: Duration) {
        let mut state = self.lock();
        let late = state.end_ordered.is_some_and(|since| now >= since + END_LIMIT);
        if late && !std::mem::replace(&mut state.cut, true) {
            drop(state);
            self.wake();
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.id).field("peer", &self.peer).finish()
    }
}

impl State {
    /// Orders the end; the first order counts.
    pub(super) fn end(&mut self, kind: EndKind, words: impl Into<String>, now: Duration) {
        if self.end.is_none() {
            self.end = Some(End { kind, words: words.into() });
            self.end_ordered = Some(now);
        }
    }

    /// Whether its end has been ordered.
    pub(super) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// The client sends nothing more; it waits for what there is to say.
    pub(super) fn close_reading(&mut self) {
        self.half_closed = true;
        if let Some(session) = &mut self.session {
            session.close();
        }
    }

    pub(super) fn order_welcome(&mut self, welcome: Welcome) {
        self.orders.welcome = Some(Box::new(welcome));
    }

    pub(super) fn order_collect(&mut self, patterns: Vec<String>) {
        self.orders.collect = patterns;
    }

    pub(super) fn order_ping(&mut self, nonce: u64) {
        self.orders.ping = Some(nonce);
        if let Some(session) = &mut self.session {
            session.ask();
        }
    }

    pub(super) fn order_drain(&mut self, after: Duration, reason: &str) {
        let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        self.orders.drain = Some((after_ms, reason.to_owned()));
    }

    /// What is to be sent now; called when the stream can take it.
    pub(super) fn next(&mut self, clock: &SharedClock) -> Option<Next> {
        if let Some(mut welcome) = self.orders.welcome.take() {
            welcome.server_time_us = clock.wall_us();
            self.welcomed = true;
            return Some(Next::Send(ToClient::Welcome(welcome)));
        }
        if self.welcomed
            && let Some(message) = self.next_message(clock)
        {
            return Some(Next::Send(message));
        }
        if let Some(end) = &self.end {
            return Some(Next::End(end.clone()));
        }
        let quiet = self.session.as_ref().is_none_or(Session::is_quiet);
        if quiet && self.half_closed {
            return Some(Next::End(End { kind: EndKind::Done, words: "closed".into() }));
        }
        if quiet && self.stopping {
            let words = "the server is stopping; everything it received is acknowledged";
            return Some(Next::End(End { kind: EndKind::GoingAway, words: words.into() }));
        }
        None
    }

    fn next_message(&mut self, clock: &SharedClock) -> Option<ToClient> {
        if !self.orders.collect.is_empty() {
            return Some(ToClient::Collect(std::mem::take(&mut self.orders.collect)));
        }
        if let Some(nonce) = self.orders.ping.take() {
            return Some(ToClient::Ping { nonce, server_time_us: clock.wall_us() });
        }
        if let Some((session, told)) = self.session.as_mut()?.take_ack(clock.monotonic()) {
            return Some(ack(session, told, clock));
        }
        let (after_ms, reason) = self.orders.drain.take()?;
        Some(ToClient::Drain { after_ms, reason })
    }
}

fn ack(session: Option<SessionId>, told: Told, clock: &SharedClock) -> ToClient {
    let (echo_seq, echo_received_us) = told.echo;
    ToClient::Ack(Ack {
        session,
        through: told.through,
        ranges: told.ranges,
        server_time_us: clock.wall_us(),
        echo_seq,
        echo_received_us,
    })
}
