//! Analysis alone in a process, hours of hosts' frames in minutes: what it uses by thread, what it
//! writes, and what it has in memory on the way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use realtime_monitor::base::thread;
use serde_json::{Value, json};

use super::super::paced::{Paced, Plan};
use super::super::support::fleet::now_ms;
use super::super::usage;

const TWO_HOURS_MS: u64 = 7_200_000;

/// `--hosts N --seconds N --step N --mark N [--history DIR]`: what was used so far is noted every
/// so many played seconds.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let plan = Plan {
        hosts: super::number(arguments, "--hosts")?,
        seconds: super::number(arguments, "--seconds")?,
        // Half an hour after two hours begin: what is due at whole hours is the same each time.
        end_ms: now_ms() / TWO_HOURS_MS * TWO_HOURS_MS + TWO_HOURS_MS / 4,
        step_s: super::number(arguments, "--step")?,
        history: super::flag(arguments, "--history").map(PathBuf::from),
    };
    let mark_s = super::number(arguments, "--mark")?;
    let mut paced = Paced::start(&plan)?;
    let state = Arc::new(Mutex::new(json!({ "done": false })));
    let of_player = Arc::clone(&state);
    let player = thread::spawn("player", move || {
        let start = Instant::now();
        let mut marks = vec![mark(&paced, start)];
        let mut played_s = 0;
        while paced.step() {
            played_s += plan.step_s;
            if played_s % mark_s == 0 {
                marks.push(mark(&paced, start));
            }
        }
        paced.finish();
        let done = json!({ "done": true, "marks": marks });
        *of_player.lock().unwrap_or_else(PoisonError::into_inner) = done;
    });
    let player = player.map_err(|error| error.to_string())?;
    let result =
        super::serve(&json!({}), || state.lock().unwrap_or_else(PoisonError::into_inner).clone());
    player.abandon();
    result
}

fn mark(paced: &Paced, start: Instant) -> Value {
    let threads = usage::own_threads();
    let of = |prefix: &str| -> u64 {
        let named = threads.iter().filter(|(name, _)| name.starts_with(prefix));
        named.map(|(_, time): (_, &Duration)| time.as_micros() as u64).sum()
    };
    let counts: BTreeMap<String, u64> = paced
        .analysis
        .view()
        .counts()
        .into_iter()
        .filter(|count| count.name.starts_with("history_"))
        .map(|count| (count.name.into_owned(), count.value))
        .collect();
    json!({
        "frames": paced.frames(),
        "wall_us": start.elapsed().as_micros() as u64,
        "consume_us": of("consume"),
        "history_us": of("history"),
        "pss_bytes": usage::pss_bytes(std::process::id()),
        "io_write_bytes": usage::written_bytes(std::process::id()),
        "counts": counts,
    })
}
