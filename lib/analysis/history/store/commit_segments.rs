//! Writing segments: where their pieces go, and what becomes of those that go.

use std::ops::Range;

use redb::{AccessGuard, ReadableTable, Table};

use super::commit::{Commit, redb};
use super::error::StoreError;
use super::handle::len_of;
use super::pieces::{LEN_BYTES, OF_SEGMENTS};
use super::tables::{
    self, ACCOUNTS, AccountBytes, HostId, META, META_TOTALS, SEGMENTS, SegmentBytes, SegmentKey,
};
use super::totals::Totals;

/// Pieces with their places, in the order in which they are put.
type Numbered = Vec<(usize, Range<usize>)>;

type Row<'a> = (AccessGuard<'a, &'static SegmentBytes>, AccessGuard<'a, &'static [u8]>);

type Segments<'txn> = Table<'txn, &'static SegmentBytes, &'static [u8]>;

impl Commit<'_> {
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
        self.expect_at_most(bytes.len(), OF_SEGMENTS.bytes_max() - LEN_BYTES, "a segment")?;
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
