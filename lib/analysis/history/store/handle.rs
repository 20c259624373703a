//! Reading one segment, or the part of it that is needed.

use std::ops::Range;

use super::engine::guarded;
use super::error::StoreError;
use super::pieces::{LEN_BYTES, OF_SEGMENTS};
use super::snapshot::{READING, Snapshot, redb};
use super::tables::{SegmentBytes, SegmentKey};

/// A segment that a snapshot sees. It keeps the snapshot.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct SegmentHandle {
    snapshot: Snapshot,
    key: SegmentKey,
    len: usize,
    /// Length of the first piece, [`LEN_BYTES`] included.
    first: usize,
}

impl SegmentHandle {
    /// From its first piece.
    pub(super) fn new(
        snapshot: &Snapshot,
        key: SegmentKey,
        first: &[u8],
    ) -> Result<Self, StoreError> {
        let len = len_of(key, first)?;
        Ok(Self { snapshot: snapshot.clone(), key, len, first: first.len() })
    }

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
                "{key} has {} bytes, and {bytes:?} of them were asked for",
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
                .segments_table()
                .range::<&SegmentBytes>(&bounds[0]..=&bounds[1])
                .map_err(redb)?;
            for (place, row) in places.clone().zip(rows) {
                let (key, piece) = row.map_err(redb)?;
                if SegmentKey::from_bytes(key.value()) != (self.key, number(place))
                    || piece.value().len() != self.piece_len(place)
                {
                    return Err(StoreError::corrupt(format!("{} lacks pieces", self.key)));
                }
                read.extend_from_slice(piece.value());
            }
            read.drain(..skip);
            if read.len() < bytes.len() {
                return Err(StoreError::corrupt(format!("{} lacks pieces", self.key)));
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

/// How many bytes a segment has, from its first piece.
pub(super) fn len_of(key: SegmentKey, first: &[u8]) -> Result<usize, StoreError> {
    let (len, rest) = first
        .split_first_chunk::<LEN_BYTES>()
        .ok_or_else(|| StoreError::corrupt(format!("{key} has a first piece without a length")))?;
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
    // A first piece is never longer than it all.
    if len < rest.len() || len > OF_SEGMENTS.bytes_max() {
        return Err(StoreError::corrupt(format!("{key} says that it has {len} bytes")));
    }
    Ok(len)
}
