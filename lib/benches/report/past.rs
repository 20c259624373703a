//! Histories for the bench to ask: made at the pace of a clock that is set forward, then opened by
//! the real program.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use super::paced::{Paced, Plan};
use super::support::Scratch;
use super::support::fleet::now_ms;
use super::support::program::Program;

/// A directory for state with a history in it.
pub struct Past {
    pub data: PathBuf,
    pub hosts: u64,
    /// First and last second of it, Unix ms.
    pub from_ms: u64,
    pub to_ms: u64,
}

impl Past {
    /// Hosts of [`course`](super::course), for so many seconds up to now.
    pub fn make(scratch: &Scratch, hosts: u64, seconds: u64) -> Result<Self, String> {
        let data = scratch.join("data");
        let to_ms = now_ms() / 1_000 * 1_000;
        let history = Some(data.join("history"));
        let plan = Plan { hosts, seconds, end_ms: to_ms, step_s: 60, history };
        let mut paced = Paced::start(&plan)?;
        while paced.step() {}
        paced.finish();
        Ok(Self { data, hosts, from_ms: to_ms - seconds * 1_000, to_ms })
    }

    pub fn history(&self) -> PathBuf {
        self.data.join("history")
    }

    pub fn host(number: u64) -> String {
        format!("bench-{number:04}")
    }

    /// `monitor` with this past, and where it is asked.
    pub fn monitor(&self, scratch: &Scratch) -> (Program, SocketAddr) {
        let (here, data) = ("127.0.0.1:0", self.data.to_string_lossy());
        let flags = ["--listen", here, "--grpc-listen", here, "--host", "me", "--data", &data];
        let mut monitor = Program::start("monitor", &scratch.0, &flags);
        let page = monitor.address("page on ");
        (monitor, page)
    }
}

/// Writes a directory's files to the disk and takes them out of the kernel's cache. Programs that
/// have them open or mapped must have ended.
pub fn forget_cached(dir: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            forget_cached(&path)?;
            continue;
        }
        let done = File::open(&path).and_then(|file| {
            file.sync_all()?;
            Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
        });
        done.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
