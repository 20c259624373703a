//! Bytes a sample of recorded data as history keeps it, and how fast it gets there and back.
//!
//! The recording is the topic of one host, frame records as JSON lines, gzipped. Database overhead
//! is not in here.

use std::hint::black_box;

use realtime_monitor::analysis::history::Stretch;
use realtime_monitor::metric::Frame;

use super::course::recording;
use super::figures::{self, time_ns};
use super::settings::Settings;
use super::table::Table;

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

fn constant_percent(frames: &[Frame]) -> f64 {
    let Some(first) = frames.first() else { return 0.0 };
    let same = |at: &usize| {
        frames.iter().all(|frame| frame.samples.values.get(*at) == first.samples.values.get(*at))
    };
    let count = first.samples.len();
    (0..count).filter(same).count() as f64 * 100.0 / count.max(1) as f64
}
