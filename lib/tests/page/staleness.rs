//! What is old says so: hosts that were killed or hang, and an analysis that hangs or was killed,
//! behind a real broker.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::machine::{Machine, Machines};
use crate::script::Script;
use crate::support::deployment::{Deployment, SOON};
use crate::support::program::Program;

const DYING: &str = "web-1";
const LIVING: &str = "web-2";

/// How long the script may take to its next request: its own waits end sooner, with better words.
const STEP: Duration = Duration::from_secs(90);

#[test]
fn staleness_is_told_in_words_and_ends_with_the_next_event() {
    let mut system = Deployment::start("staleness", &[]);
    let folder = system.scratch.join("machines");
    let _moving = Machines::start(&folder, &[quiet(LIVING), quiet(DYING)]);
    let root = |name: &str| folder.join(name).to_string_lossy().into_owned();
    system.add_client(LIVING, &["--root", &root(LIVING)]);
    system.add_client(DYING, &["--root", &root(DYING)]);
    system.wait_for_samples(LIVING, "cpu", 1);
    system.wait_for_samples(DYING, "cpu", 1);

    let settings = json!({
        "page": format!("http://{}", system.page), "dying": DYING, "living": LIVING,
    });
    let mut script = Script::start("staleness", &system.scratch.0, settings);
    script.wait_for(&format!("kill {DYING}"), STEP);
    system.clients.pop().unwrap().kill();
    script.answer();
    script.wait_for(&format!("start {DYING}"), STEP);
    system.add_client(DYING, &["--root", &root(DYING)]);
    script.answer();
    script.wait_for(&format!("freeze {DYING}"), STEP);
    system.clients[1].signal(Signal::STOP);
    script.answer();
    script.wait_for(&format!("thaw {DYING}"), STEP);
    system.clients[1].signal(Signal::CONT);
    script.answer();

    script.wait_for("freeze analysis", STEP);
    system.analysis.signal(Signal::STOP);
    script.answer();
    script.wait_for("thaw analysis", STEP);
    system.analysis.signal(Signal::CONT);
    script.answer();
    script.wait_for("kill analysis", STEP);
    system.analysis.signal(Signal::KILL);
    system.analysis.wait(SOON);
    script.answer();
    script.wait_for("start analysis", STEP);
    restart_analysis(&mut system);
    script.answer();
    script.wait_for(&format!("stop {LIVING}"), STEP);
    system.clients.remove(0).stop();
    script.answer();
    script.finish(STEP);
}

/// Simulated, so that the tests' own load on this machine is nobody's alarm.
fn quiet(name: &'static str) -> Machine {
    Machine {
        name,
        label: "role=web",
        cpus: 4,
        cpu: (0.4, 0.2),
        memory_gib: 16,
        memory_used: 0.4,
        disk: (1.0, 2.0),
        network: (40.0, 90.0),
        processes: 120,
        uptime_days: 9.0,
    }
}

/// On the same port: that is where the browser looks for it.
fn restart_analysis(system: &mut Deployment) {
    let (page, kafka) = (system.page.to_string(), system.broker.address());
    let data = system.scratch.join("data").to_string_lossy().into_owned();
    let flags = ["--listen", &page, "--kafka", &kafka, "--data", &data];
    system.analysis = Program::start("monitor-analysis", &system.scratch.0, &flags);
    assert_eq!(system.analysis.address("page on "), system.page);
}
