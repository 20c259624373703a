//! One kernel file, read again and again at the lowest cost.
//!
//! On procfs the file stays open and every reading is a `pread` from 0 into the same buffer: the
//! kernel writes the text anew, and neither the path is walked nor memory asked for. Everywhere
//! else (a fixture tree, lxcfs) each reading opens the file, because there an open file can be one
//! that was replaced or deleted long ago.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::error::CollectError;
use super::text::Text;

/// Longest text a source may have. `/proc/stat` is the longest: 8,192 CPUs (the kernel's own
/// maximum) of 120 bytes and 250,000 interrupts of 2 to 12 bytes are below 4 MiB.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// First size of the buffer: one page, what most of these files need.
const BUFFER_BYTES: usize = 4 << 10;

/// `f_type` of procfs (`linux/magic.h`).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// A file that is read over and over.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    kept_open: Option<OwnedFd>,
    buffer: Vec<u8>,
    lossy: String,
}

impl Source {
    /// Nothing is opened before the first [`read`](Self::read).
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, kept_open: None, buffer: Vec::new(), lossy: String::new() }
    }

    /// The text as it is now. Bytes that are not UTF-8 come as U+FFFD.
    ///
    /// # Errors
    /// `Unsupported`: there is no such file. `NoData`: it is empty. `TooLong`, `Io`: as they say;
    /// the next call opens the file anew.
    pub fn read(&mut self) -> Result<Text<'_>, CollectError> {
        let len = match self.refill() {
            Ok(Some(len)) => len,
            Ok(None) => return Err(CollectError::TooLong { path: self.path.clone() }),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(CollectError::Unsupported { path: self.path.clone() });
            }
            Err(errno) => {
                let source = io::Error::from(errno);
                return Err(CollectError::Io { path: self.path.clone(), source });
            }
        };
        let bytes = &self.buffer[..len];
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(CollectError::NoData { path: self.path.clone() });
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => {
                self.lossy = String::from_utf8_lossy(bytes).into_owned();
                &self.lossy
            }
        };
        Ok(Text::new(&self.path, text))
    }

    /// Fills the buffer from the file; `None` when the text is too long.
    fn refill(&mut self) -> Result<Option<usize>, Errno> {
        if let Some(file) = self.kept_open.take()
            && let Ok(len) = fill(&file, &mut self.buffer)
        {
            self.kept_open = Some(file);
            return Ok(len);
        }
        // Not open, or what was open has gone bad (a mount that went away): from the path.
        let file = open(&self.path)?;
        let len = fill(&file, &mut self.buffer)?;
        if is_procfs(&file) {
            self.kept_open = Some(file);
        }
        Ok(len)
    }
}

/// Opens for reading. Without `NONBLOCK` a FIFO in a strange tree would hold the caller for ever.
fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Reads from 0 to the end; a file of records gives about a page a call, so until it gives none.
fn fill(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Option<usize>, Errno> {
    let mut len = 0;
    loop {
        if len == buffer.len() {
            if len >= FILE_BYTES_MAX {
                // Back to a page: the memory of one absurd reading is not kept.
                *buffer = Vec::new();
                return Ok(None);
            }
            buffer.resize((len * 2).clamp(BUFFER_BYTES, FILE_BYTES_MAX), 0);
        }
        match rustix::io::pread(file, &mut buffer[len..], len as u64) {
            Ok(0) => return Ok(Some(len)),
            Ok(count) => len += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether the kernel writes this file at every reading. Its number fits any `f_type`, whose width
/// differs between architectures.
pub(super) fn is_procfs(file: &OwnedFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|stat| stat.f_type as u64 == PROC_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree::Tree;

    #[test]
    fn follows_a_file_that_changes_vanishes_and_returns() {
        let tree = Tree::new("source");
        tree.write("proc/x", "one\n");
        let mut source = Source::new(tree.path("proc/x"));
        assert_eq!(source.read().unwrap().as_str(), "one\n");
        tree.write("proc/x", &"longer\n".repeat(3_000));
        assert_eq!(source.read().unwrap().as_str().len(), 21_000);
        tree.remove("proc/x");
        assert!(matches!(source.read(), Err(CollectError::Unsupported { .. })));
        tree.write("proc/x", "back\n");
        assert_eq!(source.read().unwrap().as_str(), "back\n");
    }

    #[test]
    fn keeps_a_kernel_file_open_and_reads_it_anew() {
        // The kernel's own file, wherever procfs is: here it is mounted in its usual place.
        let mut source = Source::new(Path::new("/").join("proc").join("uptime"));
        let first = source.read().unwrap().as_str().to_owned();
        assert!(source.kept_open.is_some());
        let changed = (0..1_000_000).any(|_| source.read().unwrap().as_str() != first);
        assert!(changed, "the time stands still");
    }

    #[test]
    fn names_what_cannot_be_read() {
        let tree = Tree::new("source-bad");
        tree.write("proc/empty", " \n");
        tree.write("proc/long", &"x".repeat(FILE_BYTES_MAX + 1));
        let words = |name: &str| Source::new(tree.path(name)).read().unwrap_err().to_string();
        assert!(words("proc/empty").ends_with("empty: nothing in it"));
        assert!(words("proc/long").contains("at most 4194304 bytes"));
        assert!(words("proc").contains("Is a directory"));
        assert!(words("proc/empty/x").contains("not on this kernel"));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let tree = Tree::new("source-bytes");
        tree.write_bytes("proc/x", b"a\xffb\n");
        let mut source = Source::new(tree.path("proc/x"));
        assert_eq!(source.read().unwrap().as_str(), "a\u{fffd}b\n");
        assert_eq!(source.read().unwrap().as_str(), "a\u{fffd}b\n");
    }
}
