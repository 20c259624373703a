//! What the engine reads: the store and RAM, behind one trait.

use super::wanted::Wanted;
use crate::analysis::history::Tier;
use crate::analysis::history::segment::Segment;
use crate::analysis::live::Row;
use crate::analysis::view::QueryError;
use crate::metric::{HostName, SessionId};

/// All that is known of the past and the present of every host.
///
/// Answers may be more than what was asked for, never less: rows and buckets outside the time,
/// series that are not wanted. A frame may be in several segments; the engine counts it once.
pub(in crate::analysis) trait Past: Send + Sync {
    /// Every host of which anything is known, in any order.
    fn hosts(&self) -> Vec<HostName>;

    /// All resolutions, the finest first, each with the time for which it is in fact kept now:
    /// less than it was told where disk space is short. Empty for a program without a store.
    fn tiers(&self) -> Vec<Tier>;

    /// The time now, Unix ms.
    fn now_ms(&self) -> u64;

    /// Time of the oldest thing that is kept of a host in any tier, or a time before it, Unix ms;
    /// `None` when there is nothing.
    fn first_ms(&self, host: &str) -> Option<u64>;

    /// Up to where a coarser tier has everything, Unix ms, exclusive: everything before it is
    /// rolled up. From there on the finer one is asked. Not asked of the finest.
    fn complete_through_ms(&self, host: &str, bucket_ms: u64) -> u64;

    /// Segments of one tier, of all sessions, in any order, that have a frame or a bucket in
    /// `from_ms..to_ms`; in the finest tier what is not written down yet as well, as it was
    /// sampled. Columns that [`Wanted::raw`] and extremes that [`Wanted::derived`] refuse need
    /// not be decoded.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn segments(
        &self,
        host: &str,
        bucket_ms: u64,
        from_ms: u64,
        to_ms: u64,
        wanted: &Wanted,
    ) -> Result<Vec<Segment>, QueryError>;

    /// Rows of the live window at their native rate, each session in the order of
    /// (`elapsed_us`, `seq`).
    fn live(&self, host: &str, from_ms: u64, to_ms: u64) -> Vec<(SessionId, Vec<Row>)>;

    /// Whether the program is about to stop: long answers end then.
    fn is_stopping(&self) -> bool {
        false
    }
}
