//! The real server on a bus that takes everything and keeps nothing but counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protobuf::Message;
use realtime_monitor::base::clock::Real;
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::bus::{
    Batch, Bus, BusError, Position, Publisher, Reader, Receipt, Record as BusRecord, Topic,
};
use realtime_monitor::metric::{Frame, SessionId};
use realtime_monitor::server::{self, Config, Orders, parse_interval};
use realtime_monitor::wire::frame::FrameEncoder;
use realtime_monitor::wire::json::{Record, RecordDecoder};
use realtime_monitor::wire::message::FromClient;
use realtime_monitor::wire::stream::encode_from_client;
use serde_json::json;

/// As many as `make kafka` creates.
const PARTITIONS: u32 = 4;

/// How every frame record begins.
const FRAME_HEAD: &[u8] = br#"{"v":1,"type":"frame""#;

/// `--interval 1s [--inspect]`: what hosts are told, and whether every record is looked into.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let interval = parse_interval(super::flag(arguments, "--interval").unwrap_or("1s"))?;
    let inspect = arguments.iter().any(|argument| argument == "--inspect");
    let counts = Arc::new(Counts::default());
    let bus = Arc::new(NullBus { counts: Arc::clone(&counts), inspect });
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        insecure: false,
        name: "bench".into(),
        orders: Orders { interval, schedule: Vec::new(), collect: Vec::new() },
        counts: CountSources::default(),
    };
    let handle = server::start(&config, bus, Real::shared()).map_err(|error| error.to_string())?;
    super::serve(&json!({ "address": handle.address().to_string() }), || {
        json!({
            "frames": counts.frames.load(Relaxed),
            "record_bytes": counts.record_bytes.load(Relaxed),
            "samples": counts.samples.load(Relaxed),
            "payload_bytes": counts.payload_bytes.load(Relaxed),
            "skipped_ticks": counts.skipped_ticks.load(Relaxed),
        })
    })
}

#[derive(Debug, Default)]
struct Counts {
    frames: AtomicU64,
    /// Of frame records, keys not counted.
    record_bytes: AtomicU64,
    /// The rest only with `--inspect`.
    samples: AtomicU64,
    /// What the frames were as messages on their stream, without gRPC's and HTTP/2's framing.
    payload_bytes: AtomicU64,
    /// Ticks of the interval that brought no frame.
    skipped_ticks: AtomicU64,
}

#[derive(Debug)]
struct NullBus {
    counts: Arc<Counts>,
    inspect: bool,
}

impl Bus for NullBus {
    fn partitions(&self, topic: Topic) -> u32 {
        if topic == Topic::Metrics { PARTITIONS } else { 1 }
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        let inspector = self.inspect.then(|| Mutex::new(Inspector::default()));
        Box::new(NullPublisher { counts: Arc::clone(&self.counts), inspector })
    }

    fn reader(&self, _topic: Topic, _partition: u32, _from: Position) -> Box<dyn Reader> {
        Box::new(NullReader)
    }
}

#[derive(Debug)]
struct NullPublisher {
    counts: Arc<Counts>,
    inspector: Option<Mutex<Inspector>>,
}

impl Publisher for NullPublisher {
    fn begin(&mut self, _: Topic, _: u32, records: &[BusRecord]) -> Result<Receipt, BusError> {
        for record in records.iter().filter(|record| record.value.starts_with(FRAME_HEAD)) {
            self.counts.frames.fetch_add(1, Relaxed);
            self.counts.record_bytes.fetch_add(record.value.len() as u64, Relaxed);
            if let Some(inspector) = &mut self.inspector {
                inspector.get_mut().unwrap().look(&record.value, &self.counts);
            }
        }
        Ok(Receipt::durable())
    }
}

#[derive(Debug)]
struct NullReader;

impl Reader for NullReader {
    fn read(&mut self, wait: Duration) -> Result<Batch, BusError> {
        super::super::support::wait::pause(wait);
        Ok(Batch::default())
    }

    fn taken(&mut self, _offset: u64) {}
}

/// Looks into records: a session always comes over the same publisher, in its order.
#[derive(Debug, Default)]
struct Inspector {
    decoder: RecordDecoder,
    sessions: HashMap<SessionId, (FrameEncoder, u64)>,
}

impl Inspector {
    fn look(&mut self, value: &[u8], counts: &Counts) {
        let Ok(Record::Frame(record)) = self.decoder.decode(value) else { return };
        let Frame { session, elapsed_us, interval_ms, .. } = record.frame;
        counts.samples.fetch_add(record.frame.samples.len() as u64, Relaxed);
        let fresh = || (FrameEncoder::new(session), 0);
        let (encoder, last_us) = self.sessions.entry(session).or_insert_with(fresh);
        let message = FromClient::Frame(Box::new(record.frame));
        let bytes =
            encode_from_client(&message, encoder).map_or(0, |message| message.compute_size());
        counts.payload_bytes.fetch_add(bytes, Relaxed);
        let interval_us = u64::from(interval_ms) * 1_000;
        let since_us = elapsed_us.saturating_sub(*last_us) + interval_us / 2;
        if let Some(ticks) = since_us.checked_div(interval_us) {
            // Before the first there was none to be skipped.
            let skipped = if *last_us == 0 { 0 } else { ticks.saturating_sub(1) };
            counts.skipped_ticks.fetch_add(skipped, Relaxed);
            *last_us = elapsed_us;
        }
    }
}
