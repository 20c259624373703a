//! The past survives: analysis is killed again and again while fifty hosts send, and afterwards
//! every frame that the topic holds is in the history once, by the ledger and by query.

use std::path::{Path, PathBuf};

use super::deployment::{Deployment, SOON};
use crate::support::kills::{Survived, assert_same, end, kill_again_and_again, restart, settled};
use crate::support::points::Points;
use crate::support::program::{binary, command};
use crate::support::{http, wait};

/// How often analysis is killed here; `make bench` does it more often.
const KILLS: u64 = 15;

#[test]
fn fifteen_kills_lose_nothing_and_double_nothing() {
    let Survived { mut system, sent, points, .. } = kill_again_and_again(KILLS);
    beside_it(&mut system, sent, &points);
}

/// What an operator does beside it: a backup while it runs, a check, a second process, a host
/// deleted, a file that is damaged.
fn beside_it(system: &mut Deployment, sent: u64, points: &Points) {
    let data = system.scratch.join("data");
    let copy = system.scratch.join("copy/history");
    run(&["backup", "--data", &text(&data), &text(&copy)], true);
    let second = run(&["check", "--data", &text(&data)], false);
    assert!(second.contains("in use by process"), "{second}");
    run(&["check", "--data", &text(&system.scratch.join("copy"))], true);

    let gone = "host0007";
    let deleted = http::request(system.page, "DELETE", &format!("/api/hosts/{gone}"));
    assert_eq!(deleted.unwrap().status, 204);
    let mut left = points.clone();
    left.remove(gone).unwrap();
    assert_same(system, &left, "without the host that was deleted");
    end(system).stop();
    restart(system);
    wait::until("caught up", SOON, || {
        system.json("/readyz").filter(|ready| ready["status"] == "ready")
    });
    assert_same(system, &left, "it does not come back from the topic");

    // A damaged file is set aside and the past made anew from the topic.
    end(system).stop();
    let file = data.join("history/history.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[..512].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    restart(system);
    settled(system, sent);
    assert!(system.analysis.log().contains("set aside"), "{}", system.analysis.log());
    assert_same(system, points, "made anew from the topic");
    end(system).stop();
    run(&["check", "--data", &text(&data)], true);
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Runs `monitor-analysis` with a command; what it said.
fn run(arguments: &[&str], succeeds: bool) -> String {
    let path: PathBuf = binary("monitor-analysis");
    let output = command(path).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), succeeds, "{arguments:?}: {said}");
    said
}
