//! How a segment lies in its bytes; integers are little-endian, `v` is a LEB128 varint.
//!
//! ```text
//! head       u8  format: 1
//!            u32 length of everything
//!            u32 length of the directory
//!            u32 CRC-32 of the nine bytes before and of the directory
//! directory  [2] version of pco, [16] session, v bucket_ms
//!            v frames, v groups, v spans, v columns, v extremes: how many of each
//!            v first_ms, v last_ms - first_ms                    if there is a frame or bucket
//!            place of the times of all frames                    if there is a frame
//!            per group:    v frames, place of their numbers among all
//!            per spans:    v buckets, place of starts and counts
//!            per column:   v series, v group (if there are several), place
//!            per extremes: v series, v spans * 2 + whether there are means, place
//!            per block:    u32 CRC-32
//! body       what the places say, one after the other
//! ```
//!
//! A series is the zigzag difference of its id to the one before, less one: ids are given in the
//! order in which series are first seen, so nearly all are one byte. A place is a varint `n * 4 +
//! kind`: `n` bytes that follow in the body (0) or at once (1: up to sixteen, such as a constant),
//! or the same bytes as place number `n` (2). Places in the body are gathered in blocks: one ends
//! with the place that brings it to a KiB. That is what is read and verified at once, so that a
//! query takes little more than what it wants, and a check costs little more than the bytes.

use std::ops::Range;

use crate::analysis::history::column::Corrupt;
use crate::analysis::live::bits::{Source, put_varint};

/// The first byte. A number that is not this one is another layout.
pub(super) const FORMAT: u8 = 1;

/// Bytes of the head, and how many of them the sum covers.
pub(super) const HEAD_LEN: usize = 13;
pub(super) const SUMMED_LEN: usize = 9;

/// What is as short is in the directory itself, without a sum of its own.
pub(super) const INLINE_BYTES_MAX: usize = 16;

/// A block ends when it has as many bytes: a quarter of what a leaf of the store holds.
pub(super) const BLOCK_BYTES: usize = 1_024;

/// Most groups and spans, columns and extremes together: a session has 4,000 series at most, with
/// a derived value for each, and a group or spans for each in the worst case.
pub(in crate::analysis) const PARTS_MAX: usize = 1 << 14;

/// Longest directory: for each part two varints of five bytes, a place of four with sixteen bytes,
/// and a sum; 34 bytes by 16,384, and a KiB for the rest.
pub(super) const DIRECTORY_BYTES_MAX: usize = (34 << 14) + 1_024;

/// Most values that are read at once, 16 bytes of memory each: 4,000 series over an hour of
/// seconds, and a sixth more.
pub(in crate::analysis) const VALUES_MAX: usize = 1 << 24;

/// Longest segment: ten bytes for a value that nothing can be done about.
pub(super) const SEGMENT_BYTES_MAX: usize = 10 * VALUES_MAX;

const BODY: u64 = 0;
const INLINE: u64 = 1;
const SAME: u64 = 2;

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Counted from the first byte of the head.
    Body { range: Range<usize>, block: usize },
    /// Counted from the first byte of the directory.
    Inline(Range<usize>),
}

/// Lays places out, in writing.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// The directory so far.
    pub(super) directory: Vec<u8>,
    body: Vec<u8>,
    blocks: Blocks,
    /// Number, and where in the body.
    placed: Vec<(usize, Range<usize>)>,
    places: usize,
}

/// Follows how places fill blocks.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Where each ends, counted from the first byte of the body.
    pub(super) ends: Vec<usize>,
    start: usize,
}

impl Blocks {
    /// A place in the body ends here; returns the number of its block.
    pub(super) fn add(&mut self, end: usize) -> usize {
        let block = self.ends.len();
        if end - self.start >= BLOCK_BYTES {
            self.ends.push(end);
            self.start = end;
        }
        block
    }

    /// The body ends here.
    pub(super) fn finish(&mut self, end: usize) {
        if end > self.start {
            self.ends.push(end);
            self.start = end;
        }
    }

    pub(super) fn range(&self, block: usize) -> Range<usize> {
        let start = block.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[block]
    }
}

impl Layer {
    pub(super) fn number(&mut self, value: usize) {
        put_varint(&mut self.directory, value as u64);
    }

