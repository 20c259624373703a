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
//! The files in here, in the order of the data:
//! - `tiers`: how long what is kept how finely
//! - `track`: how far a host is accounted for; `lane`: how far a partition was read
//! - `open`: frames that wait for their chunk to close
//! - `thin`, `merge`, `roll`: frames into points of a second, segments into one, points of a
//!   second into points of ten
//! - `segment`: a stretch of one session in memory, and as bytes; `column` has the codecs
//! - `closing`, `pending`: from open to closed, and on its way to the disk
//! - `writer`: the thread that commits; `upkeep`: what it does between commits
//! - `store`: the tables; the only place that knows redb
//! - `restore`: what was on disk, at the start; `logged`: the log of a bus that keeps nothing
//! - `query`: what is asked of the past, `reading`: what it reads; `forget`: hosts that are deleted
//! - `maintain`: verified, copied; `request`: other processes of the same user ask for a backup
//!
//! In: frames and accounts of the hosts, by way of their `track`. Out: answers. Not kept, and
//! counted in [`HistoryCounts`]: frames of a second that has one, frames older than anything is
//! kept, samples of too many series. Lost in a crash: nothing; after a power cut: nothing, as far
//! as the disk keeps what it says it has.

mod archive;
mod assemble;
mod closing;
mod column;
mod counts;
mod expiry;
mod fold;
mod forget;
mod index;
mod lane;
mod logged;
mod maintain;
mod merge;
mod names;
mod open;
mod pending;
mod put;
pub(in crate::analysis) mod query;
mod reading;
mod request;
mod restore;
mod roll;
mod segment;
mod store;
mod stretch;
mod table;
mod thin;
mod tiers;
mod track;
mod upkeep;
mod writer;

pub(in crate::analysis) use archive::Archive;
pub use counts::HistoryCounts;
pub(in crate::analysis) use lane::{Checkpoint, Lane};
pub use maintain::{BackupError, Report, TierReport, backup, check};
pub(in crate::analysis) use reading::Reading;
pub(in crate::analysis) use restore::Recalled;
pub use restore::{HistoryConfig, OpenError, OpenHistory, WRITE_AFTER, open};
pub use stretch::{Stretch, crowd};
pub use tiers::{Tier, Tiers};
pub(in crate::analysis) use track::{Seen, Track};
pub(in crate::analysis) use writer::Writer;

#[cfg(test)]
mod model_tests;
