//! The tables of the history: bytes in, bytes out, all or nothing, found again after any crash.
//! The only place that knows redb; it knows nothing of frames.
//!
//! ```text
//! Store --write()-> Commit --commit()-> one transaction on the disk
//!       --snapshot()-> Snapshot: everything as it was at one commit
//! ```
//!
//! - [`open`]: the directory, one process at a time ([`lock`]), damaged files set aside
//! - [`migrate`]: from an older program's format to this one's
//! - [`commit`], [`snapshot`]: writing and reading; [`commit_segments`], [`handle`]: segments;
//!   [`log_parts`]: the log of a bus that keeps nothing
//! - [`tables`], [`rows`], [`totals`]: what is kept
//! - [`pieces`]: segments cut so that the pages of the file are full
//! - [`backup`]: a copy while the program runs; [`mod@check`]: everything looked at once
//! - [`engine`]: redb as it is used here; [`medium`]: the bytes below it; [`overlay`]: a file
//!   looked at without touching it
//!
//! In: rows and segments. Lost in a crash or a power loss: what was not committed. When the disk
//! fails or is full redb refuses everything until its file is opened anew; the store does that by
//! itself before it writes or reads again, so room that comes back is enough.

mod backup;
mod check;
mod commit;
mod commit_segments;
mod counts;
mod engine;
mod error;
mod handle;
mod lock;
mod log_parts;
mod medium;
mod migrate;
mod open;
mod overlay;
mod pieces;
mod rows;
mod snapshot;
mod tables;
mod totals;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

pub(in crate::analysis) use backup::{Progress, copy_to};
pub(in crate::analysis) use check::check;
pub(in crate::analysis) use commit::Commit;
pub(in crate::analysis) use counts::StoreCounts;
pub(in crate::analysis) use error::StoreError;
pub(in crate::analysis) use handle::SegmentHandle;
pub(in crate::analysis) use rows::{HostRow, PartitionRow};
pub(in crate::analysis) use snapshot::{Snapshot, Usage};
pub(in crate::analysis) use tables::{DESCRIPTION, HostId, SegmentKey};

use engine::Engine;
use lock::DirLock;
use medium::{FileMedium, Medium};
use open::Place;

/// After the disk was full, room at which another try is likely to succeed: a commit of 800 hosts
/// (a chunk of each, 15 KB) and what redb writes beside it.
const ROOM_BYTES_MIN: u64 = 16 << 20;

/// An open history.
#[derive(Debug)]
pub(in crate::analysis) struct Store {
    medium: Arc<dyn Medium>,
    running: RwLock<Option<Engine>>,
    writer: Mutex<Writer>,
    counts: Arc<StoreCounts>,
    /// In a test's medium there is no directory.
    place: Option<Place>,
    _lock: Option<DirLock>,
}

/// What the one who writes must know.
#[derive(Debug, Default)]
struct Writer {
    /// Something was refused: the file must be opened anew.
    broken: bool,
    /// The last try found no room.
    full: bool,
}

/// A history that was opened, and what there is to say about it.
#[derive(Debug)]
pub(in crate::analysis) struct Opened {
    pub(in crate::analysis) store: Store,
    /// Sentences for the log and the page: what was set aside, what was migrated.
    pub(in crate::analysis) notes: Vec<String>,
}

impl Store {
    /// Opens the history in a directory, or makes one. A damaged file is set aside and a new one
    /// begun; `now_ms` (Unix) names it.
    ///
    /// # Errors
    /// In use by another process; written by a newer program, and then nothing is changed; no
    /// room; the system's.
    pub(in crate::analysis) fn open(dir: &Path, now_ms: u64) -> Result<Opened, StoreError> {
        let place = Place { dir: dir.to_owned() };
        fs::create_dir_all(dir).map_err(|error| place.io("making the directory", error))?;
        let lock = DirLock::take(dir)?;
        let counts = Arc::new(StoreCounts::new());
        let (engine, notes) = place.open(now_ms, &counts)?;
        let medium = Arc::new(FileMedium::new(&place.file()));
        let mut store = Self::new(medium, engine, counts);
        store.place = Some(place);
        store._lock = Some(lock);
        Ok(Opened { store, notes })
    }

