//! The tables and their keys.
//!
//! Keys are bytes of a fixed size, numbers with the highest byte first, so that the order of the
//! bytes is the order of the things and one scan finds what belongs together. Values are bytes.

use std::fmt;
use std::ops::{Bound, RangeBounds};

use redb::{TableDefinition, WriteTransaction};

use super::error::StoreError;

/// The format that this program writes. What changes it needs a step in [`super::migrate`].
pub(super) const FORMAT: u32 = 2;

/// What the file says of itself: [`META_FORMAT`], [`META_TOTALS`].
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Format of the file, four bytes.
pub(super) const META_FORMAT: &str = "format";
/// What the segments of each tier take; [`super::totals`].
pub(super) const META_TOTALS: &str = "totals";

/// Hosts by their number; [`super::rows`].
pub(super) const HOSTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("hosts");
/// Accounts by host and session.
pub(super) const ACCOUNTS: TableDefinition<'_, &AccountBytes, &[u8]> =
    TableDefinition::new("accounts");
/// Partitions of the topic; [`super::rows`].
pub(super) const PARTITIONS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("partitions");
/// Names of series; [`super::rows`].
pub(super) const SERIES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("series");
/// What a bus that keeps nothing would have kept, in pieces.
pub(super) const LOG: TableDefinition<'_, &LogBytes, &[u8]> = TableDefinition::new("log");
/// Segments, in pieces.
pub(super) const SEGMENTS: TableDefinition<'_, &SegmentBytes, &[u8]> =
    TableDefinition::new("segments");

/// Instead of a session: a host's words about itself, beside its accounts.
pub(in crate::analysis) const DESCRIPTION: u128 = u128::MAX;

/// Host and session.
pub(super) type AccountBytes = [u8; 4 + 16];
/// Partition, first offset, piece.
pub(super) type LogBytes = [u8; 4 + 8 + 2];
/// Host, width of a bucket, start (inverted), run, piece.
pub(super) type SegmentBytes = [u8; 4 + 4 + 8 + 8 + 2];

/// Makes all tables, so that nobody who reads must think of one that is not there.
///
/// # Errors
/// redb's.
pub(super) fn create(txn: &WriteTransaction) -> Result<(), StoreError> {
    let redb = |error| StoreError::redb("making the history's tables", error);
    txn.open_table(META).map_err(redb)?;
    txn.open_table(HOSTS).map_err(redb)?;
    txn.open_table(ACCOUNTS).map_err(redb)?;
    txn.open_table(PARTITIONS).map_err(redb)?;
    txn.open_table(SERIES).map_err(redb)?;
    txn.open_table(LOG).map_err(redb)?;
    txn.open_table(SEGMENTS).map_err(redb)?;
    Ok(())
}

/// Number of a host in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::analysis) struct HostId(pub(in crate::analysis) u32);

/// What names a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::analysis) struct SegmentKey {
    pub(in crate::analysis) host: HostId,
    /// The tier: width of its buckets, ms.
    pub(in crate::analysis) bucket_ms: u32,
    /// Not later than anything in it, Unix ms.
    pub(in crate::analysis) start_ms: u64,
    /// Tells apart what begins at the same time.
    pub(in crate::analysis) run: u64,
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, bucket_ms, start_ms, run } = self;
        let host = host.0;
        write!(f, "the segment of host {host} and {bucket_ms} ms from {start_ms}, run {run}")
    }
}

impl SegmentKey {
    /// The key of a piece. Later segments sort first: a new one lands before the newest of its
    /// host and so in that one's leaf, whose rest it can fill; see [`super::pieces`]. (redb
    /// separates leaves by the greatest key on the left, so what is greater than all keys of a
    /// host would land among the next host's.)
    pub(super) fn bytes(self, piece: u16) -> SegmentBytes {
        let mut bytes = [0; size_of::<SegmentBytes>()];
        bytes[..4].copy_from_slice(&self.host.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.bucket_ms.to_be_bytes());
        bytes[8..16].copy_from_slice(&(!self.start_ms).to_be_bytes());
        bytes[16..24].copy_from_slice(&self.run.to_be_bytes());
        bytes[24..].copy_from_slice(&piece.to_be_bytes());
        bytes
    }

