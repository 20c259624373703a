//! How programs start without what they need, and how they stop when it never came.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;

use super::outage::sampled;
use crate::support::broker::free_port;
use crate::support::program::Program;
use crate::support::{Scratch, http, wait};

/// How long anything may take to be said.
const SOON: Duration = Duration::from_secs(30);

/// A port on which nobody listens.
const NO_BROKER: &str = "127.0.0.1:1";

/// A server without a broker, and a client whose frames nobody can acknowledge.
fn unacknowledged(scratch: &Scratch) -> (Program, Program) {
    let flags = ["--listen", "127.0.0.1:0", "--kafka", NO_BROKER, "--interval", "100ms"];
    let mut server = Program::start("monitor-server", &scratch.0, &flags);
    let address: SocketAddr = server.address("listening on ");
    let flags = ["--server", &address.to_string(), "--host", "web-1"];
    let mut client = Program::start("monitor-client", &scratch.0, &flags);
    client.wait_for_log("connected to server", SOON);
    (server, client)
}

#[test]
fn what_nobody_acknowledged_is_named_exactly() {
    let scratch = Scratch::new("stopping");
    let (mut server, client) = unacknowledged(&scratch);
    server.wait_for_log("is it running? (make kafka)", SOON);
    let log = client.stop();
    let left = log.lines().find(|line| line.contains("left unacknowledged: frames 1"));
    assert!(left.is_some_and(|line| line.contains("of session ")), "{log}");
    server.stop();
}

/// `monitor` acknowledges what its history has committed, every five seconds, or when a client
/// says Bye. A client that stops right after an outage has more to send than it keeps in flight.
#[test]
fn what_waits_in_memory_after_an_outage_gets_out_before_the_end() {
    let scratch = Scratch::new("backlog");
    let text = |name: &str| scratch.join(name).to_string_lossy().into_owned();
    let (grpc, data) = (format!("127.0.0.1:{}", free_port()), text("data"));
    let start = || {
        let flags = ["--listen", "127.0.0.1:0", "--grpc-listen", &grpc, "--host", "server"];
        let more = ["--data", &data, "--interval", "10ms"];
        Program::start("monitor", &scratch.0, &[&flags[..], &more[..]].concat())
    };
    let monitor = start();
    // Ten milliseconds make a window of 3,000 frames, of which backlog gets half.
    let truth = scratch.join("sampled");
    let flags = ["--server", &grpc, "--host", "web-1", "--interval-min", "10ms"];
    let more = ["--collectors", "load,uptime", "--sampled-log", &text("sampled")];
    let mut client =
        Program::start("monitor-client", &scratch.0, &[&flags[..], &more[..]].concat());
    client.wait_for_log("connected to server", SOON);
    wait::until("its schedule", SOON, || (sampled(&truth).len() > 300).then_some(()));
    monitor.kill();
    let before = sampled(&truth).len();
    wait::until("a backlog", 2 * SOON, || (sampled(&truth).len() > before + 1_900).then_some(()));
    let monitor = start();
    wait::until("the next stream", SOON, || {
        (client.log().matches("connected to server").count() == 2).then_some(())
    });
    let log = client.stop();
    assert!(log.contains("nothing left: "), "{log}");
    monitor.stop();
}

#[test]
fn a_second_signal_ends_at_once() {
    let scratch = Scratch::new("second-signal");
    let (_server, mut client) = unacknowledged(&scratch);
    client.signal(Signal::TERM);
    client.wait_for_log("a second signal ends at once", SOON);
    client.signal(Signal::INT);
    assert_eq!(client.wait(SOON).code(), Some(130), "{}", client.log());
}

#[test]
fn the_page_says_why_it_is_empty_while_the_broker_is_away() {
    let scratch = Scratch::new("no-broker");
    let flags = ["--listen", "127.0.0.1:0", "--kafka", NO_BROKER];
    let mut analysis = Program::start("monitor-analysis", &scratch.0, &flags);
    let page = analysis.address("page on ");
    analysis.wait_for_log("is it running? (make kafka)", SOON);
    assert_eq!(http::get(page, "/").unwrap().status, 200);
    let ready = crate::support::wait::until("the reason", SOON, || {
        let answer = http::get(page, "/readyz").ok()?;
        let text = String::from_utf8(answer.body).unwrap();
        text.contains("cannot reach Kafka").then_some((answer.status, text))
    });
    assert_eq!(ready.0, 503, "{}", ready.1);
    analysis.stop();
}
