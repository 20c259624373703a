//! What the past takes: on disk, of the processor, in writes, in memory.
//!
//! Hosts are those of [`course`](super::course): 60 recorded series each, made longer. Hours pass
//! in minutes by a clock that is set forward ([`paced`](super::paced)), so that chunks are closed,
//! committed, merged, rolled up and expired when they would be.

use std::path::Path;
use std::time::Duration;

use realtime_monitor::analysis::history::{self, Tier, TierReport, Tiers};
use serde_json::Value;

use super::child::Helper;
use super::course::SERIES;
use super::figures::{self, digits};
use super::paced::{Paced, Plan};
use super::settings::Settings;
use super::support::fleet::now_ms;
use super::support::{Scratch, wait};
use super::table::Table;

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;

/// Until the tier of ten seconds holds its week, and what is over has expired.
const TIERS_SECONDS: u64 = 7 * DAY_S + 4 * HOUR_S;

/// `history-tiers`
pub fn tiers(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    let scratch = Scratch::new("bench-tiers");
    let dir = scratch.join("history");
    let plan = Plan {
        hosts: 1,
        seconds: TIERS_SECONDS,
        end_ms: now_ms(),
        step_s: 60,
        history: Some(dir.clone()),
    };
    let mut paced = Paced::start(&plan)?;
    while paced.step() {}
    paced.finish();
    let found = history::check(&dir, &mut |_| {}).map_err(|error| error.to_string())?;
    if !found.problems.is_empty() {
        return Err(found.problems.join("; "));
    }
    let mut all = 0.0;
    for tier in Tiers::default().as_slice() {
        let report = found.tiers.get(&tier.bucket()).copied().unwrap_or_default();
        let bytes = full_bytes(*tier, report);
        all += bytes;
        let goal = if tier.bucket_ms == 1_000 { "<= 6 MB" } else { "" };
        table.row(&tier_name(*tier), tier_words(*tier, report, bytes), goal);
    }
    let what = "all of it: a day of seconds, a week of ten, 90 days of minutes";
    table.row(what, figures::bytes(all), "<= 40 MB");
    let file = allocated_bytes(&dir)?;
    table.note(format!(
        "one host, {SERIES} series, {} days of frames, one a second, written as they would come; \
         the minutes hold {} days of that, their bytes a point times 90 days; the file took {} \
         on disk for {} of segments, room to be used again included",
        digits(TIERS_SECONDS as f64 / DAY_S as f64),
        digits(found.tiers.get(&60_000).map_or(0.0, |tier| tier.frames as f64 / 1_440.0)),
        figures::bytes(file as f64),
        figures::bytes(found.bytes as f64),
    ));
    Ok(())
}

/// What a tier takes when it holds everything that it keeps.
fn full_bytes(tier: Tier, report: TierReport) -> f64 {
    let points = tier.keep_ms as f64 / tier.bucket_ms as f64;
    report.bytes as f64 / report.frames.max(1) as f64 * points
}

fn tier_name(tier: Tier) -> String {
    let (width_s, days) = (tier.bucket_ms / 1_000, tier.keep_ms / 1_000 / DAY_S);
    let days = if days == 1 { "a day".to_owned() } else { format!("{days} days") };
    format!("points of {width_s} s for {days}, one host")
}

fn tier_words(tier: Tier, report: TierReport, bytes: f64) -> String {
    let a_point = report.bytes as f64 / (report.frames.max(1) * SERIES as u64) as f64;
    let of_what = if tier.bucket_ms == 1_000 { "sample" } else { "point of a series" };
    format!("{} ({} bytes a {of_what})", figures::bytes(bytes), digits(a_point))
}

/// What the files of a directory take of the disk.
fn allocated_bytes(dir: &Path) -> Result<u64, String> {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).map_err(|error| error.to_string())?;
    Ok(entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|m| m.blocks() * 512).sum())
}

/// `history-replay`
pub fn replay(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    // Four hours and a half, beginning with an hour in which two begin: the last four of them
    // hold four hours that are merged, and two times two that are rolled up.
    let steady = play((100, 4 * HOUR_S + HOUR_S / 2, 5, PERIOD_S), true)?;
    rate_row(table, "100 hosts as they come, JSON to disk, samples/s per core", &steady);
    let last = &steady[steady.len() - 1];
    let [first, upkeep] = parts(&steady[HALF_HOUR..]);
    table.row(
        "written to disk per million samples as they come",
        format!("{} MB ({} MB of it segments)", digits(first), digits(committed(&steady))),
        "<= 1 MB",
    );
    table.row(
        "the same with the upkeep of later hours: merged, and rolled up to 10 s",
        format!("{} MB", digits(first + upkeep)),
        "<= 1 MB",
    );
    let count = |name: &str| difference(&steady[0], last, &format!("/counts/{name}"));
    table.note(format!(
        "write_bytes of /proc/PID/io; a commit for all hosts every five minutes of the clock, as \
         they began together; over all of it {} MB per million samples by the kernel's count, {} \
         MB by redb's; {} commits, {} times forced to the disk, {} segments merged, {} made for \
         coarser resolutions; points of a minute, once a day, are not in it",
        digits(written(&steady[0], last, IO)),
        digits(written(&steady[0], last, REDB)),
        count("history_commits_total"),
        count("history_syncs_total"),
        count("history_segments_merged_total"),
        count("history_segments_rolled_total"),
    ));
    let backlog = play((20, 4 * HOUR_S + HOUR_S / 2, PERIOD_S, PERIOD_S), true)?;
    rate_row(table, "20 hosts, five minutes at once: a backlog", &backlog);
    Ok(())
}

