//! A copy of the history while the program runs.

use std::fs;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use redb::{Key, TableDefinition, WriteTransaction};

use super::Snapshot;
use super::counts::StoreCounts;
use super::engine::{Engine, guarded};
use super::error::StoreError;
use super::medium::FileMedium;
use super::open::Place;
use super::tables::{self, ACCOUNTS, HOSTS, LOG, META, PARTITIONS, SEGMENTS, SERIES};

/// Bytes of values that one transaction of the copy takes: half of what the cache may hold of
/// pages that are not written yet.
const BATCH_BYTES: usize = super::engine::CACHE_BYTES / 4;

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) struct Progress {
    /// Rows copied; a segment is one or more.
    pub(in crate::analysis) rows: u64,
    /// Of so many.
    pub(in crate::analysis) rows_all: u64,
    /// Bytes copied.
    pub(in crate::analysis) bytes: u64,
}

/// Copies what the snapshot sees into a new file in `dir`, packed: rows in the order of their
/// keys fill every page. `progress` hears of every batch.
///
/// # Errors
/// There is a history already; no room; stale, then another snapshot may be tried. Whatever the
/// error, nothing under the name of a history is left.
pub(in crate::analysis) fn copy_to(
    snapshot: &Snapshot,
    dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Progress, StoreError> {
    let place = Place { dir: dir.to_owned() };
    fs::create_dir_all(dir).map_err(|error| place.io("making the directory", error))?;
    let _lock = super::lock::DirLock::take(dir)?;
    if place.file().exists() {
        return Err(StoreError::Occupied { path: place.file() });
    }
    let new = place.new_file()?;
    let engine = Engine::open(&FileMedium::new(&new), &Arc::new(StoreCounts::new()))?;
    let mut copy = Copy { snapshot, engine, progress, at: rows_all(snapshot)? };
    copy.all().inspect_err(|_| drop(fs::remove_file(&new)))?;
    let at = copy.at;
    // Closing writes its end.
    drop(copy);
    place.put_in_place(&new)?;
    Ok(at)
}

struct Copy<'a> {
    snapshot: &'a Snapshot,
    engine: Engine,
    progress: &'a mut dyn FnMut(Progress),
    at: Progress,
}

impl Copy<'_> {
    fn all(&mut self) -> Result<(), StoreError> {
        let txn = self.engine.write()?;
        guarded(COPYING, move || {
            tables::create(&txn)?;
            txn.commit().map_err(redb)
        })?;
        self.table(HOSTS)?;
        self.table(ACCOUNTS)?;
        self.table(PARTITIONS)?;
        self.table(SERIES)?;
        self.table(LOG)?;
        self.table(SEGMENTS)?;
        // With the format last, a copy that was cut short is no history.
        self.table(META)
    }

    /// Row by row in the order of their keys, a batch a transaction.
    fn table<K: Key + 'static>(
        &mut self,
        definition: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<(), StoreError> {
        let mut behind: Option<Vec<u8>> = None;
        loop {
            let txn = self.engine.write()?;
            let (snapshot, at) = (self.snapshot, &mut self.at);
            let next = guarded(COPYING, move || {
                let next = batch(snapshot, definition, behind.as_deref(), &txn, at)?;
                txn.commit().map_err(redb)?;
                Ok(next)
            })
            .map_err(|error| match (error, self.engine.failure.get()) {
                (StoreError::Stale, Some(first)) => StoreError::io(COPYING, first),
                (error, _) => error,
            })?;
            (self.progress)(self.at);
            if next.is_none() {
                return Ok(());
            }
            behind = next;
        }
    }
}

/// Copies until a batch is full, and returns its last key then.
fn batch<K: Key + 'static>(
    snapshot: &Snapshot,
    definition: TableDefinition<'static, K, &'static [u8]>,
    behind: Option<&[u8]>,
    txn: &WriteTransaction,
    at: &mut Progress,
) -> Result<Option<Vec<u8>>, StoreError> {
    let from = snapshot.txn().open_table(definition).map_err(redb)?;
    let mut to = txn.open_table(definition).map_err(redb)?;
    let start = behind.map_or(Bound::Unbounded, |key| Bound::Excluded(K::from_bytes(key)));
    let mut bytes = 0;
    for row in from.range::<K::SelfType<'_>>((start, Bound::Unbounded)).map_err(redb)? {
        let (key, value) = row.map_err(redb)?;
        to.insert(key.value(), value.value()).map_err(redb)?;
        bytes += value.value().len();
        at.rows += 1;
        at.bytes += value.value().len() as u64;
        if bytes >= BATCH_BYTES {
            return Ok(Some(K::as_bytes(&key.value()).as_ref().to_vec()));
        }
    }
    Ok(None)
}

/// Nothing copied of everything.
fn rows_all(snapshot: &Snapshot) -> Result<Progress, StoreError> {
    let rows_all = snapshot.rows_of(HOSTS)?
        + snapshot.rows_of(ACCOUNTS)?
        + snapshot.rows_of(PARTITIONS)?
        + snapshot.rows_of(SERIES)?
        + snapshot.rows_of(LOG)?
        + snapshot.rows_of(SEGMENTS)?
        + snapshot.rows_of(META)?;
    Ok(Progress { rows: 0, rows_all, bytes: 0 })
}

const COPYING: &str = "copying the history";

fn redb(error: impl Into<redb::Error>) -> StoreError {
    StoreError::redb(COPYING, error)
}
