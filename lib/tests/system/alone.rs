//! `monitor`: the whole system in one process, what a newcomer starts first.

use std::io::Write;
use std::time::{Duration, Instant};

use super::deployment::samples;
use crate::support::program::{Program, command};
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
    let own = http::request(page, "GET", "/metrics").unwrap();
    let own = String::from_utf8(own.body).unwrap();
    assert!(own.contains("\nmonitor_hosts{state=\"live\"} 2\n"), "{own}");
    assert_eq!(promtool(&own), String::new());
    guest.stop();
    let log = monitor.stop();
    assert!(!log.contains("left unacknowledged"), "{log}");
    assert!(!log.contains("ERROR") && !log.contains("panic"), "{log}");
}

/// What the real judge of this format says against a text.
fn promtool(text: &str) -> String {
    let pipe = || std::process::Stdio::piped();
    let mut command = command("promtool");
    command.args(["check", "metrics"]).stdin(pipe()).stdout(pipe()).stderr(pipe());
    let mut judge = command.spawn().expect("promtool is installed by 'make setup'");
    judge.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = judge.wait_with_output().unwrap();
    String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout)
}
