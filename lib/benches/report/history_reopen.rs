//! How long a history of two gigabytes is out of reach after kill -9.

use std::time::Instant;

use realtime_monitor::analysis::history;

use super::child::Helper;
use super::figures::{self, digits};
use super::past::{Past, forget_cached};
use super::settings::Settings;
use super::support::fleet::now_ms;
use super::support::wait;
use super::support::{Scratch, http};
use super::table::Table;
use super::usage;

/// What the host has whose past is then given to others as well.
const SECONDS: u64 = 12 * 3_600;

const BYTES: u64 = 2_000_000_000;

/// Each warm and cold.
const ROUNDS: usize = 8;

/// So long the program runs before it is killed: longer than from one commit to the next.
const RUN_S: u64 = 7;

/// `history-reopen`
pub fn run(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    let scratch = Scratch::new("bench-reopen");
    let past = Past::make(&scratch, 1, SECONDS)?;
    let one = history::check(&past.history(), &mut |_| {}).map_err(|error| error.to_string())?;
    let others = (BYTES / one.bytes.max(1)).try_into().unwrap_or(u32::MAX);
    let hosts = history::crowd(&past.history(), others, now_ms()).map_err(|e| e.to_string())?;
    let file = std::fs::metadata(past.history().join("history.redb"));
    let file_bytes = file.map_err(|error| error.to_string())?.len() as f64;
    kill_while_writing(&scratch, &past)?;

    for (name, is_cold, goal) in [("warm", false, "<= 50 ms"), ("cold", true, "<= 50 ms")] {
        let (mut opens, mut begins, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            if is_cold {
                forget_cached(&past.history())?;
            }
            let dir = past.history().to_string_lossy().into_owned();
            // It is killed when it is let go of.
            let opened = Helper::start("open-history", &["--history", &dir])?;
            let of = |name: &str| opened.ready[name].as_f64().unwrap_or(f64::NAN);
            opens.push(of("open_us") / 1e3);
            begins.push(of("begin_us") / 1e3);
            reads.push(of("file_read_bytes") / 1e6);
        }
        let words = format!(
            "{}, then {} to recall every host; {} MB read of the file",
            figures::spread(&opens, "ms"),
            figures::spread(&begins, "ms"),
            digits(figures::median(&reads))
        );
        table.row(&format!("opening the store after kill -9, {name}"), words, goal);
    }
    for (name, is_cold) in [("warm", false), ("cold", true)] {
        let (mut times, mut reads) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            if is_cold {
                forget_cached(&past.history())?;
            }
            let host = format!("{}-{}", Past::host(0), 1 + round * 7);
            let (took, read) = start_to_answer(&scratch, &past, &host)?;
            times.push(took);
            reads.push(read / 1e6);
        }
        let words = format!(
            "{}, {} MB read from the disk by then",
            figures::spread(&times, "ms"),
            digits(figures::median(&reads))
        );
        table.row(&format!("start of monitor to its first answer of an hour, {name}"), words, "");
    }
    table.note(format!(
        "a file of {}, {hosts} hosts of 60 series with {} h each: the segments of one host under \
         {others} names more; killed with SIGKILL after {RUN_S} s of writing, and in each round \
         again; the time includes the start of the process, and up to 20 ms until it is seen that \
         it listens",
        figures::bytes(file_bytes),
        SECONDS / 3_600,
    ));
    Ok(())
}

/// Leaves the file as a program that was killed does.
fn kill_while_writing(scratch: &Scratch, past: &Past) -> Result<(), String> {
    let (monitor, page) = past.monitor(scratch);
    wait::pause(std::time::Duration::from_secs(RUN_S));
    let state = http::json(page, "/api/history").ok_or("no answer of /api/history")?;
    monitor.kill();
    if state["state"] == "ok" { Ok(()) } else { Err(format!("the history is not well: {state}")) }
}

/// Milliseconds from the start of the program to an answer, and bytes it made the disk read.
fn start_to_answer(scratch: &Scratch, past: &Past, host: &str) -> Result<(f64, f64), String> {
    let (to_ms, span_ms) = (past.to_ms - 3_600_000, 3_600_000);
    let path = format!(
        "/api/query?host={host}&metric=cpu_usage_percent&from={}&to={to_ms}&points=3600",
        to_ms - span_ms
    );
    let start = Instant::now();
    let (monitor, page) = past.monitor(scratch);
    let answer = http::json(page, &path).ok_or("no answer of /api/query")?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let points = answer["series"][0]["points"].as_array().map_or(0, Vec::len);
    let read = usage::read_bytes(monitor.pid()) as f64;
    monitor.kill();
    if points > 3_000 { Ok((took, read)) } else { Err(format!("{points} points: {answer}")) }
}
