//! For this room's tests: records as servers write them, and a bus that does what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bus::{Batch, Bus, BusError, Position, Publisher, Reader, StoredRecord, Topic};
use crate::metric::{Frame, SeqRange, SeriesKey, SessionId, Value};
use crate::wire::json::{FrameRecord, SessionRecord, encode_frame, encode_session};
use crate::wire::message::{Schedule, ScheduleEntry};

/// Where the tests' time begins, Unix ms.
pub(super) const BASE_MS: u64 = 1_700_000_000_000;

/// Beyond this a test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A frame of a host at 1 Hz, sent and received at once: a counter, a gauge, CPU and memory.
pub(super) fn frame(host: &str, session: u128, seq: u64) -> FrameRecord {
    let time_ms = BASE_MS + seq * 1_000;
    let seconds = seq as f64;
    let samples = [
        ("cpu_seconds_total{mode=\"idle\"}", Value::Float(seconds * 1.5)),
        ("cpu_seconds_total{mode=\"user\"}", Value::Float(seconds * 0.5)),
        ("memory_available_bytes", Value::Unsigned(1_000 - seq % 100)),
        ("memory_total_bytes", Value::Unsigned(2_000)),
        ("network_receive_bytes_total{interface=\"eth0\"}", Value::Unsigned(seq * 100)),
        ("processes", Value::Unsigned(seq)),
    ];
    FrameRecord {
        host: host.into(),
        server: "server-1".into(),
        received_ms: time_ms + 5,
        clock_wrong: false,
        overtaken: false,
        frame: Frame {
            session: SessionId(session),
            seq,
            elapsed_us: seq * 1_000_000,
            time_ms,
            uncertainty_ms: 1,
            host_time_ms: time_ms,
            interval_ms: 1_000,
            sent_ms: time_ms + 2,
            samples: samples
                .into_iter()
                .map(|(key, value)| (SeriesKey::parse(key).unwrap(), value))
                .collect(),
        },
    }
}

/// A session record that acknowledges everything up to `through`.
pub(super) fn session(host: &str, session: u128, through: u64) -> SessionRecord {
    let acked: Vec<SeqRange> = if through > 0 { vec![(1, through)] } else { Vec::new() };
    SessionRecord {
        host: host.into(),
        session: SessionId(session),
        server: "server-1".into(),
        time_ms: BASE_MS + through * 1_000 + 10,
        first_seq: 1,
        sampled_through: through,
        acked,
        dropped: Vec::new(),
        boot_id: "boot".into(),
        catalogue: Vec::new(),
        labels: BTreeMap::from([("rack".to_owned(), "7".to_owned())]),
        schedule: Schedule {
            revision: 1,
            entries: vec![ScheduleEntry { pattern: "*".into(), interval_ms: 1_000, lease_ms: 0 }],
        },
        ended: None,
    }
}

/// The frame as bytes on the bus; its offset is set when it is written.
pub(super) fn frame_bytes(record: &FrameRecord) -> StoredRecord {
    let mut value = Vec::new();
    assert_eq!(encode_frame(record, &mut value), 0);
    StoredRecord { offset: 0, key: record.host.as_bytes().to_vec(), value }
}

/// The session record as bytes on the bus.
pub(super) fn session_bytes(record: &SessionRecord) -> StoredRecord {
    let mut value = Vec::new();
    encode_session(record, &mut value);
    StoredRecord { offset: 0, key: record.host.as_bytes().to_vec(), value }
}

/// A bus of one partition that is written to by the test.
#[derive(Debug, Default)]
pub(super) struct ScriptedBus {
    state: Mutex<Script>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Script {
    records: Vec<StoredRecord>,
    /// Offset of the first record that is still there.
    first: u64,
    taken: Option<u64>,
    down: Option<String>,
    asked: Vec<Position>,
}

impl ScriptedBus {
    /// Appends a record.
    pub(super) fn write(&self, mut record: StoredRecord) {
        let mut state = self.lock();
        record.offset = state.first + state.records.len() as u64;
        state.records.push(record);
        self.changed.notify_all();
    }

    /// Reads fail from now on, with these words, or no longer.
    pub(super) fn set_down(&self, words: Option<&str>) {
        self.lock().down = words.map(str::to_owned);
        self.changed.notify_all();
    }

    /// Loses its oldest records.
    pub(super) fn lose(&self, count: usize) {
        let mut state = self.lock();
        state.records.drain(..count);
        state.first += count as u64;
    }

    /// Waits until everything that was written has been taken over.
    pub(super) fn wait_taken(&self) {
        let state = self.lock();
        let all = |state: &mut Script| {
            let end = state.first + state.records.len() as u64;
            state.taken.map_or(0, |taken| taken + 1) < end
        };
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, PATIENCE, all)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the records were not taken over");
    }

    /// From where readers of the metrics asked to begin.
    pub(super) fn asked(&self) -> Vec<Position> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a bus hands out: the script again.
#[derive(Debug)]
pub(super) struct Handed(pub(super) Arc<ScriptedBus>);

#[derive(Debug)]
struct ScriptedReader {
    bus: Arc<ScriptedBus>,
    topic: Topic,
    next: u64,
}

impl Bus for Handed {
    fn partitions(&self, _topic: Topic) -> u32 {
        1
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        unreachable!("analysis only reads")
    }

    fn reader(&self, topic: Topic, _partition: u32, from: Position) -> Box<dyn Reader> {
        if topic == Topic::Metrics {
            self.0.lock().asked.push(from);
        }
        Box::new(ScriptedReader { bus: self.0.clone(), topic, next: 0 })
    }
}

impl Reader for ScriptedReader {
    fn read(&mut self, wait: Duration) -> Result<Batch, BusError> {
        let (topic, next) = (self.topic, self.next);
        let nothing = |state: &mut Script| {
            let end = state.first + state.records.len() as u64;
            topic == Topic::Events || state.down.is_none() && end <= next
        };
        let (state, _) = self
            .bus
            .changed
            .wait_timeout_while(self.bus.lock(), wait, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        if topic == Topic::Events {
            return Ok(Batch::default());
        }
        if let Some(words) = &state.down {
            return Err(BusError::Unavailable { what: words.clone() });
        }
        let end_offset = state.first + state.records.len() as u64;
        let gap = (self.next < state.first).then(|| (self.next, state.first - 1));
        let skip = self.next.saturating_sub(state.first) as usize;
        let records = state.records[skip.min(state.records.len())..].to_vec();
        self.next = end_offset;
        Ok(Batch { records, end_offset, gap })
    }

    fn taken(&mut self, offset: u64) {
        if self.topic == Topic::Metrics {
            self.bus.lock().taken = Some(offset);
            self.bus.changed.notify_all();
        }
    }
}
