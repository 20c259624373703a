//! Reads the records of one segment file, one after another, a block at a time.

use std::io;

use super::disk::Disk;
use super::record::{Body, Front, RECORD_HEAD_LEN, decode_body, front};

/// Bytes read at a time: a hundred frames of an ordinary host.
const BLOCK_BYTES: usize = 16 * 1024;

/// A place in a file.
#[derive(Debug)]
pub(super) struct Records {
    number: u64,
    /// Where in the file the next record begins.
    at: u64,
    /// Bytes of the file; those from `start` on were not taken yet and begin at `at`.
    block: Vec<u8>,
    start: usize,
}

/// What the next record is.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// It, and where it began.
    Record(Body<'a>, u64),
    /// There is none.
    End,
    /// What is there was not written by this program, or only in part, or was damaged since.
    Bad,
}

impl Records {
    /// From `at` on, where a record begins.
    pub(super) fn new(number: u64, at: u64) -> Self {
        Self { number, at, block: Vec::new(), start: 0 }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Where the next record begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next record that ends at or before `end`.
    ///
    /// # Errors
    /// The file system's; the same record is tried again the next time.
    pub(super) fn next(&mut self, disk: &mut dyn Disk, end: u64) -> io::Result<Next<'_>> {
        let body = loop {
            match front(&self.block[self.start..]) {
                _ if self.at >= end => return Ok(Next::End),
                Front::Whole(body) => break body,
                Front::Bad => return Ok(Next::Bad),
                Front::Part(bytes) => {
                    if self.at + bytes as u64 > end || !self.fill(disk, bytes)? {
                        return Ok(Next::Bad);
                    }
                }
            }
        };
        let (at, start) = (self.at, self.start);
        let len = RECORD_HEAD_LEN + body;
        if at + len as u64 > end {
            return Ok(Next::Bad);
        }
        self.at += len as u64;
        self.start += len;
        let body = decode_body(&self.block[start + RECORD_HEAD_LEN..start + len]);
        Ok(body.map_or(Next::Bad, |body| Next::Record(body, at)))
    }

    /// Reads until there are `bytes`; false when the file has no more.
    fn fill(&mut self, disk: &mut dyn Disk, bytes: usize) -> io::Result<bool> {
        self.block.drain(..self.start);
        self.start = 0;
        let wanted = bytes.max(BLOCK_BYTES);
        while self.block.len() < bytes {
            let known = self.block.len();
            self.block.resize(wanted, 0);
            let read = disk.read(self.number, self.at + known as u64, &mut self.block[known..]);
            self.block.truncate(known + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
