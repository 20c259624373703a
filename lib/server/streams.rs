//! All streams of this server: who may come in, who has which name, who has left.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::counts::ServerCounts;
use super::director::Director;
use super::names::{Names, StreamId};
use super::queue::Queue;
use super::session::Session;
use super::stream::{End, EndKind, Stream};
use crate::base::clock::SharedClock;
use crate::base::throttle::Throttle;
use crate::bus::partition_of;
use crate::metric::SessionId;
use crate::wire::message::{CatalogueEntry, ToClient};

/// Most streams at once: what this is built for is 10,000, at 40 KB each, 400 MB; clients that
/// reconnect may hold two for a moment. At this limit it is 640 MB.
pub(super) const STREAMS_MAX: usize = 16_384;

/// Most streams of which there is any trace: open, or over while their frames and last words wait for
/// the bus. The latter take 2 KB each, beside their frames.
const TRACES_MAX: usize = 2 * STREAMS_MAX;

/// How long a stream may stay without a Hello.
pub(super) const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// At most one line about what a client did wrong in this time.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(1);

/// Set in the nonces of regular pings, which dispute no name.
pub(super) const REGULAR: u64 = 1 << 63;

/// What a client that sees the server stop is told.
const STOPPING: &str = "the server is stopping";

/// All streams, and what their threads share.
#[derive(Debug)]
pub(super) struct Streams {
    pub clock: SharedClock,
    pub counts: Arc<ServerCounts>,
    /// Name of this server, in Welcome and in records.
    pub name: Arc<str>,
    /// Frames decoded for which there was no room yet.
    pub frames_held: AtomicU64,
    pub director: Director,
    queues: Vec<Arc<Queue>>,
    registry: Mutex<Registry>,
    /// Shared by all streams: counts them until the last trace of each is gone.
    traces: Arc<()>,
    pings: AtomicU64,
    complaints: Throttle,
    /// Rung when the last stream is gone.
    ring_empty: Sender<()>,
    empty: Receiver<()>,
}

#[derive(Debug, Default)]
pub(super) struct Registry {
    pub streams: HashMap<StreamId, Arc<Stream>>,
    opened: StreamId,
    pub names: Names,
    pub catalogues: VecDeque<Arc<Vec<CatalogueEntry>>>,
    stopping: bool,
}

impl Streams {
    pub(super) fn new(
        name: &str,
        director: Director,
        queues: Vec<Arc<Queue>>,
        clock: SharedClock,
        counts: Arc<ServerCounts>,
    ) -> Self {
        let (ring_empty, empty) = bounded(1);
        Self {
            clock,
            counts,
            name: name.into(),
            frames_held: AtomicU64::new(0),
            director,
            queues,
            registry: Mutex::default(),
            traces: Arc::default(),
            pings: AtomicU64::new(0),
            complaints: Throttle::new(COMPLAINT_PERIOD),
            ring_empty,
            empty,
        }
    }

    /// A client has opened a stream.
    pub(super) fn open(&self, peer: String) -> Result<Arc<Stream>, End> {
        self.counts.streams_opened.increment();
        let mut registry = self.lock();
        let words = if registry.stopping {
            STOPPING.to_owned()
        } else if registry.streams.len() >= STREAMS_MAX {
            format!("this server has {STREAMS_MAX} streams already; use another one")
        } else if Arc::strong_count(&self.traces) > TRACES_MAX {
            "what too many streams brought and left waits for the bus; use another one".to_owned()
        } else {
            registry.opened += 1;
            let mut stream = Stream::new(registry.opened, peer, self.clock.monotonic());
            stream.trace = Arc::clone(&self.traces);
            let stream = Arc::new(stream);
            registry.streams.insert(stream.id, Arc::clone(&stream));
            return Ok(stream);
        };
        let kind = if registry.stopping { EndKind::GoingAway } else { EndKind::Full };
        self.counts.streams_refused.increment();
        Err(End { kind, words })
    }

    /// A stream is over, for the reason in `words`; its last records go on their way. Its frames
    /// that wait for the bus are still published.
    pub(super) fn leave(&self, stream: &Arc<Stream>, words: &str) {
        let mut ids = Vec::new();
        let mut host = None;
        let mut state = stream.lock();
        let superseded = state.superseded;
        let welcomed = state.welcomed;
        if let Some(session) = &mut state.session {
            if !superseded {
                session.end(words);
            }
            host = Some(session.described.host.clone());
            ids = session.ids();
        }
        drop(state);
        if let Some(host) = host {
            let queue = self.queue_of(&host);
            queue.leave_line(stream);
            let mut registry = self.lock();
            let decisions = registry.names.left(&host, stream.id);
            self.apply(registry, decisions);
            if welcomed {
                log::info!("{host}: stream from {} ended: {words}", stream.peer);
                // Even if one waits already: the last word comes after the last frames.
                ids.into_iter().for_each(|id| queue.push_session(Arc::clone(stream), id));
            }
        } else {
            log::debug!("stream from {} ended: {words}", stream.peer);
        }
    }

    /// The last trace of a stream is gone.
    pub(super) fn close(&self, stream: &Stream) {
        let mut registry = self.lock();
        if registry.streams.remove(&stream.id).is_some() {
            self.counts.streams_ended.increment();
        }
        if registry.streams.is_empty() {
            // Full means that it has been rung already.
            let _ = self.ring_empty.try_send(());
        }
    }

