//! Analysis is killed again and again while fifty hosts send through a real broker, and whoever
//! calls it panics unless every frame that the topic holds is in the history once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::deployment::{Deployment, SOON};
use super::fleet::{Fleet, Plan};
use super::points::{METRIC, Points};
use super::program::Program;
use super::{points, wait};

/// Hosts that send.
const HOSTS: usize = 50;

/// Frames wait so long for the disk here, so that many commits fall between two kills.
const WRITE_AFTER: &str = "700ms";

fn start_analysis(system: &Deployment) -> Program {
    let kafka = format!("127.0.0.1:{}", system.broker.port());
    let data = system.scratch.join("data").to_string_lossy().into_owned();
    let flags = ["--listen", "127.0.0.1:0", "--kafka", &kafka, "--data", &data];
    let after = ["--write-after", WRITE_AFTER];
    Program::start("monitor-analysis", &system.scratch.0, &[&flags[..], &after[..]].concat())
}

pub fn restart(system: &mut Deployment) {
    system.analysis = start_analysis(system);
    system.page = system.analysis.address("page on ");
}

/// What came through it.
#[derive(Debug)]
pub struct Survived {
    /// Still running.
    pub system: Deployment,
    /// Frames that were sent.
    pub sent: u64,
    /// Of those, what stands twice in the topic.
    pub doubled: u64,
    /// What was sampled.
    pub points: Points,
}

/// Kills analysis so many times, at moments drawn by lot, and looks at what is there afterwards:
/// by the ledger, by query, and by both once more from the disk alone.
pub fn kill_again_and_again(kills: u64) -> Survived {
    let mut system = Deployment::start("history", &[]);
    // Begin with these flags.
    end(&mut system).kill();
    restart(&mut system);
    let fleet = Fleet::start(&Plan {
        server: system.grpc.to_string(),
        hosts: HOSTS,
        prefix: "host".to_owned(),
        interval: Duration::from_secs(1),
    });
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 1..=kills {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(kill);
        wait::pause(Duration::from_millis(900 + (dice >> 33) % 1_500));
        end(&mut system).kill();
        restart(&mut system);
    }
    let (sent, _) = fleet.finish(2 * SOON);
    let ledger = settled(&system, sent);
    assert_eq!(ledger["missing"], 0, "{ledger}");
    let (points, sent_again) = truth(&system);
    // What analysis saw twice is what stands twice in the topic, however often it was read.
    assert_eq!(ledger["doubled"], sent_again, "{ledger}");
    assert_same(&system, &points, "by query, after the kills");

    // And the same from the disk alone, in another process.
    let stopped = end(&mut system).stop();
    assert!(!stopped.contains("WARN"), "{stopped}");
    restart(&mut system);
    let again = settled(&system, sent);
    assert_eq!((&again["doubled"], &again["missing"]), (&ledger["doubled"], &ledger["missing"]));
    assert_same(&system, &points, "by query, after a restart");
    eprintln!("{sent} frames through {kills} kills: 0 missing, 0 counted twice");
    Survived { system, sent, doubled: sent_again, points }
}

/// Takes the analysis out, to be ended; what stands in for it ends by itself.
pub fn end(system: &mut Deployment) -> Program {
    let stand_in = Program::start("monitor-client", &system.scratch.0, &["--once"]);
    std::mem::replace(&mut system.analysis, stand_in)
}

/// The fleet's account once everything that was sent is stored.
pub fn settled(system: &Deployment, sent: u64) -> Value {
    wait::until("every frame is stored", 2 * SOON, || {
        let ledger = system.json("/api/ledger")?;
        (ledger["fleet"]["stored"] == sent).then(|| ledger["fleet"].clone())
    })
}

/// What the topic holds, in points, and how many frames it holds twice.
fn truth(system: &Deployment) -> (Points, u64) {
    let mut frames: BTreeMap<(String, String, u64), Value> = BTreeMap::new();
    let mut doubled = 0;
    for (host, record) in system.topic() {
        if record["type"] == "frame" {
            let session = record["session"].as_str().unwrap().to_owned();
            let key = (host, session, record["seq"].as_u64().unwrap());
            doubled += u64::from(frames.insert(key, record).is_some());
        }
    }
    let points = points::of(frames.iter().map(|((host, _, _), record)| {
        let time_ms = record["time_ms"].as_u64().unwrap();
        (&**host, time_ms, record["samples"][METRIC].as_f64().unwrap())
    }));
    (points, doubled)
}

/// What is answered is what is true.
#[track_caller]
pub fn assert_same(system: &Deployment, truth: &Points, what: &str) {
    let answered = points::answered(system.page, 10);
    assert_eq!(answered.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>(), "{what}");
    for (host, points) in &answered {
        assert_eq!(points, &truth[host], "{host}, {what}");
    }
}
