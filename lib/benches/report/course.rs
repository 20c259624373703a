//! Hosts whose values go on like recorded ones for as long as is wanted.
//!
//! The recorded hour is cut into stretches of one to ten minutes, and these follow each other in
//! an order drawn by lot, another one for each host: counters grow as they did in that second,
//! amounts are what they were, and times keep the tremble they had. So what is next to each other
//! was so in truth, all series together, and nothing that is longer repeats.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use realtime_monitor::bus::{Record, StoredRecord};
use realtime_monitor::metric::{Frame, HostName, Layout, Samples, SeriesKey, SessionId, Value};
use realtime_monitor::wire::json::{self, FrameRecord, RecordDecoder, encode_frame};

const RECORDING: &str = "lib/benches/recorded.jsonl.gz";

/// Series of a host here. The recording has more: those of an interface that never carried
/// anything are left out first, as constant series take next to no room.
pub const SERIES: usize = 60;

/// Seconds of a stretch.
const STRETCH_S: (u64, u64) = (60, 600);

/// Hosts sample at places spread over so much of a second; the tremble has the rest.
const PHASES_MS: u64 = 900;

/// Fractions are kept as thousandths: the recorded ones have three digits at most.
const THOUSAND: f64 = 1_000.0;

/// What was recorded, as all hosts share it.
#[derive(Debug)]
pub struct Recorded {
    layout: Layout,
    series: Vec<Series>,
    /// By how much each frame came later in its second than the earliest did.
    tremble_ms: Vec<u64>,
    tremble_us: Vec<u64>,
}

#[derive(Debug)]
struct Series {
    is_fraction: bool,
    /// It adds up, so that not its values go on but its growth.
    adds_up: bool,
    values: Vec<i64>,
}

/// One host.
#[derive(Debug)]
pub struct Course {
    recorded: Arc<Recorded>,
    pub host: HostName,
    session: SessionId,
    start_ms: u64,
    phase_ms: u64,
    /// Seconds that have passed.
    second: u64,
    dice: u64,
    /// The next recorded second, and how many of its stretch are left.
    at: usize,
    left: u64,
    sums: Vec<i64>,
}

impl Recorded {
    pub fn read() -> Result<Arc<Self>, String> {
        let mut frames = recording()?;
        let layout = frames.last().map(|frame| frame.samples.layout.clone());
        let layout = layout.filter(|layout| layout.len() >= SERIES).ok_or("too few series")?;
        frames.retain(|frame| frame.samples.layout == layout);
        let kept = kept(&layout);
        let column = |at: &usize| {
            let values: Vec<Value> = frames.iter().map(|frame| frame.samples.values[*at]).collect();
            Series {
                is_fraction: values.iter().any(|value| matches!(value, Value::Float(_))),
                adds_up: adds_up(layout[*at].name()),
                values: values.into_iter().map(thousandths_or_whole).collect(),
            }
        };
        let earliest = |field: fn(&Frame) -> u64| {
            let all: Vec<u64> = frames.iter().map(field).collect();
            let first = all.iter().min().copied().unwrap_or(0);
            all.into_iter().map(|at| at - first).collect()
        };
        Ok(Arc::new(Self {
            layout: kept.iter().map(|at| layout[*at].clone()).collect(),
            series: kept.iter().map(column).collect(),
            tremble_ms: earliest(|frame| frame.time_ms % 1_000),
            tremble_us: earliest(|frame| frame.elapsed_us % 1_000_000),
        }))
    }

    fn seconds(&self) -> usize {
        self.tremble_ms.len()
    }
}

/// The series to go on with: the last that never change go until [`SERIES`] are left.
fn kept(layout: &[SeriesKey]) -> Vec<usize> {
    let of_idle = |at: &usize| layout[*at].as_str().contains("\"ifb");
    let mut idle: Vec<usize> = (0..layout.len()).filter(of_idle).collect();
    let mut kept: Vec<usize> = (0..layout.len()).collect();
    while kept.len() > SERIES {
        let Some(gone) = idle.pop().or(kept.last().copied()) else { break };
        kept.retain(|at| *at != gone);
    }
    kept
}

fn adds_up(name: &str) -> bool {
    name.ends_with("_total") || name == "uptime_seconds"
}

