//! The log of a bus that keeps nothing, by partition, in parts as long as a commit.

use std::ops::Bound;

use redb::ReadableTable as _;

use super::commit::{self, Commit};
use super::engine::guarded;
use super::error::StoreError;
use super::pieces::OF_LOG;
use super::rows::PartitionRow;
use super::snapshot::{READING, Snapshot, redb};
use super::tables::{self, LOG, LogBytes, PARTITIONS};

/// Goes through the log of a partition; see [`Snapshot::log`].
#[derive(Debug)]
pub(in crate::analysis) struct LogParts {
    snapshot: Snapshot,
    partition: u32,
    /// Where to look next; `None` at the end.
    next: Option<Bound<LogBytes>>,
}

impl Snapshot {
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
            let table = self.txn().open_table(LOG).map_err(redb)?;
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
}

impl Commit<'_> {
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
        self.expect_at_most(bytes.len(), OF_LOG.bytes_max(), "a part of the log")?;
        self.table(LOG, |table| {
            let key = |place| tables::log_bytes(partition, first_offset, place);
            table
                .retain_in::<&LogBytes, _>(&key(0)..=&key(u16::MAX), |_, _| false)
                .map_err(commit::redb)?;
            for (place, piece) in OF_LOG.cut_plain(bytes.len()).into_iter().enumerate() {
                let place = u16::try_from(place).unwrap_or(u16::MAX);
                table.insert(&key(place), &bytes[piece]).map_err(commit::redb)?;
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
            let row = table.get(partition).map_err(commit::redb)?;
            row.map_or(Ok(u64::MAX), |row| Ok(PartitionRow::from_bytes(row.value())?.log_end))
        })?;
        self.table(LOG, |table| {
            let first = tables::log_bytes(partition, 0, 0);
            // A part that begins at the offset is not below it, even where the row, which is older
            // than what was appended in this transaction, says that the log ends there.
            let mut behind = tables::log_bytes(partition, below_offset, 0);
            if log_end > below_offset {
                let last =
                    table.range::<&LogBytes>(&first..=&behind).map_err(commit::redb)?.next_back();
                let Some((key, _)) = last.transpose().map_err(commit::redb)? else { return Ok(()) };
                let (_, offset, _) = tables::log_of(key.value());
                behind = tables::log_bytes(partition, offset, 0);
            }
            let bounds = (Bound::Included(&first), Bound::Excluded(&behind));
            table.retain_in::<&LogBytes, _>(bounds, |_, _| false).map_err(commit::redb)
        })
    }
}

impl Iterator for LogParts {
    type Item = Result<(u64, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.next.take()?;
        let part = guarded(READING, || {
            let table = self.snapshot.txn().open_table(LOG).map_err(redb)?;
            let last = tables::log_bytes(self.partition, u64::MAX, u16::MAX);
            let bounds = (from.as_ref(), Bound::Included(&last));
            let mut part: Option<(u64, Vec<u8>)> = None;
            let mut pieces = 0;
            for row in table.range::<&LogBytes>(bounds).map_err(redb)? {
                let (key, bytes) = row.map_err(redb)?;
                tables::expect_within(key.value(), &from, &last)?;
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
