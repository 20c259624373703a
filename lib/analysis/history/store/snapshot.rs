//! Reading: everything as it was at one commit, however long it takes.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTableMetadata, TableDefinition};

use super::engine::guarded;
use super::error::StoreError;
use super::handle::SegmentHandle;
use super::medium::Medium;
use super::rows::{self, HostRow, PartitionRow};
use super::tables::{
    self, ACCOUNTS, AccountBytes, HOSTS, HostId, META, META_TOTALS, PARTITIONS, SEGMENTS, SERIES,
    SegmentBytes, SegmentKey,
};
use super::totals::{TierUsage, Totals};

/// The history at one commit. Clones share it. It may be sent to other threads and used by
/// several. As long as one exists the pages that it sees are not used again, so keep it for a
/// query, not for a day.
///
/// Any of its methods, and any of what they give, may fail with an error that
/// [`is_stale`](StoreError::is_stale): the store had to open its file anew. Another snapshot
/// answers then.
#[derive(Clone)]
pub(in crate::analysis) struct Snapshot(Arc<Inner>);

/// The table of segments.
pub(super) type SegmentsRead = ReadOnlyTable<&'static SegmentBytes, &'static [u8]>;

struct Inner {
    txn: ReadTransaction,
    segments: SegmentsRead,
    medium: Arc<dyn Medium>,
}

