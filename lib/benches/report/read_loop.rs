//! The limit of any client: the collectors alone, once an interval, and nothing done with it.

use std::time::Duration;

use realtime_monitor::base::{stop, thread};
use realtime_monitor::collector::{Context, Set, select};
use serde_json::json;

/// `--interval-ms N`
pub fn run(arguments: &[String]) -> Result<(), String> {
    let interval = super::number(arguments, "--interval-ms")?;
    let interval = Duration::from_millis(interval);
    let registrations = select("default").map_err(|error| error.to_string())?;
    let mut set = Set::new(&registrations, Context::new("/"));
    let samples = set.collect(&|_| true).samples.len();
    let (stopper, stopped) = stop::pair();
    let reader = thread::spawn("read-loop", move || {
        while !stopped.wait(interval) {
            std::hint::black_box(set.collect(&|_| true));
        }
    });
    let reader = reader.map_err(|error| error.to_string())?;
    super::serve(&json!({ "samples": samples }), || json!({}))?;
    drop(stopper);
    drop(reader);
    Ok(())
}
