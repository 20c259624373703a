//! Known loads move each value by the known amount, within 20 %.
//!
//! Whatever else runs on the machine moves the values too, so each load is measured against the
//! seconds before it, and a measurement that something disturbed is repeated.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use realtime_monitor::base::thread;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::deployment::{Deployment, samples};
use crate::support::program::command;
use crate::support::{http, wait};

const HOST: &str = "loaded";

/// How far a value may be from the known amount.
const TOLERANCE: f64 = 0.2;

/// How often a disturbed measurement is repeated.
const TRIES: usize = 4;

/// Rows before a load that say how busy the machine is without it.
const QUIET_ROWS: usize = 4;

const LOAD_BYTES: usize = 64 << 20;
const PROCESSES: usize = 50;

#[test]
fn known_loads_move_each_value_by_the_known_amount() {
    let mut system = Deployment::start("loads", &[]);
    system.add_client(HOST, &["--include-filtered"]);
    system.wait_for_samples(HOST, "cpu", QUIET_ROWS);
    measured("cpu", || burn_cpu(&system));
    measured("diskio", || write_and_sync(&system));
    measured("network", || send_over_loopback(&system));
    measured("process_count", || start_processes(&system));
}

#[track_caller]
fn measured(what: &str, mut measure: impl FnMut() -> (f64, f64)) {
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let (got, expected) = measure();
        if (got - expected).abs() <= expected * TOLERANCE {
            eprintln!("{what}: moved by {got:.1}, known {expected:.1}");
            return;
        }
        seen.push(format!("moved by {got:.1}, known {expected:.1}"));
    }
    panic!("{what}: {}", seen.join("; "));
}

/// Percent of all CPUs, over the rows that lie wholly inside the burn.
fn burn_cpu(system: &Deployment) -> (f64, f64) {
    let before = quiet(system, "cpu", "usage_percent");
    let (start, cpu_before) = (Instant::now(), clock_gettime(ClockId::ThreadCPUTime));
    let start_ms = now_ms();
    let mut sum = 0_u64;
    while start.elapsed() < Duration::from_secs(5) {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
    let used = clock_gettime(ClockId::ThreadCPUTime) - cpu_before;
    let used_s = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
    let cpus = std::thread::available_parallelism().unwrap().get() as f64;
    let end_ms = now_ms();
    let rows = rows_after(system, "cpu", end_ms);
    let inside: Vec<f64> = rows
        .iter()
        .filter(|row| time_ms(row) > start_ms + 1_000 && time_ms(row) <= end_ms)
        .map(|row| row["usage_percent"].as_f64().unwrap())
        .collect();
    assert!(!inside.is_empty(), "no row inside the burn: {rows:?}");
    let mean = inside.iter().sum::<f64>() / inside.len() as f64;
    (mean - before, 100.0 * used_s / 5.0 / cpus)
}

fn write_and_sync(system: &Deployment) -> (f64, f64) {
    let before = quiet(system, "diskio", "write_bytes_per_second");
    let start_ms = now_ms();
    let path = system.scratch.join("written");
    let mut file = File::create(&path).unwrap();
    // Not zeros: a file system or a disk below may not write what it can describe.
    let mut block = vec![0_u8; 1 << 20];
    for number in 0..LOAD_BYTES >> 20 {
        for (at, byte) in block.iter_mut().enumerate() {
            *byte = (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ number as u8;
        }
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
    let moved = moved_since(system, "diskio", "write_bytes_per_second", start_ms, before);
    std::fs::remove_file(path).unwrap();
    (moved, LOAD_BYTES as f64)
}

/// Loopback is left out of the totals, so this is read where its own series is: the live stream.
fn send_over_loopback(system: &Deployment) -> (f64, f64) {
    const SERIES: &str = "network_transmit_bytes_per_second{interface=\"lo\"}";
    let mut live = http::Events::open(system.page, &format!("/api/live?host={HOST}"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sender = thread::spawn("loopback-load", move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&vec![7; LOAD_BYTES]).unwrap();
    })
    .unwrap();
    let mut received = Vec::with_capacity(LOAD_BYTES);
    listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
    sender.join();
    assert_eq!(received.len(), LOAD_BYTES);
    let (end_ms, mut moved) = (now_ms(), 0.0);
    loop {
        let (name, event) = live.next().expect("the live stream goes on");
        for frame in event["frames"].as_array().into_iter().flatten().filter(|_| name == "frames") {
            let rate = frame["values"][SERIES].as_f64().unwrap_or(0.0);
            moved += rate * frame["interval_ms"].as_f64().unwrap() / 1_000.0;
            if time_ms(frame) > end_ms {
                return (moved, LOAD_BYTES as f64);
            }
        }
    }
}

fn start_processes(system: &Deployment) -> (f64, f64) {
    let before = quiet(system, "process_count", "count");
    let mut sleepers: Vec<Child> =
        (0..PROCESSES).map(|_| command("sleep").arg("60").spawn().unwrap()).collect();
    let rows = rows_after(system, "process_count", now_ms());
    let after = rows.last().unwrap()["count"].as_f64().unwrap();
    for sleeper in &mut sleepers {
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
    (after - before, PROCESSES as f64)
}

/// The mean of the newest rows of a value.
fn quiet(system: &Deployment, metric: &str, value: &str) -> f64 {
    wait::pause(Duration::from_secs(QUIET_ROWS as u64));
    let rows = system.wait_for_samples(HOST, metric, QUIET_ROWS);
    let newest = &rows[rows.len() - QUIET_ROWS..];
    newest.iter().map(|row| row[value].as_f64().unwrap()).sum::<f64>() / QUIET_ROWS as f64
}

/// How much a rate has moved in all since `start_ms`, less what the quiet machine would have.
fn moved_since(system: &Deployment, metric: &str, value: &str, start_ms: u64, quiet: f64) -> f64 {
    let rows = rows_after(system, metric, now_ms());
    let step_s = |pair: &[Value]| (time_ms(&pair[1]) - time_ms(&pair[0])) as f64 / 1_000.0;
    rows.windows(2)
        .filter(|pair| time_ms(&pair[1]) > start_ms)
        .map(|pair| (pair[1][value].as_f64().unwrap() - quiet) * step_s(pair))
        .sum()
}

/// The rows of a metric once the newest two are later than `after_ms`.
fn rows_after(system: &Deployment, metric: &str, after_ms: u64) -> Vec<Value> {
    wait::until("rows after the load", Duration::from_secs(20), || {
        let rows = samples(&system.json("/api/metrics")?, HOST, metric);
        let second_newest = rows.len().checked_sub(2).map(|at| time_ms(&rows[at]))?;
        (second_newest > after_ms).then_some(rows)
    })
}

fn time_ms(row: &Value) -> u64 {
    row["time_ms"].as_u64().unwrap()
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}
