//! Limits of the registry, without gRPC.

use super::*;
use crate::base::clock::Scripted;
use crate::server::director::Orders;
use crate::server::session::tests as session_tests;
use crate::server::stream::END_LIMIT;

fn streams() -> (Streams, Arc<Scripted>) {
    let clock = Scripted::new(1_000_000_000);
    let orders = Orders { interval: Duration::from_secs(1), schedule: vec![], collect: vec![] };
    let director = Director::new(&orders).unwrap();
    let queues = vec![Arc::new(Queue::new(1 << 20))];
    let shared = Arc::clone(&clock) as SharedClock;
    (Streams::new("here", director, queues, shared, Arc::default()), clock)
}

#[test]
fn more_streams_than_the_limit_are_refused_in_words() {
    let (streams, _clock) = streams();
    let open: Vec<_> = (0..STREAMS_MAX).map(|_| streams.open("peer".into()).unwrap()).collect();
    let end = streams.open("peer".into()).unwrap_err();
    assert_eq!(end.kind, EndKind::Full);
    assert!(end.words.contains("16384 streams"), "{}", end.words);
    streams.close(&open[7]);
    assert!(streams.open("peer".into()).is_ok(), "room again");
    streams.show_levels();
    assert_eq!(streams.counts.streams_open.get(), STREAMS_MAX as u64);
    assert_eq!(streams.counts.streams_refused.get(), 1);
}

/// A bus that is away for long, and clients whose connections do not last: what is left of each is
/// its last word, which waits.
#[test]
fn streams_that_have_left_and_wait_for_the_bus_are_bounded() {
    let (streams, _clock) = streams();
    let hello = session_tests::hello();
    let come_and_go = || {
        let stream = streams.open("peer".into())?;
        streams.hello(&stream, &hello)?;
        stream.lock().welcomed = true;
        streams.leave(&stream, "the connection was lost");
        streams.close(&stream);
        Ok::<(), End>(())
    };
    let come = (0..3 * STREAMS_MAX).take_while(|_| come_and_go().is_ok()).count();
    assert_eq!(come, 2 * STREAMS_MAX);
    let end = come_and_go().unwrap_err();
    assert!(end.kind == EndKind::Full && end.words.contains("waits for the bus"), "{}", end.words);
    while streams.queue_of(&hello.host).pop(Duration::ZERO).is_some() {}
    come_and_go().unwrap();
}

#[test]
fn a_stopping_server_lets_nobody_in() {
    let (streams, _clock) = streams();
    let stream = streams.open("peer".into()).unwrap();
    let welcome = streams.open("peer".into()).unwrap();
    welcome.lock().welcomed = true;
    streams.drain(Duration::from_secs(1));
    assert!(stream.lock().stopping);
    assert!(!welcome.lock().stopping, "it has its time to leave");
    streams.stop();
    assert!(welcome.lock().stopping);
    streams.close(&welcome);
    assert_eq!(streams.open("peer".into()).unwrap_err().kind, EndKind::GoingAway);
    assert!(!streams.wait_until_empty(Duration::ZERO));
    streams.close(&stream);
    assert!(streams.wait_until_empty(Duration::ZERO));
}

/// A client that does not read cannot be told the end; after a while it is not waited for.
#[test]
fn a_stream_that_does_not_end_in_time_is_cut() {
    let (streams, clock) = streams();
    let stream = streams.open("peer".into()).unwrap();
    clock.advance(HELLO_LIMIT);
    streams.tick();
    assert!(stream.lock().is_ending() && !stream.lock().cut);
    clock.advance(END_LIMIT);
    streams.tick();
    assert!(stream.lock().cut);
}
