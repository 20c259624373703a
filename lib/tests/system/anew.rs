//! The topic is deleted and made again, as by somebody who cleans up, or by a broker that lost its
//! disk: offsets mean nothing any more, and what was not read of the former one is gone. Whatever
//! the new one holds is in the ledger once, and the ledger names what is gone.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::deployment::{Deployment, SOON};
use super::outage::{Frames, frames_of, sampled};
use crate::support::broker::Broker;
use crate::support::kills::{end, restart};
use crate::support::wait;

const HOST: &str = "web-1";
const TOPIC: &str = "monitor_metrics";

/// Frames of each part of the test, 10 a second.
const FRAMES: usize = 20;

/// Far longer than what was read waits for the disk (`kills::restart`: 700 ms).
const ON_DISK_AFTER: Duration = Duration::from_secs(2);

/// Nothing is under way any more when nothing has come for so long.
const STILL: Duration = Duration::from_millis(400);

#[test]
fn a_topic_made_anew_that_grew_past_the_checkpoint_is_in_the_ledger_whole() {
    let mut system = Deployment::start("anew", &["--interval", "100ms"]);
    // Begin with flags by which what was read is soon on disk: the checkpoint goes with it.
    end(&mut system).kill();
    restart(&mut system);
    let truth = system.add_client(HOST, &[]);
    wait_for_samples(&truth, FRAMES);
    let read = stand_still(&system);
    wait::until("analysis has all of it", SOON, || {
        (fleet(&system)?["stored"] == read.len()).then_some(())
    });
    wait::pause(ON_DISK_AFTER);
    let _ = end(&mut system).stop();

    // Frames that nobody reads before they are gone.
    system.clients[0].signal(Signal::CONT);
    wait_for_samples(&truth, read.len() + FRAMES);
    let former = stand_still(&system);
    let records = system.topic().len();
    make_anew(&system.broker);
    system.clients[0].signal(Signal::CONT);
    wait_for_samples(&truth, former.len() + 2 * records);
    system.clients.remove(0).stop();
    let new = frames_of(&system.topic());
    assert!(new.len() > records, "it has grown past what it was");

    restart(&mut system);
    let known: BTreeSet<_> = read.keys().chain(new.keys()).cloned().collect();
    let gone: BTreeSet<_> = sampled(&truth).difference(&known).cloned().collect();
    assert!(gone.len() >= FRAMES && gone.iter().all(|frame| former.contains_key(frame)));
    let what = format!("{} frames of before and of the new topic in the ledger", known.len());
    let ledger = wait::until(&what, SOON, || {
        let ledger = system.json("/api/ledger")?;
        let fleet = &ledger["fleet"];
        (fleet["stored"] == known.len() && fleet["waiting"] == 0).then_some(ledger)
    });
    assert_eq!(ledger["fleet"]["missing"], gone.len(), "{ledger}");
    assert_eq!(ledger["fleet"]["dropped"], 0, "{ledger}");
    let copies: usize = read.values().chain(new.values()).sum();
    assert_eq!(ledger["fleet"]["doubled"], copies - known.len(), "{ledger}");
    assert_eq!(named(&ledger), gone, "what is gone is named: {ledger}");
    assert!(system.analysis.log().contains("the topic was made anew"));
    made_anew_while_analysis_runs(&mut system, known.len(), gone.len());
}

fn made_anew_while_analysis_runs(system: &mut Deployment, stored: usize, missing: usize) {
    make_anew(&system.broker);
    let already = sampled(&system.scratch.join(&format!("{HOST}.sampled"))).len();
    let truth = system.add_client(HOST, &[]);
    wait_for_samples(&truth, already + FRAMES);
    system.clients.remove(0).stop();
    let topic = frames_of(&system.topic());
    // The file has the frames of both runs, or of the second alone.
    let mut sampled = sampled(&truth);
    sampled.retain(|(session, _)| topic.keys().any(|(known, _)| known == session));
    assert_eq!(topic.keys().cloned().collect::<BTreeSet<_>>(), sampled);
    let fleet = wait::until("the ledger has the third topic", SOON, || {
        let fleet = fleet(system)?;
        (fleet["stored"] == stored + topic.len() && fleet["waiting"] == 0).then_some(fleet)
    });
    assert_eq!(fleet["missing"], missing, "{fleet}");
    let log = system.analysis.log();
    assert!(log.matches("the topic was made anew").count() >= 2, "{log}");
}

/// Deletes the topic and creates it, unless somebody who wanted to write was faster.
fn make_anew(broker: &Broker) {
    broker.tool("TopicCommand", &["--delete", "--topic", TOPIC]);
    let stamped = "message.timestamp.type=LogAppendTime";
    let create = ["--create", "--if-not-exists", "--topic", TOPIC, "--partitions", "4"];
    broker.tool("TopicCommand", &[&create[..], &["--config", stamped]].concat());
}

fn fleet(system: &Deployment) -> Option<Value> {
    system.json("/api/ledger").map(|ledger| ledger["fleet"].clone())
}

/// kcat may not find the end of a topic that is written to, so what the client writes down tells
/// how far it is.
fn wait_for_samples(truth: &Path, count: usize) {
    let what = format!("{count} frames sampled");
    wait::until(&what, 2 * SOON, || {
        (truth.exists() && sampled(truth).len() >= count).then_some(())
    });
}

/// Stops the client without ending it; gives the frames of the topic once no more come.
fn stand_still(system: &Deployment) -> Frames {
    system.clients[0].signal(Signal::STOP);
    wait::pause(STILL);
    let mut last = frames_of(&system.topic());
    wait::until("nothing is under way", SOON, || {
        wait::pause(STILL);
        let now = frames_of(&system.topic());
        let is_still = now == last;
        last = now;
        is_still.then(|| last.clone())
    })
}

/// The frames that the ledger names as missing, each with a reason.
fn named(ledger: &Value) -> BTreeSet<(String, u64)> {
    let mut frames = BTreeSet::new();
    for session in ledger["hosts"][HOST]["sessions"].as_array().unwrap() {
        let name = session["session"].as_str().unwrap();
        for range in session["missing_ranges"].as_array().unwrap() {
            let (from, to) = (range[0].as_u64().unwrap(), range[1].as_u64().unwrap());
            assert!(range[2].as_str().is_some_and(|reason| !reason.is_empty()), "{range}");
            frames.extend((from..=to).map(|seq| (name.to_owned(), seq)));
        }
    }
    frames
}
