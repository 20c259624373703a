//! Writing records. Frames are written by hand, key by key: they are the hot path of the server.

use std::collections::BTreeMap;

use serde_json::json;

use super::{FrameRecord, SeqRange, SessionRecord, StagesRecord, Value};
use crate::wire::RECORD_VERSION;
use crate::wire::message::{CatalogueEntry, Schedule};

/// Appends a frame record; returns how many values had to be left out because JSON has no word
/// for them (NaN and infinities).
pub fn encode_frame(record: &FrameRecord, out: &mut Vec<u8>) -> u64 {
    let frame = &record.frame;
    out.extend_from_slice(b"{\"v\":");
    number(out, RECORD_VERSION);
    out.extend_from_slice(b",\"type\":\"frame\",\"host\":");
    text(out, &record.host);
    out.extend_from_slice(b",\"session\":\"");
    out.extend_from_slice(frame.session.to_string().as_bytes());
    out.push(b'"');
    for (name, value) in [
        ("seq", frame.seq),
        ("time_ms", frame.time_ms),
        ("host_time_ms", frame.host_time_ms),
        ("uncertainty_ms", u64::from(frame.uncertainty_ms)),
        ("elapsed_us", frame.elapsed_us),
        ("interval_ms", u64::from(frame.interval_ms)),
        ("sent_ms", frame.sent_ms),
        ("received_ms", record.received_ms),
    ] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        number(out, value);
    }
    out.extend_from_slice(b",\"server\":");
    text(out, &record.server);
    if record.clock_wrong {
        out.extend_from_slice(b",\"clock_wrong\":true");
    }
    if record.overtaken {
        out.extend_from_slice(b",\"overtaken\":true");
    }
    out.extend_from_slice(b",\"samples\":{");
    let omitted = samples(record, out);
    out.extend_from_slice(b"}}");
    omitted
}

fn samples(record: &FrameRecord, out: &mut Vec<u8>) -> u64 {
    let mut omitted = 0;
    let mut first = true;
    for (key, value) in record.frame.samples.iter() {
        if !value.as_f64().is_finite() {
            omitted += 1;
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        text(out, key.as_str());
        out.push(b':');
        match value {
            Value::Unsigned(value) => number(out, value),
            Value::Float(value) => write(out, &value),
        }
    }
    omitted
}

/// Appends a session record.
pub fn encode_session(record: &SessionRecord, out: &mut Vec<u8>) {
    let dropped: Vec<_> =
        record.dropped.iter().map(|((first, last), reason)| json!([first, last, reason])).collect();
    let value = json!({
        "v": RECORD_VERSION,
        "type": "session",
        "host": &*record.host,
        "session": record.session.to_string(),
        "server": &*record.server,
        "time_ms": record.time_ms,
        "first_seq": record.first_seq,
        "sampled_through": record.sampled_through,
        "acked": ranges(&record.acked),
        "dropped": dropped,
        "boot_id": record.boot_id,
        "catalogue": record.catalogue.iter().map(catalogue_entry).collect::<Vec<_>>(),
        "labels": record.labels,
        "schedule": schedule(&record.schedule),
        "ended": record.ended,
    });
    write(out, &value);
}

/// Appends a stages record.
pub fn encode_stages(record: &StagesRecord, out: &mut Vec<u8>) {
    let counts: BTreeMap<_, _> = record.counts.iter().cloned().collect();
    let value = json!({
        "v": RECORD_VERSION,
        "type": "stages",
        "server": &*record.server,
        "time_ms": record.time_ms,
        "durable_us": record.durable,
        "counts": counts,
    });
    write(out, &value);
}

fn ranges(ranges: &[SeqRange]) -> Vec<[u64; 2]> {
    ranges.iter().map(|(first, last)| [*first, *last]).collect()
}

fn catalogue_entry(entry: &CatalogueEntry) -> serde_json::Value {
    let metrics: Vec<_> = entry
        .metrics
        .iter()
        .map(|metric| {
            json!({
                "name": metric.name,
                "kind": metric.kind,
                "unit": metric.unit,
                "help": metric.help,
            })
        })
        .collect();
    json!({ "collector": entry.collector, "metrics": metrics })
}

fn schedule(schedule: &Schedule) -> serde_json::Value {
    let entries: Vec<_> = schedule
        .entries
        .iter()
        .map(|entry| {
            json!({
                "pattern": entry.pattern,
                "interval_ms": entry.interval_ms,
                "lease_ms": entry.lease_ms,
            })
        })
        .collect();
    json!({ "revision": schedule.revision, "entries": entries })
}

fn number(out: &mut Vec<u8>, value: u64) {
    write(out, &value);
}

fn text(out: &mut Vec<u8>, value: &str) {
    write(out, value);
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing into memory fails only for maps whose keys are no strings; there is none here.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "{written:?}");
}
