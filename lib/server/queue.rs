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
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::base::dice::Dice;
    use crate::metric::{Frame, Samples};

    fn stream(id: u64) -> Arc<Stream> {
        Arc::new(Stream::new(id, "test".into(), Duration::ZERO))
    }

    fn waiting(stream: &Arc<Stream>, seq: u64) -> Box<Waiting> {
        let frame = Frame {
            session: SessionId(1),
            seq,
            elapsed_us: 0,
            time_ms: 0,
            uncertainty_ms: 0,
            host_time_ms: 0,
            interval_ms: 1_000,
            sent_ms: 0,
            samples: Samples::from_iter([]),
        };
        let (host, server) = ("h".into(), "s".into());
        let (received_ms, clock_wrong, overtaken) = (0, false, false);
        Box::new(Waiting {
            stream: Arc::clone(stream),
            record: FrameRecord { host, server, received_ms, clock_wrong, overtaken, frame },
            received_us: 0,
            received_at: Duration::ZERO,
        })
    }

    fn seq(item: Option<Item>) -> u64 {
        match item {
            Some(Item::Frame(waiting)) => waiting.record.frame.seq,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_queue_holds_streams_in_order_and_calls_them_one_by_one() {
        let queue = Queue::new(2 * FRAME_BYTES);
        let (a, b, c) = (stream(1), stream(2), stream(3));
        assert!(queue.push_frame(waiting(&a, 1)).is_ok() && queue.bell().try_recv().is_ok());
        assert!(queue.push_frame(waiting(&a, 2)).is_ok() && queue.bell().try_recv().is_err());
        let (held_b, held_c) =
            (queue.push_frame(waiting(&b, 3)).unwrap_err(), queue.push_frame(waiting(&c, 4)));
        assert!(queue.push_frame(waiting(&b, 9)).is_err(), "one place in the line each");
        assert!(b.is_held() && c.is_held() && queue.lock().line.len() == 2);
        assert_eq!(seq(queue.pop(Duration::ZERO)), 1);
        assert!(!b.is_held() && c.is_held(), "room for one");
        assert!(queue.push_frame(held_b).is_ok());
        assert_eq!((seq(queue.pop(Duration::ZERO)), seq(queue.pop(Duration::ZERO))), (2, 3));
        assert!(!c.is_held());
        assert!(queue.push_frame(held_c.unwrap_err()).is_ok());
        assert_eq!((seq(queue.pop(Duration::ZERO)), queue.bytes()), (4, 0));
    }

    #[test]
    fn whoever_was_called_and_had_gone_blocks_nobody() {
        let queue = Queue::new(FRAME_BYTES);
        let (a, gone, c) = (stream(1), stream(2), stream(3));
        queue.push_frame(waiting(&a, 1)).unwrap();
        queue.push_frame(waiting(&a, 2)).unwrap_err();
        queue.push_frame(waiting(&gone, 3)).unwrap_err();
        queue.push_frame(waiting(&c, 4)).unwrap_err();
        queue.leave_line(&gone);
        assert!(!gone.is_held() && queue.lock().line.len() == 2);
        queue.pop(Duration::ZERO);
        assert!(!a.is_held() && !c.is_held(), "an empty queue calls everybody");
        assert!(queue.push_frame(waiting(&c, 4)).is_ok(), "whatever its size");
    }

    /// A frame that was sampled so many seconds before it arrived.
    fn late(stream: &Arc<Stream>, seq: u64, seconds: u64) -> Box<Waiting> {
        let mut waiting = waiting(stream, seq);
        waiting.record.received_ms = seconds * 1_000;
        waiting
    }

    #[test]
    fn live_frames_pass_what_is_late_and_starve_nothing() {
        let (queue, a) = (Queue::new(1 << 20), stream(1));
        for seq in 1..=4 {
            queue.push_frame(late(&a, seq, 60)).unwrap();
        }
        for seq in 11..=17 {
            queue.push_frame(late(&a, seq, 1)).unwrap();
        }
        let order: Vec<u64> = (0..11).map(|_| seq(queue.pop(Duration::ZERO))).collect();
        assert_eq!(order, [11, 12, 13, 1, 14, 15, 16, 2, 17, 3, 4]);
        assert!(queue.pop(Duration::ZERO).is_none() && queue.bytes() == 0);
    }

    #[test]
    fn what_is_late_waits_for_three_live_frames_whatever_went_before_it() {
        let (queue, a) = (Queue::new(1 << 20), stream(1));
        for seq in 1..=9 {
            queue.push_frame(late(&a, seq, 1)).unwrap();
            assert_eq!(seq, self::seq(queue.pop(Duration::ZERO)));
            assert!(queue.pop(Duration::ZERO).is_none());
        }
        queue.push_frame(late(&a, 10, 60)).unwrap();
        for seq in 11..=14 {
            queue.push_frame(late(&a, seq, 1)).unwrap();
        }
        let order: Vec<u64> = (0..5).map(|_| seq(queue.pop(Duration::ZERO))).collect();
        assert_eq!(order, [11, 12, 13, 10, 14]);
    }

    #[test]
    fn what_waits_here_too_long_is_live_no_more() {
        let (queue, a) = (Queue::new(1 << 20), stream(1));
        for (seq, received_s) in [(1, 0), (2, 1), (3, 30), (4, 31)] {
            let mut waiting = waiting(&a, seq);
            waiting.received_at = Duration::from_secs(received_s);
            queue.push_frame(waiting).unwrap();
        }
        let order: Vec<u64> = (0..4).map(|_| seq(queue.pop(Duration::from_secs(31)))).collect();
        assert_eq!(order, [3, 4, 1, 2], "after thirty seconds without the bus");
    }

    /// A frame that does not say so stands before all of its session with larger numbers.
    #[test]
    fn what_may_have_been_overtaken_says_so() {
        let (mut dice, queue) = (Dice::new(7), Queue::new(1 << 20));
        let (a, mut on_its_way) = (stream(1), VecDeque::new());
        let (mut now_ms, mut largest, mut said, mut overtaken) = (0, 0, 0, 0);
        for number in 1..40_000 {
            now_ms += dice.below(300);
            if dice.below(5) < 2 {
                on_its_way.push_back((number, now_ms));
            }
            // The way and the bus stand still now and then.
            while now_ms % 30_000 > 4_000
                && let Some((number, sampled_ms)) = on_its_way.pop_front()
            {
                let mut frame = waiting(&a, number);
                frame.record.received_ms = now_ms - sampled_ms;
                frame.received_at = Duration::from_millis(now_ms);
                queue.push_frame(frame).unwrap();
            }
            if now_ms % 23_000 < 5_000 || dice.one_in(5) {
                continue;
            }
            let item = queue.pop(Duration::from_millis(now_ms));
            let Some(Item::Frame(frame)) = item else { continue };
            let (seq, is_said) = (frame.record.frame.seq, frame.record.overtaken);
            assert!(is_said || seq > largest, "{seq} after {largest}");
            overtaken += u32::from(seq < largest);
            said += u32::from(is_said);
            largest = largest.max(seq);
        }
        assert!(overtaken > 500 && said < 8_000, "{overtaken} were, {said} said so");
    }

    #[test]
    fn a_server_that_gives_up_within_its_first_second_empties_it() {
        let (queue, a) = (Queue::new(1 << 20), stream(1));
        queue.push_frame(late(&a, 1, 1)).unwrap();
        assert_eq!(seq(queue.pop(Duration::MAX)), 1);
        assert!(queue.pop(Duration::MAX).is_none() && queue.bytes() == 0);
    }

    #[test]
    fn the_record_of_a_session_overtakes_no_frame() {
        let (queue, a) = (Queue::new(1 << 20), stream(1));
        queue.push_frame(waiting(&a, 1)).unwrap();
        queue.push_frame(late(&a, 2, 60)).unwrap();
        queue.push_session(Arc::clone(&a), SessionId(1));
        queue.push_frame(late(&a, 3, 60)).unwrap();
        queue.push_frame(waiting(&a, 4)).unwrap();
        let now = Duration::from_secs(1);
        assert_eq!((seq(queue.pop(now)), seq(queue.pop(now)), seq(queue.pop(now))), (1, 4, 2));
        // The first was received before the record, and would now be late.
        queue.push_frame(waiting(&a, 5)).unwrap();
        queue.push_session(Arc::clone(&a), SessionId(2));
        let now = Duration::from_secs(9);
        assert!(matches!(queue.pop(now), Some(Item::Session { session: SessionId(1), .. })));
        assert_eq!((seq(queue.pop(now)), seq(queue.pop(now))), (3, 5));
        assert!(matches!(queue.pop(now), Some(Item::Session { session: SessionId(2), .. })));
    }

    #[test]
    fn records_of_sessions_need_no_room() {
        let queue = Queue::new(FRAME_BYTES);
        let a = stream(1);
        queue.push_frame(waiting(&a, 1)).unwrap();
        queue.push_session(Arc::clone(&a), SessionId(1));
        assert_eq!(seq(queue.pop(Duration::ZERO)), 1);
        assert!(matches!(queue.pop(Duration::ZERO), Some(Item::Session { .. })));
    }
}
