//! Writing: all of it or nothing of it.

use std::fmt;
use std::ops::{Bound, Range};
use std::sync::MutexGuard;

use redb::{AccessGuard, Key, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::engine::guarded;
use super::error::StoreError;
use super::pieces::{LEN_BYTES, OF_LOG, OF_SEGMENTS};
use super::rows::{self, HostRow, PartitionRow};
use super::snapshot::len_of;
use super::tables::{
    self, ACCOUNTS, AccountBytes, HOSTS, HostId, LOG, LogBytes, META, META_TOTALS, PARTITIONS,
    SEGMENTS, SERIES, SegmentBytes, SegmentKey,
};
use super::totals::Totals;
use super::{Store, Writer};
use crate::base::thread;

/// Longest row but segments and the log: the account of a session with all its ranges (some
/// thousands of 16 bytes) and everything that a host says of itself fit many times.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;

const WRITING: &str = "writing the history";

/// Pieces with their places, in the order in which they are put.
type Numbered = Vec<(usize, Range<usize>)>;

type Row<'a> = (AccessGuard<'a, &'static SegmentBytes>, AccessGuard<'a, &'static [u8]>);

type Segments<'txn> = Table<'txn, &'static SegmentBytes, &'static [u8]>;

/// One transaction. What is not committed has not happened; dropping it drops it all.
///
/// There is one at a time: a thread that begins a second one before the first is gone waits for
/// itself.
pub(in crate::analysis) struct Commit<'a> {
    store: &'a Store,
    writer: MutexGuard<'a, Writer>,
    /// `None` once it is committed or dropped.
    txn: Option<WriteTransaction>,
    /// Loaded when the first segment comes or goes.
    totals: Option<Totals>,
    /// Something was refused, so none of it may be committed.
    broken: bool,
}

impl fmt::Debug for Commit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit").field("broken", &self.broken).finish_non_exhaustive()
    }
}

impl<'a> Commit<'a> {
    pub(super) fn new(
        store: &'a Store,
        writer: MutexGuard<'a, Writer>,
        txn: WriteTransaction,
    ) -> Self {
        Self { store, writer, txn: Some(txn), totals: None, broken: false }
    }

    /// Puts what is kept of a host.
    ///
    /// # Errors
    /// Too large; the disk's. After any error nothing of this transaction can be committed.
    pub(in crate::analysis) fn put_host(
        &mut self,
        host: HostId,
        row: &HostRow,
    ) -> Result<(), StoreError> {
        self.put_row(HOSTS, host.0, &row.to_bytes(), "the row of a host")
    }

    /// Removes the row of a host; its data go by [`Commit::delete_host_data`].
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn delete_host(&mut self, host: HostId) -> Result<(), StoreError> {
        self.delete_row(HOSTS, host.0)
    }

