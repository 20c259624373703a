//! Frames of this machine reach the API, and anyone who reads the topic sees the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::deployment::{Deployment, SOON};
use crate::support::{http, wait};

#[test]
fn frames_reach_the_api_and_any_reader_of_the_topic() {
    let mut system = Deployment::start("pipeline", &[]);
    system.add_client("web-1", &["--label", "rack=7"]);
    for metric in ["cpu", "memory", "diskio", "network", "process_count"] {
        system.wait_for_samples("web-1", metric, 3);
    }
    for client in system.clients.drain(..) {
        client.stop();
    }
    the_topic_holds_what_the_api_says(&system);
    every_route_answers(&system);
    let log = system.server.stop();
    assert!(!log.contains("ERROR"), "{log}");
}

fn the_topic_holds_what_the_api_says(system: &Deployment) {
    let memory = system.wait_for_samples("web-1", "memory", 3);
    let records = system.topic();
    assert!(records.iter().all(|(key, record)| key == "web-1" && record["v"] == 1));
    let frames: Vec<&Value> = records
        .iter()
        .map(|(_, record)| record)
        .filter(|record| record["type"] == "frame")
        .collect();
    for sample in memory {
        let frame = frames.iter().find(|frame| frame["time_ms"] == sample["time_ms"]);
        let frame = frame.unwrap_or_else(|| panic!("no frame at {}", sample["time_ms"]));
        assert_eq!(frame["samples"]["memory_total_bytes"], sample["total_bytes"]);
        let available = frame["samples"]["memory_available_bytes"].as_u64().unwrap();
        assert_eq!(
            sample["used_bytes"].as_u64(),
            sample["total_bytes"].as_u64().map(|t| t - available)
        );
    }
    let numbers: BTreeSet<u64> =
        frames.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers.first(), Some(&1));
    assert_eq!(numbers.last(), Some(&(numbers.len() as u64)), "numbers without holes");
    let last_session = records.iter().map(|(_, record)| record).rfind(|r| r["type"] == "session");
    let session = last_session.unwrap();
    assert!(session["ended"].is_string(), "{session}");
    assert_eq!(session["labels"]["rack"], "7");
}

fn every_route_answers(system: &Deployment) {
    let hosts = system.json("/api/hosts").unwrap();
    assert_eq!(hosts["hosts"][0]["host"], "web-1");
    let detail = system.json("/api/hosts/web-1").unwrap();
    assert!(
        detail["catalogue"].as_array().is_some_and(|catalogue| catalogue.len() >= 7),
        "{detail}"
    );
    let stages = system.json("/api/stages").unwrap();
    assert!(stages["stages"].as_array().is_some_and(|stages| stages.len() >= 5), "{stages}");
    let ledger = wait::until("the ledger closes", SOON, || {
        let ledger = system.json("/api/ledger")?;
        (ledger["fleet"]["waiting"] == 0 && ledger["fleet"]["stored"] != 0).then_some(ledger)
    });
    assert_eq!(ledger["fleet"]["missing"], 0, "{ledger}");
    assert_eq!(ledger["fleet"]["sampled"], ledger["fleet"]["stored"], "{ledger}");
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(http::get(system.page, path).unwrap().status, 200, "{path}");
    }
    let missing = http::get(system.page, "/api/hosts/nobody").unwrap();
    assert_eq!(missing.status, 404);
    let words: Value = serde_json::from_slice(&missing.body).unwrap();
    assert!(words["error"].is_string() && words["expected"].is_string(), "{words}");
}
