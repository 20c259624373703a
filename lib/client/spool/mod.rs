//! Frames on disk, so that neither a restart nor a kill loses them.
//!
//! In: every frame that is sampled, before it is sent, and what became of it. Out: frames that
//! memory had no room for, and those that earlier runs left. Lost on the way: what is oldest when
//! the limit is reached, declared and counted; nothing when the client is killed; when the machine
//! loses power, what no sync has covered: one begins five seconds after a frame was written, or
//! when the one before it has ended. A mark beside the files says for how long they hold all of a
//! session; without it the next run announces an unknown tail.
//!
//! A directory belongs to one process at a time. It holds segment files, each of one session and
//! readable by itself; a file is removed whole once nothing in it waits any more. The newest file
//! of a session says what became of all its frames.
//!
//! - `record`: the format (pure)
//! - `disk`: the seam to the file system
//! - `records`, `recover`, `read`: from files to frames
//! - `store`: the files of all sessions
//! - `keeper`: the thread that writes and reads; nobody else waits for the disk
//! - `sync`: the thread that syncs, so that writing does not wait for it

use std::path::PathBuf;

mod disk;
mod keeper;
mod read;
mod record;
mod records;
mod recover;
mod store;
mod sync;

#[cfg(test)]
mod testing;

pub(super) use keeper::Keeper;
pub(super) use record::State;
pub(super) use recover::Recovered;
pub(super) use sync::pair as sync_pair;

/// Default of `--spool-max`. A frame of 60 samples takes about 160 bytes: four days at 1 Hz.
pub const SPOOL_BYTES_DEFAULT: u64 = 64 << 20;

/// Least that `--spool-max` may be: a sixteenth holds the largest frame and the longest state.
pub const SPOOL_BYTES_MIN: u64 = 8 << 20;

/// Where frames are kept on disk, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The directory; made if it is not there.
    pub dir: PathBuf,
    /// All files together, in bytes; at least [`SPOOL_BYTES_MIN`].
    pub bytes_max: u64,
}
