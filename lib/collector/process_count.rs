//! `process_count`: how many processes there are, zombies and kernel threads included.
//!
//! A process is a directory of `/proc` whose name is a number; none of them is opened. Listing
//! them makes the kernel prepare an entry for each (42 us for a hundred). The link count of `/proc`
//! itself costs half a microsecond: the kernel computes it as 2 + its own directories + all
//! processes (`proc_root_getattr` in `fs/proc/root.c`). So a listing checks that sum, and while it
//! is right the link count is used; [`RECHECK_AFTER`] the listing checks again, because a module
//! may have made a directory since. In a PID namespace of its own and with `hidepid` the sum is
//! never right; there, and in a tree of files, every reading lists.

use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use crate::base::clock::SharedClock;
use crate::metric::{MetricDef, Unit, Value};

use super::Accumulator;
use super::error::CollectError;
use super::registration::{Collector, Context, Registration, gauge};
use super::source::is_procfs;

/// How long the link count is trusted after a listing has confirmed it.
pub const RECHECK_AFTER: Duration = Duration::from_secs(60);

/// Room for about 340 entries of 24 bytes a call.
const BUFFER_BYTES: usize = 8 << 10;

/// `.` and `..`, which are links too.
const OWN_LINKS: u64 = 2;

const PROCESSES: MetricDef =
    gauge("processes", Unit::Count, "Processes, zombies and kernel threads included.");

/// Processes.
pub static REGISTRATION: Registration = Registration {
    name: "process_count",
    default_enabled: true,
    help: "number of processes",
    metrics: &[PROCESSES],
    build: |context| Box::new(ProcessCount::new(context)),
};

struct ProcessCount {
    path: PathBuf,
    clock: SharedClock,
    /// On procfs alone: elsewhere an open directory may be one that was replaced.
    kept_open: Option<OwnedFd>,
    buffer: Vec<MaybeUninit<u8>>,
    links: Option<Links>,
}

/// The link count can be trusted.
#[derive(Debug, Clone, Copy)]
struct Links {
    /// What of it is not processes.
    others: u64,
    until: Duration,
}

/// What one listing found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Listing {
    processes: u64,
    other_dirs: u64,
}

impl ProcessCount {
    fn new(context: &Context) -> Self {
        Self {
            path: context.root.join("proc"),
            clock: context.clock.clone(),
            kept_open: None,
            buffer: Vec::new(),
            links: None,
        }
    }

    fn count(&mut self) -> Result<u64, Errno> {
        let (dir, is_procfs) = match self.kept_open.take() {
            Some(dir) => (dir, true),
            None => {
                let dir = open(&self.path)?;
                let is_procfs = is_procfs(&dir);
                (dir, is_procfs)
            }
        };
        let processes =
            if is_procfs { self.count_links(&dir)? } else { self.list(&dir)?.processes };
        // None: an empty place where procfs is yet to be mounted.
        self.kept_open = Some(dir).filter(|_| is_procfs && processes > 0);
        Ok(processes)
    }

    /// By the link count if it can be trusted, else by a listing that says whether it can.
    fn count_links(&mut self, dir: &OwnedFd) -> Result<u64, Errno> {
        let now = self.clock.monotonic();
        let before = link_count(dir)?;
        if let Some(links) = self.links.filter(|links| now < links.until)
            && let Some(processes) = before.checked_sub(links.others)
        {
            return Ok(processes);
        }
        let listing = self.list(dir)?;
        let others = OWN_LINKS + listing.other_dirs;
        // Equal before and after: nothing came or went while it was listed.
        let is_exact = before == link_count(dir)? && before == others + listing.processes;
        self.links = is_exact.then_some(Links { others, until: now + RECHECK_AFTER });
        Ok(listing.processes)
    }

    fn list(&mut self, dir: &OwnedFd) -> Result<Listing, Errno> {
        self.buffer.resize(BUFFER_BYTES, MaybeUninit::uninit());
        list(dir, &mut self.buffer)
    }
}

