//! The seam to the file system: numbered segment files in one directory of one process.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::metric::SessionId;

/// Makes something survive the loss of power; for another thread than the one that writes.
pub(super) type Task = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// What the spool needs of a directory. A test has one that forgets, fills up and fails.
pub(super) trait Disk: fmt::Debug + Send {
    /// The files there are, in any order.
    fn numbers(&mut self) -> io::Result<Vec<u64>>;

    /// Makes a file that is not there yet.
    fn create(&mut self, number: u64) -> io::Result<()>;

    /// Appends everything with one write, or fails; then any part of it may be there.
    fn append(&mut self, number: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads at most what fits, from `offset` on; 0 at the end.
    fn read(&mut self, number: u64, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Cuts a file to this length.
    fn cut(&mut self, number: u64, len: u64) -> io::Result<()>;

    /// Makes what is in the file now survive the loss of power; a file that is removed meanwhile
    /// needs none of it.
    fn sync(&mut self, number: u64) -> Task;

    /// Makes the files that are made and removed by now survive it as such.
    fn sync_names(&mut self) -> Task;

    /// Removes a file.
    fn remove(&mut self, number: u64) -> io::Result<()>;

    /// The sessions that have a mark, and what it says now: one that held until the machine
    /// started anew says [`Whole::Unknown`] after that.
    fn marks(&mut self) -> io::Result<Vec<(SessionId, Whole)>>;

    /// Sets a session's mark, or takes it away, which works also where there is no room. When it
    /// fails, the mark is what it was.
    fn mark(&mut self, session: SessionId, whole: Whole) -> io::Result<()>;
}

/// Whether every frame of a session is in its files, or settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// There may be more.
    Unknown,
    /// Yes, until the machine starts anew: what was not synced may be lost then.
    ThisBoot,
    /// Yes, and all of it is synced.
    Always,
}

/// Why a directory cannot be used.
#[derive(Debug)]
pub(in crate::client) enum SpoolError {
    /// Another process has it.
    Locked(PathBuf),
    /// An operator has to act.
    Unusable(PathBuf, io::Error),
    /// The disk is full, read-only or broken now; that may pass.
    Failing(PathBuf, io::Error),
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(dir) => write!(
                f,
                "the spool {} is in use by another process: each client needs a --spool of its own",
                dir.display()
            ),
            Self::Unusable(dir, error) => write!(
                f,
                "cannot use the spool {}: {error}; expected a directory that this user may write",
                dir.display()
            ),
            Self::Failing(dir, error) => write!(f, "the spool {}: {error}", dir.display()),
        }
    }
}

impl std::error::Error for SpoolError {}

impl SpoolError {
    fn of(dir: &Path, error: io::Error) -> Self {
        let dir = dir.to_owned();
        match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput => Self::Unusable(dir, error),
            _ => Self::Failing(dir, error),
        }
    }
}

/// Files `0000000001.segment`, ..., marks `SESSION.whole`, `mark.new`, and `lock`, which is locked.
/// In a mark stands the boot id during which it holds, or [`ALWAYS`]: what else it may hold after
/// power was lost says nothing.
#[derive(Debug)]
pub(super) struct FileDisk {
    dir: PathBuf,
    /// The kernel's, which is another one each time the machine starts; empty when unknown.
    boot_id: String,
    _lock: File,
    /// The file written last, and the one read last.
    written: Option<(u64, File)>,
    read: Option<(u64, File)>,
}

const ENDING: &str = ".segment";
const WHOLE_ENDING: &str = ".whole";

/// A mark while it is written.
const NEW_MARK: &str = "mark.new";

/// In the mark of a session of which everything is synced; no boot id.
const ALWAYS: &str = "synced";

