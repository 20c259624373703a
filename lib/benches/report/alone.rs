//! `monitor` with its own host: what a newcomer starts, and what it costs.

use std::time::{Duration, Instant};

use super::figures;
use super::settings::Settings;
use super::stages::System;
use super::support::{http, wait};
use super::table::Table;
use super::usage;

const STARTS: usize = 5;

/// `monitor-alone`
pub fn run(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let mut seconds = Vec::new();
    for _ in 0..STARTS {
        let start = Instant::now();
        let system = System::embedded();
        wait::until("a first value", Duration::from_secs(20), || {
            let metrics = http::json(system.page, "/api/metrics")?;
            let hosts = metrics["hosts"].as_object()?;
            let has_value = |host: &serde_json::Value| {
                host.as_object().is_some_and(|metrics| {
                    metrics
                        .values()
                        .any(|samples| samples.as_array().is_some_and(|s| !s.is_empty()))
                })
            };
            hosts.values().any(has_value).then_some(())
        });
        seconds.push(start.elapsed().as_secs_f64());
    }
    table.row("start to the first value in /api/metrics", figures::spread(&seconds, "s"), "");

    let system = System::embedded();
    system.wait_for_hosts(1);
    wait::pause(settings.settle);
    let cost = usage::watch(&[system.parts[0].1], settings.window).remove(0);
    table.row("its own host at 1 Hz, nobody looking", cost.words(), "");
    let viewer = super::viewer::Viewer::open(system.page)?;
    let cost = usage::watch(&[system.parts[0].1], settings.window / 2).remove(0);
    let seen = viewer.seen();
    table.row("the same with one viewer", cost.words(), "");
    let a_second = seen.bytes as f64 / cost.window.as_secs_f64();
    table.row("bytes to that viewer", format!("{} a second", figures::bytes(a_second)), "");
    Ok(())
}
