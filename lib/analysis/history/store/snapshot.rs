//! Reading: everything as it was at one commit, however long it takes.

use std::fmt;
use std::ops::{Bound, Range};
use std::sync::Arc;

use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTableMetadata, TableDefinition};

use super::engine::guarded;
use super::error::StoreError;
use super::medium::Medium;
use super::pieces::{LEN_BYTES, OF_SEGMENTS};
use super::rows::{self, HostRow, PartitionRow};
use super::tables::{
    self, ACCOUNTS, AccountBytes, HOSTS, HostId, LOG, LogBytes, META, META_TOTALS, PARTITIONS,
    SEGMENTS, SERIES, SegmentBytes, SegmentKey,
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

struct Inner {
    txn: ReadTransaction,
    segments: ReadOnlyTable<&'static SegmentBytes, &'static [u8]>,
    medium: Arc<dyn Medium>,
}

/// A segment that a snapshot sees. It keeps the snapshot.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct SegmentHandle {
    snapshot: Snapshot,
    key: SegmentKey,
    len: usize,
    /// Length of the first piece, [`LEN_BYTES`] included.
    first: usize,
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

/// Goes through the log of a partition; see [`Snapshot::log`].
#[derive(Debug)]
pub(in crate::analysis) struct LogParts {
    snapshot: Snapshot,
    partition: u32,
    /// Where to look next; `None` at the end.
    next: Option<Bound<LogBytes>>,
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

    /// The log of a partition: first offset and bytes of each part, from the one that holds
    /// offset `from`.
    ///
    /// # Errors
    /// The disk's; each part may fail as well.
    pub(in crate::analysis) fn log(
        &self,
        partition: u32,
        from: u64,
    ) -> Result<LogParts, StoreError> {
        let first = guarded(READING, || {
            let table = self.0.txn.open_table(LOG).map_err(redb)?;
            let bounds =
                [tables::log_bytes(partition, 0, 0), tables::log_bytes(partition, from, u16::MAX)];
            let before =
                table.range::<&LogBytes>(&bounds[0]..=&bounds[1]).map_err(redb)?.next_back();
            let start = match before.transpose().map_err(redb)? {
                Some((key, _)) => tables::log_of(key.value()).1,
                None => from,
            };
            Ok(tables::log_bytes(partition, start, 0))
        })?;
        Ok(LogParts { snapshot: self.clone(), partition, next: Some(Bound::Included(first)) })
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
            from = Bound::Excluded(handle.key.bytes(u16::MAX));
            found.push(handle);
        }
        found.sort_by_key(|handle| (handle.key.start_ms, handle.key.run));
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
            let (key, place) = SegmentKey::from_bytes(bytes.value());
            if place != 0 {
                return Err(StoreError::corrupt(format!("{key:?} has no first piece")));
            }
            let piece = piece.value();
            let len = len_of(key, piece)?;
            Ok(Some(SegmentHandle { snapshot: self.clone(), key, len, first: piece.len() }))
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
            let row = row.transpose().map_err(redb)?;
            Ok(row.map(|(key, _)| SegmentKey::from_bytes(key.value()).0))
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

impl SegmentHandle {
    /// Which one.
    #[must_use]
    pub(in crate::analysis) fn key(&self) -> SegmentKey {
        self.key
    }

    /// How many bytes were put.
    #[must_use]
    pub(in crate::analysis) fn len(&self) -> usize {
        self.len
    }

    /// How many rows it has.
    pub(super) fn pieces(&self) -> u64 {
        (1 + (self.len + LEN_BYTES - self.first).div_ceil(OF_SEGMENTS.whole())) as u64
    }

    /// These of its bytes; only the pieces that hold them are read.
    ///
    /// # Errors
    /// Corrupt when they reach behind its end, or a piece is missing or has another length; the
    /// disk's.
    pub(in crate::analysis) fn read(&self, bytes: Range<usize>) -> Result<Vec<u8>, StoreError> {
        if bytes.start > bytes.end || bytes.end > self.len {
            let key = self.key;
            return Err(StoreError::corrupt(format!(
                "{key:?} has {} bytes, and {bytes:?} of them were asked for",
                self.len
            )));
        }
        let stream = bytes.start + LEN_BYTES..bytes.end + LEN_BYTES;
        let (places, skip) = OF_SEGMENTS.holding(self.first, &stream);
        if places.is_empty() {
            return Ok(Vec::new());
        }
        guarded(READING, || {
            let number = |place: usize| u16::try_from(place).unwrap_or(u16::MAX);
            let bounds =
                [self.key.bytes(number(places.start)), self.key.bytes(number(places.end - 1))];
            let mut read = Vec::with_capacity(places.len() * OF_SEGMENTS.whole());
            let rows = self
                .snapshot
                .0
                .segments
                .range::<&SegmentBytes>(&bounds[0]..=&bounds[1])
                .map_err(redb)?;
            for (place, row) in places.clone().zip(rows) {
                let (key, piece) = row.map_err(redb)?;
                if SegmentKey::from_bytes(key.value()) != (self.key, number(place))
                    || piece.value().len() != self.piece_len(place)
                {
                    return Err(StoreError::corrupt(format!("{:?} lacks pieces", self.key)));
                }
                read.extend_from_slice(piece.value());
            }
            read.drain(..skip);
            if read.len() < bytes.len() {
                return Err(StoreError::corrupt(format!("{:?} lacks pieces", self.key)));
            }
            read.truncate(bytes.len());
            Ok(read)
        })
    }

    fn piece_len(&self, place: usize) -> usize {
        if place == 0 {
            return self.first;
        }
        let before = self.first + (place - 1) * OF_SEGMENTS.whole();
        (self.len + LEN_BYTES).saturating_sub(before).min(OF_SEGMENTS.whole())
    }
}

impl Iterator for LogParts {
    type Item = Result<(u64, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.next.take()?;
        let part = guarded(READING, || {
            let table = self.snapshot.0.txn.open_table(LOG).map_err(redb)?;
            let last = tables::log_bytes(self.partition, u64::MAX, u16::MAX);
            let bounds = (from.as_ref(), Bound::Included(&last));
            let mut part: Option<(u64, Vec<u8>)> = None;
            let mut pieces = 0;
            for row in table.range::<&LogBytes>(bounds).map_err(redb)? {
                let (key, bytes) = row.map_err(redb)?;
                let (_, offset, place) = tables::log_of(key.value());
                match &mut part {
                    None => part = Some((offset, Vec::new())),
                    Some((first, _)) if *first != offset => break,
                    Some(_) => {}
                }
                if place != pieces {
                    let partition = self.partition;
                    return Err(StoreError::corrupt(format!(
                        "the log of partition {partition} lacks a piece at offset {offset}"
                    )));
                }
                pieces = pieces.wrapping_add(1);
                part.get_or_insert_default().1.extend_from_slice(bytes.value());
            }
            Ok(part)
        });
        if let Ok(Some((offset, _))) = &part {
            let behind = tables::log_bytes(self.partition, *offset, u16::MAX);
            self.next = Some(Bound::Excluded(behind));
        }
        part.transpose()
    }
}

/// How many bytes a segment has, from its first piece.
pub(super) fn len_of(key: SegmentKey, first: &[u8]) -> Result<usize, StoreError> {
    let (len, rest) = first.split_first_chunk::<LEN_BYTES>().ok_or_else(|| {
        StoreError::corrupt(format!("{key:?} has a first piece without a length"))
    })?;
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
    // A first piece is never longer than it all.
    if len < rest.len() || len > OF_SEGMENTS.bytes_max() {
        return Err(StoreError::corrupt(format!("{key:?} says that it has {len} bytes")));
    }
    Ok(len)
}

const READING: &str = "reading the history";

fn redb(error: impl Into<redb::Error>) -> StoreError {
    StoreError::redb(READING, error)
}
