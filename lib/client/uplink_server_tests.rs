//! Where a client goes when its server is lost, refuses, drains or is one of several.

use super::*;

#[test]
fn a_killed_server_comes_back_and_gets_the_same_frames() {
    let server = ScriptedServer::start(0);
    let bench = Bench::start(&server.address());
    bench.sample(5);
    let mut peer = server.peer();
    peer.hello();
    peer.welcome(&[]);
    assert_eq!(peer.seqs(5), [1, 2, 3, 4, 5]);
    peer.ack(2);
    let acked = || bench.shared.counts.frames_acked.get();
    bench.pass_until(Duration::ZERO, "two acks", || acked() == 2);
    let port = server.port;
    server.kill();
    bench.pass_until(TICK, "the loss", || bench.shared.counts.connections_lost.get() == 1);
    bench.sample(2);
    let server = ScriptedServer::start(port);
    let mut peer = None;
    bench.pass_until(TICK, "a new stream", || {
        peer = server.peers.try_recv().ok();
        peer.is_some()
    });
    let mut peer = peer.unwrap();
    assert_eq!(peer.hello().first_seq, 3);
    peer.welcome(&[]);
    assert_eq!(peer.seqs(5), [3, 4, 5, 6, 7]);
    peer.ack(7);
    bench.pass_until(Duration::ZERO, "all acks", || acked() == 7);
    assert_eq!(bench.shared.counts.frames_sent_again.get(), 3);
    let words = bench.stop(Duration::from_millis(100));
    assert_eq!(words, "nothing left: 7 frames acknowledged");
    server.kill();
}

#[test]
fn a_refusal_waits_five_minutes() {
    let server = ScriptedServer::start(0);
    let bench = Bench::start(&server.address());
    let mut peer = server.peer();
    peer.hello();
    let timers = bench.clock.timers_registered();
    peer.end(RpcStatusCode::FAILED_PRECONDITION, "protocol 1 is too old");
    let refused = || bench.shared.counts.connections_refused.get() == 1;
    bench.pass_until(Duration::ZERO, "the refusal", refused);
    assert!(bench.clock.wait_for_timers(timers + 1, LIMIT));
    bench.clock.advance(Duration::from_secs(299));
    assert!(server.peers.recv_timeout(Duration::from_millis(100)).is_err());
    bench.clock.advance(Duration::from_secs(2));
    server.peer().hello();
    bench.stop(TICK);
    server.kill();
}

#[test]
fn a_server_that_never_answers_is_left_after_ten_seconds() {
    let server = ScriptedServer::start(0);
    let bench = Bench::start(&server.address());
    let silent = server.peer();
    silent.hello();
    assert!(bench.clock.monotonic() < Duration::from_secs(1));
    let failed = || bench.shared.counts.connections_failed.get() == 1;
    bench.pass_until(Duration::from_secs(1), "giving up", failed);
    assert!(bench.clock.monotonic() >= Duration::from_secs(10));
    silent.ends();
    bench.stop(TICK);
    server.kill();
}

#[test]
fn drain_leads_to_a_new_stream_of_the_same_session() {
    let server = ScriptedServer::start(0);
    let bench = Bench::start(&server.address());
    let mut first = server.peer();
    first.hello();
    first.welcome(&[]);
    bench.sample(2);
    assert_eq!(first.seqs(2), [1, 2]);
    first.ack(1);
    first.say(ToClient::Drain { after_ms: 1_000, reason: "update".into() });
    let mut second = None;
    bench.pass_until(TICK, "a new stream", || {
        second = server.peers.try_recv().ok();
        second.is_some()
    });
    first.ends();
    let mut second = second.unwrap();
    let hello = second.hello();
    assert_eq!((hello.session, hello.first_seq), (SessionId(42), 2));
    second.welcome(&[]);
    assert_eq!(second.seqs(1), [2]);
    assert_eq!(bench.shared.counts.connections_lost.get(), 0, "leaving is no loss");
    bench.stop(TICK);
    server.kill();
}

