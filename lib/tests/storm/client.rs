//! A client of the storm: its runs, what it says of them, and its disk.

use std::collections::BTreeMap;
use std::path::Path;

use super::plan::SPOOLED;
use super::slot::Slot;
use super::truth::Truth;
use super::world::has_small_disk;
use crate::support::Scratch;
use crate::support::program::Program;

/// The ledger keeps 64 sessions of a host one by one.
const RUNS_MAX: usize = 50;

/// What befell a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fate {
    pub is_killed: bool,
    /// Its disk was full at some time.
    pub was_full: bool,
}

#[derive(Debug)]
pub struct Client {
    pub host: String,
    pub slot: Slot,
    pub truth: Truth,
    /// By session, of every run that has ended.
    pub fates: BTreeMap<String, Fate>,
    number: usize,
    flags: Vec<String>,
    is_full: bool,
    was_full: bool,
}

impl Client {
    pub fn new(number: usize, servers: &str, scratch: &Scratch) -> Self {
        let host = if number == SPOOLED { "bare".to_owned() } else { format!("c{number:02}") };
        let truth = Truth::new(&scratch.join(&format!("{host}.sampled")));
        let log = truth.path.to_string_lossy().into_owned();
        let mut flags = vec!["--server", servers, "--host", &host, "--sampled-log", &log];
        let spool = scratch.join(&format!("{host}.spool")).to_string_lossy().into_owned();
        if number < SPOOLED {
            flags.extend(["--spool", &spool]);
        }
        let flags = flags.into_iter().map(str::to_owned).collect();
        let (slot, fates) = (Slot::default(), BTreeMap::new());
        Self { host, slot, truth, fates, number, flags, is_full: false, was_full: false }
    }

    pub fn has_spool(&self) -> bool {
        self.number < SPOOLED
    }

    pub fn start(&mut self, logs: &Path) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let start =
            if has_small_disk(self.number) { Program::start_under_limits } else { Program::start };
        self.slot = Slot::of(start("monitor-client", logs, &flags));
        self.was_full = false;
        self.set_full(self.is_full);
    }

    pub fn may_be_killed(&self) -> bool {
        self.truth.runs.len() < RUNS_MAX
    }

    /// Its disk takes no more, or has room again.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
        self.was_full |= is_full;
        if let Some(program) = &self.slot.program {
            // Nothing of use fits into a byte.
            program.limit_files(is_full.then_some(1));
        }
    }

    /// The program has ended.
    pub fn end(&mut self, is_killed: bool) {
        self.truth.drain();
        let fate = Fate { is_killed, was_full: self.was_full };
        // A run that was killed before its first frame has left no trace.
        if let Some((session, _)) = self.truth.runs.last() {
            self.fates.entry(session.clone()).or_insert(fate);
        }
    }
}
