//! A system that runs: thirteen hosts, twelve of them simulated machines with real clients.

use std::time::Duration;

use serde_json::json;

use crate::machine::{Machine, Machines};
use crate::script::Script;
use crate::support::program::Program;
use crate::support::{Scratch, http, wait};

/// The host that `monitor` is on: the machine that runs the tests.
const OWN: &str = "ci-1";

/// Set, it makes the test wait until a minute of history fills the pictures: those of the README,
/// `static/screenshots/`, are copies of `fleet-light.png` and `host-light.png` made that way.
const README_PICTURES: &str = "README_PICTURES";

#[test]
fn the_page_of_a_running_system_lives() {
    let scratch = Scratch::new("running");
    let data = scratch.join("data").to_string_lossy().into_owned();
    let flags = ["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"];
    let own = ["--host", OWN, "--label", "role=ci", "--data", &data];
    let mut monitor = Program::start("monitor", &scratch.0, &[&flags[..], &own[..]].concat());
    let page = monitor.address("page on ");
    let grpc = monitor.address("listening on ").to_string();

    let machines = machines();
    let folder = scratch.join("machines");
    let _moving = Machines::start(&folder, &machines);
    let clients: Vec<Program> = machines
        .iter()
        .map(|machine| {
            let root = folder.join(machine.name).to_string_lossy().into_owned();
            let flags = ["--server", &grpc, "--host", machine.name, "--root", &root];
            let label = ["--label", machine.label];
            Program::start("monitor-client", &scratch.0, &[&flags[..], &label[..]].concat())
        })
        .collect();
    wait::until("all hosts", Duration::from_secs(30), || {
        let known = http::json(page, "/api/hosts")?;
        (known["hosts"].as_array()?.len() == machines.len() + 1).then_some(())
    });

    let steady = &machines[0];
    let settings = json!({
        "page": format!("http://{page}"),
        "hosts": machines.len() + 1,
        "own": OWN,
        "shown": "db-1",
        "history_ms": if std::env::var_os(README_PICTURES).is_some() { 62_000 } else { 0 },
        "steady": {
            "host": steady.name,
            "cpu": steady.cpu.0 * 100.0,
            "memory": steady.memory_used * 100.0,
        },
    });
    let report = Script::start("running", &scratch.0, settings).finish(Duration::from_secs(150));
    eprintln!("{report}");
    drop(clients);
    let log = monitor.stop();
    assert!(!log.contains("panic"), "{log}");
}

/// The first of them is steady: what it shows is known.
fn machines() -> Vec<Machine> {
    let machine = |name, label, cpus, cpu, memory_gib, memory_used, disk, network, processes| {
        let days = f64::from(processes) / 7.0;
        Machine {
            name,
            label,
            cpus,
            cpu,
            memory_gib,
            memory_used,
            disk,
            network,
            processes,
            uptime_days: days,
        }
    };
    vec![
        machine("batch-1", "role=batch", 16, (0.625, 0.0), 64, 0.41, (0.0, 0.0), (0.2, 0.1), 188),
        machine("batch-2", "role=batch", 16, (0.86, 0.13), 64, 0.57, (38.0, 91.0), (2.1, 0.9), 214),
        machine(
            "cache-1",
            "role=cache",
            8,
            (0.14, 0.08),
            64,
            0.83,
            (0.0, 0.4),
            (412.0, 655.0),
            121,
        ),
        machine(
            "cache-2",
            "role=cache",
            8,
            (0.13, 0.09),
            64,
            0.82,
            (0.0, 0.3),
            (388.0, 610.0),
            120,
        ),
        machine("db-1", "role=db", 32, (0.44, 0.30), 128, 0.71, (64.0, 140.0), (120.0, 310.0), 402),
        machine("db-2", "role=db", 32, (0.18, 0.11), 128, 0.69, (12.0, 138.0), (96.0, 14.0), 377),
        machine("mail-1", "role=mail", 2, (0.05, 0.04), 4, 0.36, (0.1, 1.1), (0.8, 1.3), 96),
        machine(
            "queue-1",
            "role=queue",
            8,
            (0.29, 0.15),
            32,
            0.52,
            (3.0, 44.0),
            (220.0, 231.0),
            143,
        ),
        machine("web-1", "role=web", 4, (0.38, 0.25), 16, 0.47, (0.2, 1.9), (41.0, 188.0), 231),
        machine("web-2", "role=web", 4, (0.35, 0.26), 16, 0.46, (0.2, 1.7), (39.0, 172.0), 229),
        machine("web-3", "role=web", 4, (0.41, 0.24), 16, 0.925, (0.3, 2.2), (44.0, 201.0), 236),
        machine("web-4", "role=web", 4, (0.36, 0.27), 16, 0.45, (0.2, 1.8), (40.0, 180.0), 230),
    ]
}
