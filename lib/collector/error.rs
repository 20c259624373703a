//! What can go wrong with one source on one host; every error names the place.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::source::FILE_BYTES_MAX;

/// Longest piece of a wrong text that an error quotes.
const QUOTED_CHARS_MAX: usize = 40;

/// Why a collector, or one item of it, gave no samples.
#[derive(Debug)]
#[non_exhaustive]
pub enum CollectError {
    /// The source can be read and holds nothing; not a fault.
    NoData {
        /// What was read.
        path: PathBuf,
    },
    /// This kernel or container lacks the source. The collector is switched off and asked again
    /// after [`RETRY_AFTER`](super::RETRY_AFTER).
    Unsupported {
        /// What is not there.
        path: PathBuf,
    },
    /// The kernel refused.
    Io {
        /// What was opened or read.
        path: PathBuf,
        /// Its refusal.
        source: io::Error,
    },
    /// More text than [`FILE_BYTES_MAX`].
    TooLong {
        /// What was read.
        path: PathBuf,
    },
    /// The text is not what this kernel file holds.
    Parse {
        /// What was read.
        path: PathBuf,
        /// Line from 1; 0 is the file as a whole.
        line: usize,
        /// What the number would have been: `idle of cpu3`, `bytes read of sda`.
        item: String,
        /// What should stand there.
        expected: &'static str,
        /// What stands there; empty at the end of a line.
        found: String,
    },
    /// A sample that must not travel: a series twice, too many, no number.
    Refused {
        /// The series or metric.
        item: String,
        /// What the rule is.
        expected: &'static str,
    },
    /// The collector panicked; nothing of this run is used.
    Panicked {
        /// How often it has by now.
        times: u32,
    },
}

impl CollectError {
    /// The fault without what changes from run to run (line, text found, count): the same fault at
    /// the same place is worth one line in the log, however often it comes.
    #[must_use]
    pub fn fault_key(&self) -> String {
        match self {
            Self::Parse { path, item, expected, .. } => {
                format!("{}: {item}: {expected}", path.display())
            }
            Self::Panicked { .. } => "panicked".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoData { path } => write!(f, "{}: nothing in it", path.display()),
            Self::Unsupported { path } => {
                write!(f, "{}: not on this kernel or not in this container", path.display())
            }
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::TooLong { path } => {
                write!(f, "{}: expected at most {FILE_BYTES_MAX} bytes of text", path.display())
            }
            Self::Parse { path, line, item, expected, found } => {
                write!(f, "{}", path.display())?;
                if *line > 0 {
                    write!(f, ":{line}")?;
                }
                write!(f, ": {item}: expected {expected}, found ")?;
                if found.is_empty() {
                    return f.write_str("nothing");
                }
                write!(f, "'{found}'")
            }
            Self::Refused { item, expected } => write!(f, "{item}: expected {expected}"),
            Self::Panicked { times } => write!(f, "panicked, {times} times by now"),
        }
    }
}

impl std::error::Error for CollectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The start of a wrong text, short enough for a log line and without control characters.
pub(super) fn quote(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.trim().chars().take(QUOTED_CHARS_MAX).map(clean).collect()
}

/// A selection of collectors that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// No collector has this name.
    Unknown {
        /// The name as it was given.
        name: String,
    },
    /// The selection names none.
    Empty,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "there is no collector '{name}'; expected ")?,
            Self::Empty => f.write_str("no collector is selected; expected ")?,
        }
        f.write_str("a list such as 'cpu,memory' or 'default,cpu_core' of: default, all")?;
        super::COLLECTORS.iter().try_for_each(|known| write!(f, ", {}", known.name))
    }
}

impl std::error::Error for BuildError {}
