//! What analysis costs per sample, and what its live window takes in memory.

use std::time::Duration;

use super::child::Helper;
use super::figures::{self, digits};
use super::settings::Settings;
use super::support::wait;
use super::table::Table;

const HOSTS: u64 = 1_000;
const FRAME_SAMPLES: u64 = 60;

/// The live window at 1 Hz.
const SECONDS: u64 = 15 * 60;

/// `analysis-replay`
pub fn run(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    let flags = ["--hosts", &HOSTS.to_string(), "--seconds", &SECONDS.to_string()];
    let mut replay = Helper::start("replay", &flags)?;
    let before = replay.ready["pss_bytes"].as_u64().unwrap_or(0);
    let records = HOSTS * SECONDS;
    wait::until("the whole topic read", Duration::from_secs(600), || {
        wait::pause(Duration::from_millis(500));
        (replay.counts().unwrap()["records_read"].as_u64() >= Some(records)).then_some(())
    });
    // What the readers still held has been let go of.
    wait::pause(Duration::from_secs(1));
    let counts = replay.counts()?;
    let samples = (records * FRAME_SAMPLES) as f64;
    let cpu = counts["consume_us"].as_f64().unwrap_or(f64::NAN) / 1e6;
    let each = digits(cpu / samples * 1e9);
    let words = format!("{} ({each} ns a sample)", figures::millions(samples / cpu));
    table.row("samples/s per core, from JSON into the live window", words, ">= 1 M");
    let memory = counts["pss_bytes"].as_f64().unwrap_or(f64::NAN) - before as f64;
    let words = format!("{}, {} bytes a sample", figures::bytes(memory), digits(memory / samples));
    table.row("memory of 1,000 hosts x 60 series x 15 min at 1 Hz", words, "");
    if counts["frames_in_a_window"].as_u64() != Some(SECONDS) {
        table.note(format!("windows are not whole: {}", counts["frames_in_a_window"]));
    }
    Ok(())
}
