//! What may go wrong with the files of the history, in words for people.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the store did not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub(in crate::analysis) enum StoreError {
    /// The disk, a quota or a limit leaves no room. Nothing is lost: the caller still has what it
    /// wanted to write, and the next try finds out whether there is room again.
    DiskFull {
        /// What the system said.
        source: io::Error,
    },
    /// What was read is not what was written, or makes no sense.
    Corrupt {
        /// What, where and how it was found out.
        what: String,
    },
    /// The system refused something else.
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the directory.
    InUse {
        /// The directory.
        dir: PathBuf,
        /// That process, when its number could be read.
        pid: Option<u32>,
    },
    /// A newer program has written the file.
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// The file was opened anew underneath this snapshot: take another one.
    Stale,
    /// A step of this transaction failed before, so none of it is written.
    Aborted,
    /// One value is larger than anything that is ever written.
    TooLarge {
        /// What.
        what: &'static str,
        /// Its length, bytes.
        len: usize,
        /// The longest, bytes.
        max: usize,
    },
    /// A copy would go where a history is already.
    Occupied {
        /// The file that is there.
        path: PathBuf,
    },
}

impl StoreError {
    /// There is no room: nothing is broken, and it may be tried again.
    #[must_use]
    pub(in crate::analysis) fn is_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }

    /// The file itself is damaged: trying again does not help.
    #[must_use]
    pub(in crate::analysis) fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    /// Another snapshot would answer.
    #[must_use]
    pub(in crate::analysis) fn is_stale(&self) -> bool {
        matches!(self, Self::Stale)
    }

    pub(super) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    /// An error of the system, told apart by its kind.
    pub(super) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        match source.kind() {
            // A file may grow no further: the disk, a quota, a limit of the process.
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull { source },
            _ => Self::Io { doing: doing.into(), source },
        }
    }

    /// Any error of redb while `doing`.
    pub(super) fn redb(doing: &str, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            // What redb says of a file that is none of its own.
            redb::Error::Io(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::corrupt(format!("{doing}: {source}"))
            }
            redb::Error::Io(source) => Self::io(doing, source),
            // A write failed earlier, or the file was closed to be opened anew.
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Self::Stale,
            other => Self::corrupt(format!("{doing}: {other}")),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull { source } => write!(
                f,
                "there is no room for the history ({source}); free some on its disk: it goes on by \
                 itself then, and nothing is lost meanwhile"
            ),
            Self::Corrupt { what } => write!(
                f,
                "the history is damaged: {what}; stop the program and run 'monitor-analysis check'"
            ),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::InUse { dir, pid } => {
                let by = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
                write!(
                    f,
                    "the history in '{}' is in use by {by}; stop that one, or give this one \
                     another directory",
                    dir.display()
                )
            }
            Self::TooNew { path, found, known } => write!(
                f,
                "'{}' has format {found}, and this program knows formats up to {known}; use the \
                 program that wrote it or a newer one; nothing was changed",
                path.display()
            ),
            Self::Stale => f.write_str(
                "the history was opened anew while it was being read; ask again and it answers",
            ),
            Self::Aborted => {
                f.write_str("a step of this transaction failed before; nothing of it was written")
            }
            Self::TooLarge { what, len, max } => {
                write!(f, "{what} of {len} bytes; expected {max} at most")
            }
            Self::Occupied { path } => write!(
                f,
                "'{}' is there already; give an empty directory for the copy",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::DiskFull { source } | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
