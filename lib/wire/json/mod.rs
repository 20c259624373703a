//! Records on the bus: JSON that Kafka UI, kcat or a ten-line script can read.
//!
//! This is a public format, described in the README and versioned by the field `v`: nothing in it
//! changes its meaning without a new number. Unknown fields are ignored, unknown types and
//! versions come out as [`Record::Unknown`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metric::{Frame, HostName, Layout, SeqRange, SessionId, Value};
use crate::wire::message::{CatalogueEntry, Schedule};

mod decode;
mod encode;

pub use decode::{RecordDecoder, RecordError};
pub use encode::{encode_frame, encode_session, encode_stages};

/// A frame as the server publishes it.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameRecord {
    /// Whose.
    pub host: HostName,
    /// Name of the server that received it.
    pub server: Arc<str>,
    /// When, Unix ms.
    pub received_ms: u64,
    /// The frame said it was from more than five minutes ahead; its time is `received_ms`.
    pub clock_wrong: bool,
    /// Frames of its session that were sampled later may stand before it.
    pub overtaken: bool,
    /// The frame.
    pub frame: Frame,
}

/// What a server knows of a session: at Hello, every ten seconds, and at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// Whose.
    pub host: HostName,
    /// Run of the client.
    pub session: SessionId,
    /// Name of the server.
    pub server: Arc<str>,
    /// When this was written, Unix ms.
    pub time_ms: u64,
    /// First number this server may see of the session.
    pub first_seq: u64,
    /// Largest number that the client has said it sampled.
    pub sampled_through: u64,
    /// Published by this server and acknowledged.
    pub acked: Vec<SeqRange>,
    /// Declared gone, and why.
    pub dropped: Vec<(SeqRange, String)>,
    /// The kernel's boot id; empty when unknown.
    pub boot_id: String,
    /// What the client can take.
    pub catalogue: Vec<CatalogueEntry>,
    /// Words about the host.
    pub labels: BTreeMap<String, String>,
    /// What it was told.
    pub schedule: Schedule,
    /// Why the session or its stream ended; `None` while it runs.
    pub ended: Option<String>,
}

/// What only the server can know: latencies, and what went wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagesRecord {
    /// Name of the server.
    pub server: Arc<str>,
    /// When this was written, Unix ms.
    pub time_ms: u64,
    /// From received to durable since the record before: latency in us, and how many frames.
    pub durable: Vec<(u64, u32)>,
    /// Counters of what went wrong on this server, those that are not zero.
    pub counts: Vec<(String, u64)>,
}

/// Any record.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Samples.
    Frame(Box<FrameRecord>),
    /// A session's state.
    Session(Box<SessionRecord>),
    /// A server's latencies.
    Stages(StagesRecord),
    /// A later version, or a type this program does not know: to be skipped and counted.
    Unknown {
        /// Field `v`.
        version: u64,
        /// Field `type`.
        kind: String,
    },
}

#[cfg(test)]
mod tests;
