//! Who goes first, who is held, who is called.

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
