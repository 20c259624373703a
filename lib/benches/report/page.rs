//! What a viewer waits for and what the page costs the browser, in Chromium.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::child::Helper;
use super::figures::{self, digits};
use super::settings::Settings;
use super::stages::System;
use super::support::program::command;
use super::support::{repository, wait};
use super::table::Table;

/// Longest look at a page.
const WINDOW: Duration = Duration::from_secs(30);

const LOADS: u32 = 5;

/// `page-1`: one host, its own page and the fleet's.
pub fn one_host(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let system = System::embedded();
    system.wait_for_hosts(1);
    // Some of the history that charts show; a full one would take fifteen minutes.
    wait::pause(settings.settle);
    let fleet = open(settings, &system, "", "first-values")?;
    load_rows(table, "fleet page", "first values", &fleet, "");
    let host = open(settings, &system, "#/host/me", "first-charts")?;
    load_rows(table, "host page", "first charts", &host, "<= 2 s from the start of monitor");
    busy_row(table, "host page, its host at 1 Hz", &host);
    drawn_row(table, &host, "p99 <= 10 ms");
    Ok(())
}

/// `page-1000`
pub fn thousand_hosts(settings: &Settings, table: &mut Table) -> Result<(), String> {
    fleet_page(settings, table, &System::embedded(), "p99 <= 10 ms")
}

/// `page-kafka-1000`
pub fn thousand_hosts_on_kafka(settings: &Settings, table: &mut Table) -> Result<(), String> {
    fleet_page(settings, table, &System::on_kafka(), "p99 <= 50 ms")
}

fn fleet_page(
    settings: &Settings,
    table: &mut Table,
    system: &System,
    goal: &str,
) -> Result<(), String> {
    let address = system.grpc.to_string();
    let flags = ["--server", &address, "--hosts", "1000", "--interval-ms", "1000"];
    let _fleet = Helper::start("load", &flags)?;
    system.wait_for_hosts(1_000);
    wait::pause(settings.settle);
    let seen = open(settings, system, "", "first-values")?;
    load_rows(table, "fleet page, 1,000 hosts", "first values", &seen, "");
    busy_row(table, "fleet page, 1,000 hosts at 1 Hz", &seen);
    drawn_row(table, &seen, goal);
    Ok(())
}

/// Lets Chromium open a page of the system: several times anew, then for a while.
fn open(settings: &Settings, system: &System, place: &str, mark: &str) -> Result<Value, String> {
    let plan = json!({
        "url": format!("http://{}/{place}", system.page),
        "mark": mark,
        "seconds": settings.window.min(WINDOW).as_secs(),
        "settleSeconds": settings.settle.min(Duration::from_secs(5)).as_secs(),
        "loads": LOADS,
    });
    let output = command("node")
        .arg(repository().join("lib/benches/page_cost.mjs"))
        .arg(plan.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("node: {error}; 'bin/setup.sh bench' installs it"))?;
    if !output.status.success() {
        return Err("the browser gave up; its words are above".into());
    }
    let answer: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("page_cost: {error}"))?;
    match answer["errors"].as_array() {
        Some(errors) if errors.is_empty() => Ok(answer),
        _ => Err(format!("errors on the page: {}", answer["errors"])),
    }
}

fn load_rows(table: &mut Table, page: &str, what: &str, seen: &Value, goal: &str) {
    let times = numbers(&seen["times"]);
    let row = format!("{page}: from navigation to {what} drawn");
    table.row(&row, figures::spread(&times, "ms"), goal);
    let (requests, bytes) = (&seen["fetched"]["requests"], seen["fetched"]["bytes"].as_f64());
    let words = format!("{requests} requests, {}", figures::bytes(bytes.unwrap_or(f64::NAN)));
    table.row(&format!("{page}: fetched until then"), words, "");
}

fn busy_row(table: &mut Table, page: &str, seen: &Value) {
    let long = numbers(&seen["longTasksMs"]);
    let longest = long.iter().copied().fold(0.0, f64::max);
    let tasks = match long.len() {
        0 => "no task over 50 ms".to_owned(),
        count => format!("{count} tasks over 50 ms, the longest {} ms", digits(longest)),
    };
    let slices = numbers(&seen["slices"]);
    let words = format!(
        "{}; {tasks}; heap {}",
        figures::spread(&slices, "%"),
        figures::bytes(seen["heapBytes"].as_f64().unwrap_or(f64::NAN))
    );
    table.row(&format!("{page}: main thread busy"), words, "");
}

/// What the page itself says in its readout.
fn drawn_row(table: &mut Table, seen: &Value, goal: &str) {
    let of = |name: &str| seen["drawn"][name].as_str().unwrap_or("-").to_owned();
    let words = format!(
        "p50 {}, p99 {} (of that pushed to drawn: {}, {})",
        of("total p50"),
        of("total p99"),
        of("drawn p50"),
        of("drawn p99")
    );
    table.row("sampled to drawn, by the page's own readout", words, goal);
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}
