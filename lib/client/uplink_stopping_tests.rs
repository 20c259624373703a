//! A client that stops, in time, whatever hangs.

use super::*;

#[test]
fn stopping_names_what_a_silent_server_has_left() {
    let server = ScriptedServer::start(0);
    let bench = Bench::start(&server.address());
    bench.sample(9);
    let mut peer = server.peer();
    peer.hello();
    peer.welcome(&[]);
    peer.seqs(9);
    peer.say(ToClient::Ack(Ack {
        session: None,
        through: 3,
        ranges: vec![(5, 5)],
        server_time_us: 0,
        echo_seq: 0,
        echo_received_us: 0,
    }));
    let acked = || bench.shared.counts.frames_acked.get() == 4;
    bench.pass_until(Duration::ZERO, "the ack", acked);
    let (clock, before) = (Arc::clone(&bench.clock), bench.clock.monotonic());
    let words = bench.stop(Duration::from_millis(100));
    let session = SessionId(42);
    assert_eq!(words, format!("left unacknowledged: frames 4, 6-9 (5) of session {session}"));
    let took = clock.monotonic() - before;
    assert!(took >= STOP_LIMIT, "gave up after {took:?}");
    assert_eq!(peer.hear(), FromClient::Bye { last_seq: 9, reason: "stopped".into() });
    server.kill();
}

#[test]
fn stopping_with_no_server_is_quick_and_names_everything() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let bench = Bench::start(&format!("127.0.0.1:{port}"));
    bench.sample(2);
    let failed = || bench.shared.counts.connections_failed.get() >= 1;
    bench.pass_until(TICK, "a failure", failed);
    let words = bench.stop(Duration::ZERO);
    assert!(words.starts_with("left unacknowledged: frames 1-2 (2) of session"), "{words}");
}

#[test]
fn stopping_with_a_hung_server_names_everything() {
    // The kernel accepts for it; nobody ever reads.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bench = Bench::start(&listener.local_addr().unwrap().to_string());
    bench.sample(1);
    let (_connection, _) = listener.accept().unwrap();
    let words = bench.stop(Duration::from_millis(100));
    assert!(words.starts_with("left unacknowledged: frames 1 (1) of session"), "{words}");
}

#[test]
fn a_reading_that_hangs_does_not_keep_the_client_from_its_goodbye() {
    let server = ScriptedServer::start(0);
    let (release, released) = bounded::<()>(0);
    let (entered, hanging) = bounded(1);
    let mut script = Script::new();
    script.during = Box::new(move |_| {
        let _ = entered.try_send(());
        let _ = released.recv();
    });
    let client = start(config(&server.address()), Box::new(script), Real::shared()).unwrap();
    let mut peer = server.peer();
    peer.hello();
    peer.welcome(&[]);
    peer.say(ToClient::Collect(vec!["*".into()]));
    hanging.recv_timeout(LIMIT).unwrap();
    client.stop();
    assert_eq!(peer.hear(), FromClient::Bye { last_seq: 0, reason: "stopped".into() });
    drop(release);
    server.kill();
}
