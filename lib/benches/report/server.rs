//! What a server costs per client and per sample, on a bus that takes everything at once.

use std::time::Duration;

use super::child::Helper;
use super::client::difference;
use super::figures::{self, digits};
use super::settings::Settings;
use super::support::wait;
use super::table::Table;
use super::usage;

const CLIENTS: u32 = 1_000;
const CLIENTS_FIRST: u32 = 100;
const FRAME_SAMPLES: u32 = 60;
const FLOOD_STREAMS: &str = "4";
const FLOOD_SAMPLES: u32 = 2_000;

/// Longest look at a server under load.
const WINDOW: Duration = Duration::from_secs(30);

/// `server-1000`
pub fn at_1hz(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let (mut server, address) = start()?;
    let load = |prefix: &str, hosts: u32| {
        let hosts = hosts.to_string();
        let flags = ["--server", &address, "--hosts", &hosts, "--interval-ms", "1000"];
        Helper::start("load", &[&flags[..], &["--prefix", prefix]].concat())
    };
    // What the first ones bring into memory, all others share.
    let mut first = load("first-", CLIENTS_FIRST)?;
    wait::pause(settings.settle);
    let with_first = usage::pss_bytes(server.pid());
    let mut others = load("other-", CLIENTS - CLIENTS_FIRST)?;
    wait::pause(settings.settle);
    let before = server.counts()?;
    let cost = usage::watch(&[server.pid()], settings.window.min(WINDOW)).remove(0);
    let after = server.counts()?;

    let frames = difference(&before, &after, "frames") as f64;
    let cpu = cost.cpu.as_secs_f64();
    let each = digits(cpu / frames * 1e6);
    table.row("1,000 clients at 1 Hz, CPU", format!("{}; {each} us a frame", cost.words()), "");
    let rate = frames * f64::from(FRAME_SAMPLES) / cpu;
    table.row(
        "samples/s per core of server CPU",
        figures::millions(rate),
        ">= 1 M (through Kafka)",
    );
    let memory = cost.pss_bytes.saturating_sub(with_first) as f64;
    let memory = memory / f64::from(CLIENTS - CLIENTS_FIRST);
    table.row("memory a client (of 900 more)", figures::bytes(memory), "<= 40 KB");
    for fleet in [&mut first, &mut others] {
        let counts = fleet.counts()?;
        if counts["failures"] != 0 {
            table.note(format!("the simulated hosts had failures: {counts}"));
        }
    }
    Ok(())
}

/// `server-flood`
pub fn flood(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let (mut server, address) = start()?;
    let samples = FLOOD_SAMPLES.to_string();
    let flags = ["--server", &address, "--streams", FLOOD_STREAMS, "--samples", &samples];
    let mut flood = Helper::start("flood", &flags)?;
    wait::until("frames of the flood", Duration::from_secs(30), || {
        (flood.counts().unwrap()["acknowledged"].as_u64() > Some(0)).then_some(())
    });
    wait::pause(settings.settle.min(Duration::from_secs(2)));
    let before = server.counts()?;
    let window = settings.window.min(WINDOW / 2);
    let cost = usage::watch(&[server.pid()], window).remove(0);
    let after = server.counts()?;

    let samples = difference(&before, &after, "frames") as f64 * f64::from(FLOOD_SAMPLES);
    let rate = samples / cost.cpu.as_secs_f64();
    let words = format!(
        "{} samples/s per core ({} samples/s at {} % of a core)",
        figures::millions(rate),
        figures::millions(samples / cost.window.as_secs_f64()),
        digits(cost.percent())
    );
    table.row(
        "frames of 2,000 samples, as fast as it takes them",
        words,
        ">= 10 M samples/s per core",
    );
    let each = difference(&before, &after, "record_bytes") as f64 / samples;
    table.row("memory under that flood", figures::bytes(cost.pss_bytes as f64), "");
    table.note(format!("it makes a JSON record of every frame: {} bytes a sample", digits(each)));
    Ok(())
}

fn start() -> Result<(Helper, String), String> {
    let server = Helper::start("server", &["--interval", "1s"])?;
    let address = server.ready["address"].as_str().ok_or("no address")?.to_owned();
    Ok((server, address))
}
