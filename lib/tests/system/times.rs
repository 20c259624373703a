//! Clocks that jump and clients that stand still: no frame is lost, no rate is negative or of
//! another time, and the past shows where it happened.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::deployment::SOON;
use crate::support::fleet::{Fleet, Plan, now_ms};
use crate::support::program::Program;
use crate::support::{Scratch, http, wait};

const HOUR_MS: i64 = 3_600_000;

/// How long the client stands still; stale is a host after two seconds.
const STOPPED: Duration = Duration::from_secs(6);

/// A clock that is set forward by two minutes and by hours, back by an hour and by seconds, and
/// right again.
fn jumping(seq: u64) -> i64 {
    match seq / 10 {
        1 => 2 * 60_000,
        2 => -2_500,
        3 => -HOUR_MS,
        4 => 7 * HOUR_MS,
        6 => -20,
        _ => 0,
    }
}

#[test]
fn clocks_that_jump_and_clients_that_stand_still_lose_nothing() {
    let scratch = Scratch::new("times");
    let data = scratch.join("data").to_string_lossy().into_owned();
    let flags = ["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--host", "me"];
    let flags = [&flags[..], &["--data", &data, "--write-after", "1s", "--interval", "200ms"]];
    let mut monitor = Program::start("monitor", &scratch.0, &flags.concat());
    let (page, grpc) = (monitor.address("page on "), monitor.address("listening on ").to_string());
    let guest = ["--server", &grpc, "--host", "guest"];
    let guest = Program::start("monitor-client", &scratch.0, &guest);
    let fleet = Fleet::start_by(
        &Plan {
            server: grpc.clone(),
            hosts: 3,
            prefix: "jumping".to_owned(),
            interval: Duration::from_millis(200),
        },
        jumping,
    );
    wait::until("the guest is live", SOON, || (state(page, "guest")? == "live").then_some(()));
    let stopped_ms = now_ms();
    guest.signal(Signal::STOP);
    wait::until("the guest is stale", SOON, || (state(page, "guest")? == "stale").then_some(()));
    wait::pause(STOPPED);
    guest.signal(Signal::CONT);
    let going_ms = now_ms();
    wait::until("the guest is live again", SOON, || {
        (state(page, "guest")? == "live" && now_ms() > going_ms + 5_000).then_some(())
    });
    wait::until("every jump is over", SOON, || (fleet.sent() > 3 * 80).then_some(()));

    let (sent, _) = fleet.finish(SOON);
    let log = guest.stop();
    assert!(!log.contains("left unacknowledged"), "{log}");
    let ledger = wait::until("everything is stored", SOON, || {
        let ledger = http::json(page, "/api/ledger")?;
        let jumping: u64 = (0..3).map(|host| stored(&ledger, &format!("jumping000{host}"))).sum();
        let guest = &ledger["hosts"]["guest"]["sessions"][0];
        (jumping == sent && guest["waiting"] == 0).then_some(ledger)
    });
    assert_eq!(ledger["fleet"]["missing"], 0, "{ledger}");
    assert_eq!(ledger["fleet"]["doubled"], 0, "{ledger}");
    let sessions = ledger["hosts"]["guest"]["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 1, "it is the same session before and after: {ledger}");

    for host in ["guest", "jumping0000", "jumping0001", "jumping0002"] {
        no_rate_is_impossible(page, host);
    }
    // The guest's stop is a gap, neither more nor less.
    let times = times(page, "guest");
    let inside =
        times.iter().filter(|time| **time > stopped_ms + 1_500 && **time < going_ms - 1_500);
    assert_eq!(inside.count(), 0, "stopped from {stopped_ms} to {going_ms}: {times:?}");
    assert!(times.iter().any(|time| *time < stopped_ms), "{times:?}");
    assert!(times.iter().any(|time| *time > going_ms), "{times:?}");
    // What was an hour back is there, and hours ahead is nothing.
    let jumped = self::times(page, "jumping0000");
    let hour_back = going_ms - HOUR_MS as u64;
    assert!(jumped.iter().any(|time| time.abs_diff(hour_back) < 120_000), "{jumped:?}");
    assert!(jumped.iter().all(|time| *time < now_ms() + 300_000), "{jumped:?}");
    let log = monitor.stop();
    assert!(!log.contains("panic"), "{log}");
}

fn state(page: SocketAddr, host: &str) -> Option<String> {
    let hosts = http::json(page, "/api/hosts")?;
    let found = hosts["hosts"].as_array()?.iter().find(|known| known["host"] == host)?;
    found["state"].as_str().map(str::to_owned)
}

fn stored(ledger: &Value, host: &str) -> u64 {
    let sessions = ledger["hosts"][host]["sessions"].as_array();
    sessions.into_iter().flatten().map(|session| session["stored"].as_u64().unwrap()).sum()
}

/// No rate is below zero, no share above a whole, and nothing is as much in a second as all there
/// was in an hour.
fn no_rate_is_impossible(page: SocketAddr, host: &str) {
    let path = format!("/api/query?metric=*&host={host}&from=-2h&to=now&points=7300");
    let answer = http::json(page, &path).unwrap();
    let series = answer["series"].as_array().unwrap();
    assert!(series.len() > 20, "{host}: {}", series.len());
    for series in series {
        let name = series["metric"].as_str().unwrap();
        for point in series["points"].as_array().unwrap() {
            let [min, max] = [1, 3].map(|at| point[at].as_f64().unwrap());
            assert!(min >= 0.0, "{host} {name}: {point}");
            // A tick of 10 ms more or less in 200 ms is five in a hundred.
            assert!(!name.ends_with("_percent") || max <= 106.0, "{host} {name}: {point}");
            let is_made_up = name == "disk_read_bytes_per_second" && host != "guest";
            assert!(!is_made_up || max < 200_000.0, "{host} {name}: {point}");
        }
    }
}

fn times(page: SocketAddr, host: &str) -> Vec<u64> {
    let path = format!("/api/query?metric=uptime_seconds&as=raw&host={host}&from=-2h&points=7300");
    let answer = http::json(page, &path).unwrap();
    let points = answer["series"][0]["points"].as_array().unwrap();
    points.iter().map(|point| point[0].as_u64().unwrap()).collect()
}
