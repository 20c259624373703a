//! What can be asked of analysis, and the shapes of the answers. Nothing here is serializable;
//! `http/view.rs` turns it into JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::counter::Count;
use crate::metric::{HostName, SeqRange, SeriesKey, SessionId};
use crate::wire::message::{CatalogueEntry, ScheduleEntry};

/// Names of the values that every host has on the fleet page, in the order of
/// [`HostSummary::values`].
pub const SUMMARY_COLUMNS: [&str; 11] = [
    "cpu_usage_percent",
    "memory_used_percent",
    "memory_used_bytes",
    "memory_total_bytes",
    "disk_read_bytes_per_second",
    "disk_write_bytes_per_second",
    "network_receive_bytes_per_second",
    "network_transmit_bytes_per_second",
    "process_count",
    "load1",
    "uptime_seconds",
];

/// One value per summary column; `None` when the metric is missing.
pub type SummaryValues = [Option<f64>; SUMMARY_COLUMNS.len()];

/// Whether a host can be believed to be as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// Frames arrive.
    Live,
    /// No frame for three intervals, at least two seconds, by arrival.
    Stale,
    /// The session said goodbye, or its stream ended.
    Ended,
}

/// A host in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSummary {
    /// Its name.
    pub host: HostName,
    /// Can its values be believed?
    pub state: HostState,
    /// Why it ended, or what is odd about it.
    pub reason: Option<String>,
    /// Newest session.
    pub session: SessionId,
    /// Shortest interval of the newest frame.
    pub interval_ms: u32,
    /// Time of the newest frame, Unix ms.
    pub time_ms: Option<u64>,
    /// Time since the newest frame arrived here, monotonic.
    pub age_ms: u64,
    /// Words about the host.
    pub labels: BTreeMap<String, String>,
    /// Newest derived values; a value stays until its metric is sampled again.
    pub values: SummaryValues,
}

/// A host with everything but its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct HostDetail {
    /// The line.
    pub summary: HostSummary,
    /// What it can take.
    pub catalogue: Vec<CatalogueEntry>,
    /// What it was told.
    pub schedule: Vec<ScheduleEntry>,
    /// The kernel's boot id; empty when unknown.
    pub boot_id: String,
    /// Accounts, newest session first.
    pub sessions: Vec<SessionLedger>,
}

/// Derived series of a host over the live window, one row per frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    /// Time of each frame, Unix ms, ascending inside a session.
    pub time_ms: Vec<u64>,
    /// Interval of each frame.
    pub interval_ms: Vec<u32>,
    /// Times at which a session begins: no line is drawn across them.
    pub session_starts_ms: Vec<u64>,
    /// Each series with as many values as there are frames; `None` where it was not sampled, or
    /// where there is no rate yet.
    pub series: Vec<(SeriesKey, Vec<Option<f64>>)>,
}

/// Samples of one host for `/api/metrics`, newest last.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Newest {
    /// Frames: time and summary values of that frame alone (not carried over).
    pub rows: Vec<(u64, SummaryValues)>,
}

/// The account of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Numbered by the client.
    pub sampled: u64,
    /// Acknowledged to the client.
    pub acknowledged: u64,
    /// Accounted for here.
    pub stored: u64,
    /// Of those, not kept one by one.
    pub thinned: u64,
    /// On their way.
    pub waiting: u64,
    /// Sampled, not stored, not waiting.
    pub missing: u64,
    /// Arrived again and removed.
    pub doubled: u64,
    /// Given up by the client, with its word.
    pub dropped: u64,
    /// Sessions that ended without a goodbye: nobody can tell what they sampled at the end.
    pub tails_unknown: u64,
}

/// The account of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLedger {
    /// Run of the client.
    pub session: SessionId,
    /// The numbers.
    pub account: Ledger,
    /// Which are missing, and why; at most `MISSING_RANGES_SHOWN_MAX`.
    pub missing_ranges: Vec<(SeqRange, String)>,
    /// Why it ended; `None` while it runs.
    pub ended: Option<String>,
}