    /// Finds a place for some bytes.
    pub(super) fn place(&mut self, bytes: &[u8]) {
        let number = self.places;
        self.places += 1;
        if bytes.len() <= INLINE_BYTES_MAX {
            put_varint(&mut self.directory, (bytes.len() as u64) << 2 | INLINE);
            return self.directory.extend_from_slice(bytes);
        }
        let twin = |(_, range): &&(usize, Range<usize>)| self.body[range.clone()] == *bytes;
        if let Some((twin, _)) = self.placed.iter().find(twin) {
            return put_varint(&mut self.directory, (*twin as u64) << 2 | SAME);
        }
        put_varint(&mut self.directory, (bytes.len() as u64) << 2 | BODY);
        let start = self.body.len();
        self.body.extend_from_slice(bytes);
        self.placed.push((number, start..self.body.len()));
        self.blocks.add(self.body.len());
    }

    /// The whole segment.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.blocks.finish(self.body.len());
        for block in 0..self.blocks.ends.len() {
            let sum = crc32fast::hash(&self.body[self.blocks.range(block)]);
            self.directory.extend_from_slice(&sum.to_le_bytes());
        }
        let total = HEAD_LEN + self.directory.len() + self.body.len();
        let mut out = Vec::with_capacity(total);
        out.push(FORMAT);
        out.extend_from_slice(&(total as u32).to_le_bytes());
        out.extend_from_slice(&(self.directory.len() as u32).to_le_bytes());
        out.extend_from_slice(&sum(&out, &self.directory).to_le_bytes());
        out.append(&mut self.directory);
        out.append(&mut self.body);
        out
    }
}

/// Finds places again, in reading.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    directory: &'a [u8],
    pub(super) source: Source<'a>,
    pub(super) blocks: Blocks,
    /// Where the body begins, and how much of it has been found.
    body_start: usize,
    body_len: usize,
    places: Vec<Place>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(directory: &'a [u8]) -> Self {
        Self {
            directory,
            source: Source::new(directory),
            blocks: Blocks::default(),
            body_start: HEAD_LEN + directory.len(),
            body_len: 0,
            places: Vec::new(),
        }
    }

    /// A number that may be this large at most.
    pub(super) fn number(&mut self, max: usize) -> Result<usize, Corrupt> {
        let number = usize::try_from(self.source.varint()).unwrap_or(usize::MAX);
        if number > max || self.source.is_short() {
            return Err(Corrupt("its directory has a number that cannot be"));
        }
        Ok(number)
    }

    pub(super) fn place(&mut self) -> Result<Place, Corrupt> {
        let word = self.number(SEGMENT_BYTES_MAX << 2)? as u64;
        let (kind, number) = (word & 3, (word >> 2) as usize);
        let place = match kind {
            BODY if number > 0 => {
                let start = self.body_start + self.body_len;
                self.body_len += number;
                let block = self.blocks.add(self.body_len);
                Place::Body { range: start..start + number, block }
            }
            INLINE => {
                let start = self.directory.len() - self.source.len();
                self.source.take(number);
                Place::Inline(start..start + number)
            }
            SAME => self.places.get(number).cloned().ok_or(NO_TWIN)?,
            _ => return Err(Corrupt("its directory has a place of an unknown kind")),
        };
        if self.source.is_short() || self.body_len > SEGMENT_BYTES_MAX {
            return Err(Corrupt("its directory points past the end"));
        }
        self.places.push(place.clone());
        Ok(place)
    }

    /// The sums of all blocks, when everything else has been read; `total` is what the head says.
    pub(super) fn sums(&mut self, total: usize) -> Result<Vec<u32>, Corrupt> {
        self.blocks.finish(self.body_len);
        let sums = self.source.rest();
        if sums.len() != 4 * self.blocks.ends.len() || self.body_start + self.body_len != total {
            return Err(Corrupt("its directory does not fit its length"));
        }
        let sum = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(sums.chunks_exact(4).map(sum).collect())
    }
}

const NO_TWIN: Corrupt = Corrupt("its directory refers to a place that is not there");

/// The sum of head and directory.
pub(super) fn sum(head: &[u8], directory: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head[..SUMMED_LEN]);
    sum.update(directory);
    sum.finalize()
}
