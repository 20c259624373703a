//! Bytes a sample: on the way from client to server, and in the topic.

use std::sync::atomic::Ordering::Relaxed;

use super::client::{difference, null_server, start, wait_for_frames};
use super::figures;
use super::relay;
use super::settings::Settings;
use super::support::{Scratch, wait};
use super::table::Table;

/// `wire-1hz`
pub fn at_1hz(settings: &Settings, table: &mut Table) -> Result<(), String> {
    run(settings, table, "1s")
}

/// `wire-20hz`
pub fn at_20hz(settings: &Settings, table: &mut Table) -> Result<(), String> {
    run(settings, table, "50ms")
}

fn run(settings: &Settings, table: &mut Table, interval: &str) -> Result<(), String> {
    let scratch = Scratch::new("bench-wire");
    let (mut server, address) = null_server(interval)?;
    let address = address.parse().map_err(|_| "the server's address")?;
    let (door, passed) = relay::start(address)?;
    let client = start(&scratch, &door.to_string(), "bench-wire");
    // Beyond the frames that are acknowledged singly, and whatever starting costs.
    wait_for_frames(&mut server, 12)?;
    wait::pause(settings.settle);
    let before = (server.counts()?, passed.up.load(Relaxed), passed.down.load(Relaxed));
    wait::pause(settings.window / 2);
    let after = (server.counts()?, passed.up.load(Relaxed), passed.down.load(Relaxed));

    let samples = difference(&before.0, &after.0, "samples") as f64;
    let frames = difference(&before.0, &after.0, "frames") as f64;
    let payload = difference(&before.0, &after.0, "payload_bytes") as f64;
    let records = difference(&before.0, &after.0, "record_bytes") as f64;
    let (up, down) = ((after.1 - before.1) as f64, (after.2 - before.2) as f64);
    let each = |bytes: f64| figures::digits(bytes / samples);
    let words = format!(
        "{} bytes a sample ({} payload, the rest gRPC and HTTP/2), {} bytes a frame of {:.0} samples",
        each(up),
        each(payload),
        figures::digits(up / frames),
        samples / frames
    );
    table.row("client to server", words, "<= 4 bytes a sample");
    table.row("server to client", format!("{} bytes a frame", figures::digits(down / frames)), "");
    let words = format!("{} bytes a sample", each(records));
    table.row("a JSON record in the topic", words, "");
    client.stop();
    Ok(())
}
