//! The storm: two servers, analysis, twenty clients with a spool and one without, and a real
//! broker, while all of them are killed, stopped and cut off and disks are full. Afterwards what
//! every client wrote down, the topic, the ledger and the history must tell the same story.
//!
//! `STORM_SECONDS=1800 STORM_SEED=7 make test SYSTEM_TESTS=storm OTHER_TESTS=` runs it longer.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    reason = "a test that fails says where; the parts are one crate"
)]

mod support;

#[path = "storm/account.rs"]
mod account;
#[path = "storm/client.rs"]
mod client;
#[path = "storm/past.rs"]
mod past;
#[path = "storm/plan.rs"]
mod plan;
#[path = "storm/relay.rs"]
mod relay;
#[path = "storm/slot.rs"]
mod slot;
#[path = "storm/truth.rs"]
mod truth;
#[path = "storm/world.rs"]
mod world;

use std::time::{Duration, Instant};

use support::program::{binary, command};
use world::World;

#[test]
fn a_storm_loses_nothing_that_is_not_named_and_doubles_nothing() {
    let (seconds, seed) = plan::asked();
    eprintln!("STORM_SECONDS={seconds} STORM_SEED={seed}");
    let begun = Instant::now();
    let took = |what: &str| eprintln!("{:5.1} s: {what}", begun.elapsed().as_secs_f64());
    let events = plan::draw(seed, seconds);
    let mut world = World::start();
    took("everybody is live");
    world.weather(&events, Duration::from_secs(seconds));
    took("the storm is over");
    world.settle();
    took("settled");
    world.stop_clients();
    took("the clients have stopped");
    let topic = account::everything_is_accounted_for(&mut world);
    took("accounted for");
    past::agrees_with(&world, &topic, begun.elapsed());
    world.stop_others();
    let data = world.scratch.join("data").to_string_lossy().into_owned();
    let arguments = ["check", "--data", &data];
    let check = command(binary("monitor-analysis")).args(arguments).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    no_log_tells_of_a_fault_of_ours(&world);
    took("done");
}

fn no_log_tells_of_a_fault_of_ours(world: &World) {
    for entry in std::fs::read_dir(&world.logs).unwrap() {
        let path = entry.unwrap().path();
        let log = std::fs::read_to_string(&path).unwrap();
        let found = log.lines().find(|line| line.contains("panic") || line.contains("set aside"));
        assert!(found.is_none(), "{}: {}", path.display(), found.unwrap());
    }
}
