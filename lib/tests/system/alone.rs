//! `monitor`: the whole system in one process, what a newcomer starts first.

use std::time::{Duration, Instant};

use super::deployment::samples;
use crate::support::program::Program;
use crate::support::{Scratch, http, wait};

#[test]
fn shows_this_machine_within_seconds_and_stops_on_request() {
    let scratch = Scratch::new("alone");
    let data = scratch.join("data").to_string_lossy().into_owned();
    let start = Instant::now();
    let mut monitor = Program::start(
        "monitor",
        &scratch.0,
        &[
            "--listen",
            "127.0.0.1:0",
            "--grpc-listen",
            "127.0.0.1:0",
            "--host",
            "me",
            "--data",
            &data,
        ],
    );
    let page = monitor.address("page on ");
    let first = wait::until("a first value", Duration::from_secs(20), || {
        let metrics = http::json(page, "/api/metrics")?;
        (!samples(&metrics, "me", "memory").is_empty()).then(|| start.elapsed())
    });
    eprintln!("first value {:.2} s after the start", first.as_secs_f64());

    let grpc = monitor.address("listening on ").to_string();
    let guest =
        Program::start("monitor-client", &scratch.0, &["--server", &grpc, "--host", "guest"]);
    wait::until("the guest's CPU", Duration::from_secs(20), || {
        let metrics = http::json(page, "/api/metrics")?;
        (samples(&metrics, "guest", "cpu").len() > 2).then_some(())
    });
    guest.stop();
    let log = monitor.stop();
    assert!(!log.contains("left unacknowledged"), "{log}");
    assert!(!log.contains("ERROR") && !log.contains("panic"), "{log}");
}
