//! redb opened the way the store uses it, and every call into it contained.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, WriteTransaction};

use super::counts::StoreCounts;
use super::error::StoreError;
use super::medium::{Failure, Medium, Watched};
use super::migrate;
use super::overlay::Overlay;
use super::tables;
use crate::base::thread;

/// Memory for pages that were read or are to be written. Monitors run on small machines, and the
/// kernel caches the file as well: this holds the branches above 2 GB of segments (50 bytes a
/// leaf of 4,096, in pages that are two thirds full: 1.8 %).
pub(super) const CACHE_BYTES: usize = 32 << 20;

/// For a glance at the format.
const GLANCE_CACHE_BYTES: usize = 1 << 20;

/// Runs what calls redb. redb may panic on a file that was damaged behind its back; that is a
/// damaged file, and not the end of anything.
pub(super) fn guarded<T>(
    doing: &str,
    body: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    thread::contain(doing, body).unwrap_or_else(|| {
        Err(StoreError::corrupt(format!("{doing}: the file makes no sense (redb panicked)")))
    })
}

/// An open database and its first failure.
#[derive(Debug)]
pub(super) struct Engine {
    database: Option<Database>,
    pub(super) failure: Failure,
}

impl Engine {
    /// Opens what is there, or makes a new one where nothing is.
    ///
    /// # Errors
    /// Corrupt when it is no database or a damaged one; the medium's otherwise.
    pub(super) fn open(medium: &dyn Medium, counts: &Arc<StoreCounts>) -> Result<Self, StoreError> {
        const DOING: &str = "opening the history";
        guarded(DOING, || {
            let failure = Failure::default();
            let inner = medium.open().map_err(|error| StoreError::io(DOING, error))?;
            let watched = Watched::new(inner, failure.clone(), counts.clone());
            let database = Database::builder()
                .set_cache_size(CACHE_BYTES)
                .set_repair_callback(|repair| {
                    let percent = repair.progress() * 100.0;
                    log::warn!("the history was not closed; looking it through, {percent:.0} %");
                })
                .create_with_backend(watched)
                .map_err(|error| StoreError::redb(DOING, error))?;
            Ok(Self { database: Some(database), failure })
        })
    }

    /// Opens for a look: nothing that happens to it reaches the medium.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub(super) fn glance(medium: &dyn Medium) -> Result<Self, StoreError> {
        const DOING: &str = "looking at the history";
        guarded(DOING, || {
            let base = medium.open_read_only().map_err(|error| StoreError::io(DOING, error))?;
            let overlay = Overlay::new(base).map_err(|error| StoreError::io(DOING, error))?;
            let counts = Arc::new(StoreCounts::new());
            let failure = Failure::default();
            let database = Database::builder()
                .set_cache_size(GLANCE_CACHE_BYTES)
                .create_with_backend(Watched::new(Box::new(overlay), failure.clone(), counts))
                .map_err(|error| StoreError::redb(DOING, error))?;
            Ok(Self { database: Some(database), failure })
        })
    }

    /// Begins a transaction that reads.
    ///
    /// # Errors
    /// redb's.
    pub(super) fn read(&self) -> Result<redb::ReadTransaction, StoreError> {
        const DOING: &str = "beginning to read the history";
        guarded(DOING, || {
            let database = self.database.as_ref().ok_or(StoreError::Stale)?;
            database.begin_read().map_err(|error| StoreError::redb(DOING, error))
        })
    }

    /// Begins a transaction that writes: durable when its commit returns, and found again
    /// without a walk through the file after a power loss.
    ///
    /// # Errors
    /// redb's.
    pub(super) fn write(&self) -> Result<WriteTransaction, StoreError> {
        const DOING: &str = "beginning to write the history";
        guarded(DOING, || {
            let database = self.database.as_ref().ok_or(StoreError::Stale)?;
            let mut txn = database.begin_write().map_err(|error| StoreError::redb(DOING, error))?;
            txn.set_two_phase_commit(true);
            txn.set_quick_repair(true);
            txn.set_durability(Durability::Immediate)
                .map_err(|error| StoreError::redb(DOING, error))?;
            Ok(txn)
        })
    }

    /// redb's own check of every page; on a glance it changes nothing. `false`: something was
    /// wrong that redb can put right by itself.
    ///
    /// # Errors
    /// Corrupt when it cannot.
    pub(super) fn verify(&mut self) -> Result<bool, StoreError> {
        const DOING: &str = "verifying the history's pages";
        guarded(DOING, || {
            let database = self.database.as_mut().ok_or(StoreError::Stale)?;
            database.check_integrity().map_err(|error| StoreError::redb(DOING, error))
        })
    }

    /// Makes all tables in a file that has none, or brings an older one to this program's format.
    /// Says what was done.
    ///
    /// # Errors
    /// redb's, or a step's; the file is as it was then. Too new, likewise.
    pub(super) fn prepare(
        &self,
        path: &Path,
        steps: &[migrate::Step],
        to: u32,
    ) -> Result<Vec<String>, StoreError> {
        const DOING: &str = "preparing the history's tables";
        let found = self.format()?;
        if found == Some(to) {
            return Ok(Vec::new());
        }
        let txn = self.write()?;
        guarded(DOING, move || {
            let notes = match found {
                None => {
                    tables::create(&txn)?;
                    migrate::put_format(&txn, to)?;
                    Vec::new()
                }
                Some(from) if from < to => migrate::run(&txn, steps, (from, to))?,
                Some(found) => {
                    let path = path.to_owned();
                    return Err(StoreError::TooNew { path, found, known: to });
                }
            };
            txn.commit().map_err(|error| StoreError::redb(DOING, error))?;
            Ok(notes)
        })
    }

    /// The format of the file; `None` when it has no tables yet.
    ///
    /// # Errors
    /// Corrupt when it is some other database; redb's.
    pub(super) fn format(&self) -> Result<Option<u32>, StoreError> {
        let txn = self.read()?;
        guarded("reading the format of the history", || migrate::format(&txn))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let database = self.database.take();
        // Closing writes, and may find damage.
        let _ = thread::contain("closing the history", || drop(database));
    }
}
