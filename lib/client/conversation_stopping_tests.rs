//! What is said when the client stops.

use super::*;

#[test]
fn stopping_before_a_welcome_keeps_to_its_limit() {
    let mut bench = Bench::new(300);
    bench.sample(1);
    let (shared, clock) = (Arc::clone(&bench.shared), Arc::clone(&bench.clock));
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    said(&mut talk);
    talk.stop(Duration::from_secs(4));
    assert_eq!((talk.deadline(), talk.check()), (Some(Duration::from_secs(4)), None));
    clock.advance(Duration::from_secs(4));
    assert_eq!(talk.check(), Some(Ending::Stopped));
}

#[test]
fn stopping_says_bye_after_the_last_frame_and_ends_with_the_last_ack() {
    let mut bench = Bench::new(300);
    bench.sample(2);
    let shared = Arc::clone(&bench.shared);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    talk.stop(Duration::from_secs(4));
    said(&mut talk);
    talk.received(welcome(START_US));
    assert_eq!(said(&mut talk), ["frame 1", "frame 2", "bye 2"]);
    assert!(!talk.has_next());
    talk.received(ack(1));
    assert_eq!((talk.check(), talk.is_closing()), (None, false));
    talk.received(ack(2));
    assert_eq!((talk.check(), talk.is_closing()), (None, true));
    assert_eq!(talk.ended(Ok(())), Ending::Stopped);
}

#[test]
fn stopping_sends_everything_at_once_and_says_bye_for_acks_that_wait_for_it() {
    let mut bench = Bench::new(600);
    bench.sample(3_000);
    let shared = Arc::clone(&bench.shared);
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    said(&mut talk);
    talk.received(welcome(START_US));
    assert_eq!(said(&mut talk).len(), 17, "paced, so that live frames find room");
    talk.stop(Duration::from_secs(4));
    let rest = said(&mut talk);
    assert_eq!((rest.len(), rest[2_983].as_str()), (2_984, "bye 3000"));
    let sent: Vec<_> = (18..=3_000).map(|seq| format!("frame {seq}")).collect();
    assert_eq!(rest[..2_983], sent, "oldest first, each once");
    talk.received(ack(3_000));
    assert_eq!((talk.check(), talk.is_closing()), (None, true));
    assert!(shared.buffer().is_settled());
}

#[test]
fn stopping_gives_up_in_time_and_says_bye_even_then() {
    let mut bench = Bench::new(4);
    bench.sample(5);
    let (shared, clock) = (Arc::clone(&bench.shared), Arc::clone(&bench.clock));
    let mut talk = Conversation::new(&shared, &mut bench.memory, hello(), &USAGE);
    said(&mut talk);
    talk.received(welcome(START_US));
    talk.stop(Duration::from_secs(4));
    // The stream takes two, and then none until it is nearly too late.
    let two: Vec<_> = (0..2).filter_map(|_| talk.next()).collect();
    assert!(matches!(two[..], [FromClient::Frame(_), FromClient::Frame(_)]));
    assert_eq!(talk.deadline(), Some(Duration::from_millis(3_500)));
    clock.advance(Duration::from_millis(3_500));
    assert_eq!(said(&mut talk), ["bye 5"]);
    assert_eq!(talk.deadline(), Some(Duration::from_secs(4)));
    clock.advance(Duration::from_millis(500));
    assert_eq!((talk.check(), talk.is_closing()), (None, true));
    clock.advance(CLOSE_LIMIT);
    assert_eq!(talk.check(), Some(Ending::Stopped));
    assert_eq!(shared.buffer().waiting_ranges(), [(1, 5)]);
}