impl FileDisk {
    /// Makes the directory, for this user alone, if it is not there, and locks it.
    pub(super) fn open(dir: &Path, boot_id: &str) -> Result<Self, SpoolError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| SpoolError::of(dir, error))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(dir.join("lock")).map_err(|error| SpoolError::of(dir, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                boot_id: boot_id.to_owned(),
                _lock: lock,
                written: None,
                read: None,
            }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(SpoolError::of(dir, error)),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:010}{ENDING}"))
    }

    /// What the names with an ending stand for.
    fn names<T>(&self, ending: &str, parse: impl Fn(&str) -> Option<T>) -> io::Result<Vec<T>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(ending));
            found.extend(name.and_then(&parse));
        }
        Ok(found)
    }

    fn mark_path(&self, session: SessionId) -> PathBuf {
        self.dir.join(format!("{session}{WHOLE_ENDING}"))
    }

    /// A mark that cannot be read says nothing.
    fn read_mark(&self, session: SessionId) -> Whole {
        let words = fs::read(self.mark_path(session)).unwrap_or_default();
        if words == ALWAYS.as_bytes() {
            Whole::Always
        } else if !words.is_empty() && words == self.boot_id.as_bytes() {
            Whole::ThisBoot
        } else {
            Whole::Unknown
        }
    }

    fn writable(&mut self, number: u64) -> io::Result<&mut File> {
        if self.written.as_ref().is_none_or(|(open, _)| *open != number) {
            let file = OpenOptions::new().append(true).open(self.path(number))?;
            self.written = Some((number, file));
        }
        let (_, file) = self.written.as_mut().ok_or(ErrorKind::NotFound)?;
        Ok(file)
    }
}

impl Disk for FileDisk {
    fn numbers(&mut self) -> io::Result<Vec<u64>> {
        self.names(ENDING, |name| name.parse().ok())
    }

    fn create(&mut self, number: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(0o600).open(self.path(number))?;
        self.written = Some((number, file));
        Ok(())
    }

    fn append(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        self.writable(number)?.write_all(bytes)
    }

