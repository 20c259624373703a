//! The messages of a `CommandStream` as the rooms see them; the rules are in `proto/monitor.proto`.

use std::collections::BTreeMap;

use crate::metric::{Declaration, Frame, HostName, MetricDef, SeqRange, SessionId};

/// How a reason begins when a client ends and leaves what no ack covers in its spool, for a later
/// run to bring: in its Bye, and in the records of the session.
pub const LEFT_IN_SPOOL: &str = "its client ended";

/// How such words begin when the client may have sampled more than its spool holds: how much more,
/// nobody can tell.
pub const LEFT_IN_PART: &str = "its client ended while its disk failed";

/// From a client to the server (`CommandResponse`).
#[derive(Debug, Clone, PartialEq)]
pub enum FromClient {
    /// Always first, once.
    Hello(Box<Hello>),
    /// Samples.
    Frame(Box<Frame>),
    /// Frames that are gone.
    Dropped(Declaration),
    /// Answer to a ping.
    Status(Status),
    /// The client ends on purpose.
    Bye {
        /// Last frame sampled, 0 for none.
        last_seq: u64,
        /// Why it ends.
        reason: String,
    },
    /// A message of a later version; ignored and counted.
    Unknown,
}

/// From the server to a client (`CommandRequest`).
#[derive(Debug, Clone, PartialEq)]
pub enum ToClient {
    /// Answer to Hello.
    Welcome(Box<Welcome>),
    /// What is durable.
    Ack(Ack),
    /// The whole standing order.
    Schedule(Schedule),
    /// Sample these once, now: patterns of collector or metric names.
    Collect(Vec<String>),
    /// Asks for a [`Status`].
    Ping {
        /// Comes back in the answer.
        nonce: u64,
        /// The server's clock, Unix us.
        server_time_us: u64,
    },
    /// Go to another server.
    Drain {
        /// Leave within this time.
        after_ms: u32,
        /// For the client's log.
        reason: String,
    },
    /// A message of a later version; ignored and counted.
    Unknown,
}

/// Who speaks, and what it can do.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// Version of the protocol, [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u32,
    /// Name of the host, not yet checked.
    pub host: HostName,
    /// Tells two machines apart; 0 when unknown.
    pub machine_id_hash: u64,
    /// This run of the client.
    pub session: SessionId,
    /// The kernel's boot id; empty when unknown.
    pub boot_id: String,
    /// Free words about the host.
    pub labels: BTreeMap<String, String>,
    /// Enabled collectors and their metrics.
    pub catalogue: Vec<CatalogueEntry>,
    /// Shortest interval it accepts.
    pub interval_min_ms: u32,
    /// Unacknowledged frames it keeps in flight.
    pub window_frames: u64,
    /// Sessions whose frames still wait.
    pub earlier_sessions: Vec<EarlierSession>,
    /// Version of the program.
    pub version: String,
    /// Oldest frame of this session still to be sent, or the next number.
    pub first_seq: u64,
}

/// A run of the client whose frames still wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierSession {
    /// The run.
    pub session: SessionId,
    /// First and last number that may come.
    pub range: SeqRange,
    /// It may have sampled more than is on disk: its disk failed when it ended.
    pub tail_unknown: bool,
}

/// A collector and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// Name of the collector.
    pub collector: String,
    /// Its metrics.
    pub metrics: Vec<CatalogueMetric>,
}

/// A [`MetricDef`] as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueMetric {
    /// Metric name.
    pub name: String,
    /// `counter` or `gauge`.
    pub kind: String,
    /// `bytes`, `seconds`, `count` or empty.
    pub unit: String,
    /// One sentence.
    pub help: String,
}

/// A client's account of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// From the ping.
    pub nonce: u64,
    /// Frames waiting for an acknowledgement.
    pub buffered_frames: u64,
    /// Their size in memory.
    pub buffered_bytes: u64,
    /// Frames dropped since the start.
    pub dropped_frames: u64,
    /// CPU time since the start.
    pub cpu_us: u64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Last frame sampled, 0 for none.
    pub sampled_through: u64,
}

/// The server's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    /// Version of the protocol the server speaks on this stream.
    pub protocol: u32,
    /// Name of the server.
    pub server: String,
    /// The server's clock, Unix us.
    pub server_time_us: u64,
    /// The standing order.
    pub schedule: Schedule,
    /// Version of the program.
    pub version: String,
}

/// What is durable, of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// `None`: the session of Hello.
    pub session: Option<SessionId>,
    /// Every frame at or below it.
    pub through: u64,
    /// And these, at most [`ACK_RANGES_MAX`](super::ACK_RANGES_MAX).
    pub ranges: Vec<SeqRange>,
    /// The server's clock when this was sent, Unix us.
    pub server_time_us: u64,
    /// The newest frame this covers, and when the server received it (Unix us): with the client's
    /// own times of sending and receiving these are the four times of a clock estimate (RFC 5905
    /// section 8). 0 when there is none.
    pub echo_seq: u64,
    /// See `echo_seq`.
    pub echo_received_us: u64,
}

/// The whole standing order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// Grows with every change.
    pub revision: u64,
    /// At most [`SCHEDULE_ENTRIES_MAX`](super::SCHEDULE_ENTRIES_MAX).
    pub entries: Vec<ScheduleEntry>,
}

/// One line of a standing order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// Collector or metric name; `*` matches any run of characters.
    pub pattern: String,
    /// 0 is off.
    pub interval_ms: u32,
    /// 0: until the next schedule.
    pub lease_ms: u32,
}

impl From<&MetricDef> for CatalogueMetric {
    fn from(def: &MetricDef) -> Self {
        Self {
            name: def.name.to_owned(),
            kind: def.kind.word().to_owned(),
            unit: def.unit.word().to_owned(),
            help: def.help.to_owned(),
        }
    }
}