impl Collector for ProcessCount {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let counted = self.count();
        let path = || self.path.clone();
        let processes = match counted {
            // Not a machine without processes: this one runs on it.
            Ok(0) => return Err(CollectError::NoData { path: path() }),
            Ok(processes) => processes,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(CollectError::Unsupported { path: path() });
            }
            Err(errno) => return Err(CollectError::Io { path: path(), source: errno.into() }),
        };
        out.push(&PROCESSES, &[], Value::Unsigned(processes));
        Ok(())
    }
}

fn open(path: &std::path::Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn link_count(dir: &OwnedFd) -> Result<u64, Errno> {
    // The field's width differs between architectures.
    #[allow(clippy::useless_conversion, reason = "u32 on some architectures")]
    rustix::fs::fstat(dir).map(|stat| u64::from(stat.st_nlink))
}

fn list(dir: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> Result<Listing, Errno> {
    rustix::fs::seek(dir, SeekFrom::Start(0))?;
    let mut entries = RawDir::new(dir, buffer);
    let mut listing = Listing::default();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // Some file systems do not say what an entry is; procfs does.
        let may_be_dir = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        if may_be_dir && name.iter().all(u8::is_ascii_digit) {
            listing.processes += 1;
        } else if may_be_dir && name != b"." && name != b".." {
            listing.other_dirs += 1;
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Scripted;
    use crate::collector::Set;
    use crate::collector::tests::tree::{Tree, read};

    #[test]
    fn full_and_partial() {
        let tree = Tree::new("process-count");
        for name in ["1", "2", "31337", "self", "4x", "net"] {
            tree.make_dir(&format!("proc/{name}"));
        }
        tree.write("proc/99", "a file");
        let mut set = tree.set(&REGISTRATION);
        assert_eq!(read(&mut set), ["processes 3"]);
        tree.make_dir("proc/asound");
        tree.remove("proc/2");
        assert_eq!(read(&mut set), ["processes 2"]);
    }

    #[test]
    fn more_than_one_buffer() {
        let tree = Tree::new("process-count-many");
        for pid in 1..=2_000 {
            tree.make_dir(&format!("proc/{pid}"));
        }
        assert_eq!(read(&mut tree.set(&REGISTRATION)), ["processes 2000"]);
    }

    #[test]
    fn torn_and_absurd_are_a_directory_without_processes() {
        let tree = Tree::new("process-count-empty");
        tree.make_dir("proc");
        assert_eq!(read(&mut tree.set(&REGISTRATION)), [""; 0]);
        tree.remove("proc");
        tree.write("proc", "a file");
        let words = read(&mut tree.set(&REGISTRATION));
        assert_eq!(words, ["proc: not on this kernel or not in this container"]);
    }

    #[test]
    fn missing() {
        let tree = Tree::new("process-count-missing");
        let words = read(&mut tree.set(&REGISTRATION));
        assert_eq!(words, ["proc: not on this kernel or not in this container"]);
    }

    #[test]
    fn the_link_count_and_a_listing_agree_on_this_machine() {
        let clock = Scripted::new(0);
        let mut context = Context::new("/");
        context.clock = clock.clone();
        let mut counter = ProcessCount::new(&context);
        let dir = open(&counter.path).unwrap();
        // Processes come and go beside this test: it is enough that both agree once.
        let agreed = (0..1_000).any(|_| {
            let fast = counter.count().unwrap();
            let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
            let listed = list(&dir, &mut buffer).unwrap().processes;
            clock.advance(Duration::from_secs(1));
            fast == listed
        });
        assert!(agreed);
    }

    #[test]
    fn readings_go_on_while_the_clock_passes_the_recheck() {
        let tree = Tree::new("process-count-clock");
        tree.make_dir("proc/7");
        let clock = Scripted::new(0);
        let mut context = tree.context();
        context.clock = clock.clone();
        let mut set = Set::new(&[&REGISTRATION], context);
        for _ in 0..3 {
            assert_eq!(read(&mut set), ["processes 1"]);
            clock.advance(RECHECK_AFTER);
        }
    }
}
