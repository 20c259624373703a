//! What waits for the bus, per partition: bounded in bytes, and never dropped from.
//!
//! When it is full, a stream is given a place in a line instead of a place in the queue, and is
//! not read until it is called: HTTP/2 flow control then holds its client back, whose own buffer
//! is made for that.

mod order;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::stream::Stream;
use crate::metric::{SessionId, Value};
use crate::wire::json::FrameRecord;
use order::Order;

/// Memory that waiting frames of one partition may take: with four partitions, 10,000 hosts x 60
/// samples x ~1.3 KB at 1 Hz are 3.3 MB/s each, so this rides out two and a half seconds without
/// the bus before anybody is held back; all partitions together stay at 32 MiB.
pub(super) const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a waiting frame takes besides its values: its record, its place here and the allocator.
const FRAME_BYTES: usize = 320;

/// Something that waits to be published.
#[derive(Debug)]
pub(super) enum Item {
    /// A frame.
    Frame(Box<Waiting>),
    /// The record of a session, made when it is taken out.
    Session { stream: Arc<Stream>, session: SessionId },
}

/// A frame that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub stream: Arc<Stream>,
    pub record: FrameRecord,
    /// Unix us.
    pub received_us: u64,
    /// Monotonic.
    pub received_at: Duration,
}

/// The queue of one partition.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    ring: Sender<()>,
    bell: Receiver<()>,
    bytes_max: usize,
    /// Frames here and on their way to the bus.
    in_hand: AtomicU64,
    /// Somebody waits for what went through here to be durable, and cannot wait long.
    hurry: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    items: Order,
    bytes: usize,
    /// Who waits for room, in order of arrival.
    line: BTreeMap<u64, Arc<Stream>>,
    tickets: u64,
}

impl Waiting {
    fn bytes(&self) -> usize {
        FRAME_BYTES + self.record.frame.samples.values.len() * size_of::<Value>()
    }
}

impl Item {
    /// From sampling to arrival by the server's clock; a record has none.
    fn delay(&self) -> Option<Duration> {
        let Self::Frame(waiting) = self else { return None };
        let FrameRecord { received_ms, frame, .. } = &waiting.record;
        Some(Duration::from_millis(received_ms.saturating_sub(frame.time_ms)))
    }

    /// From sampling to `now`, monotonic.
    fn age(&self, now: Duration) -> Duration {
        let Self::Frame(waiting) = self else { return Duration::ZERO };
        let waited = now.saturating_sub(waiting.received_at);
        self.delay().unwrap_or_default().saturating_add(waited)
    }
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        let (ring, bell) = bounded(1);
        let (in_hand, hurry) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { state: Mutex::default(), ring, bell, bytes_max, in_hand, hurry }
    }

    /// Takes a frame, or gives it back and its stream a place in the line.
    pub(super) fn push_frame(&self, waiting: Box<Waiting>) -> Result<(), Box<Waiting>> {
        let mut state = self.lock();
        let stream = &waiting.stream;
        let bytes = waiting.bytes();
        if !state.items.is_empty() && state.bytes + bytes > self.bytes_max {
            if !stream.is_held() {
                state.tickets += 1;
                let ticket = state.tickets;
                stream.set_ticket(ticket);
                state.line.insert(ticket, Arc::clone(stream));
            }
            return Err(waiting);
        }
        if stream.is_held() {
            state.line.remove(&stream.ticket());
            stream.set_ticket(0);
        }
        state.bytes += bytes;
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        self.push(state, Item::Frame(waiting));
        Ok(())
    }

    /// Takes a session record at once: each session has at most one here
    /// ([`Session::claim_record`](super::session::Session::claim_record)), and one more when its
    /// stream ends.
    pub(super) fn push_session(&self, stream: Arc<Stream>, session: SessionId) {
        self.push(self.lock(), Item::Session { stream, session });
    }

    fn push(&self, mut state: MutexGuard<'_, State>, item: Item) {
        let was_empty = state.items.is_empty();
        state.items.push(item);
        drop(state);
        if was_empty {
            // Full means that it has been rung already.
            let _ = self.ring.try_send(());
        }
    }

    /// The item that goes next at `now`, monotonic. Calls as many streams from the line as there is
    /// room for now.
    pub(super) fn pop(&self, now: Duration) -> Option<Item> {
        let mut state = self.lock();
        let item = state.items.pop(now)?;
        let freed = if let Item::Frame(waiting) = &item { waiting.bytes() } else { 0 };
        state.bytes -= freed;
        // One frame out lets one in; an empty queue lets everybody try, so nobody is forgotten
        // even if those who were called had gone.
        let called_max = if state.items.is_empty() { usize::MAX } else { usize::from(freed > 0) };
        let mut called = Vec::new();
        while called.len() < called_max
            && let Some((_, stream)) = state.line.pop_first()
        {
            stream.set_ticket(0);
            called.push(stream);
        }
        drop(state);
        called.iter().for_each(|stream| stream.wake());
        Some(item)
    }

    /// Takes a stream out of the line: it has ended.
    pub(super) fn leave_line(&self, stream: &Stream) {
        let mut state = self.lock();
        state.line.remove(&stream.ticket());
        stream.set_ticket(0);
    }

    /// Becomes ready when there may be something in an empty queue.
    pub(super) fn bell(&self) -> &Receiver<()> {
        &self.bell
    }

    /// What is here and on its way is to be durable soon: a client leaves, or the server stops.
    pub(super) fn hurry(&self) {
        self.hurry.store(true, Ordering::Release);
        // Full means that it has been rung already.
        let _ = self.ring.try_send(());
    }

    /// Whether somebody has asked to hurry since the last time.
    pub(super) fn take_hurry(&self) -> bool {
        self.hurry.swap(false, Ordering::AcqRel)
    }

    /// Frames that were taken out are durable, refused or abandoned.
    pub(super) fn frames_done(&self, count: u64) {
        self.in_hand.fetch_sub(count, Ordering::Relaxed);
    }

    /// Frames that wait here or are on their way to the bus.
    pub(super) fn frames_in_hand(&self) -> u64 {
        self.in_hand.load(Ordering::Relaxed)
    }

    /// Memory held by waiting frames.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