    fn read(&mut self, number: u64, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.as_ref().is_none_or(|(open, _)| *open != number) {
            self.read = Some((number, File::open(self.path(number))?));
        }
        let (_, file) = self.read.as_ref().ok_or(ErrorKind::NotFound)?;
        loop {
            match file.read_at(buffer, offset) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn cut(&mut self, number: u64, len: u64) -> io::Result<()> {
        self.writable(number)?.set_len(len)
    }

    fn sync(&mut self, number: u64) -> Task {
        // What is open hears of every failure since it was opened. No other file is opened here:
        // the disk that is waited for may be asked for it.
        let open = self.written.as_ref().filter(|(open, _)| *open == number);
        let open = open.and_then(|(_, file)| file.try_clone().ok());
        let path = self.path(number);
        Box::new(move || {
            let opened = open.map_or_else(|| OpenOptions::new().append(true).open(path), Ok);
            match opened {
                Ok(file) => file.sync_data(),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn sync_names(&mut self) -> Task {
        let dir = self.dir.clone();
        Box::new(move || File::open(dir)?.sync_all())
    }

    fn remove(&mut self, number: u64) -> io::Result<()> {
        // What is open would keep its room.
        self.written.take_if(|(open, _)| *open == number);
        self.read.take_if(|(open, _)| *open == number);
        removed(fs::remove_file(self.path(number)))
    }

    fn marks(&mut self) -> io::Result<Vec<(SessionId, Whole)>> {
        let session = |name: &str| u128::from_str_radix(name, 16).ok().map(SessionId);
        let marked = self.names(WHOLE_ENDING, session)?;
        Ok(marked.into_iter().map(|session| (session, self.read_mark(session))).collect())
    }

    fn mark(&mut self, session: SessionId, whole: Whole) -> io::Result<()> {
        let words = match whole {
            Whole::Unknown => "",
            Whole::ThisBoot => &*self.boot_id,
            Whole::Always => ALWAYS,
        };
        if words.is_empty() {
            return removed(fs::remove_file(self.mark_path(session)));
        }
        // Beside it first: where there is no room, or in a kill, the mark stays what it is.
        let new = self.dir.join(NEW_MARK);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&new).and_then(|mut file| file.write_all(words.as_bytes()));
        let set = written.and_then(|()| fs::rename(&new, self.mark_path(session)));
        if set.is_err() {
            let _ = fs::remove_file(&new);
        }
        set
    }
}

/// What is not there is removed.
fn removed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const BOOT: &str = "0b8e5f4c-7a1d-4f0e-9a6b-3c2d1e0f9a8b";

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("spool-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn one_process_has_it_and_nobody_else_reads_it() {
        let dir = dir("lock");
        let first = FileDisk::open(&dir, BOOT).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join("lock"))), (0o700, 0o600));
        let words = FileDisk::open(&dir, BOOT).unwrap_err().to_string();
        assert!(words.contains("in use by another process"), "{words}");
        drop(first);
        FileDisk::open(&dir, BOOT).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_an_operator_has_to_change_is_told_from_what_may_pass() {
        let dir = dir("file");
        fs::write(&dir, "a file").unwrap();
        let error = FileDisk::open(&dir, BOOT).unwrap_err();
        assert!(matches!(error, SpoolError::Unusable(..)), "{error}");
        let full = SpoolError::of(&dir, io::Error::from(ErrorKind::StorageFull));
        let frozen = SpoolError::of(&dir, io::Error::from(ErrorKind::ReadOnlyFilesystem));
        assert!(matches!((full, frozen), (SpoolError::Failing(..), SpoolError::Failing(..))));
        fs::remove_file(&dir).unwrap();
    }

    #[test]
    fn files_are_appended_to_read_cut_and_removed() {
        let dir = dir("files");
        let mut disk = FileDisk::open(&dir, BOOT).unwrap();
        disk.create(1).unwrap();
        disk.append(1, b"abc").unwrap();
        disk.create(2).unwrap();
        disk.append(1, b"def").unwrap();
        assert!(disk.create(1).is_err());
        let mut buffer = [0; 8];
        assert_eq!(disk.read(1, 2, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"cdef");
        disk.cut(1, 2).unwrap();
        disk.append(1, b"x").unwrap();
        assert_eq!(disk.read(1, 0, &mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"abx");
        // The one that is open, the other one, and the directory.
        disk.sync(1)().unwrap();
        disk.sync(2)().unwrap();
        disk.sync_names()().unwrap();
        let mut numbers = disk.numbers().unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
        let (open, other) = (disk.sync(1), disk.sync(2));
        disk.remove(1).unwrap();
        open().unwrap();
        assert!(disk.read(1, 0, &mut buffer).is_err());
        assert_eq!(disk.numbers().unwrap(), [2]);
        disk.remove(2).unwrap();
        other().unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_mark_of_what_is_not_synced_holds_until_the_machine_starts_anew() {
        let dir = dir("marks");
        let marks = |boot_id: &str| {
            let mut marks = FileDisk::open(&dir, boot_id).unwrap().marks().unwrap();
            marks.sort_by_key(|(session, _)| session.0);
            marks.into_iter().map(|(_, whole)| whole).collect::<Vec<_>>()
        };
        let mark = |boot_id: &str, session: u128, whole: Whole| {
            FileDisk::open(&dir, boot_id).unwrap().mark(SessionId(session), whole).unwrap();
        };
        mark(BOOT, 1, Whole::ThisBoot);
        mark(BOOT, 2, Whole::ThisBoot);
        mark(BOOT, 2, Whole::Always);
        mark(BOOT, 3, Whole::ThisBoot);
        mark(BOOT, 3, Whole::Unknown);
        // Nobody could tell when it ends.
        mark("", 4, Whole::ThisBoot);
        assert_eq!(marks(BOOT), [Whole::ThisBoot, Whole::Always]);
        assert_eq!(marks("another"), [Whole::Unknown, Whole::Always]);
        assert_eq!(marks(""), [Whole::Unknown, Whole::Always]);
        // Where there is no room it stays what it is.
        mark(BOOT, 5, Whole::ThisBoot);
        std::os::unix::fs::symlink("/dev/full", dir.join(NEW_MARK)).unwrap();
        let full = FileDisk::open(&dir, BOOT).unwrap().mark(SessionId(5), Whole::Always);
        assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(marks(BOOT), [Whole::ThisBoot, Whole::Always, Whole::ThisBoot]);
        mark(BOOT, 5, Whole::Always);
        assert_eq!(marks("another"), [Whole::Unknown, Whole::Always, Whole::Always]);
        mark(BOOT, 5, Whole::Unknown);
        // Its name has reached the disk, what stands in it has not.
        fs::write(dir.join(format!("{}.whole", SessionId(2))), "").unwrap();
        assert_eq!(marks(""), [Whole::Unknown, Whole::Unknown]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