    /// Puts a session's record in the queue, unless one waits there already.
    pub(super) fn publish_record(&self, stream: &Arc<Stream>, session: SessionId) {
        let mut state = stream.lock();
        let Some(known) = state.session.as_mut() else { return };
        if known.claim_record(session) {
            let queue = self.queue_of(&known.described.host);
            drop(state);
            queue.push_session(Arc::clone(stream), session);
        }
    }

    /// Where a host's records wait.
    pub(super) fn queue_of(&self, host: &str) -> &Arc<Queue> {
        let count = u32::try_from(self.queues.len()).unwrap_or(1);
        &self.queues[partition_of(host.as_bytes(), count) as usize]
    }

    /// Does what has come due; called about twice a second.
    pub(super) fn tick(&self) {
        let now = self.clock.monotonic();
        let mut registry = self.lock();
        let all: Vec<_> = registry.streams.values().cloned().collect();
        let Registry { streams, names, .. } = &mut *registry;
        let held = |id: StreamId| {
            let full =
                |stream: &Arc<Stream>| stream.lock().session.as_ref().is_some_and(Session::is_full);
            streams.get(&id).is_some_and(|stream| stream.is_held() || full(stream))
        };
        let decisions = names.tick(now, held);
        self.apply(registry, decisions);
        all.iter().for_each(|stream| self.tick_one(stream, now));
        self.show_levels();
    }

    fn tick_one(&self, stream: &Arc<Stream>, now: Duration) {
        stream.cut_if_late(now);
        let mut state = stream.lock();
        if state.session.is_none() && now >= stream.opened + HELLO_LIMIT && !state.is_ending() {
            let words = format!("no Hello within {} s", HELLO_LIMIT.as_secs());
            state.end(EndKind::OutOfOrder, words, now);
            drop(state);
            return stream.wake();
        }
        if !state.welcomed {
            return;
        }
        let Some(session) = &mut state.session else { return };
        let due = session.tick(now);
        if due.ping {
            let nonce = REGULAR | self.pings.fetch_add(1, Ordering::Relaxed);
            state.order_ping(nonce);
        }
        drop(state);
        due.records.into_iter().for_each(|session| self.publish_record(stream, session));
        if due.ack || due.ping {
            stream.wake();
        }
    }

    /// A stream ends with a status; what the client did wrong is counted and logged.
    pub(super) fn failed(&self, stream: &Stream, end: &End) {
        if matches!(end.kind, EndKind::OutOfOrder | EndKind::Garbage) {
            self.counts.streams_failed.increment();
            if let Some(left_out) = self.complaints.pass() {
                let words = &end.words;
                log::warn!("{}: {words} ({left_out} such messages left out)", stream.peer);
            }
        }
    }

    /// Counts what is sent.
    pub(super) fn count_sent(&self, message: &ToClient) {
        match message {
            ToClient::Ack(_) => self.counts.acks_sent.increment(),
            ToClient::Ping { .. } => self.counts.pings_sent.increment(),
            _ => {}
        }
    }

    /// Brings the counters that are levels up to date.
    pub(super) fn show_levels(&self) {
        let open = self.lock().streams.len();
        self.counts.streams_open.set(open as u64);
        let bytes: usize = self.queues.iter().map(|queue| queue.bytes()).sum();
        self.counts.queue_bytes.set(bytes as u64);
        let waiting: u64 = self.queues.iter().map(|queue| queue.frames_in_hand()).sum();
        self.counts.frames_queued.set(waiting + self.frames_held.load(Ordering::Relaxed));
    }

    /// From now on nobody is let in, and who is in is asked to leave within `limit`, each at a
    /// moment of its own. Until then it is served as before, and told of what is durable at once.
    pub(super) fn drain(&self, limit: Duration) {
        let mut registry = self.lock();
        registry.stopping = true;
        let all: Vec<_> = registry.streams.values().cloned().collect();
        drop(registry);
        for stream in all {
            let mut state = stream.lock();
            state.order_drain(limit, STOPPING);
            // Who has not been welcomed has nothing here to leave in order.
            state.stopping |= !state.welcomed;
            if let Some(session) = &mut state.session {
                session.close();
            }
            drop(state);
            stream.wake();
        }
        self.queues.iter().for_each(|queue| queue.hurry());
    }

    /// From now on nothing more is read; each stream ends as soon as what it brought is durable and
    /// acknowledged.
    pub(super) fn stop(&self) {
        let all: Vec<_> = self.lock().streams.values().cloned().collect();
        for stream in all {
            stream.lock().stopping = true;
            stream.wake();
        }
        self.queues.iter().for_each(|queue| queue.hurry());
    }

    /// Ends every stream without waiting for anything. Returns how many there were.
    pub(super) fn cut(&self) -> usize {
        let all: Vec<_> = self.lock().streams.values().cloned().collect();
        for stream in &all {
            stream.lock().cut = true;
            stream.wake();
        }
        all.len()
    }

    /// Waits until the last stream is gone; false when `limit` was not enough.
    pub(super) fn wait_until_empty(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while !self.lock().streams.is_empty() {
            if self.empty.recv_deadline(until).is_err() {
                return self.lock().streams.is_empty();
            }
        }
        true
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