    /// Opens the history that is in a directory.
    ///
    /// # Errors
    /// There is none; otherwise as [`Store::open`].
    pub(in crate::analysis) fn open_existing(dir: &Path, now_ms: u64) -> Result<Store, StoreError> {
        let file = Place { dir: dir.to_owned() }.file();
        let missing = |error| StoreError::io(format!("opening '{}'", file.display()), error);
        fs::metadata(&file).map_err(missing)?;
        Self::open(dir, now_ms).map(|opened| opened.store)
    }

    fn new(medium: Arc<dyn Medium>, engine: Engine, counts: Arc<StoreCounts>) -> Self {
        Self {
            medium,
            running: RwLock::new(Some(engine)),
            writer: Mutex::new(Writer::default()),
            counts,
            place: None,
            _lock: None,
        }
    }

    /// Everything as it is at the last commit.
    ///
    /// # Errors
    /// The disk's; stale when the file is about to be opened anew and another thread writes.
    pub(in crate::analysis) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        if self.failure().is_some() || self.is_closed() {
            match self.writer.try_lock() {
                Ok(mut writer) => self.reopen(&mut writer)?,
                Err(TryLockError::Poisoned(writer)) => self.reopen(&mut writer.into_inner())?,
                // Whoever writes has the file opened anew if it must be; what is in memory
                // answers until then.
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let txn = running.as_ref().ok_or(StoreError::Stale)?.read()?;
        Snapshot::new(txn, self.medium.clone())
    }

    /// Begins a transaction that writes, when the one before has ended.
    ///
    /// # Errors
    /// No room; the disk's.
    pub(in crate::analysis) fn write(&self) -> Result<Commit<'_>, StoreError> {
        let mut writer = self.lock_writer();
        if writer.broken || self.failure().is_some() || self.is_closed() {
            self.reopen(&mut writer)?;
        }
        let begun = {
            let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
            running.as_ref().ok_or(StoreError::Stale).and_then(Engine::write)
        };
        match begun {
            Ok(txn) => Ok(Commit::new(self, writer, txn)),
            Err(error) => {
                writer.broken = true;
                writer.full |= error.is_full();
                Err(error)
            }
        }
    }

    /// Whether a commit is likely to find room: `false` after one that did not, for as long as
    /// the disk says that it is full. Each try in vain makes snapshots stale, so wait with those
    /// that can wait; but try once a minute all the same, for room inside the file shows in no
    /// other way.
    #[must_use]
    pub(in crate::analysis) fn expects_room(&self) -> bool {
        // Whoever cannot ask tries.
        !self.lock_writer().full
            || self.medium.free_bytes().map_or(true, |free| free >= ROOM_BYTES_MIN)
    }

    /// Sets the file aside, as [`Store::open`] would, and begins a new one; for a history in
    /// which commits fail because it is damaged. Says what was done. Snapshots become stale.
    ///
    /// # Errors
    /// No room; the system's.
    pub(in crate::analysis) fn start_anew(
        &self,
        why: &str,
        now_ms: u64,
    ) -> Result<Vec<String>, StoreError> {
        let Some(place) = &self.place else { return Err(StoreError::Aborted) };
        let mut writer = self.lock_writer();
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        drop(running.take());
        let mut notes = Vec::new();
        if place.file().exists() {
            place.set_aside(why, now_ms, &mut notes)?;
        }
        let (engine, said) = place.open(now_ms, &self.counts)?;
        *running = Some(engine);
        *writer = Writer::default();
        notes.extend(said);
        Ok(notes)
    }

    /// What the store counts of itself.
    #[must_use]
    pub(in crate::analysis) fn counts(&self) -> &StoreCounts {
        &self.counts
    }

    /// Opens the file anew: redb refuses everything after a failure. Snapshots become stale.
    fn reopen(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        drop(running.take());
        let opened = Engine::open(self.medium.as_ref(), &self.counts);
        writer.broken = opened.is_err();
        *running = Some(opened.inspect_err(|error| writer.full |= error.is_full())?);
        self.counts.reopened.increment();
        Ok(())
    }

    /// The first failure since the file was opened.
    fn failure(&self) -> Option<std::io::Error> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.as_ref()?.failure.get()
    }

    fn is_closed(&self) -> bool {
        self.running.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
