//! The only place where values become bytes and back; versions and size limits.
//!
//! - [`message`]: the messages of a stream as the rooms see them
//! - [`stream`]: those messages to and from protobuf
//! - [`frame`]: frames to and from the delta form, whose ids and bases belong to one stream
//! - [`stored`]: the same as bytes for files
//! - [`json`]: records on the bus, a public format
//! - [`prometheus`]: text for `monitor-client --once`

pub mod frame;
pub mod json;
pub mod message;
pub mod prometheus;
pub mod stored;
pub mod stream;

/// The code that `build.rs` generates from `proto/monitor.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated; the words are in the .proto file"
)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/proto/mod.rs"));
    pub use self::monitor::*;
}

/// Version of the protocol that this program speaks.
pub const PROTOCOL: u32 = 1;

/// Version of the records on the bus.
pub const RECORD_VERSION: u64 = 1;

/// Largest message either side accepts: a full frame of 2,000 samples whose series are all new
/// (2,000 x ~60 bytes of key) plus its values (2,000 x 10 bytes), with room to spare.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Largest frame a client sends; a larger reading is split before it is numbered.
pub const FRAME_BYTES_MAX: usize = 128 * 1024;

/// Most series that one stream may announce: ten times what a 64-CPU host with everything has.
pub const SERIES_PER_STREAM_MAX: usize = 20_000;

/// Most layouts that one stream may announce: one for each mix of metrics that falls due together.
pub const LAYOUTS_PER_STREAM_MAX: usize = 1_024;

/// Longest series text.
pub const SERIES_LEN_MAX: usize = 1_024;

/// Most ranges in one ack.
pub const ACK_RANGES_MAX: usize = 32;

/// Most entries in one schedule.
pub const SCHEDULE_ENTRIES_MAX: usize = 256;

/// Most earlier sessions, catalogue entries and labels in one Hello.
pub const HELLO_ITEMS_MAX: usize = 256;

/// Longest free text (reason, label, version) in any message.
pub const TEXT_LEN_MAX: usize = 1_024;
