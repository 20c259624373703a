//! The broker goes away while a hundred clients send, and comes back: how long it takes until what
//! waited is stored, what that does to live frames, and what the wait costs in memory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::figures::{self, digits};
use super::settings::Settings;
use super::support::deployment::Deployment;
use super::support::fleet::now_ms;
use super::support::wait;
use super::table::Table;
use super::usage::pss_bytes;
use super::viewer::Viewer;

const CLIENTS: usize = 100;

/// How long the backlog may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// `outage`
pub fn run(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let mut system = Deployment::start("bench-outage", &[]);
    let logs: Vec<PathBuf> =
        (0..CLIENTS).map(|client| system.add_client(&format!("c{client:03}"), &[])).collect();
    wait::until("every client is on the page", PATIENCE, || {
        let hosts = system.json("/api/hosts")?;
        (hosts["hosts"].as_array()?.len() == CLIENTS).then_some(())
    });
    let viewer = Viewer::open(system.page)?;
    wait::pause(settings.settle);
    viewer.forget();
    wait::pause(settings.settle.max(Duration::from_secs(10)));
    let before = viewer.seen();
    let memory_before = memory(&system);

    system.broker.kill();
    wait::pause(settings.window);
    let memory_after = memory(&system);
    system.broker.restart();
    let (back, back_ms) = (Instant::now(), now_ms());
    let sampled: u64 = logs.iter().map(|log| sampled_before(log, back_ms)).sum();
    viewer.forget_before(back_ms);
    let stored = || system.json("/api/ledger")?["fleet"]["stored"].as_u64();
    wait::until("the backlog is stored", PATIENCE, || (stored()? >= sampled).then_some(()));
    let caught_up = back.elapsed();
    let during = viewer.seen();
    let fleet = system.json("/api/ledger").ok_or("no answer of /api/ledger")?["fleet"].clone();

    let outage_s = settings.window.as_secs();
    table.row(
        &format!("{CLIENTS} clients at 1 Hz, broker away for {outage_s} s: from its return until the last frame of before is stored"),
        format!(
            "{} s for {} frames; {} missing, {} counted twice",
            digits(caught_up.as_secs_f64()),
            CLIENTS as u64 * outage_s,
            fleet["missing"],
            if fleet["stored"].as_u64() > fleet["sampled"].as_u64() { "some" } else { "0" },
        ),
        "",
    );
    let p99_ms = |seen: &super::viewer::Seen| seen.age.quantile_us(0.99) as f64 / 1e3;
    table.row(
        "sampled until seen by a viewer, p99, before; frames sampled while the backlog comes",
        format!(
            "{} ms; {} ms, {} times",
            digits(p99_ms(&before)),
            digits(p99_ms(&during)),
            digits(p99_ms(&during) / p99_ms(&before)),
        ),
        "",
    );
    for (at, what) in ["server", "a client (median)"].iter().enumerate() {
        table.row(
            &format!("memory of {what} before; after {outage_s} s without a broker"),
            format!(
                "{}; {}",
                figures::bytes(memory_before[at] as f64),
                figures::bytes(memory_after[at] as f64)
            ),
            "flat",
        );
    }
    table.note(
        "real clients without a spool; --seconds 600 makes the broker stay away for ten \
         minutes. The clients' own logs say what was sampled.",
    );
    Ok(())
}

/// Of the server, and the middle one of the clients.
fn memory(system: &Deployment) -> [u64; 2] {
    let mut clients: Vec<u64> =
        system.clients.iter().map(|client| pss_bytes(client.pid())).collect();
    clients.sort_unstable();
    [pss_bytes(system.server.pid()), clients[clients.len() / 2]]
}

/// Frames that a client sampled before a time, by what it wrote down.
fn sampled_before(log: &PathBuf, before_ms: u64) -> u64 {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let times = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok());
    times.filter(|time_ms| *time_ms < before_ms).count() as u64
}
