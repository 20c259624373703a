//! A file that is looked at without being touched: what redb writes while it opens and repairs
//! stays in memory.
//!
//! redb opens for writing or not at all once a process has been killed, and writes to the file
//! even then. The store must know first whether it may: a newer program's file is left alone, and
//! a check changes nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// Unit in which written bytes are kept; a page of redb.
const BLOCK_BYTES: u64 = 4_096;

/// Reads through to `base` where nothing was written.
#[derive(Debug)]
pub(super) struct Overlay {
    base: Box<dyn StorageBackend>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Bytes of the base behind this are gone: the file was made shorter.
    base_len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    /// # Errors
    /// The base's, asked for its length.
    pub(super) fn new(base: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = base.len()?;
        let written = Written { len, base_len: len, blocks: BTreeMap::new() };
        Ok(Self { base, written: Mutex::new(written) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it stands; zeros behind the end of the base.
    fn block(&self, written: &Written, block: u64) -> io::Result<Vec<u8>> {
        if let Some(bytes) = written.blocks.get(&block) {
            return Ok(bytes.clone());
        }
        let mut bytes = vec![0; to_usize(BLOCK_BYTES)];
        let start = block * BLOCK_BYTES;
        let there = written.base_len.saturating_sub(start).min(BLOCK_BYTES);
        if there > 0 {
            self.base.read(start, &mut bytes[..to_usize(there)])?;
        }
        Ok(bytes)
    }

    /// The parts of `len` bytes from `offset`: block, place in the block, place in the bytes.
    fn parts(
        offset: u64,
        len: usize,
    ) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            (at < len).then(|| {
                let place = offset + at as u64;
                let inside = to_usize(place % BLOCK_BYTES);
                let end = len.min(at + to_usize(BLOCK_BYTES) - inside);
                let part = (place / BLOCK_BYTES, inside, at..end);
                at = end;
                part
            })
        })
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset.saturating_add(out.len() as u64) > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if written.blocks.is_empty() && offset + out.len() as u64 <= written.base_len {
            return self.base.read(offset, out);
        }
        for (block, inside, part) in Self::parts(offset, out.len()) {
            let bytes = self.block(&written, block)?;
            out[part.clone()].copy_from_slice(&bytes[inside..inside + part.len()]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        if len < written.len {
            let mut last = self.block(&written, len / BLOCK_BYTES)?;
            last[to_usize(len % BLOCK_BYTES)..].fill(0);
            written.blocks.split_off(&(len / BLOCK_BYTES));
            written.blocks.insert(len / BLOCK_BYTES, last);
            written.base_len = written.base_len.min(len);
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        for (block, inside, part) in Self::parts(offset, data.len()) {
            let mut bytes = self.block(&written, block)?;
            bytes[inside..inside + part.len()].copy_from_slice(&data[part]);
            written.blocks.insert(block, bytes);
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }
}

/// A place inside one block.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::dice::Dice;
    use redb::backends::InMemoryBackend;

    #[test]
    fn it_reads_like_a_file_that_was_written_to_and_the_base_stays() {
        for seed in 0..200 {
            let mut dice = Dice::new(seed);
            let mut model: Vec<u8> = (0..20_000).map(|_| dice.next() as u8).collect();
            let base = InMemoryBackend::new();
            base.set_len(20_000).unwrap();
            base.write(0, &model).unwrap();
            let overlay = Overlay::new(Box::new(base)).unwrap();
            let before = model.clone();
            for step in 0..60 {
                let at = dice.below(model.len() as u64 + 1) as usize;
                let len = dice.below((model.len() - at) as u64 + 1) as usize;
                match dice.below(5) {
                    0 => {
                        let to = dice.below(40_000) as usize;
                        overlay.set_len(to as u64).unwrap();
                        model.resize(to, 0);
                    }
                    1 | 2 => {
                        let data: Vec<u8> = (0..len).map(|_| dice.next() as u8).collect();
                        overlay.write(at as u64, &data).unwrap();
                        model[at..at + len].copy_from_slice(&data);
                    }
                    _ => {
                        let mut out = vec![0; len];
                        overlay.read(at as u64, &mut out).unwrap();
                        assert!(out == model[at..at + len], "seed {seed}, step {step}");
                    }
                }
                assert_eq!(overlay.len().unwrap(), model.len() as u64, "seed {seed}");
            }
            let end = model.len() as u64;
            assert!(overlay.read(end, &mut [0]).is_err(), "seed {seed}");
            let mut untouched = vec![0; 20_000];
            overlay.base.read(0, &mut untouched).unwrap();
            assert!(untouched == before, "seed {seed}");
        }
    }
}
