//! One call, hot: encoding, decoding, reading the kernel's files.

use std::hint::black_box;

use protobuf::Message;
use realtime_monitor::analysis::LedgerAlone;
use realtime_monitor::collector::{Context, Set, select};
use realtime_monitor::metric::{Frame, Samples, SessionId};
use realtime_monitor::wire::frame::{FrameDecoder, FrameEncoder};
use realtime_monitor::wire::json::{FrameRecord, RecordDecoder, encode_frame};
use realtime_monitor::wire::proto;

use super::figures::{self, time_ns};
use super::settings::Settings;
use super::support::fleet;
use super::table::Table;

/// Frames that are made beforehand; values differ from one to the next.
const FRAMES: u64 = 512;

pub fn run(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    let frames = frames();
    let samples = frames[0].samples.len() as f64;
    let mut row = |what: &str, ns: &[f64]| {
        let us: Vec<f64> = ns.iter().map(|ns| ns / 1e3).collect();
        let each = figures::digits(figures::median(ns) / samples);
        table.row(what, format!("{}, {each} ns a sample", figures::spread(&us, "us")), "");
    };
    row("a frame of 60 samples to protobuf bytes", &encode_wire(&frames));
    row("and back", &decode_wire(&frames));
    row("a frame of 60 samples to a JSON record", &encode_json(&frames));
    row("and back", &decode_json(&frames));
    account(table);
    collect(table)
}

/// Sixty series, the values of consecutive seconds.
fn frames() -> Vec<Frame> {
    let layout = fleet::layout();
    let frame = |seq| {
        let time_ms = 1_700_000_000_000 + seq * 1_000;
        Frame {
            session: SessionId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            seq,
            elapsed_us: seq * 1_000_000,
            time_ms,
            uncertainty_ms: 1,
            host_time_ms: time_ms,
            interval_ms: 1_000,
            sent_ms: time_ms,
            samples: Samples { layout: layout.clone(), values: fleet::values(&layout, seq) },
        }
    };
    (1..=FRAMES).map(frame).collect()
}

fn encode_wire(frames: &[Frame]) -> Vec<f64> {
    let mut encoder = FrameEncoder::new(frames[0].session);
    let mut next = frames.iter().cycle();
    time_ns(|| {
        let message = encoder.encode(next.next().unwrap()).unwrap();
        black_box(message.write_to_bytes().unwrap());
    })
}

fn decode_wire(frames: &[Frame]) -> Vec<f64> {
    let session = frames[0].session;
    let mut encoder = FrameEncoder::new(session);
    let mut bytes: Vec<_> = Vec::new();
    for frame in frames {
        bytes.push(encoder.encode(frame).unwrap().write_to_bytes().unwrap());
    }
    let mut decoder = FrameDecoder::new(session, &[]);
    let first = proto::Frame::parse_from_bytes(&bytes[0]).unwrap();
    decoder.decode(first).unwrap();
    // The first frame announces its series; the others can come round and round.
    let mut next = bytes[1..].iter().cycle();
    time_ns(|| {
        let message = proto::Frame::parse_from_bytes(next.next().unwrap()).unwrap();
        black_box(decoder.decode(message).unwrap());
    })
}

fn records(frames: &[Frame]) -> impl Iterator<Item = FrameRecord> + '_ {
    frames.iter().map(|frame| FrameRecord {
        host: "bench-0001".into(),
        server: "bench".into(),
        received_ms: frame.time_ms + 1,
        clock_wrong: false,
        overtaken: false,
        frame: frame.clone(),
    })
}

fn encode_json(frames: &[Frame]) -> Vec<f64> {
    let records: Vec<_> = records(frames).collect();
    let mut next = records.iter().cycle();
    let mut out = Vec::new();
    time_ns(|| {
        out.clear();
        black_box(encode_frame(next.next().unwrap(), &mut out));
    })
}

fn decode_json(frames: &[Frame]) -> Vec<f64> {
    let mut bytes = Vec::new();
    for record in records(frames) {
        let mut out = Vec::new();
        encode_frame(&record, &mut out);
        bytes.push(out);
    }
    let mut decoder = RecordDecoder::new();
    let mut next = bytes.iter().cycle();
    time_ns(|| {
        black_box(decoder.decode(next.next().unwrap()).unwrap());
    })
}

/// The account of one session: frames in their order, and as they come while a backlog is sent.
fn account(table: &mut Table) {
    let mut row = |what: &str, mut seqs: Box<dyn Iterator<Item = u64>>| {
        let mut ledger = LedgerAlone::default();
        let ns = time_ns(|| {
            black_box(ledger.takes(seqs.next().unwrap()));
        });
        let per_second = figures::millions(1e9 / figures::median(&ns));
        table.row(what, format!("{}, {per_second} frames/s", figures::spread(&ns, "ns")), "");
    };
    row("a frame in its session's account, in order", Box::new(1..));
    // An hour behind, one of the backlog for each live one.
    let both = (1..).flat_map(|seq: u64| [seq, seq + (1 << 32)]);
    row("the same while live frames and backlog alternate", Box::new(both));
}

fn collect(table: &mut Table) -> Result<(), String> {
    let registrations = select("default").map_err(|error| error.to_string())?;
    let mut set = Set::new(&registrations, Context::new("/"));
    let samples = set.collect(&|_| true).samples.len();
    let ns = time_ns(|| {
        black_box(set.collect(&|_| true));
    });
    let us: Vec<f64> = ns.iter().map(|ns| ns / 1e3).collect();
    let what = format!("all collectors once ({samples} samples of this machine)");
    table.row(&what, figures::spread(&us, "us"), "");
    Ok(())
}
