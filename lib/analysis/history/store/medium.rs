//! Where the bytes of the file lie, and what is counted of them on the way.
//!
//! In the program that is a file ([`FileMedium`]); tests put disks there that lose their power or
//! are full. redb refuses everything after the first failure, so the failure is kept here for
//! words, and so that the store knows that the file must be opened anew.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::counts::StoreCounts;

/// Unit of `st_blocks`, whatever the file system's own is (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// Something that can be opened as the bytes of a database, again and again.
pub(super) trait Medium: fmt::Debug + Send + Sync {
    /// The bytes, to read and write; made empty when there are none.
    ///
    /// # Errors
    /// The system's.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// The bytes, to read only.
    ///
    /// # Errors
    /// The system's.
    fn open_read_only(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// What it takes on the disk, bytes.
    ///
    /// # Errors
    /// The system's.
    fn disk_bytes(&self) -> io::Result<u64>;

    /// What the disk has left, bytes.
    ///
    /// # Errors
    /// The system's.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// A file.
#[derive(Debug)]
pub(super) struct FileMedium {
    path: PathBuf,
}

impl FileMedium {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Medium for FileMedium {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        backend(&options, &self.path)
    }

    fn open_read_only(&self) -> io::Result<Box<dyn StorageBackend>> {
        backend(OpenOptions::new().read(true), &self.path)
    }

    fn disk_bytes(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.path)?.blocks() * BLOCK_BYTES)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn backend(options: &OpenOptions, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
    let backend = FileBackend::new(options.open(path)?).map_err(io::Error::other)?;
    Ok(Box::new(backend))
}

/// The first failure of a medium since it was opened.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<(io::ErrorKind, String)>>>);

impl Failure {
    /// What it was, when there was one.
    pub(super) fn get(&self) -> Option<io::Error> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.as_ref().map(|(kind, words)| io::Error::new(*kind, words.clone()))
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| (error.kind(), error.to_string()));
        }
        result
    }
}

/// Counts what passes and keeps the first failure.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Box<dyn StorageBackend>,
    failure: Failure,
    counts: Arc<StoreCounts>,
}

impl Watched {
    pub(super) fn new(
        inner: Box<dyn StorageBackend>,
        failure: Failure,
        counts: Arc<StoreCounts>,
    ) -> Self {
        Self { inner, failure, counts }
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.failure.note(self.inner.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.counts.read_bytes.add(out.len() as u64);
        self.failure.note(self.inner.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.failure.note(self.inner.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counts.syncs.increment();
        self.failure.note(self.inner.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counts.written_bytes.add(data.len() as u64);
        self.failure.note(self.inner.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
