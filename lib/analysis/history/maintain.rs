//! What can be done to a history besides keeping it: verify it, copy it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::names::Names;
use super::request;
use super::restore::OpenError;
use super::segment;
use super::store::{self, Progress, SegmentKey, Store, StoreError, copy_to};
use crate::base::quantity::format_bytes;
use crate::base::stop::Stop;
use crate::metric::SeriesKey;

/// What a check has found.
#[derive(Debug, Default)]
pub struct Report {
    /// Hosts.
    pub hosts: u64,
    /// Segments, all of them read and decoded.
    pub segments: u64,
    /// Frames in them, of every tier.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The same by width of a point, ms, the finest first.
    pub tiers: BTreeMap<u32, TierReport>,
    /// What is not right, in words.
    pub problems: Vec<String>,
}

/// What a check has found of one resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TierReport {
    /// Segments.
    pub segments: u64,
    /// Frames, or points that were made of them.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why a history cannot be copied.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be opened, or not copied; in the store's words.
    Store(OpenError),
    /// The process that keeps it said no, or nothing.
    Asked(String),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} hosts, {} segments with {} frames, {}: {} problems",
            self.hosts,
            self.segments,
            self.frames,
            format_bytes(self.bytes),
            self.problems.len()
        )
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Asked(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for BackupError {}

/// Reads everything in the history of a directory and verifies it. `progress` is told the bytes
/// read so far.
///
/// # Errors
/// There is none, another process uses it, or it cannot be read at all.
pub fn check(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Report, OpenError> {
    let names = OnceCell::new();
    let mut name_all = |rows| drop(names.set(Names::restore(rows)));
    let mut report = Report::default();
    let mut verify = |key: SegmentKey, bytes: &[u8]| {
        let mut name = |id: u32| -> Option<SeriesKey> { names.get()?.key(id) };
        let reader = segment::Reader::open(bytes, &mut name).map_err(|error| error.to_string())?;
        let whole = reader.all().map_err(|error| error.to_string())?;
        let (frames, len) = (whole.frames() as u64, bytes.len() as u64);
        report.frames += frames;
        report.bytes += len;
        let tier = report.tiers.entry(key.bucket_ms).or_default();
        tier.segments += 1;
        tier.frames += frames;
        tier.bytes += len;
        progress(report.bytes);
        Ok(())
    };
    let found = store::check(dir, &mut name_all, &mut verify).map_err(OpenError::from)?;
    (report.hosts, report.segments) = (found.hosts, found.segments);
    report.problems = found.problems;
    if found.problems_more > 0 {
        report.problems.push(format!("and {} more", found.problems_more));
    }
    Ok(report)
}

/// Copies the history of a directory as it is at one instant to the directory `to` (absolute);
/// gives the bytes of the copy. If a process keeps it, that process is asked to. `now_ms`: Unix.
///
/// # Errors
/// There is none, or there is one in `to` already; the disk's; nobody answers.
pub fn backup(
    dir: &Path,
    to: &Path,
    (now_ms, stop): (u64, &Stop),
    progress: &mut dyn FnMut(u64),
) -> Result<u64, BackupError> {
    let store = |error: StoreError| BackupError::Store(OpenError::from(error));
    match Store::open_existing(dir, now_ms) {
        Err(StoreError::InUse { .. }) => {
            request::ask(dir, to, stop, progress).map_err(BackupError::Asked)
        }
        opened => {
            let opened = opened.map_err(store)?;
            let snapshot = opened.snapshot().map_err(store)?;
            let mut tell = |done: Progress| progress(done.bytes);
            copy_to(&snapshot, to, &mut tell).map(|done| done.bytes).map_err(store)
        }
    }
}
