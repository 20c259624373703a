//! What a server costs per client and per sample, on a bus that takes everything at once.

use std::time::Duration;

use super::child::Helper;
use super::client::difference;
use super::figures::{self, digits};
use super::settings::Settings;
use super::support::wait;
use super::table::Table;
use super::usage::{self, Cost};

const CLIENTS: u32 = 1_000;
const CLIENTS_FIRST: u32 = 100;
const FRAME_SAMPLES: u32 = 60;
const FLOOD_STREAMS: &str = "4";
const FLOOD_SAMPLES: u32 = 2_000;

/// Longest look at a server under load.
const WINDOW: Duration = Duration::from_secs(30);

/// `server-1000`
pub fn at_1hz(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let ours = under_load(settings, "server", table)?;
    let words = format!("{}; {} us a frame", ours.cost.words(), digits(ours.frame_us));
    table.row("1,000 clients at 1 Hz, CPU", words, "");
    let rate = f64::from(FRAME_SAMPLES) / ours.frame_us * 1e6;
    table.row("samples/s per core of its CPU", figures::millions(rate), ">= 1 M (through Kafka)");
    table.row("memory a client", figures::bytes(ours.client_bytes), "<= 40 KB");
    let bare = under_load(settings, "bare-server", table)?;
    table.note(format!(
        "gRPC's own share: a server that only takes the same messages uses {} us a frame and {} a \
         client",
        digits(bare.frame_us),
        figures::bytes(bare.client_bytes)
    ));
    Ok(())
}

struct Loaded {
    cost: Cost,
    /// CPU time.
    frame_us: f64,
    /// Memory that each of the clients that came later takes.
    client_bytes: f64,
}

/// Runs a child that is a server, with all clients connected.
fn under_load(settings: &Settings, child: &str, table: &mut Table) -> Result<Loaded, String> {
    let (mut server, address) = start(child)?;
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
    for fleet in [&mut first, &mut others] {
        let counts = fleet.counts()?;
        if counts["failures"] != 0 {
            table.note(format!("the simulated hosts had failures: {counts}"));
        }
    }
    let frames = difference(&before, &after, "frames") as f64;
    let grown = cost.pss_bytes.saturating_sub(with_first) as f64;
    Ok(Loaded {
        frame_us: cost.cpu.as_secs_f64() / frames * 1e6,
        client_bytes: grown / f64::from(CLIENTS - CLIENTS_FIRST),
        cost,
    })
}

/// `server-flood`
pub fn flood(settings: &Settings, table: &mut Table) -> Result<(), String> {
    let (mut server, address) = start("server")?;
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

fn start(child: &str) -> Result<(Helper, String), String> {
    let server = Helper::start(child, &["--interval", "1s"])?;
    let address = server.ready["address"].as_str().ok_or("no address")?.to_owned();
    Ok((server, address))
}
