//! What was seen stays seen: the past of every host on disk, in a few tenths of what it weighed.
//!
//! ```text
//! frames -> open (RAM, blocks)  --600 points or 5 minutes-->  closed: thinned, compressed
//!                                                                  |  one transaction: segments,
//!                                                                  v  accounts, offsets
//!                     query <- open + closed + committed  <-  store (redb)
//!                                                                  ^
//!                                    upkeep: merge, roll up, expire, keep under --history-max
//! ```
//!
//! Kafka is the log. What is committed for a host is everything that was read of it up to one
//! offset of its partition: its frames, its accounts, and that offset, in one transaction. After a
//! crash the partition is read again from the oldest offset that some host still needs; records
//! that a host has committed already are recognised by their offset alone. A bus that keeps
//! nothing (the embedded one) gets a log in the same store.
//!
//! The rooms in here, in the order of the data:
//! - [`tiers`]: how long what is kept how finely
//! - [`segment`]: a stretch of one session in memory, and as bytes ([`column`] has the codecs)
//! - [`thin`]: frames into points of a second, points into points of ten, segments into one
//! - `store`: the tables; the only place that knows redb
//! - `query`: what is asked of the past

pub(in crate::analysis) mod column;
pub(in crate::analysis) mod segment;
mod stretch;
pub(in crate::analysis) mod tiers;

pub use stretch::Stretch;
pub use tiers::{Tier, Tiers};