/// The fleet's account and that of every session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerReport {
    /// Everything.
    pub fleet: Ledger,
    /// Per host, newest session first.
    pub hosts: BTreeMap<HostName, Vec<SessionLedger>>,
}

/// Latency of one stage over the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StageLatency {
    /// Half of the frames took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// How many frames.
    pub count: u64,
}

/// Latency by stage over the last minute ([`STAGES_WINDOW_S`]).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stages {
    /// Sampled until handed to the stream.
    pub sent: StageLatency,
    /// Sent until the server had it.
    pub received: StageLatency,
    /// Received until the bus said durable; beside the path to the screen, not on it.
    pub durable: StageLatency,
    /// Received until read from the bus.
    pub consumed: StageLatency,
    /// Consumed until written to the browsers.
    pub pushed: StageLatency,
    /// All of it.
    pub sampled_to_pushed: StageLatency,
}

/// How far back the stages look.
pub const STAGES_WINDOW_S: u64 = 60;

/// How the consumer stands with the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusState {
    /// Reading, and at the end.
    Ok,
    /// Reading what was written before the start.
    CatchingUp {
        /// Age of the newest record read.
        behind_s: u64,
    },
    /// Not reachable.
    Down {
        /// In words.
        detail: String,
    },
}

/// A frame that has just been taken over, for live streams.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveUpdate {
    /// Whose.
    pub host: HostName,
    /// Run of the client.
    pub session: SessionId,
    /// Its number.
    pub seq: u64,
    /// Its interval.
    pub interval_ms: u32,
    /// Sampled, Unix ms of the server's clock.
    pub time_ms: u64,
    /// Handed to the stream.
    pub sent_ms: u64,
    /// Received by the server.
    pub received_ms: u64,
    /// Read from the bus.
    pub consumed_ms: u64,
    /// Summary values of this frame alone.
    pub summary: SummaryValues,
    /// All derived values of this frame: plain and labelled.
    pub values: Vec<(SeriesKey, f64)>,
}

/// What is asked of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct QuerySpec {
    /// Whose; empty for every host.
    pub hosts: Vec<HostName>,
    /// Names of values: as sampled (`disk_read_bytes_total`) or derived
    /// (`disk_read_bytes_per_second`, `cpu_usage_percent`); one that ends in `*` stands for all
    /// that begin so.
    pub metrics: Vec<String>,
    /// Labels that a series must have, name and value.
    pub labels: Vec<(String, String)>,
    /// First instant, Unix ms.
    pub from_ms: u64,
    /// End, Unix ms, exclusive.
    pub to_ms: u64,
    /// Most points of a series.
    pub points: usize,
    /// How counters are given.
    pub form: QueryForm,
    /// Many hosts as one series, or the first of many.
    pub aggregate: Option<Aggregate>,
}

/// How the series of a counter is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryForm {
    /// Per second: `x_total` is answered as `x_per_second` is.
    #[default]
    Rate,
    /// As read.
    Raw,
}

/// What is made of the same series of several hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    /// Their sum at each point.
    Sum,
    /// Their mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// A quantile, 0 to 1.
    Quantile(f64),
    /// No sum: the series of so many hosts whose mean over the whole range is largest.
    Top(usize),
}

/// A series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct QuerySeries {
    /// Whose; `None` for an aggregate over hosts.
    pub host: Option<HostName>,
    /// Name and labels.
    pub key: SeriesKey,
    /// Time from one point to the next where nothing is missing: never finer than it was sampled
    /// or is still kept.
    pub interval_ms: u64,
    /// Hosts that an aggregate was made of; 1 otherwise.
    pub hosts: usize,
    /// Ascending; a gap is a point that is not there.
    pub points: Vec<QueryPoint>,
}

/// A point of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryPoint {
    /// Its beginning, Unix ms, a multiple of the interval.
    pub time_ms: u64,
    /// Smallest value inside it, as finely as is still known.
    pub min: f64,
    /// Mean over it.
    pub mean: f64,
    /// Largest value inside it.
    pub max: f64,
}

