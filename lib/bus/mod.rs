//! The bus between server and analysis: hand over, hear when it is durable, read from an offset.
//! Bytes only; what the bytes mean is [`wire`](crate::wire)'s business.
//!
//! - [`kafka`]: a real broker, through a client that is built around its crate's faults
//! - [`embedded`]: the same trait inside one process
//! - [`LateBus`]: stands in until the broker has been reached
//!
//! Both sides are synchronous: a [`Publisher`] and a [`Reader`] belong to one thread each.
//! Records with the same key go to the same partition ([`partition_of`]) and keep their order.

use std::fmt::Debug;
use std::time::Duration;

mod counts;
pub mod embedded;
mod error;
pub mod kafka;
mod late;
mod partition;
mod receipt;

pub use counts::BusCounts;
pub use error::BusError;
pub use late::LateBus;
pub use partition::partition_of;
pub use receipt::{Promise, Receipt, promise};

/// Largest record, key and value. Under the 512 KiB of a produce request with room for its framing.
pub const VALUE_BYTES_MAX: usize = 500 * 1024;

/// Largest request of records, framing included; the broker makes one batch of it, which must stay
/// under its `max.message.bytes` (1 MiB by default). A [`Publisher::begin`] of more is divided.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;

/// The topics, by role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Frames and sessions (`monitor_metrics`).
    Metrics,
    /// Stage histograms, snapshots, alerts (`monitor_events`).
    Events,
}

/// A record to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Host name; decides the partition.
    pub key: Vec<u8>,
    /// The bytes.
    pub value: Vec<u8>,
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place in the partition.
    pub offset: u64,
    /// Host name.
    pub key: Vec<u8>,
    /// The bytes.
    pub value: Vec<u8>,
}

/// Where a reader starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// At the oldest record that is still there.
    Earliest,
    /// At this offset; when it is gone, at the oldest one, and the gap is reported.
    Offset(u64),
    /// At the oldest record of this age or younger, by the broker's clock (Unix ms); granularity
    /// is a segment, so earlier records may come first.
    SinceMs(u64),
    /// At the earlier of the two.
    OffsetOrSinceMs {
        /// As [`Offset`](Self::Offset).
        offset: u64,
        /// As [`SinceMs`](Self::SinceMs).
        since_ms: u64,
    },
}

/// What one [`Reader::read`] brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// In order of offset; empty when nothing came within the wait.
    pub records: Vec<StoredRecord>,
    /// The offset that the next record to be written will get: how far behind a reader is.
    pub end_offset: u64,
    /// Offsets that should have come before these records and are gone (retention, a topic made
    /// anew): first and last, inclusive. When the topic was made anew nobody can know how many are
    /// gone, and the wanted offset alone is named. May come without records.
    pub gap: Option<(u64, u64)>,
}

/// A connection for publishing; one thread owns it.
pub trait Publisher: Debug + Send {
    /// Hands `records` over to `partition` of `topic`, in order; the receipt tells when all of them
    /// are durable. Receipts of one partition are settled in the order in which they were given.
    ///
    /// Kafka answers once they are durable. The embedded bus answers as soon as it has room, from
    /// when on readers have them; durable they are when every reader has
    /// [`taken`](Reader::taken) them.
    ///
    /// # Errors
    /// Nothing is known about the records: they may have been stored or not, and are to be
    /// handed over again (readers drop the doubles). [`BusError::Refused`] alone says that a record
    /// will never be taken: of several records at least one, and all others are durable; handed
    /// over one by one, each gets its own answer.
    fn begin(
        &mut self,
        topic: Topic,
        partition: u32,
        records: &[Record],
    ) -> Result<Receipt, BusError>;

    /// Blocks until all of `records` are durable.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn publish(
        &mut self,
        topic: Topic,
        partition: u32,
        records: &[Record],
    ) -> Result<(), BusError> {
        self.begin(topic, partition, records)?.wait()
    }

    /// Somebody waits for what was handed over to this partition and cannot wait long: a client
    /// that leaves, a server that stops. Readers hear it as [`Reader::is_awaited`]; they also hear
    /// of a publisher that waits for room.
    fn hurry(&mut self, _topic: Topic, _partition: u32) {}
}

/// A position in one partition; one thread owns it.
pub trait Reader: Debug + Send {
    /// Waits at most `wait` for records that follow the last ones read.
    ///
    /// # Errors
    /// The bus cannot be reached now; calling again tries again, from the same position.
    fn read(&mut self, wait: Duration) -> Result<Batch, BusError>;

    /// Everything at or below `offset` has been taken over and will not be lost any more. The
    /// embedded bus settles the receipts that wait for it; Kafka, which made it durable itself,
    /// does nothing.
    fn taken(&mut self, offset: u64);

    /// Whether somebody waits for records to be [`taken`](Self::taken) that this reader has not
    /// taken yet, and cannot wait long. Whoever gathers before it takes shall take soon then: at
    /// once, if it has not done so a moment ago.
    fn is_awaited(&self) -> bool {
        false
    }
}

/// A bus. Cheap to share; hands out publishers and readers.
pub trait Bus: Debug + Send + Sync {
    /// In how many partitions a topic is divided. Fixed for the life of the process.
    fn partitions(&self, topic: Topic) -> u32;

    /// A new publisher.
    fn publisher(&self) -> Box<dyn Publisher>;

    /// A new reader of one partition.
    fn reader(&self, topic: Topic, partition: u32, from: Position) -> Box<dyn Reader>;
}
