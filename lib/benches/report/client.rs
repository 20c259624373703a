//! What a client costs its host, beside what others cost, in one run.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::child::Helper;
use super::figures;
use super::peers::{self, Peer};
use super::settings::Settings;
use super::support::program::{Program, command};
use super::support::{Scratch, target, wait};
use super::table::Table;
use super::usage::{self, Cost};

/// Longest look at a client at 20 Hz: 600 ticks.
const WINDOW_20HZ: Duration = Duration::from_secs(30);

/// A server that keeps nothing, and a number that it counts.
pub fn null_server(interval: &str) -> Result<(Helper, String), String> {
    let server = Helper::start("server", &["--interval", interval, "--inspect"])?;
    let address = server.ready["address"].as_str().ok_or("no address")?.to_owned();
    Ok((server, address))
}

/// Waits until the server has had frames.
pub fn wait_for_frames(server: &mut Helper, count: u64) -> Result<Value, String> {
    wait::until("frames at the server", Duration::from_secs(30), || {
        let counts = server.counts().unwrap();
        (counts["frames"].as_u64() >= Some(count)).then_some(())
    });
    server.counts()
}

/// `client-1hz`
pub fn at_1hz(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let scratch = Scratch::new("bench-client");
    let (mut server, address) = null_server("1s")?;
    let client = start(&scratch, &address, "bench-client");
    let (collectd_folder, statically) = (scratch.join("collectd"), static_client(&address)?);
    std::fs::create_dir_all(&collectd_folder).map_err(|error| error.to_string())?;
    let loads = |interval_ms: &str, prefix: &str| {
        let flags = ["--server", &address, "--hosts", "1", "--interval-ms", interval_ms];
        Helper::start("load", &[&flags[..], &["--prefix", prefix]].concat())
    };
    let (bare, idle) = (loads("1000", "bare-")?, loads("3600000", "idle-")?);
    let reading = Helper::start("read-loop", &["--interval-ms", "1000"])?;
    let (node_exporter, collectd) = (peers::node_exporter(), peers::collectd(&collectd_folder));
    wait_for_frames(&mut server, 2)?;
    wait::pause(settings.settle);

    let mut watched = vec![client.pid(), reading.pid(), bare.pid(), idle.pid()];
    let others = [
        statically.as_ref().map(|child| child.0.id()),
        node_exporter.as_ref().ok().map(Peer::pid),
        collectd.as_ref().ok().map(Peer::pid),
    ];
    watched.extend(others.iter().flatten());
    let costs = usage::watch(&watched, settings.window);
    let samples = reading.ready["samples"].as_u64().unwrap_or(0);
    let mut rest = costs[4..].iter();
    let mut of_other = |present: Option<u32>| present.and_then(|_| rest.next());

    let cost = |what: &str, cost: &Cost, goal: &str, table: &mut Table| {
        table.row(what, cost.words(), goal);
    };
    let goal = "<= 0.08 % of a core, <= 6 MB (static)";
    cost(&format!("monitor-client, {samples} samples a second"), &costs[0], goal, table);
    if let Some(static_cost) = of_other(others[0]) {
        cost("monitor-client, the static program of 'make dist'", static_cost, goal, table);
    } else {
        table.note("no static program in target/dist: 'make dist' builds it");
    }
    let cpu = figures::digits(costs[1].percent());
    table.row("the limit: the same files only read and parsed", format!("{cpu} %"), "");
    match (of_other(others[1]), node_exporter) {
        (Some(peer), _) => cost("node_exporter scraped every second", peer, "", table),
        (None, Err(words)) => table.failed(&words),
        _ => {}
    }
    match (of_other(others[2]), collectd) {
        (Some(peer), _) => cost("collectd, 7 plugins to CSV", peer, "", table),
        (None, Err(words)) => table.failed(&words),
        _ => {}
    }
    table.note(format!(
        "gRPC's own share: a process with nothing but a connected stream uses {} %, one that sends \
         a made-up frame of 60 samples every second {} %",
        figures::digits(costs[3].percent()),
        figures::digits(costs[2].percent())
    ));
    client.stop();
    Ok(())
}

/// `client-20hz`
pub fn at_20hz(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let scratch = Scratch::new("bench-client-20hz");
    let (mut server, address) = null_server("50ms")?;
    let client = start(&scratch, &address, "bench-client");
    wait_for_frames(&mut server, 40)?;
    wait::pause(settings.settle);
    let before = server.counts()?;
    let cost = usage::watch(&[client.pid()], settings.window.min(WINDOW_20HZ)).remove(0);
    let after = server.counts()?;
    table.row("monitor-client at 20 Hz", cost.words(), "<= 1 % of a core");
    let (frames, skipped) =
        (difference(&before, &after, "frames"), difference(&before, &after, "skipped_ticks"));
    let words = format!("{skipped} of {} ticks", frames + skipped);
    table.row("ticks skipped at 20 Hz", words, "0");
    client.stop();
    Ok(())
}

/// The real client under a name.
pub fn start(scratch: &Scratch, server: &str, host: &str) -> Program {
    Program::start("monitor-client", &scratch.0, &["--server", server, "--host", host])
}

/// How much a number has grown.
pub fn difference(before: &Value, after: &Value, name: &str) -> u64 {
    after[name].as_u64().unwrap_or(0).saturating_sub(before[name].as_u64().unwrap_or(0))
}

/// Ends with the measurement.
struct Static(Child);

impl Drop for Static {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The static client, where `make dist` has built one.
fn static_client(server: &str) -> Result<Option<Static>, String> {
    let program: PathBuf = target().join("dist/x86_64/monitor-client");
    if !program.is_file() {
        return Ok(None);
    }
    let child = command(&program)
        .args(["--server", server, "--host", "bench-static"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.map(|child| Some(Static(child))).map_err(|error| format!("{program:?}: {error}"))
}
