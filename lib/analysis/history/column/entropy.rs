//! Narrow unsigned integers through pco; nothing else knows it.
//!
//! Of pco's format only the wrapped chunk of one page is used, always classic and without a delta
//! of its own, because [`integers`](mod@super::integers) has done that. Such a chunk begins with a
//! zero byte (mode and delta, four bits each); it is left out and put back before reading, so that
//! pco cannot be talked into a mode that takes memory for what is not there.

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DecompressorScratch, DeltaSpec, ModeSpec};

use super::Corrupt;

/// Beyond eight pco gains nothing on such columns.
const LEVEL: usize = 8;

/// How many bytes [`version`] has.
pub(in crate::analysis) const VERSION_LEN: usize = 2;

/// Mode and delta of every chunk.
const CLASSIC_NO_DELTA: u8 = 0;

/// An unsigned integer that pco takes.
pub(super) trait Narrow: Number + Default + Into<u64> {
    /// Cuts off what the caller knows to be zero.
    fn narrow(value: u64) -> Self;
}

macro_rules! narrow {
    ($($type:ty),*) => {
        $(impl Narrow for $type {
            fn narrow(value: u64) -> Self {
                value as Self
            }
        })*
    };
}

narrow!(u8, u16, u32, u64);

/// Which format of pco [`put_integers`](super::put_integers) writes; to be kept with the columns.
pub(in crate::analysis) fn version() -> [u8; VERSION_LEN] {
    let mut bytes = [0; VERSION_LEN];
    let _ = FileCompressor::default().write_header(&mut bytes[..]);
    bytes
}

/// Appends a chunk; false, and nothing appended, when pco cannot or would not as it was told.
pub(super) fn put<T: Narrow>(out: &mut Vec<u8>, values: &[T]) -> bool {
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(DeltaSpec::NoOp)
        .with_enable_8_bit(true);
    let mut chunk = Vec::new();
    let written =
        FileCompressor::default().chunk_compressor(values, &config).and_then(|mut pco| {
            pco.write_meta(&mut chunk)?;
            pco.write_page(0, &mut chunk).map(drop)
        });
    match chunk.split_first() {
        Some((&CLASSIC_NO_DELTA, rest)) if written.is_ok() => {
            out.extend_from_slice(rest);
            true
        }
        _ => false,
    }
}

/// Reads chunks of one version; what it needs for that is used again from column to column.
pub(in crate::analysis) struct Unpacker {
    pco: FileDecompressor,
    scratch: DecompressorScratch,
    chunk: Vec<u8>,
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").field("version", self.pco.format_version()).finish()
    }
}

impl Unpacker {
    /// For columns that were written with this [`version`].
    ///
    /// # Errors
    /// When this program is too old for it.
    pub(in crate::analysis) fn new(version: [u8; VERSION_LEN]) -> Result<Self, Corrupt> {
        match FileDecompressor::new(&version[..]) {
            Ok((pco, [])) => {
                Ok(Self { pco, scratch: DecompressorScratch::default(), chunk: Vec::new() })
            }
            _ => Err(Corrupt("its columns are of a version of pco that this program cannot read")),
        }
    }

    /// Reads `count` integers from exactly these bytes.
    pub(super) fn read<T: Narrow>(
        &mut self,
        bytes: &[u8],
        count: usize,
    ) -> Result<impl Iterator<Item = u64>, Corrupt> {
        self.chunk.clear();
        self.chunk.push(CLASSIC_NO_DELTA);
        self.chunk.extend_from_slice(bytes);
        let mut values = vec![T::default(); count];
        let mut read = || {
            let (chunk, rest) = self.pco.chunk_decompressor::<T, _>(&self.chunk[..])?;
            let mut page = chunk.page_decompressor_with_scratch(rest, count, &mut self.scratch)?;
            let progress = page.read(&mut values)?;
            pco::errors::PcoResult::Ok(
                progress.n_processed == count && progress.finished && page.into_src().is_empty(),
            )
        };
        match read() {
            Ok(true) => Ok(values.into_iter().map(Into::into)),
            _ => Err(Corrupt("a column is no chunk of pco of as many values")),
        }
    }
}
