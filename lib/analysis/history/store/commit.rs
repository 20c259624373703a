//! Writing: all of it or nothing of it.

use std::fmt;
use std::sync::MutexGuard;

use redb::{Key, Table, TableDefinition, WriteTransaction};

use super::engine::{self, guarded};
use super::error::StoreError;
use super::rows::{self, HostRow, PartitionRow};
use super::tables::{self, ACCOUNTS, HOSTS, HostId, META, META_TOTALS, PARTITIONS, SERIES};
use super::totals::Totals;
use super::{Store, Writer};
use crate::base::thread;

/// Longest row but segments and the log: the account of a session with all its ranges (some
/// thousands of 16 bytes) and everything that a host says of itself fit many times.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;

const WRITING: &str = "writing the history";

/// Most bytes put that a transaction keeps in memory until it commits: redb buffers half of its
/// cache, pages that are changed again included. What goes beyond is written twice.
const LARGE_BYTES: usize = engine::CACHE_BYTES / 4;

/// One transaction. What is not committed has not happened; dropping it drops it all.
///
/// Beside what is put, each one writes about 33 KB and 128 KB for every GiB of the file (the map
/// of free pages, which makes opening quick), and forces the disk twice: better few with much than
/// many with little, up to where it [`is_large`](Commit::is_large).
///
/// There is one at a time: a thread that begins a second one before the first is gone waits for
/// itself.
pub(in crate::analysis) struct Commit<'a> {
    store: &'a Store,
    writer: MutexGuard<'a, Writer>,
    /// `None` once it is committed or dropped.
    txn: Option<WriteTransaction>,
    /// Loaded when the first segment comes or goes.
    pub(super) totals: Option<Totals>,
    /// Bytes put.
    put_bytes: usize,
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
        Self { store, writer, txn: Some(txn), totals: None, put_bytes: 0, broken: false }
    }

    /// Whether so much was put that it should be committed, and another one begun for the rest.
    #[must_use]
    pub(in crate::analysis) fn is_large(&self) -> bool {
        self.put_bytes >= LARGE_BYTES
    }

    /// Counts bytes that are put, and refuses more of them at once than `max`.
    pub(super) fn expect_at_most(
        &mut self,
        len: usize,
        max: usize,
        what: &'static str,
    ) -> Result<(), StoreError> {
        self.put_bytes += len;
        if len <= max {
            return Ok(());
        }
        self.broken = true;
        Err(StoreError::TooLarge { what, len, max })
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

    #[cfg(test)]
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

    /// Opens a table and does something to it.
    pub(super) fn table<K: Key + 'static, T>(
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

    fn put_row<'k, K: Key + 'static>(
        &mut self,
        definition: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'k>,
        bytes: &[u8],
        what: &'static str,
    ) -> Result<(), StoreError> {
        self.expect_at_most(bytes.len(), ROW_BYTES_MAX, what)?;
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

pub(super) fn redb(error: impl Into<redb::Error>) -> StoreError {
    StoreError::redb(WRITING, error)
}
