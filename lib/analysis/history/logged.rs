//! The log of a bus that keeps nothing: what came since the last commit, record by record.
//!
//! A row of the log: records in order, each as the lengths of its key and value (LEB128), key,
//! value; deflated. Offsets follow from the row's own.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::store::{Snapshot, StoreError};
use crate::analysis::live::bits::{Source, put_varint};
use crate::bus::{Batch, BusError, Reader, StoredRecord};

/// Most bytes that a row unpacks to: what the bus holds of one partition (8 MiB), and its framing.
const ROW_BYTES_MAX: u64 = 16 << 20;

/// Records as a row. JSON of hosts that send the same names packs to a tenth of itself.
pub(super) fn encode(records: &[StoredRecord]) -> Vec<u8> {
    let mut plain = Vec::new();
    for record in records {
        put_varint(&mut plain, record.key.len() as u64);
        put_varint(&mut plain, record.value.len() as u64);
        plain.extend_from_slice(&record.key);
        plain.extend_from_slice(&record.value);
    }
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let _ = packed.write_all(&plain);
    packed.finish().unwrap_or_default()
}

/// The records of a row; fewer when it is not as it was written.
fn decode(first_offset: u64, row: &[u8]) -> Vec<StoredRecord> {
    let mut plain = Vec::new();
    // What was unpacked before an error is still good.
    let _ = DeflateDecoder::new(row).take(ROW_BYTES_MAX).read_to_end(&mut plain);
    let mut source = Source::new(&plain);
    let mut records = Vec::new();
    while source.len() > 0 {
        let (key_len, value_len) = (source.varint() as usize, source.varint() as usize);
        let (key, value) = (source.take(key_len), source.take(value_len));
        if key.len() < key_len || value.len() < value_len {
            break;
        }
        let offset = first_offset + records.len() as u64;
        records.push(StoredRecord { offset, key: key.to_vec(), value: value.to_vec() });
    }
    records
}

/// Reads the log first and the bus, which begins where it ends, after it.
#[derive(Debug)]
pub(super) struct LoggedReader {
    log: Log,
    bus: Box<dyn Reader>,
}

/// What the log holds of a partition.
#[derive(Debug)]
pub(super) struct Log {
    rows: VecDeque<(u64, Vec<u8>)>,
    end: u64,
}

impl Log {
    /// All of it.
    pub(super) fn read(snapshot: &Snapshot, partition: u32, end: u64) -> Result<Self, StoreError> {
        let rows: Result<_, StoreError> = snapshot.log(partition, 0)?.collect();
        Ok(Self { rows: rows?, end })
    }

    /// The log, then the bus.
    pub(super) fn then(self, bus: Box<dyn Reader>) -> LoggedReader {
        LoggedReader { log: self, bus }
    }
}

impl Reader for LoggedReader {
    fn read(&mut self, wait: Duration) -> Result<Batch, BusError> {
        let Some((first, row)) = self.log.rows.pop_front() else { return self.bus.read(wait) };
        let records = decode(first, &row);
        Ok(Batch { records, end_offset: self.log.end, gap: None })
    }

    fn taken(&mut self, offset: u64) {
        if offset >= self.log.end {
            self.bus.taken(offset);
        }
    }

    fn is_awaited(&self) -> bool {
        self.bus.is_awaited()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_gives_back_its_records_and_a_torn_one_what_is_whole() {
        let record = |offset: u64, value: &[u8]| StoredRecord {
            offset,
            key: b"web-1".to_vec(),
            value: value.to_vec(),
        };
        let records: Vec<_> =
            (7..90).map(|at| record(at, format!("{{\"n\":{at}}}").repeat(20).as_bytes())).collect();
        let row = encode(&records);
        assert!(row.len() < 3_000, "{} bytes", row.len());
        assert_eq!(decode(7, &row), records);
        for len in 0..row.len() {
            let whole = decode(7, &row[..len]);
            assert_eq!(whole, records[..whole.len()], "cut at {len}");
        }
        assert_eq!(decode(0, &[]), []);
    }
}
