//! The directory: whose it is, what is in it, and what becomes of a file that cannot be read.
//!
//! | file | what it is |
//! |---|---|
//! | `history.redb` | the history |
//! | `history.redb.new` | one that is being made; whoever finds it removes it |
//! | `history.redb.corrupt-<Unix ms>` | one that could not be read, set aside for people |
//! | `lock` | whose the directory is |

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::counts::StoreCounts;
use super::engine::Engine;
use super::error::StoreError;
use super::medium::FileMedium;
use super::migrate::{self, Step};
use super::tables::FORMAT;

/// The history.
pub(super) const FILE: &str = "history.redb";
const NEW_SUFFIX: &str = ".new";
const CORRUPT_SUFFIX: &str = ".corrupt-";

/// Files set aside that are kept. Each may be as large as `--history-max`: enough to look at what
/// happened, and an end to it when it happens every night.
const CORRUPT_MAX: usize = 3;

/// A directory with a history or the place for one.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
}

impl Place {
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Opens the history, makes one where there is none, and sets one aside that cannot be read.
    /// The caller has the lock.
    ///
    /// # Errors
    /// Too new, and then nothing is changed; no room; the system's.
    pub(super) fn open(
        &self,
        now_ms: u64,
        counts: &Arc<StoreCounts>,
    ) -> Result<(Engine, Vec<String>), StoreError> {
        self.open_as(now_ms, counts, (migrate::STEPS, FORMAT))
    }

    /// As [`Place::open`], with the formats that are known.
    pub(super) fn open_as(
        &self,
        now_ms: u64,
        counts: &Arc<StoreCounts>,
        (steps, known): (&[Step], u32),
    ) -> Result<(Engine, Vec<String>), StoreError> {
        let mut notes = Vec::new();
        match self.open_existing(counts, (steps, known)) {
            Ok(Some((engine, said))) => return Ok((engine, said)),
            Ok(None) => {}
            Err(StoreError::Corrupt { what }) => self.set_aside(&what, now_ms, &mut notes)?,
            Err(error) => return Err(error),
        }
        self.create(counts, (steps, known))?;
        let engine = Engine::open(&FileMedium::new(&self.file()), counts)?;
        Ok((engine, notes))
    }

    /// `None` when there is no file, or one without a byte: a power loss long ago may leave the
    /// name of a file whose content never came.
    fn open_existing(
        &self,
        counts: &Arc<StoreCounts>,
        (steps, known): (&[Step], u32),
    ) -> Result<Option<(Engine, Vec<String>)>, StoreError> {
        let path = self.file();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() == 0 => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("reading", error)),
        }
        let medium = FileMedium::new(&path);
        match Engine::glance(&medium)?.format()? {
            Some(found) if found > known => {
                return Err(StoreError::TooNew { path, found, known });
            }
            // Only a file that was never finished has no tables, and those are never renamed.
            None => return Err(StoreError::corrupt("the file has no tables")),
            Some(_) => {}
        }
        let engine = Engine::open(&medium, counts)?;
        // A step that fails says something of this program, not of the file: that one stays.
        let notes = engine.prepare(&path, steps, known).map_err(|error| match error {
            StoreError::Corrupt { what } => self.io(
                "bringing the history to this program's format; the older program still reads it",
                io::Error::other(what),
            ),
            error => error,
        })?;
        Ok(Some((engine, notes)))
    }

    /// Makes a history beside its place and moves it there when it is whole, so that a power
    /// loss leaves a whole one or none.
    fn create(
        &self,
        counts: &Arc<StoreCounts>,
        (steps, known): (&[Step], u32),
    ) -> Result<(), StoreError> {
        let new = self.new_file()?;
        let engine = Engine::open(&FileMedium::new(&new), counts)?;
        engine.prepare(&new, steps, known)?;
        drop(engine);
        self.put_in_place(&new)
    }

    /// Where a history is made; what a power loss has left there is removed.
    pub(super) fn new_file(&self) -> Result<PathBuf, StoreError> {
        let new = self.dir.join(format!("{FILE}{NEW_SUFFIX}"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.io("removing what was left of a new file", error))
            }
            _ => Ok(new),
        }
    }

    /// Gives a finished file its name, and makes that durable.
    pub(super) fn put_in_place(&self, new: &Path) -> Result<(), StoreError> {
        fs::rename(new, self.file())
            .and_then(|()| self.sync())
            .map_err(|error| self.io("making a new file", error))
    }

    /// Moves the file out of the way, removes the oldest of those that were moved before, and
    /// says both.
    pub(super) fn set_aside(
        &self,
        why: &str,
        now_ms: u64,
        notes: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let name = |ms: u64| self.dir.join(format!("{FILE}{CORRUPT_SUFFIX}{ms}"));
        let aside = (now_ms..).map(name).find(|path| !path.exists());
        let aside = aside.unwrap_or_else(|| name(now_ms));
        fs::rename(self.file(), &aside)
            .and_then(|()| self.sync())
            .map_err(|error| self.io("setting aside a damaged file", error))?;
        notes.push(format!(
            "the history in '{}' could not be read ({why}); it was set aside as '{}' and a new \
             one begun: what the topic still holds is read again",
            self.dir.display(),
            aside.display()
        ));
        for (path, _) in self.set_aside_before()?.iter().rev().skip(CORRUPT_MAX) {
            match fs::remove_file(path) {
                Ok(()) => notes.push(format!(
                    "'{}' was removed: {CORRUPT_MAX} damaged files are kept",
                    path.display()
                )),
                Err(error) => notes.push(format!("'{}' stays: {error}", path.display())),
            }
        }
        Ok(())
    }

    /// Files set aside, the oldest first.
    fn set_aside_before(&self) -> Result<Vec<(PathBuf, u64)>, StoreError> {
        let mut found = Vec::new();
        let entries = fs::read_dir(&self.dir).map_err(|error| self.io("listing", error))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.io("listing", error))?;
            let name = entry.file_name();
            let ms = name
                .to_str()
                .and_then(|name| name.strip_prefix(FILE)?.strip_prefix(CORRUPT_SUFFIX));
            if let Some(ms) = ms.and_then(|ms| ms.parse().ok()) {
                found.push((entry.path(), ms));
            }
        }
        found.sort_by_key(|(_, ms)| *ms);
        Ok(found)
    }

    /// Makes names in the directory durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    pub(super) fn io(&self, doing: &str, error: io::Error) -> StoreError {
        StoreError::io(format!("{doing} in '{}'", self.dir.display()), error)
    }
}
