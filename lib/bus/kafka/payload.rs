//! The records of one publish, copied once: a call that is given up keeps its bytes, and every
//! try sends the same ones.

use std::ops::Range;

use super::super::{BATCH_BYTES_MAX, Record, VALUE_BYTES_MAX};

/// What a record costs on the wire beside key and value, in protocol version 0: offset 8, size 4,
/// CRC 4, magic 1, attributes 1, length of the key 4, length of the value 4.
const FRAMING_BYTES: usize = 26;

/// Records in one block of memory.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Vec<u8>,
    /// Where each record's key and value end.
    ends: Vec<(usize, usize)>,
    /// Records that are larger than a record may be, and were left out.
    pub(super) oversized_count: usize,
}

impl Payload {
    /// Copies `records`, leaving out those above [`VALUE_BYTES_MAX`].
    pub(super) fn new(records: &[Record]) -> Self {
        let size = records.iter().map(|record| record.key.len() + record.value.len()).sum();
        let mut payload = Self {
            bytes: Vec::with_capacity(size),
            ends: Vec::with_capacity(records.len()),
            oversized_count: 0,
        };
        for record in records {
            if record.key.len() + record.value.len() > VALUE_BYTES_MAX {
                payload.oversized_count += 1;
                continue;
            }
            payload.bytes.extend_from_slice(&record.key);
            let key_end = payload.bytes.len();
            payload.bytes.extend_from_slice(&record.value);
            payload.ends.push((key_end, payload.bytes.len()));
        }
        payload
    }

    /// Key and value.
    pub(super) fn record(&self, index: usize) -> (&[u8], &[u8]) {
        let (key_end, end) = self.ends[index];
        (&self.bytes[self.start(index)..key_end], &self.bytes[key_end..end])
    }

    /// Keys and values of a range.
    pub(super) fn bytes_in(&self, range: &Range<usize>) -> usize {
        self.start(range.end) - self.start(range.start)
    }

    /// The records in ranges that fit one request each, in order.
    pub(super) fn requests(&self) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let (mut first, mut size) = (0, 0);
        for index in 0..self.ends.len() {
            let bytes = self.ends[index].1 - self.start(index) + FRAMING_BYTES;
            if size + bytes > BATCH_BYTES_MAX && first < index {
                ranges.push(first..index);
                (first, size) = (index, 0);
            }
            size += bytes;
        }
        if first < self.ends.len() {
            ranges.push(first..self.ends.len());
        }
        ranges
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value_bytes: usize) -> Record {
        Record { key: key.as_bytes().to_vec(), value: vec![7; value_bytes] }
    }

    #[test]
    fn gives_back_what_went_in() {
        let payload = Payload::new(&[record("a", 3), record("", 0), record("bc", 1)]);
        assert_eq!(payload.record(0), (&b"a"[..], &[7, 7, 7][..]));
        assert_eq!(payload.record(1), (&b""[..], &[][..]));
        assert_eq!(payload.record(2), (&b"bc"[..], &[7][..]));
        assert!(payload.requests().into_iter().eq(std::iter::once(0..3)));
        assert_eq!(payload.bytes_in(&(1..3)), 3);
        assert!(Payload::new(&[]).requests().is_empty());
    }

    #[test]
    fn requests_stay_under_the_limit_and_cover_all() {
        let records: Vec<_> = (0..2_000).map(|i| record("h", i % 1_500)).collect();
        let payload = Payload::new(&records);
        let ranges = payload.requests();
        assert!(ranges.len() > 1);
        let mut next = 0;
        for range in ranges {
            assert_eq!(range.start, next);
            next = range.end;
            let framing = range.len() * FRAMING_BYTES;
            assert!(payload.bytes_in(&range) + framing <= BATCH_BYTES_MAX);
        }
        assert_eq!(next, records.len());
    }

    #[test]
    fn leaves_out_what_is_too_large() {
        let payload = Payload::new(&[record("", 1), record("", VALUE_BYTES_MAX + 1)]);
        assert_eq!((payload.oversized_count, payload.requests().len()), (1, 1));
        assert_eq!(Payload::new(&[record("", VALUE_BYTES_MAX)]).oversized_count, 0);
    }
}