/// The server that the bench's host begins with, and the other one.
fn two_servers() -> (ScriptedServer, ScriptedServer, Bench) {
    let (a, b) = (ScriptedServer::start(0), ScriptedServer::start(0));
    let bench = Bench::start_with(&[&a.address(), &b.address()]);
    let mut is_first_a = false;
    wait_for(|| {
        is_first_a = !a.peers.is_empty();
        is_first_a || !b.peers.is_empty()
    });
    if is_first_a { (a, b, bench) } else { (b, a, bench) }
}

fn wait_for(mut reached: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if reached() {
            return;
        }
        let _ = crossbeam_channel::never::<()>().recv_timeout(Duration::from_millis(5));
    }
    panic!("never");
}

#[test]
fn another_server_gets_what_the_first_did_not_acknowledge() {
    let (first, second, bench) = two_servers();
    bench.sample(5);
    let mut peer = first.peer();
    peer.hello();
    peer.welcome(&[]);
    assert_eq!(peer.seqs(5), [1, 2, 3, 4, 5]);
    peer.ack(2);
    bench.pass_until(Duration::ZERO, "two acks", || bench.shared.counts.frames_acked.get() == 2);
    first.kill();
    bench.pass_until(TICK, "the loss", || bench.shared.counts.connections_lost.get() == 1);
    bench.pass_until(TICK, "the other", || !second.peers.is_empty());
    let mut peer = second.peer();
    let hello = peer.hello();
    assert_eq!((hello.session, hello.first_seq), (SessionId(42), 3));
    peer.welcome(&[]);
    assert_eq!(peer.seqs(3), [3, 4, 5]);
    peer.ack(5);
    bench.pass_until(Duration::ZERO, "all", || bench.shared.counts.frames_acked.get() == 5);
    assert_eq!(bench.stop(Duration::from_millis(100)), "nothing left: 5 frames acknowledged");
    second.kill();
}

#[test]
fn who_is_refused_or_drained_goes_to_the_other_server_and_stays() {
    let (first, second, bench) = two_servers();
    let mut peer = first.peer();
    peer.hello();
    peer.end(RpcStatusCode::FAILED_PRECONDITION, "protocol 1 is too old");
    let mut peer = second.peer();
    peer.hello();
    peer.welcome(&[]);
    peer.say(ToClient::Drain { after_ms: 1_000, reason: "update".into() });
    // The first one refuses for five minutes: there is nowhere else to go but back, after a while.
    bench.pass_until(TICK, "leaving", || bench.shared.counts.connections_drained.get() == 1);
    assert_eq!(bench.shared.counts.connections_lost.get(), 0);
    bench.pass_until(TICK, "back", || !second.peers.is_empty());
    assert!(first.peers.is_empty());
    bench.stop(TICK);
    first.kill();
    second.kill();
}

#[test]
fn who_stops_while_a_server_is_gone_delivers_to_another() {
    let (first, second, bench) = two_servers();
    let peer = first.peer();
    peer.hello();
    bench.sample(700);
    let other = thread::spawn("test-other", move || {
        let mut peer = second.peer();
        peer.hello();
        peer.welcome(&[]);
        // More than its window, and no ack before Bye.
        assert_eq!(peer.seqs(700), (1..=700).collect::<Vec<_>>());
        assert!(matches!(peer.hear(), FromClient::Bye { last_seq: 700, .. }));
        peer.ack(700);
        peer.ends();
        second.kill();
    });
    drop(peer);
    let Bench { clock: _clock, stopper, left, thread, .. } = bench;
    drop(stopper);
    first.kill();
    let words = left.recv_timeout(LIMIT).unwrap();
    assert_eq!(words, "nothing left: 700 frames acknowledged");
    thread.join();
    other.unwrap().join();
}