    /// Puts the account of a session of a host.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn put_account(
        &mut self,
        host: HostId,
        session: u128,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.put_row(ACCOUNTS, &tables::account_bytes(host, session), bytes, "an account")
    }

    /// Removes the account of a session.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn delete_account(
        &mut self,
        host: HostId,
        session: u128,
    ) -> Result<(), StoreError> {
        self.delete_row(ACCOUNTS, &tables::account_bytes(host, session))
    }

    /// Puts what is kept of a partition.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn put_partition(
        &mut self,
        partition: u32,
        row: PartitionRow,
    ) -> Result<(), StoreError> {
        self.put_row(PARTITIONS, partition, &row.to_bytes(), "the row of a partition")
    }

    /// Puts a series: its key, and the last day (since 1970) on which it was stored.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn put_series(
        &mut self,
        series: u32,
        key: &str,
        last_used_day: u32,
    ) -> Result<(), StoreError> {
        let bytes = rows::series_to_bytes(key, last_used_day);
        self.put_row(SERIES, series, &bytes, "the row of a series")
    }

    /// Removes a series.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn delete_series(&mut self, series: u32) -> Result<(), StoreError> {
        self.delete_row(SERIES, series)
    }

    /// Puts a segment, in place of one that has its key, in the way that writes least: for one
    /// that is merged with others soon.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn put_segment(
        &mut self,
        key: SegmentKey,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        // In their order each finds a full leaf behind it, which it leaves alone.
        self.put(key, bytes, |_, len| {
            Ok(OF_SEGMENTS.cut_plain(len).into_iter().enumerate().collect())
        })
    }

    /// As [`Commit::put_segment`], in the way that takes least room: for one that lasts. Where it
    /// replaces others, deleting those first packs best.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn put_lasting_segment(
        &mut self,
        key: SegmentKey,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        // The last first: it joins the leaf of its neighbour, and the whole one before it keeps
        // the others out of there.
        self.put(key, bytes, |table, len| {
            let pieces = OF_SEGMENTS.cut_packed(len, room_before(table, key)?);
            Ok(pieces.into_iter().enumerate().rev().collect())
        })
    }

    fn put(
        &mut self,
        key: SegmentKey,
        bytes: &[u8],
        cut: impl FnOnce(&Segments<'_>, usize) -> Result<Numbered, StoreError>,
    ) -> Result<(), StoreError> {
        let stream_len = bytes.len() + LEN_BYTES;
        if stream_len > OF_SEGMENTS.bytes_max() {
            let (len, max) = (bytes.len(), OF_SEGMENTS.bytes_max() - LEN_BYTES);
            self.broken = true;
            return Err(StoreError::TooLarge { what: "a segment", len, max });
        }
        let mut stream = Vec::with_capacity(stream_len);
        stream.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        stream.extend_from_slice(bytes);
        self.segments(|table, totals| {
            remove_segment(table, totals, key)?;
            for (place, piece) in cut(table, stream_len)? {
                let place = u16::try_from(place).unwrap_or(u16::MAX);
                table.insert(&key.bytes(place), &stream[piece]).map_err(redb)?;
            }
            totals.add(key.bucket_ms, bytes.len());
            Ok(())
        })
    }

    /// Removes a segment; `false` when there is none.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn delete_segment(
        &mut self,
        key: SegmentKey,
    ) -> Result<bool, StoreError> {
        self.segments(|table, totals| remove_segment(table, totals, key))
    }

    /// Removes up to `segments_max` segments of a host, and its accounts with the last of them.
    /// `true` once nothing is left but its row.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn delete_host_data(
        &mut self,
        host: HostId,
        segments_max: usize,
    ) -> Result<bool, StoreError> {
        let finished = self.segments(|table, totals| {
            let (first, last) = SegmentKey::of_host(host);
            for _ in 0..segments_max {
                let row = table.range::<&SegmentBytes>(&first..=&last).map_err(redb)?.next();
                let Some(row) = row.transpose().map_err(redb)? else { return Ok(true) };
                let (key, _) = SegmentKey::from_bytes(row.0.value());
                drop(row);
                remove_segment(table, totals, key)?;
            }
            Ok(table.range::<&SegmentBytes>(&first..=&last).map_err(redb)?.next().is_none())
        })?;
        if finished {
            let bounds = [tables::account_bytes(host, 0), tables::account_bytes(host, u128::MAX)];
            self.table(ACCOUNTS, |table| {
                table
                    .retain_in::<&AccountBytes, _>(&bounds[0]..=&bounds[1], |_, _| false)
                    .map_err(redb)
            })?;
        }
        Ok(finished)
    }

    /// Appends to the log of a partition what begins at `first_offset`, in place of a part that
    /// begins there already.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn log_append(
        &mut self,
        partition: u32,
        first_offset: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        if bytes.len() > OF_LOG.bytes_max() {
            let (len, max) = (bytes.len(), OF_LOG.bytes_max());
            self.broken = true;
            return Err(StoreError::TooLarge { what: "a part of the log", len, max });
        }
        self.table(LOG, |table| {
            let key = |place| tables::log_bytes(partition, first_offset, place);
            table
                .retain_in::<&LogBytes, _>(&key(0)..=&key(u16::MAX), |_, _| false)
                .map_err(redb)?;
            for (place, piece) in OF_LOG.cut_plain(bytes.len()).into_iter().enumerate() {
                let place = u16::try_from(place).unwrap_or(u16::MAX);
                table.insert(&key(place), &bytes[piece]).map_err(redb)?;
            }
            Ok(())
        })
    }

    /// Removes the parts of a partition's log that lie wholly below an offset. The last part is
    /// kept until the partition's row says that the log ends at or below it.
    ///
    /// # Errors
    /// As [`Commit::put_host`].
    pub(in crate::analysis) fn log_trim(
        &mut self,
        partition: u32,
        below_offset: u64,
    ) -> Result<(), StoreError> {
        let log_end = self.table(PARTITIONS, |table| {
            let row = table.get(partition).map_err(redb)?;
            row.map_or(Ok(u64::MAX), |row| Ok(PartitionRow::from_bytes(row.value())?.log_end))
        })?;
        self.table(LOG, |table| {
            let first = tables::log_bytes(partition, 0, 0);
            let reached = tables::log_bytes(partition, below_offset, u16::MAX);
            let last = table.range::<&LogBytes>(&first..=&reached).map_err(redb)?.next_back();
            let Some((key, _)) = last.transpose().map_err(redb)? else { return Ok(()) };
            let (_, offset, _) = tables::log_of(key.value());
            drop(key);
            let behind: Bound<LogBytes> = if log_end <= below_offset {
                Bound::Included(reached)
            } else {
                Bound::Excluded(tables::log_bytes(partition, offset, 0))
            };
            let bounds = (Bound::Included(&first), behind.as_ref());
            table.retain_in::<&LogBytes, _>(bounds, |_, _| false).map_err(redb)
        })
    }

    /// Makes it all durable: when this returns, a power loss does not undo it.
    ///
    /// # Errors
    /// The disk's, or an earlier one of this transaction. Then either nothing of it has happened
    /// or, when the disk failed at the very end, all of it: what is put again under the same keys
    /// is there once, and a snapshot says which. The store opens its file anew before it writes
    /// again.
    pub(in crate::analysis) fn commit(mut self) -> Result<(), StoreError> {
        if let Some(totals) = self.totals.take().filter(|_| !self.broken) {
            let bytes = totals.to_bytes();
            self.table(META, |meta| {
                meta.insert(META_TOTALS, &bytes[..]).map_err(redb)?;
                Ok(())
            })?;
        }
        let Some(txn) = self.txn.take().filter(|_| !self.broken) else {
            return Err(StoreError::Aborted);
        };
        let result = guarded(WRITING, || txn.commit().map_err(redb));
        match &result {
            Ok(()) => {
                self.store.counts.commits.increment();
                self.writer.full = false;
            }
            Err(_) => self.store.counts.commit_failures.increment(),
        }
        result.map_err(|error| self.fail(error))
    }

    /// Notes that nothing of this may be committed, and finds the first cause in the medium.
    fn fail(&mut self, error: StoreError) -> StoreError {
        self.broken = true;
        self.writer.broken = true;
        let error = match (error, self.store.failure()) {
            (StoreError::Stale, Some(first)) => StoreError::io(WRITING, first),
            (error, _) => error,
        };
        self.writer.full |= error.is_full();
        error
    }

    fn table<K: Key + 'static, T>(
        &mut self,
        definition: TableDefinition<'_, K, &'static [u8]>,
        body: impl FnOnce(&mut Table<'_, K, &'static [u8]>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(txn) = self.txn.as_ref().filter(|_| !self.broken) else {
            return Err(StoreError::Aborted);
        };
        let result = guarded(WRITING, || {
            let mut table = txn.open_table(definition).map_err(redb)?;
            body(&mut table)
        });
        result.map_err(|error| self.fail(error))
    }

    fn segments<T>(
        &mut self,
        body: impl FnOnce(&mut Segments<'_>, &mut Totals) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut totals = match self.totals.take() {
            Some(totals) => totals,
            None => self.table(META, |meta| {
                let row = meta.get(META_TOTALS).map_err(redb)?;
                row.map_or(Ok(Totals::default()), |row| Totals::from_bytes(row.value()))
            })?,
        };
        let result = self.table(SEGMENTS, |table| body(table, &mut totals));
        self.totals = Some(totals);
        result
    }

    fn put_row<'k, K: Key + 'static>(
        &mut self,
        definition: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'k>,
        bytes: &[u8],
        what: &'static str,
    ) -> Result<(), StoreError> {
        if bytes.len() > ROW_BYTES_MAX {
            self.broken = true;
            return Err(StoreError::TooLarge { what, len: bytes.len(), max: ROW_BYTES_MAX });
        }
        self.table(definition, |table| {
            table.insert(key, bytes).map_err(redb)?;
            Ok(())
        })
    }

    fn delete_row<'k, K: Key + 'static>(
        &mut self,
        definition: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'k>,
    ) -> Result<(), StoreError> {
        self.table(definition, |table| {
            table.remove(key).map_err(redb)?;
            Ok(())
        })
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        let txn = self.txn.take();
        if thread::contain(WRITING, || drop(txn)).is_none() {
            self.writer.broken = true;
        }
    }
}