/// What the history takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::analysis) struct Usage {
    /// What the file takes on the disk, bytes. It does not get smaller by what is deleted: that
    /// room is used again.
    pub(in crate::analysis) file_bytes: u64,
    /// What the segments take of it, by count.
    pub(in crate::analysis) used_bytes: u64,
    /// The rest: room to be used again, and the small tables.
    pub(in crate::analysis) fragmented_bytes: u64,
    /// By width of bucket, ms, the finest tier first.
    pub(in crate::analysis) tiers: Vec<(u32, TierUsage)>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(super) fn new(txn: ReadTransaction, medium: Arc<dyn Medium>) -> Result<Self, StoreError> {
        guarded("opening the segments", || {
            let segments = txn.open_table(SEGMENTS).map_err(redb)?;
            Ok(Self(Arc::new(Inner { txn, segments, medium })))
        })
    }

    /// Every host, by its number.
    ///
    /// # Errors
    /// A row that makes no sense; the disk's.
    pub(in crate::analysis) fn hosts(&self) -> Result<Vec<(HostId, HostRow)>, StoreError> {
        self.rows(HOSTS, |id, bytes| Ok((HostId(id), HostRow::from_bytes(bytes)?)))
    }

    /// Every account of a host: session, and the bytes that were put.
    ///
    /// # Errors
    /// The disk's.
    pub(in crate::analysis) fn accounts(
        &self,
        host: HostId,
    ) -> Result<Vec<(u128, Vec<u8>)>, StoreError> {
        guarded(READING, || {
            let table = self.0.txn.open_table(ACCOUNTS).map_err(redb)?;
            let bounds = [tables::account_bytes(host, 0), tables::account_bytes(host, u128::MAX)];
            let rows = table.range::<&AccountBytes>(&bounds[0]..=&bounds[1]).map_err(redb)?;
            rows.map(|row| {
                let (key, bytes) = row.map_err(redb)?;
                Ok((tables::account_of(key.value()).1, bytes.value().to_vec()))
            })
            .collect()
        })
    }

    /// Every partition, by its number.
    ///
    /// # Errors
    /// A row that makes no sense; the disk's.
    pub(in crate::analysis) fn partitions(&self) -> Result<Vec<(u32, PartitionRow)>, StoreError> {
        self.rows(PARTITIONS, |id, bytes| Ok((id, PartitionRow::from_bytes(bytes)?)))
    }

    /// Every series: its number, its key, and the last day (since 1970) on which it was stored.
    ///
    /// # Errors
    /// A row that makes no sense; the disk's.
    pub(in crate::analysis) fn series(&self) -> Result<Vec<(u32, String, u32)>, StoreError> {
        self.rows(SERIES, |id, bytes| {
            let (key, last_used_day) = rows::series_from_bytes(bytes)?;
            Ok((id, key, last_used_day))
        })
    }

    /// The segments of a host and tier that may hold anything of `from_ms..=to_ms`, the earliest
    /// start first, and of one start by run: those that start in it, and up to `reach_ms` before,
    /// which is how long the longest of this tier may be. Reads no more than the first piece of
    /// each.
    ///
    /// # Errors
    /// A segment whose first piece is missing or cut short; the disk's.
    pub(in crate::analysis) fn segments(
        &self,
        host: HostId,
        bucket_ms: u32,
        (from_ms, to_ms): (u64, u64),
        reach_ms: u64,
    ) -> Result<Vec<SegmentHandle>, StoreError> {
        let key = |start_ms, run| SegmentKey { host, bucket_ms, start_ms, run };
        let earliest_ms = from_ms.saturating_sub(reach_ms);
        if to_ms < earliest_ms {
            return Ok(Vec::new());
        }
        // Later ones sort first.
        let last = key(earliest_ms, u64::MAX).bytes(u16::MAX);
        let mut from = Bound::Included(key(to_ms, 0).bytes(0));
        let mut found = Vec::new();
        while let Some(handle) = self.next_segment(&from, &last)? {
            from = Bound::Excluded(handle.key().bytes(u16::MAX));
            found.push(handle);
        }
        found.sort_by_key(|handle: &SegmentHandle| (handle.key().start_ms, handle.key().run));
        Ok(found)
    }

    /// What it all takes.
    ///
    /// # Errors
    /// The disk's.
    pub(in crate::analysis) fn usage(&self) -> Result<Usage, StoreError> {
        let totals = self.totals()?;
        let file_bytes = self
            .0
            .medium
            .disk_bytes()
            .map_err(|error| StoreError::io("asking for the size of the history", error))?;
        let used_bytes = totals.0.values().map(|tier| tier.used_bytes).sum();
        Ok(Usage {
            file_bytes,
            used_bytes,
            fragmented_bytes: file_bytes.saturating_sub(used_bytes),
            tiers: totals.0.into_iter().collect(),
        })
    }

    pub(super) fn totals(&self) -> Result<Totals, StoreError> {
        guarded(READING, || {
            let meta = self.0.txn.open_table(META).map_err(redb)?;
            let row = meta.get(META_TOTALS).map_err(redb)?;
            row.map_or(Ok(Totals::default()), |row| Totals::from_bytes(row.value()))
        })
    }

    pub(super) fn segments_table(&self) -> &SegmentsRead {
        &self.0.segments
    }

    pub(super) fn txn(&self) -> &ReadTransaction {
        &self.0.txn
    }

    /// The first segment with a key from here to `last`.
    pub(super) fn next_segment(
        &self,
        from: &Bound<SegmentBytes>,
        last: &SegmentBytes,
    ) -> Result<Option<SegmentHandle>, StoreError> {
        guarded(READING, || {
            let bounds = (from.as_ref(), Bound::Included(last));
            let mut rows = self.0.segments.range::<&SegmentBytes>(bounds).map_err(redb)?;
            let Some(row) = rows.next() else { return Ok(None) };
            let (bytes, piece) = row.map_err(redb)?;
            tables::expect_within(bytes.value(), from, last)?;
            let (key, place) = SegmentKey::from_bytes(bytes.value());
            if place != 0 {
                return Err(StoreError::corrupt(format!("{key} has no first piece")));
            }
            SegmentHandle::new(self, key, piece.value()).map(Some)
        })
    }

    /// Whose piece comes first from here to `last`, whatever it is.
    pub(super) fn next_key(
        &self,
        from: &Bound<SegmentBytes>,
        last: &SegmentBytes,
    ) -> Result<Option<SegmentKey>, StoreError> {
        guarded(READING, || {
            let bounds = (from.as_ref(), Bound::Included(last));
            let row = self.0.segments.range::<&SegmentBytes>(bounds).map_err(redb)?.next();
            let Some((key, _)) = row.transpose().map_err(redb)? else { return Ok(None) };
            tables::expect_within(key.value(), from, last)?;
            Ok(Some(SegmentKey::from_bytes(key.value()).0))
        })
    }

    /// How many rows a table has.
    pub(super) fn rows_of<K: Key + 'static>(
        &self,
        definition: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<u64, StoreError> {
        guarded(READING, || self.0.txn.open_table(definition).map_err(redb)?.len().map_err(redb))
    }

    fn rows<T>(
        &self,
        definition: TableDefinition<'_, u32, &'static [u8]>,
        decode: impl Fn(u32, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        guarded(READING, || {
            let table = self.0.txn.open_table(definition).map_err(redb)?;
            let rows = table.range::<u32>(..).map_err(redb)?;
            rows.map(|row| {
                let (id, bytes) = row.map_err(redb)?;
                decode(id.value(), bytes.value())
            })
            .collect()
        })
    }
}

pub(super) const READING: &str = "reading the history";

pub(super) fn redb(error: impl Into<redb::Error>) -> StoreError {
    StoreError::redb(READING, error)
}