fn thousandths_or_whole(value: Value) -> i64 {
    match value {
        Value::Unsigned(value) => i64::try_from(value).unwrap_or(i64::MAX),
        Value::Float(value) => (value * THOUSAND).round() as i64,
    }
}

impl Course {
    /// Host `number` of `hosts`, whose first frame is at `start_ms`.
    pub fn new(recorded: &Arc<Recorded>, (number, hosts): (u64, u64), start_ms: u64) -> Self {
        Self {
            host: format!("bench-{number:04}").into(),
            session: SessionId(u128::from(number) + 1),
            start_ms: start_ms / 1_000 * 1_000,
            phase_ms: number * PHASES_MS / hosts.max(1),
            second: 0,
            dice: number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            at: 0,
            left: 0,
            sums: recorded.series.iter().map(|series| series.values[0]).collect(),
            recorded: Arc::clone(recorded),
        }
    }

    /// The next second's frame.
    pub fn next(&mut self) -> Frame {
        if self.left == 0 {
            self.draw();
        }
        let recorded = Arc::clone(&self.recorded);
        let values = recorded.series.iter().zip(&mut self.sums);
        let values = values.map(|(series, sum)| {
            let now = series.values[self.at];
            *sum = if series.adds_up { *sum + now - series.values[self.at - 1] } else { now };
            series.value(*sum)
        });
        let samples = Samples { layout: recorded.layout.clone(), values: values.collect() };
        let since_ms = self.second * 1_000 + self.phase_ms;
        let time_ms = self.start_ms + since_ms + recorded.tremble_ms[self.at];
        let frame = Frame {
            session: self.session,
            seq: self.second + 1,
            elapsed_us: since_ms * 1_000 + recorded.tremble_us[self.at],
            time_ms,
            uncertainty_ms: 1,
            host_time_ms: time_ms,
            interval_ms: 1_000,
            sent_ms: time_ms + 1,
            samples,
        };
        self.second += 1;
        self.at += 1;
        self.left -= 1;
        frame
    }

    /// The next second's record, without its offset.
    pub fn next_record(&mut self) -> Record {
        let frame = self.next();
        let received_ms = frame.sent_ms + 1;
        let (host, server) = (self.host.clone(), "bench".into());
        let (clock_wrong, overtaken) = (false, false);
        let record = FrameRecord { host, server, received_ms, clock_wrong, overtaken, frame };
        let mut value = Vec::with_capacity(4_096);
        encode_frame(&record, &mut value);
        Record { key: self.host.as_bytes().to_vec(), value }
    }

    fn draw(&mut self) {
        let seconds = self.recorded.seconds() as u64;
        self.left = STRETCH_S.0 + self.throw() % (STRETCH_S.1 - STRETCH_S.0 + 1);
        // The growth in a second needs the one before.
        self.at = (1 + self.throw() % (seconds - self.left)) as usize;
    }

    fn throw(&mut self) -> u64 {
        // xorshift64; the upper bits are the better ones.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice >> 16
    }
}

impl Series {
    fn value(&self, count: i64) -> Value {
        if self.is_fraction {
            Value::Float(count as f64 / THOUSAND)
        } else {
            Value::Unsigned(count.unsigned_abs())
        }
    }
}

/// A record at its place.
pub fn stored(record: Record, offset: u64) -> StoredRecord {
    StoredRecord { offset, key: record.key, value: record.value }
}

/// The frames of the recording's longest session, the first of every second.
pub fn recording() -> Result<Vec<Frame>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING);
    let file = File::open(&path).map_err(|error| format!("{RECORDING}: {error}"))?;
    let mut decoder = RecordDecoder::new();
    let mut frames: Vec<Frame> = Vec::new();
    for line in BufReader::new(MultiGzDecoder::new(file)).split(b'\n') {
        let line = line.map_err(|error| format!("{RECORDING}: {error}"))?;
        if let Ok(json::Record::Frame(record)) = decoder.decode(&line) {
            frames.push(record.frame);
        }
    }
    frames.sort_by_key(|frame| (frame.session, frame.elapsed_us));
    frames.dedup_by_key(|frame| (frame.session, frame.time_ms / 1_000));
    let sessions = frames.chunk_by(|one, next| one.session == next.session);
    let longest = sessions.max_by_key(|frames| frames.len());
    longest.map(<[Frame]>::to_vec).ok_or_else(|| format!("{RECORDING}: there is no frame in it"))
}
