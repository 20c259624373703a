//! How streams and the server end: goodbyes, vanished clients, shutdown in any state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode as Code;
use realtime_monitor::base::clock::Real;
use realtime_monitor::metric::SessionId;
use realtime_monitor::server::{self, Config, StartError};
use realtime_monitor::wire::message::{EarlierSession, FromClient, ToClient};

use crate::bus::{ScriptedBus, Shared};
use crate::peer::{self, Event};
use crate::{Bench, config};

/// What a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);

fn bye(last_seq: u64, reason: &str) -> FromClient {
    FromClient::Bye { last_seq, reason: reason.into() }
}

#[test]
fn a_goodbye_is_acknowledged_at_once_and_recorded() {
    let bench = Bench::real();
    let mut peer = bench.welcome("web-1");
    peer.send_frames(1..=15);
    peer.send(&bye(15, "SIGTERM"));
    peer.expect_ack(15);
    peer.close_sending();
    peer.expect_end(Code::OK);
    bench.wait_for("streams_ended_total", 1);
    bench.wait_for("session_records_published_total", 3);
    let last = bench.bus.sessions().pop().unwrap();
    assert_eq!((last.ended.as_deref(), last.sampled_through), (Some("bye: SIGTERM"), 15));
    assert_eq!(last.acked, [(1, 15)]);
}

#[test]
fn closing_without_a_goodbye_still_hears_every_ack() {
    let bench = Bench::real();
    bench.bus.block();
    let mut peer = bench.welcome("web-1");
    peer.send_frames(1..=15);
    peer.close_sending();
    bench.wait_for("frames_in_total", 15);
    bench.bus.release();
    peer.expect_ack(15);
    peer.expect_end(Code::OK);
}

#[test]
fn a_client_that_vanishes_is_noticed_and_what_it_sent_is_kept() {
    let bench = Bench::real();
    bench.bus.block();
    let mut peer = bench.welcome("web-1");
    peer.send_frames(1..=15);
    bench.wait_for("frames_in_total", 15);
    drop(peer);
    bench.wait_for("streams_ended_total", 1);
    bench.bus.release();
    bench.wait_for("session_records_published_total", 2);
    assert!(bench.bus.seqs("web-1").into_iter().eq(1..=15));
    let last = bench.bus.sessions().pop().unwrap();
    assert_eq!(last.ended.as_deref(), Some("the connection was lost"));
    assert_eq!(last.acked, [(1, 15)], "recorded after the frames it covers");
}

#[test]
fn frames_of_earlier_sessions_are_acknowledged_under_their_own_name() {
    let bench = Bench::real();
    let mut peer = bench.silent("web-1");
    let earlier = SessionId(5);
    let mut hello = peer::hello("web-1", peer.session);
    hello.first_seq = 100;
    hello.earlier_sessions =
        vec![EarlierSession { session: earlier, range: (40, 42), tail_unknown: false }];
    peer.send(&FromClient::Hello(Box::new(hello)));
    peer.expect_welcome();
    for seq in 40..=42 {
        peer.send(&FromClient::Frame(Box::new(peer::frame(earlier, seq, 2))));
        let Event::Message(ToClient::Ack(ack)) = peer.next() else { panic!("no ack") };
        assert_eq!((ack.session, ack.through), (Some(earlier), seq));
    }
    peer.send_frame(100);
    assert_eq!(peer.expect_ack(100).session, None, "earlier numbers are not with the client");
    bench.wait_for("session_records_published_total", 2);
    let records = bench.bus.sessions();
    let old = records.iter().find(|record| record.session == earlier).unwrap();
    assert_eq!((old.first_seq, old.sampled_through), (40, 42));
    assert!(old.ended.is_some());
}

