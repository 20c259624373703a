//! The order of a stream, and everything that is not in order.

use std::time::Duration;

use grpcio::RpcStatusCode as Code;
use protobuf::Message;
use realtime_monitor::metric::{Declaration, SessionId};
use realtime_monitor::wire::message::FromClient;
use realtime_monitor::wire::proto;

use crate::Bench;
use crate::peer::{self, Peer};

#[test]
fn welcome_brings_the_standing_order_and_asks_for_everything_once() {
    let bench = Bench::real();
    let mut peer = bench.silent("Asked");
    peer.hello();
    let peer::Event::Message(realtime_monitor::wire::message::ToClient::Welcome(welcome)) =
        peer.next()
    else {
        panic!("no Welcome");
    };
    let entries: Vec<_> = welcome
        .schedule
        .entries
        .iter()
        .map(|entry| (entry.pattern.as_str(), entry.interval_ms))
        .collect();
    assert_eq!(entries, [("*", 1_000), ("cpu", 500)]);
    assert_eq!((welcome.server.as_str(), welcome.protocol), ("here", 1));
    assert!(welcome.server_time_us > 1_600_000_000_000_000);
    let peer::Event::Message(realtime_monitor::wire::message::ToClient::Collect(once)) =
        peer.next()
    else {
        panic!("no Collect");
    };
    assert_eq!(once, ["*", "cpu_core_seconds_total"]);
    peer.send_frame(1);
    peer.expect_ack(1);
    assert_eq!(bench.bus.seqs("asked"), [1], "names are lower-cased");
}

/// Sends something wrong on a stream that was welcome and returns the words of its end; another
/// stream must not notice.
#[track_caller]
fn ended_with(code: Code, wrong: impl FnOnce(&mut Peer)) -> String {
    let bench = Bench::real();
    let mut other = bench.welcome("other");
    let mut peer = bench.welcome("web-1");
    wrong(&mut peer);
    let words = peer.expect_end(code);
    other.send_frame(1);
    other.expect_ack(1);
    assert_eq!(bench.count("streams_failed_total"), 1);
    bench.wait_for("streams_ended_total", 1);
    words
}

#[test]
fn what_is_out_of_order_ends_the_stream_in_words() {
    let words = ended_with(Code::FAILED_PRECONDITION, Peer::hello);
    assert_eq!(words, "Hello twice on one stream");
    let bench = Bench::real();
    let mut peer = bench.silent("web-1");
    peer.send_frame(1);
    assert_eq!(peer.expect_end(Code::FAILED_PRECONDITION), "the first message must be Hello");
}

#[test]
fn what_makes_no_sense_ends_the_stream_in_words() {
    let message = |message: proto::CommandResponse| message.write_to_bytes().unwrap();
    let frame = |frame: proto::Frame| {
        let mut wrapped = proto::CommandResponse::new();
        wrapped.set_frame(frame);
        message(wrapped)
    };
    let words = ended_with(Code::INVALID_ARGUMENT, |peer| {
        peer.send_bytes(vec![0xff; 40]);
    });
    assert!(words.contains("not a message of this protocol"), "{words}");
    let words = ended_with(Code::INVALID_ARGUMENT, |peer| {
        peer.send_bytes(frame(proto::Frame { seq: 1, layout: 3, ..Default::default() }));
    });
    assert!(words.contains("layout 3 not announced"), "{words}");
    let words = ended_with(Code::INVALID_ARGUMENT, |peer| {
        let layout = proto::Layout { series: vec![9], ..Default::default() };
        peer.send_bytes(frame(proto::Frame {
            seq: 1,
            new_layout: Some(layout).into(),
            ..Default::default()
        }));
    });
    assert!(words.contains("series 9 not announced"), "{words}");
    let words = ended_with(Code::INVALID_ARGUMENT, |peer| {
        let session = SessionId(99);
        let declaration = Declaration { session, range: (1, 2), reason: String::new() };
        peer.send(&FromClient::Dropped(declaration));
    });
    assert!(words.contains("not listed in Hello"), "{words}");
    let words = ended_with(Code::INVALID_ARGUMENT, |peer| peer.send_frame(1 << 53));
    assert!(words.contains("frame number"), "{words}");
}

#[test]
fn a_message_over_the_limit_ends_the_stream() {
    let bench = Bench::real();
    let mut peer = bench.welcome("web-1");
    peer.send_bytes(vec![0; 300 * 1024]);
    peer.expect_end(Code::RESOURCE_EXHAUSTED);
    bench.wait_for("streams_ended_total", 1);
}

#[test]
fn too_many_holes_end_the_stream_before_they_fill_the_memory() {
    let bench = Bench::real();
    let mut peer = bench.welcome("web-1");
    for seq in 1.. {
        let frame = peer::frame(peer.session, 2 * seq, 1);
        if !peer.try_send(&FromClient::Frame(Box::new(frame))) {
            break;
        }
        assert!(seq < 100_000, "so many holes and still going on");
    }
    assert!(peer.expect_end(Code::INVALID_ARGUMENT).contains("too many holes"));
}

#[test]
fn messages_of_a_later_version_are_ignored_and_counted() {
    let bench = Bench::real();
    let mut peer = bench.silent("web-1");
    // Field 15, length-delimited, one byte.
    assert!(peer.send_bytes(vec![15 << 3 | 2, 1, 7]));
    peer.hello();
    peer.expect_welcome();
    assert!(peer.send_bytes(vec![15 << 3 | 2, 1, 7]));
    peer.send_frame(1);
    peer.expect_ack(1);
    assert_eq!(bench.count("messages_unknown_total"), 2);
}

#[test]
fn another_version_is_refused_with_advice() {
    for (protocol, advice) in [(0, "install a newer client"), (9, "install a newer server first")] {
        let bench = Bench::real();
        let mut peer = bench.silent("web-1");
        let mut hello = peer::hello("web-1", peer.session);
        hello.protocol = protocol;
        peer.send(&FromClient::Hello(Box::new(hello)));
        let words = peer.expect_end(Code::FAILED_PRECONDITION);
        assert!(words.contains(advice) && words.contains("(test)"), "{words}");
        assert_eq!(bench.count("sessions_refused_total"), 1);
    }
}

#[test]
fn a_name_that_cannot_be_is_refused() {
    let bench = Bench::real();
    let mut peer = bench.silent("web 1/../x");
    peer.hello();
    let words = peer.expect_end(Code::INVALID_ARGUMENT);
    assert!(words.contains("'web 1/../x' cannot name a host"), "{words}");
    assert!(bench.bus.sessions().is_empty(), "nothing of it reaches the bus");
}

#[test]
fn a_stream_without_hello_is_ended_after_ten_seconds() {
    let (bench, clock) = Bench::scripted();
    let peer = bench.silent("web-1");
    bench.wait_for("streams_opened_total", 1);
    clock.advance(Duration::from_millis(9_500));
    let welcome = bench.welcome("web-2");
    assert!(peer.try_next().is_none());
    clock.advance(Duration::from_secs(1));
    let words = peer.expect_end(Code::FAILED_PRECONDITION);
    assert_eq!(words, "no Hello within 10 s");
    assert!(welcome.try_next().is_none());
}
