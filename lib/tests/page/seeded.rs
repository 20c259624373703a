//! Ninety days of a host in the browser: a history that was written before, and a client that goes
//! on with it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::machine::{Machine, Machines};
use crate::script::Script;
use crate::support::history::{Seed, seed};
use crate::support::program::Program;
use crate::support::{Scratch, http, wait};

const HOST: &str = "web-1";
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 1_440 * MINUTE_MS;

#[test]
fn ninety_days_are_one_zoom_away_and_a_second_is_seen_in_them() {
    let scratch = Scratch::new("history");
    let data = scratch.join("data");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    let past = Seed {
        host: HOST,
        from_ms: now_ms - 90 * DAY_MS,
        to_ms: now_ms,
        busy_ms: (now_ms - 40 * DAY_MS) / 1_000 * 1_000,
        gap_ms: (now_ms - 300 * MINUTE_MS, now_ms - 270 * MINUTE_MS),
    };
    seed(&data, &past);

    let data = data.to_string_lossy().into_owned();
    let flags = ["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"];
    let own = ["--host", "monitor-1", "--data", &data];
    let mut monitor = Program::start("monitor", &scratch.0, &[&flags[..], &own[..]].concat());
    let page = monitor.address("page on ");
    let grpc = monitor.address("listening on ").to_string();
    let folder = scratch.join("machines");
    let _moving = Machines::start(&folder, &[machine()]);
    let root = folder.join(HOST).to_string_lossy().into_owned();
    let flags = ["--server", &grpc, "--host", HOST, "--root", &root];
    let client = Program::start("monitor-client", &scratch.0, &flags);
    wait::until("both hosts", Duration::from_secs(30), || {
        let known = http::json(page, "/api/hosts")?;
        (known["hosts"].as_array()?.len() == 2).then_some(())
    });

    no_seam_where_the_seconds_end(page, now_ms);

    let settings = json!({
        "page": format!("http://{page}"), "host": HOST,
        "spike_ms": past.busy_ms, "gap": [past.gap_ms.0, past.gap_ms.1],
    });
    let report = Script::start("history", &scratch.0, settings).finish(Duration::from_secs(240));
    eprintln!("{report}");
    drop(client);
    let log = monitor.stop();
    assert!(!log.contains("panic"), "{log}");
}

/// A point for every minute, also around the day that the finest resolution reaches back.
fn no_seam_where_the_seconds_end(page: SocketAddr, now_ms: u64) {
    let (from_ms, to_ms) = (now_ms - 30 * 60 * MINUTE_MS, now_ms - 20 * 60 * MINUTE_MS);
    let path = format!("/api/query?metric=load1&host={HOST}&from={from_ms}&to={to_ms}&points=601");
    wait::until("upkeep is done", Duration::from_secs(60), || {
        let answer = http::json(page, &path)?;
        assert_eq!(answer["series"][0]["interval_ms"], MINUTE_MS, "{answer}");
        let points = answer["series"][0]["points"].as_array()?;
        (points.len() >= 600).then_some(())
    });
}

fn machine() -> Machine {
    Machine {
        name: HOST,
        label: "role=web",
        cpus: 4,
        cpu: (0.2, 0.1),
        memory_gib: 16,
        memory_used: 0.47,
        disk: (0.2, 1.9),
        network: (41.0, 188.0),
        processes: 231,
        uptime_days: 33.0,
    }
}