/// From mark to mark: as long as from one chunk of a host to the next.
const PERIOD_S: u64 = 300;
/// Marks of half an hour.
const HALF_HOUR: usize = 6;
const IO: &str = "/io_write_bytes";
const COMMITTED: &str = "/counts/history_committed_bytes_total";
const REDB: &str = "/counts/history_written_bytes_total";

/// Megabytes written per million samples in periods without upkeep, and what upkeep adds to that.
fn parts(marks: &[Value]) -> [f64; 2] {
    let is_quiet = |pair: &&[Value]| {
        let count = |name: &str| difference(&pair[0], &pair[1], &format!("/counts/{name}"));
        count("history_segments_merged_total") + count("history_segments_rolled_total") == 0.0
    };
    let (mut bytes, mut millions) = (0.0, 0.0);
    for pair in marks.windows(2).filter(is_quiet) {
        bytes += difference(&pair[0], &pair[1], IO) / 1e6;
        millions += samples(&pair[0], &pair[1]) / 1e6;
    }
    let first = bytes / millions;
    [first, written(&marks[0], &marks[marks.len() - 1], IO) - first]
}

fn committed(marks: &[Value]) -> f64 {
    written(&marks[0], &marks[marks.len() - 1], COMMITTED)
}

fn rate_row(table: &mut Table, what: &str, marks: &[Value]) {
    let (first, last) = (&marks[0], &marks[marks.len() - 1]);
    let samples = samples(first, last);
    let consume = difference(first, last, "/consume_us") / 1e6;
    let writer = difference(first, last, "/history_us") / 1e6;
    let rates: Vec<f64> = marks
        .windows(2)
        .map(|pair| {
            let us = difference(&pair[0], &pair[1], "/consume_us")
                + difference(&pair[0], &pair[1], "/history_us");
            self::samples(&pair[0], &pair[1]) / us
        })
        .collect();
    let words = format!(
        "{} ({} to {} in parts of five minutes): {} ns a sample to read, take over and compress, {} \
         to commit, merge and roll up",
        figures::millions(samples / (consume + writer)),
        digits(rates.iter().copied().fold(f64::INFINITY, f64::min)),
        digits(rates.iter().copied().fold(0.0, f64::max)),
        digits(consume / samples * 1e9),
        digits(writer / samples * 1e9),
    );
    table.row(what, words, ">= 1 M");
}

/// Megabytes per million samples: the same as bytes a sample.
fn written(first: &Value, last: &Value, what: &str) -> f64 {
    difference(first, last, what) / samples(first, last)
}

fn samples(first: &Value, last: &Value) -> f64 {
    difference(first, last, "/frames") * SERIES as f64
}

fn difference(first: &Value, last: &Value, what: &str) -> f64 {
    let of = |mark: &Value| mark.pointer(what).and_then(Value::as_f64).unwrap_or(f64::NAN);
    of(last) - of(first)
}

/// The marks of a child that plays: hosts, seconds, seconds of a step and from mark to mark.
fn play(
    (hosts, seconds, step_s, mark_s): (u64, u64, u64, u64),
    keeps: bool,
) -> Result<Vec<Value>, String> {
    let scratch = Scratch::new("bench-played");
    let dir = scratch.join("history").to_string_lossy().into_owned();
    let numbers = [hosts, seconds, step_s, mark_s].map(|number| number.to_string());
    let names = ["--hosts", "--seconds", "--step", "--mark"];
    let mut flags: Vec<&str> =
        names.iter().zip(&numbers).flat_map(|(name, number)| [*name, number]).collect();
    if keeps {
        flags.extend(["--history", &dir]);
    }
    let mut child = Helper::start("played", &flags)?;
    let marks = wait::until("everything played", Duration::from_secs(900), || {
        wait::pause(Duration::from_millis(250));
        let counts = child.counts().unwrap();
        (counts["done"] == true).then(|| counts["marks"].as_array().cloned().unwrap_or_default())
    });
    if marks.len() > 1 { Ok(marks) } else { Err("nothing was played".to_owned()) }
}

/// `history-ram`
pub fn ram(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    const HOSTS: u64 = 1_000;
    const SECONDS: u64 = 900;
    let mut at_most = Vec::new();
    for keeps in [false, true] {
        let marks = play((HOSTS, SECONDS, 5, 15), keeps)?;
        let bytes: Vec<f64> = marks.iter().filter_map(|mark| mark["pss_bytes"].as_f64()).collect();
        let base = bytes[0];
        // In the last five minutes chunks fill, are closed and written once.
        let late: Vec<f64> = bytes[bytes.len() - 20..].iter().map(|b| (b - base) / 1e6).collect();
        let what = if keeps { "with a history" } else { "without" };
        let what = format!("memory {what}, minutes 10 to 15 of 1,000 hosts x 60 series at 1 Hz");
        table.row(&what, figures::spread(&late, "MB"), "");
        at_most.push(late);
    }
    let more: Vec<f64> =
        at_most[1].iter().zip(&at_most[0]).map(|(with, less)| with - less).collect();
    table.row("what the history adds", figures::spread(&more, "MB"), "<= 150 MB");
    table.note(
        "PSS of a process of the bench that holds analysis alone, less what it had before the \
         first frame; median, least and most of every 15 s; a clock that is set forward",
    );
    Ok(())
}