#[test]
fn a_stop_acknowledges_what_is_in_hand_and_says_why() {
    let mut bench = Bench::real();
    let mut peers: Vec<_> = (0..50).map(|number| bench.welcome(&format!("h{number}"))).collect();
    peers.iter_mut().for_each(|peer| peer.send_frames(1..=15));
    let silent = bench.silent("nobody");
    bench.wait_for("streams_opened_total", 51);
    let begun = Instant::now();
    bench.stop();
    assert!(begun.elapsed() < STOP_LIMIT, "{:?}", begun.elapsed());
    for peer in &peers {
        let (mut acked, mut drained) = (0, false);
        let words = loop {
            match peer.next() {
                Event::Message(ToClient::Ack(ack)) => acked = ack.through,
                Event::Message(ToClient::Drain { .. }) => drained = true,
                Event::Message(other) => panic!("{other:?}"),
                Event::Ended(status) => {
                    assert_eq!(status.code(), Code::UNAVAILABLE);
                    break status.message().to_owned();
                }
            }
        };
        assert!(drained && words.contains("the server is stopping"), "{words}");
        let durable = bench.bus.seqs(&peer.host).len() as u64;
        assert_eq!(acked, durable, "{}: what is durable was acknowledged", peer.host);
    }
    silent.expect_end(Code::UNAVAILABLE);
    let records = bench.bus.sessions();
    let ended = records.iter().filter(|record| record.ended.is_some()).count();
    assert_eq!(ended, 50, "every session's end is recorded");
}

/// The bus does not come back: the stop takes its limit and no more, and nothing is acknowledged.
#[test]
fn a_stop_with_a_stopped_bus_takes_its_limit() {
    let mut bench = Bench::real();
    bench.bus.block();
    let mut peers: Vec<_> = (0..5).map(|number| bench.welcome(&format!("h{number}"))).collect();
    peers.iter_mut().for_each(|peer| peer.send_frames(1..=3));
    bench.wait_for("frames_in_total", 15);
    let begun = Instant::now();
    bench.stop();
    assert!(begun.elapsed() < STOP_LIMIT, "{:?}", begun.elapsed());
    for peer in &peers {
        loop {
            match peer.next() {
                Event::Message(ToClient::Drain { .. }) => {}
                Event::Message(other) => panic!("{other:?}"),
                Event::Ended(status) => break assert_ne!(status.code(), Code::OK),
            }
        }
    }
    bench.bus.release();
    // The threads that were left behind in the bus come to their end.
    crate::wait::until("their end", STOP_LIMIT, || {
        let ended = bench.count("frames_published_total") + bench.count("frames_abandoned_total");
        (ended == 15).then_some(())
    });
    bench.counts.frames_queued.set(0);
}

#[test]
fn a_restarted_server_starts_from_what_the_client_still_has() {
    let mut bench = Bench::real();
    let mut peer = bench.welcome("web-1");
    peer.send_frames(1..=10);
    peer.expect_ack(10);
    bench.stop();
    let second = Bench::real();
    let mut again = second.silent("web-1");
    again.set_session(peer.session);
    let mut hello = peer::hello("web-1", peer.session);
    hello.first_seq = 11;
    again.send(&FromClient::Hello(Box::new(hello)));
    again.expect_welcome();
    // 12 arrives before 11: nothing is said of 11.
    again.send_frame(12);
    let Event::Message(ToClient::Ack(ack)) = again.next() else { panic!("no ack") };
    assert_eq!((ack.through, ack.ranges), (10, vec![(12, 12)]));
    again.send_frame(11);
    again.expect_ack(12);
}

#[test]
fn an_address_in_use_is_told_in_words() {
    let bench = Bench::real();
    let taken = Config { listen: bench.address, ..config() };
    let bus = Arc::new(Shared(ScriptedBus::new()));
    let error = server::start(&taken, bus.clone(), Real::shared()).unwrap_err();
    assert!(matches!(error, StartError::Address { .. }), "{error:?}");
    assert!(error.to_string().contains("is in use"), "{error}");
    let open = Config { listen: "0.0.0.0:0".parse().unwrap(), ..config() };
    let error = server::start(&open, bus.clone(), Real::shared()).unwrap_err();
    assert!(error.to_string().contains("--insecure"), "{error}");
    let allowed = Config { insecure: true, ..open };
    assert_ne!(server::start(&allowed, bus, Real::shared()).unwrap().address().port(), 0);
}