/// Removes a segment and its part of the totals; `false` when there is none.
fn remove_segment(
    table: &mut Segments<'_>,
    totals: &mut Totals,
    key: SegmentKey,
) -> Result<bool, StoreError> {
    let bounds = [key.bytes(0), key.bytes(u16::MAX)];
    let Some(len) = ({
        let first = table.range::<&SegmentBytes>(&bounds[0]..=&bounds[1]).map_err(redb)?.next();
        // Whatever its first piece is, it goes.
        first.transpose().map_err(redb)?.map(|(_, piece)| len_of(key, piece.value()).unwrap_or(0))
    }) else {
        return Ok(false);
    };
    table.retain_in::<&SegmentBytes, _>(&bounds[0]..=&bounds[1], |_, _| false).map_err(redb)?;
    totals.remove(key.bucket_ms, len);
    Ok(true)
}

/// How long the last piece of a new segment may be; see [`super::pieces`]. Only pieces of its own
/// host and tier count: what stands at the edge of another's is left over there by chance.
fn room_before(table: &Segments<'_>, key: SegmentKey) -> Result<usize, StoreError> {
    let bytes = key.bytes(0);
    let len = |row: Option<Result<Row<'_>, redb::StorageError>>| {
        let Some((other, piece)) = row.transpose().map_err(redb)? else { return Ok(None) };
        let (other, _) = SegmentKey::from_bytes(other.value());
        let same = (other.host, other.bucket_ms) == (key.host, key.bucket_ms);
        Ok::<_, StoreError>(same.then(|| piece.value().len()))
    };
    let before = len(table.range::<&SegmentBytes>(..&bytes).map_err(redb)?.next_back())?;
    let mut behind = table.range::<&SegmentBytes>(&bytes..).map_err(redb)?;
    let (next, after) = (len(behind.next())?, len(behind.next())?);
    Ok(OF_SEGMENTS.room_before(before, next, after))
}

fn redb(error: impl Into<redb::Error>) -> StoreError {
    StoreError::redb(WRITING, error)
}
