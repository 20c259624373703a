//! Items of the queue as records of the bus. Done on the forwarding threads: writing a frame of 60
//! samples as JSON takes longer than everything a completion queue does for it.

use std::sync::Arc;
use std::time::Duration;

use super::queue::Item;
use super::stream::Stream;
use super::streams::Streams;
use crate::bus::{Record, VALUE_BYTES_MAX};
use crate::metric::SessionId;
use crate::wire::json::{self, FrameRecord};

/// Room for everything in a frame record but its samples, and for each sample: a series of the
/// usual length and its value. A wrong guess costs a copy.
const FRAME_HEAD_BYTES: usize = 360;
const SAMPLE_BYTES: usize = 56;

/// What is to be done with an item once its record has an end, good or bad.
#[derive(Debug)]
pub(super) enum Sent {
    Frame {
        stream: Arc<Stream>,
        session: SessionId,
        seq: u64,
        /// Unix us.
        received_us: u64,
        /// Monotonic.
        received_at: Duration,
    },
    Session {
        stream: Arc<Stream>,
        session: SessionId,
    },
}

impl Sent {
    pub(super) fn of(item: &Item) -> Self {
        match item {
            Item::Frame(waiting) => Self::Frame {
                stream: Arc::clone(&waiting.stream),
                session: waiting.record.frame.session,
                seq: waiting.record.frame.seq,
                received_us: waiting.received_us,
                received_at: waiting.received_at,
            },
            Item::Session { stream, session } => {
                Self::Session { stream: Arc::clone(stream), session: *session }
            }
        }
    }
}

/// The record of an item; `None` when there is nothing to tell.
///
/// # Errors
/// Why it cannot be stored.
pub(super) fn encode(item: Item, streams: &Streams) -> Result<Option<Record>, String> {
    match item {
        Item::Frame(waiting) => encode_frame(&waiting.record, streams).map(Some),
        Item::Session { stream, session } => encode_session(&stream, session, streams),
    }
}

fn encode_frame(record: &FrameRecord, streams: &Streams) -> Result<Record, String> {
    let samples = record.frame.samples.len();
    let mut value = Vec::with_capacity(FRAME_HEAD_BYTES + samples * SAMPLE_BYTES);
    let omitted = json::encode_frame(record, &mut value);
    if omitted > 0 {
        streams.counts.values_omitted.add(omitted);
    }
    checked(Record { key: record.host.as_bytes().to_vec(), value })
}

fn encode_session(
    stream: &Stream,
    session: SessionId,
    streams: &Streams,
) -> Result<Option<Record>, String> {
    let time_ms = streams.clock.wall_ms();
    let mut state = stream.lock();
    let Some(known) = &mut state.session else { return Ok(None) };
    let Some(mut record) = known.begin_record(session, &streams.name, time_ms) else {
        return Ok(None);
    };
    drop(state);
    let key = record.host.as_bytes().to_vec();
    let mut value = Vec::new();
    json::encode_session(&record, &mut value);
    if key.len() + value.len() > VALUE_BYTES_MAX {
        // The account matters more than the host's description of itself.
        record.catalogue.clear();
        record.labels.clear();
        value.clear();
        json::encode_session(&record, &mut value);
    }
    checked(Record { key, value }).map(Some)
}

/// A record that every bus takes: one that is refused there holds up its partition.
fn checked(record: Record) -> Result<Record, String> {
    let bytes = record.key.len() + record.value.len();
    if bytes > VALUE_BYTES_MAX {
        return Err(format!("too large: {bytes} bytes as JSON, the limit is {VALUE_BYTES_MAX}"));
    }
    Ok(record)
}
