//! Bytes a sample of recorded data as history keeps it, and how fast it gets there and back.
//!
//! The recording is the topic of one host, frame records as JSON lines, gzipped. Database overhead
//! is not in here.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use realtime_monitor::analysis::history::Stretch;
use realtime_monitor::metric::Frame;
use realtime_monitor::wire::json::{Record, RecordDecoder};

use super::figures::{self, time_ns};
use super::settings::Settings;
use super::table::Table;

const RECORDING: &str = "lib/benches/recorded.jsonl.gz";

/// Points of a segment: half of what closes one, what closes one, and what upkeep merges.
const POINTS: [(usize, &str); 3] = [(300, ""), (600, "<= 0.75"), (3_600, "<= 0.6")];

pub fn run(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    let frames = recording()?;
    let seconds = frames.len();
    table.note(format!(
        "{seconds} seconds were recorded, {} series; {} % of their columns never change",
        frames.last().map_or(0, |frame| frame.samples.len()),
        figures::digits(constant_percent(&frames)),
    ));
    for (points, goal) in POINTS {
        if seconds < points {
            table.note(format!("segments of {points} points: the recording is too short"));
            continue;
        }
        let stretches: Vec<Stretch> = frames.chunks_exact(points).filter_map(Stretch::of).collect();
        let samples: usize = stretches.iter().map(Stretch::samples).sum();
        let segments: Vec<Vec<u8>> =
            stretches.iter().map(Stretch::encode).collect::<Result<_, _>>()?;
        for (stretch, segment) in stretches.iter().zip(&segments) {
            if stretch.decode(segment)? != *stretch {
                return Err("a segment came back as another one".to_owned());
            }
        }
        let bytes: usize = segments.iter().map(Vec::len).sum();
        let words = format!(
            "{} bytes a sample, names' numbers, times and sums included",
            figures::digits(bytes as f64 / samples as f64)
        );
        table.row(&format!("segments of {points} points"), words, goal);
        let (one, bytes) = (&stretches[0], &segments[0]);
        let encode = time_ns(|| {
            black_box(one.encode().unwrap());
        });
        let decode = time_ns(|| {
            black_box(one.decode(bytes).unwrap());
        });
        let millions =
            |ns: &[f64]| figures::digits(one.samples() as f64 / figures::median(ns) * 1e3);
        let words =
            format!("{} M samples/s there, {} M back", millions(&encode), millions(&decode));
        table.row(&format!("{points} points to bytes and back, one core"), words, ">= 25, >= 80");
    }
    Ok(())
}

/// The frames of the recording's longest session, the first of every second.
fn recording() -> Result<Vec<Frame>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING);
    let file = File::open(&path).map_err(|error| format!("{RECORDING}: {error}"))?;
    let mut decoder = RecordDecoder::new();
    let mut frames: Vec<Frame> = Vec::new();
    for line in BufReader::new(MultiGzDecoder::new(file)).split(b'\n') {
        let line = line.map_err(|error| format!("{RECORDING}: {error}"))?;
        if let Ok(Record::Frame(record)) = decoder.decode(&line) {
            frames.push(record.frame);
        }
    }
    frames.sort_by_key(|frame| (frame.session, frame.elapsed_us));
    frames.dedup_by_key(|frame| (frame.session, frame.time_ms / 1_000));
    let sessions = frames.chunk_by(|one, next| one.session == next.session);
    let longest = sessions.max_by_key(|frames| frames.len());
    longest.map(<[Frame]>::to_vec).ok_or_else(|| format!("{RECORDING}: there is no frame in it"))
}

fn constant_percent(frames: &[Frame]) -> f64 {
    let Some(first) = frames.first() else { return 0.0 };
    let same = |at: &usize| {
        frames.iter().all(|frame| frame.samples.values.get(*at) == first.samples.values.get(*at))
    };
    let count = first.samples.len();
    (0..count).filter(same).count() as f64 * 100.0 / count.max(1) as f64
}
