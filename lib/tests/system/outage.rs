//! The broker is killed in the middle: nothing is lost, nothing is counted twice, and three
//! independent accounts agree: what the clients wrote down, what the topic holds, the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::deployment::{Deployment, SOON};
use crate::support::wait;

/// How long the broker stays away.
const OUTAGE: Duration = Duration::from_secs(10);

pub type Frames = BTreeMap<(String, u64), usize>;

#[test]
fn a_killed_broker_loses_nothing_and_doubles_nothing() {
    let mut system = Deployment::start("outage", &["--interval", "100ms"]);
    let truths = [system.add_client("a", &[]), system.add_client("b", &[])];
    system.wait_for_samples("a", "cpu", 5);
    system.wait_for_samples("b", "cpu", 5);

    system.broker.kill();
    let at_the_kill: u64 = truths.iter().map(|truth| sampled(truth).len() as u64).sum();
    wait::pause(OUTAGE);
    let down = system.json("/readyz");
    assert!(down.is_none(), "ready without a broker: {down:?}");
    system.broker.restart();

    wait::until("frames of after the outage are stored", 2 * SOON, || {
        let ledger = system.json("/api/ledger")?;
        (ledger["fleet"]["stored"].as_u64()? > at_the_kill + 200).then_some(())
    });
    for client in system.clients.drain(..) {
        let log = client.stop();
        assert!(!log.contains("left unacknowledged"), "{log}");
    }

    let sampled: BTreeSet<(String, u64)> = truths.iter().flat_map(|truth| sampled(truth)).collect();
    let topic = frames_of(&system.topic());
    let stored: BTreeSet<(String, u64)> = topic.keys().cloned().collect();
    assert_eq!(stored, sampled, "the topic against what the clients wrote down");
    let sent_again: usize = topic.values().map(|copies| copies - 1).sum();

    let ledger = wait::until("the ledger closes", SOON, || {
        let ledger = system.json("/api/ledger")?;
        (ledger["fleet"]["waiting"] == 0).then_some(ledger)
    });
    let fleet = &ledger["fleet"];
    assert_eq!(fleet["sampled"], sampled.len(), "{ledger}");
    assert_eq!(fleet["stored"], sampled.len(), "{ledger}");
    assert_eq!(fleet["missing"], 0, "{ledger}");
    assert_eq!(fleet["dropped"], 0, "{ledger}");
    assert_eq!(fleet["doubled"], sent_again, "{ledger}");
    eprintln!("{} frames, {sent_again} sent again and removed, 0 missing", sampled.len());
}

/// What a client wrote down: session and number of every frame it sampled.
pub fn sampled(truth: &Path) -> BTreeSet<(String, u64)> {
    let text = std::fs::read_to_string(truth).unwrap();
    // The last line may be half written while the client runs.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap())
        })
        .collect()
}

/// How often each frame stands in the topic.
pub fn frames_of(records: &[(String, Value)]) -> Frames {
    let mut frames = Frames::new();
    for (_, record) in records.iter().filter(|(_, record)| record["type"] == "frame") {
        let session = record["session"].as_str().unwrap().to_owned();
        *frames.entry((session, record["seq"].as_u64().unwrap())).or_default() += 1;
    }
    frames
}