/// What is true of one host in the range of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct HostAnswer {
    /// Whose; `None` for aggregates.
    pub host: Option<HostName>,
    /// Times at which a session of its client begins: rates do not cross them.
    pub session_starts_ms: Vec<u64>,
    /// What was asked for, by name.
    pub series: Vec<QuerySeries>,
}

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryError {
    /// Nothing is known of this host.
    UnknownHost(HostName),
    /// It would take more than a query may: in words what, how much, and what to ask instead.
    TooMuch {
        /// What would be too much.
        what: String,
        /// What would do.
        expected: String,
    },
    /// The store cannot be read now; in words.
    Store(String),
}

/// An answer, host by host, so that none of it has to wait for all of it. After an error nothing
/// more comes.
pub type QueryAnswer = Box<dyn Iterator<Item = Result<HostAnswer, QueryError>> + Send>;

/// How the store of the past is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HistoryState {
    /// There is none: the program was started without a directory for it.
    #[default]
    Off,
    /// What was seen is written down.
    Ok,
    /// Live goes on, and what it shows is not written down yet; in words why (disk full, ...).
    Behind {
        /// In words.
        detail: String,
        /// Age of the oldest frame that waits.
        behind_s: u64,
    },
}

/// The store of the past, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryStatus {
    /// Is it well?
    pub state: HistoryState,
    /// Resolution, time to be kept, and time kept: less where the disk space does not suffice; ms.
    pub tiers: Vec<(u64, u64, u64)>,
    /// Bytes in use on disk.
    pub bytes: u64,
    /// Bytes it may use; 0 for no limit.
    pub bytes_max: u64,
}

/// The read side of analysis: cheap to clone, safe to call from any thread, never blocks for long.
pub trait View: std::fmt::Debug + Send + Sync {
    /// Every host, by name.
    fn hosts(&self) -> Vec<HostSummary>;
    /// One host.
    fn host(&self, host: &str) -> Option<HostDetail>;
    /// The live window of one host, derived.
    fn window(&self, host: &str) -> Option<Window>;
    /// The newest `count` frames of one host, or of every host, derived.
    fn newest(&self, host: Option<&str>, count: usize) -> BTreeMap<HostName, Newest>;
    /// The newest `count` values of CPU usage of every host, with their times: sparklines.
    fn sparks(&self, count: usize) -> BTreeMap<HostName, Vec<(u64, f64)>>;
    /// Latency by stage.
    fn stages(&self) -> Stages;
    /// The account.
    fn ledger(&self) -> LedgerReport;
    /// The fleet's account alone.
    fn fleet_ledger(&self) -> Ledger;
    /// The consumer's state.
    fn bus_state(&self) -> BusState;
    /// Counters of this process, every room.
    fn counts(&self) -> Vec<Count>;
    /// The past, and the present as far as it goes: begins to answer at once.
    ///
    /// # Errors
    /// What is wrong with the question; what goes wrong later comes with the answer.
    fn query(&self, query: &QuerySpec) -> Result<QueryAnswer, QueryError>;
    /// How the store of the past is.
    fn history(&self) -> HistoryStatus;
    /// Forgets a host and its past; frames that come later are a new host's. False: no such host.
    ///
    /// # Errors
    /// In words; nothing was forgotten then.
    fn delete_host(&self, host: &str) -> Result<bool, QueryError>;
    /// Frames from now on, to the one who asked last; the oldest that do not fit go, and count.
    fn subscribe(&self) -> crossbeam_channel::Receiver<Arc<LiveUpdate>>;
    /// Whether the subscriber wants any: nothing is made for a page that nobody looks at.
    fn watch(&self, is_watched: bool);
    /// The fan-out thread tells when it has written an update to the browsers.
    fn pushed(&self, update: &LiveUpdate, pushed_ms: u64);
}