    /// The segment and the place of the piece in it.
    pub(super) fn from_bytes(bytes: &SegmentBytes) -> (Self, u16) {
        let key = Self {
            host: HostId(u32::from_be_bytes(array(&bytes[..4]))),
            bucket_ms: u32::from_be_bytes(array(&bytes[4..8])),
            start_ms: !u64::from_be_bytes(array(&bytes[8..16])),
            run: u64::from_be_bytes(array(&bytes[16..24])),
        };
        (key, u16::from_be_bytes(array(&bytes[24..])))
    }

    /// First and last possible key of everything of a host.
    pub(super) fn of_host(host: HostId) -> (SegmentBytes, SegmentBytes) {
        let (mut first, mut last) = ([0; size_of::<SegmentBytes>()], [0xFF; 26]);
        first[..4].copy_from_slice(&host.0.to_be_bytes());
        last[..4].copy_from_slice(&host.0.to_be_bytes());
        (first, last)
    }
}

/// That a key is where it was looked for. In a damaged file it may not be, and a scan that goes
/// on from there would never end.
///
/// # Errors
/// Corrupt.
pub(super) fn expect_within<const N: usize>(
    key: &[u8; N],
    from: &Bound<[u8; N]>,
    last: &[u8; N],
) -> Result<(), StoreError> {
    if (from.as_ref(), Bound::Included(last)).contains(key) {
        Ok(())
    } else {
        Err(StoreError::corrupt("the keys of a table are not in their order"))
    }
}

/// The key of an account.
pub(super) fn account_bytes(host: HostId, session: u128) -> AccountBytes {
    let mut bytes = [0; size_of::<AccountBytes>()];
    bytes[..4].copy_from_slice(&host.0.to_be_bytes());
    bytes[4..].copy_from_slice(&session.to_be_bytes());
    bytes
}

/// Host and session of an account.
pub(super) fn account_of(bytes: &AccountBytes) -> (HostId, u128) {
    (HostId(u32::from_be_bytes(array(&bytes[..4]))), u128::from_be_bytes(array(&bytes[4..])))
}

/// The key of a piece of the log.
pub(super) fn log_bytes(partition: u32, offset: u64, piece: u16) -> LogBytes {
    let mut bytes = [0; size_of::<LogBytes>()];
    bytes[..4].copy_from_slice(&partition.to_be_bytes());
    bytes[4..12].copy_from_slice(&offset.to_be_bytes());
    bytes[12..].copy_from_slice(&piece.to_be_bytes());
    bytes
}

/// Partition, first offset and piece of a part of the log.
pub(super) fn log_of(bytes: &LogBytes) -> (u32, u64, u16) {
    (
        u32::from_be_bytes(array(&bytes[..4])),
        u64::from_be_bytes(array(&bytes[4..12])),
        u16::from_be_bytes(array(&bytes[12..])),
    )
}

/// Bytes of a slice that is as long as the array, which every caller above has cut.
fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(slice);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_host_tier_and_time_the_latest_first() {
        let key = |host, bucket_ms, start_ms, run| SegmentKey {
            host: HostId(host),
            bucket_ms,
            start_ms,
            run,
        };
        let sorted = [
            key(1, 1_000, 9_000, 0),
            key(1, 1_000, 9_000, 7),
            key(1, 1_000, 2_000, 3),
            key(1, 10_000, u64::MAX, 0),
            key(1, 10_000, 0, u64::MAX),
            key(256, 1_000, 5, 5),
        ];
        let bytes: Vec<_> =
            sorted.iter().flat_map(|key| [key.bytes(0), key.bytes(1), key.bytes(256)]).collect();
        assert!(bytes.is_sorted());
        for key in sorted {
            assert_eq!(SegmentKey::from_bytes(&key.bytes(513)), (key, 513));
            let (first, last) = SegmentKey::of_host(key.host);
            assert!(first <= key.bytes(0) && key.bytes(u16::MAX) <= last);
        }
        let (from, last) = (Bound::Excluded(bytes[3]), bytes[9]);
        for (place, key) in bytes.iter().enumerate() {
            let within = expect_within(key, &from, &last).is_ok();
            assert_eq!(within, (4..=9).contains(&place));
        }
        assert_eq!(account_of(&account_bytes(HostId(7), 1 << 100)), (HostId(7), 1 << 100));
        assert_eq!(log_of(&log_bytes(3, 1 << 40, 9)), (3, 1 << 40, 9));
    }
}
