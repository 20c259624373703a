//! Large documents in small blocks.
//!
//! A vector of 8 MiB that is freed teaches glibc's allocator to keep such sizes (its mmap
//! threshold follows them, up to 32 MiB), in each of its arenas: after a burst of large answers
//! the process would stay at 150 MiB for good. Blocks below the threshold go back.

use std::io::{self, Read, Write};

/// Half of glibc's first mmap threshold (mallopt(3)).
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes that are written once and then read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// Part of the program itself; when there is one, there are no blocks.
    embedded: &'static [u8],
    blocks: Vec<Vec<u8>>,
}

impl Body {
    /// A file of the program.
    pub(crate) fn embedded(bytes: &'static [u8]) -> Self {
        Self { embedded: bytes, blocks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.embedded.len() + self.blocks.iter().map(Vec::len).sum::<usize>()
    }

    /// The bytes in order, in pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.embedded).chain(self.blocks.iter().map(Vec::as_slice))
    }

    /// The pieces to keep.
    pub(crate) fn into_blocks(self) -> Vec<Vec<u8>> {
        let mut blocks = self.blocks;
        if !self.embedded.is_empty() {
            blocks.insert(0, self.embedded.to_vec());
        }
        blocks
    }

    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let is_full = |block: &Vec<u8>| block.len() == BLOCK_BYTES;
            if self.blocks.last().is_none_or(is_full) {
                // The first grows with what is written: most answers are small.
                let capacity = if self.blocks.is_empty() { 0 } else { BLOCK_BYTES };
                self.blocks.push(Vec::with_capacity(capacity));
            }
            let Some(block) = self.blocks.last_mut() else { return };
            let fits = bytes.len().min(BLOCK_BYTES - block.len());
            block.extend_from_slice(&bytes[..fits]);
            bytes = &bytes[fits..];
        }
    }

    /// From the first byte on.
    pub(crate) fn reader(self) -> Reader {
        Reader { body: self, block: 0, at: 0 }
    }

    /// In one piece, for tests.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        let mut body = Self::default();
        if bytes.len() <= BLOCK_BYTES {
            body.blocks.push(bytes);
        } else {
            body.append(&bytes);
        }
        body
    }
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a body.
#[derive(Debug)]
pub(crate) struct Reader {
    body: Body,
    /// The piece being read.
    block: usize,
    /// How much of it was read.
    at: usize,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.body.pieces().nth(self.block) {
            let left = &piece[self.at..];
            if left.is_empty() {
                (self.block, self.at) = (self.block + 1, 0);
                continue;
            }
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            self.at += count;
            return Ok(count);
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_any_pieces_is_read_in_order() {
        let whole: Vec<u8> = (0..400_000_u32).map(|n| (n % 251) as u8).collect();
        for step in [1, 777, BLOCK_BYTES, BLOCK_BYTES + 1, whole.len()] {
            let mut body = Body::default();
            for piece in whole.chunks(step) {
                body.write_all(piece).unwrap();
            }
            assert_eq!((body.len(), &body.to_vec()), (whole.len(), &whole));
            assert!(body.pieces().all(|piece| piece.len() <= BLOCK_BYTES));
            let mut read = Vec::new();
            body.reader().read_to_end(&mut read).unwrap();
            assert_eq!(read, whole, "in pieces of {step}");
        }
        assert_eq!(Body::from(whole.clone()).to_vec(), whole);
        let embedded = Body::embedded(b"file");
        assert_eq!((embedded.len(), embedded.into_blocks()), (4, vec![b"file".to_vec()]));
    }
}
