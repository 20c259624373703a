//! One live session per host: who comes back, who is new, who answers.

use std::time::Duration;

use grpcio::RpcStatusCode as Code;
use realtime_monitor::wire::message::{FromClient, Status};

use crate::Bench;

#[test]
fn the_same_session_replaces_its_old_stream_at_once() {
    let bench = Bench::real();
    let mut old = bench.welcome("web-1");
    old.send_frame(1);
    old.expect_ack(1);
    let mut new = bench.silent("web-1");
    new.set_session(old.session);
    new.hello();
    new.expect_welcome();
    let words = old.expect_end(Code::ABORTED);
    assert!(words.contains("a newer stream of the same session"), "{words}");
    new.send_frames(1..=3);
    new.expect_ack(3);
    bench.wait_for("streams_ended_total", 1);
    let ended: Vec<_> =
        bench.bus.sessions().into_iter().filter(|record| record.ended.is_some()).collect();
    assert!(ended.is_empty(), "the session goes on: {ended:?}");
    assert_eq!(bench.bus.seqs("web-1"), [1, 1, 2, 3], "a double is for the ledger");
}

#[test]
fn another_session_is_refused_while_the_first_one_answers() {
    let (bench, clock) = Bench::scripted();
    let mut first = bench.welcome("web-1");
    let mut second = bench.silent("web-1");
    second.hello();
    let nonce = first.expect_ping();
    clock.advance(Duration::from_secs(2));
    assert!(second.try_next().is_none());
    first.send(&FromClient::Status(Status { nonce, ..Status::default() }));
    let words = second.expect_end(Code::ALREADY_EXISTS);
    assert!(words.contains("uses it and answers") && words.contains("--host"), "{words}");
    first.send_frame(1);
    first.expect_ack(1);
    assert_eq!(bench.count("sessions_refused_total"), 1);
}

#[test]
fn a_first_session_that_does_not_answer_loses_the_name_after_three_seconds() {
    let (bench, clock) = Bench::scripted();
    let first = bench.welcome("web-1");
    let mut second = bench.silent("web-1");
    second.hello();
    first.expect_ping();
    clock.advance(Duration::from_secs(3));
    let words = first.expect_end(Code::ABORTED);
    assert!(words.contains("did not answer for 3 s"), "{words}");
    second.expect_welcome();
    second.send_frame(1);
    second.expect_ack(1);
    bench.wait_for("streams_ended_total", 1);
    let records = bench.bus.sessions();
    let ended =
        records.iter().find(|record| record.session == first.session && record.ended.is_some());
    assert!(ended.unwrap().ended.as_ref().unwrap().contains("did not answer"));
}

#[test]
fn a_first_session_that_goes_lets_the_second_in_at_once() {
    let (bench, _clock) = Bench::scripted();
    let first = bench.welcome("web-1");
    let mut second = bench.silent("web-1");
    second.hello();
    first.expect_ping();
    drop(first);
    second.expect_welcome();
}

#[test]
fn nothing_but_patience_is_allowed_before_welcome() {
    let (bench, _clock) = Bench::scripted();
    let first = bench.welcome("web-1");
    let mut second = bench.silent("web-1");
    second.hello();
    first.expect_ping();
    second.send_frame(1);
    let words = second.expect_end(Code::FAILED_PRECONDITION);
    assert!(words.contains("before Welcome"), "{words}");
    assert!(bench.bus.frames().is_empty());
}
