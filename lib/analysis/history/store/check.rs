//! Everything looked at once: redb's pages by their checksums, then every row and segment.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use super::engine::{Engine, guarded};
use super::error::StoreError;
use super::handle::SegmentHandle;
use super::lock::DirLock;
use super::medium::FileMedium;
use super::open::Place;
use super::snapshot::Snapshot;
use super::tables::{
    self, ACCOUNTS, FORMAT, HostId, LOG, LogBytes, SEGMENTS, SegmentBytes, SegmentKey,
};
use super::totals::Totals;

/// Problems that are kept in words; of a file that is damaged all over the rest says no more.
const PROBLEMS_MAX: usize = 100;

/// Hears the names of series: number, text, the day of their last use.
pub(in crate::analysis) type OnSeries<'a> = dyn FnMut(Vec<(u32, String, u32)>) + 'a;

/// Says what is wrong with the bytes of a segment, if anything is.
pub(in crate::analysis) type OnSegment<'a> =
    dyn FnMut(SegmentKey, &[u8]) -> Result<(), String> + 'a;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::analysis) struct CheckReport {
    /// Hosts with a row.
    pub(in crate::analysis) hosts: u64,
    /// Accounts of sessions.
    pub(in crate::analysis) accounts: u64,
    /// Series with a name.
    pub(in crate::analysis) series: u64,
    /// Parts of the log.
    pub(in crate::analysis) log_parts: u64,
    /// Segments.
    pub(in crate::analysis) segments: u64,
    /// Their bytes.
    pub(in crate::analysis) segment_bytes: u64,
    /// What is wrong, in words; empty when all is well.
    pub(in crate::analysis) problems: Vec<String>,
    /// Problems beyond those.
    pub(in crate::analysis) problems_more: u64,
}

impl CheckReport {
    fn problem(&mut self, words: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(words.into());
        } else {
            self.problems_more += 1;
        }
    }

    /// What a step found; what it could not read is a problem, and whatever else is an error.
    fn take<T>(&mut self, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Corrupt { what }) => {
                self.problem(what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Looks at everything in the history of `dir`, which no process may have open, and changes
/// nothing. The names of series go to `on_series`, then every segment's bytes to `on_segment`,
/// which says what is wrong with them.
///
/// # Errors
/// There is no history; in use (a copy of it can be checked meanwhile); too new; the system's.
pub(in crate::analysis) fn check(
    dir: &Path,
    on_series: &mut OnSeries<'_>,
    on_segment: &mut OnSegment<'_>,
) -> Result<CheckReport, StoreError> {
    let path = Place { dir: dir.to_owned() }.file();
    let reading = |error| StoreError::io(format!("reading '{}'", path.display()), error);
    std::fs::metadata(&path).map_err(reading)?;
    let _lock = DirLock::take(dir)?;
    let medium = Arc::new(FileMedium::new(&path));
    let mut report = CheckReport::default();
    let Some(mut engine) = report.take(Engine::glance(medium.as_ref()))? else {
        return Ok(report);
    };
    match report.take(engine.format())? {
        Some(Some(found)) if found > FORMAT => {
            return Err(StoreError::TooNew { path, found, known: FORMAT });
        }
        Some(Some(_)) => {}
        Some(None) => report.problem("the file has no tables"),
        None => {}
    }
    if report.take(engine.verify())? == Some(false) {
        report.problem("pages that are free or taken are not known as such");
    }
    drop(engine);
    // Whatever the pages are like, what can be read of them is.
    let Some(engine) = report.take(Engine::glance(medium.as_ref()))? else { return Ok(report) };
    let snapshot = engine.read().and_then(|txn| Snapshot::new(txn, medium.clone()));
    if let Some(snapshot) = report.take(snapshot)? {
        Walk { snapshot, report: &mut report, hosts: BTreeSet::new() }
            .all(on_series, on_segment)?;
    }
    Ok(report)
}

struct Walk<'a> {
    snapshot: Snapshot,
    report: &'a mut CheckReport,
    hosts: BTreeSet<HostId>,
}

impl Walk<'_> {
    fn all(
        &mut self,
        on_series: &mut OnSeries<'_>,
        on_segment: &mut OnSegment<'_>,
    ) -> Result<(), StoreError> {
        let hosts = self.report.take(self.snapshot.hosts())?.unwrap_or_default();
        self.hosts = hosts.into_iter().map(|(id, _)| id).collect();
        self.report.hosts = self.hosts.len() as u64;
        self.accounts()?;
        self.report.take(self.snapshot.partitions())?;
        let series = self.report.take(self.snapshot.series())?;
        let series = series.unwrap_or_default();
        self.report.series = series.len() as u64;
        on_series(series);
        self.log()?;
        self.segments(on_segment)
    }

    fn accounts(&mut self) -> Result<(), StoreError> {
        for host in &self.hosts {
            let accounts = self.report.take(self.snapshot.accounts(*host))?;
            self.report.accounts += accounts.map_or(0, |accounts| accounts.len() as u64);
        }
        let all = self.report.take(self.snapshot.rows_of(ACCOUNTS))?.unwrap_or_default();
        if all != self.report.accounts {
            let strays = all.saturating_sub(self.report.accounts);
            self.report.problem(format!("{strays} accounts belong to no host"));
        }
        Ok(())
    }

    fn log(&mut self) -> Result<(), StoreError> {
        let mut next = Some(0);
        while let Some(from) = next {
            let found = guarded("reading the log", || {
                let redb = |error: redb::StorageError| StoreError::redb("reading the log", error);
                let table = self.snapshot.txn().open_table(LOG);
                let table = table.map_err(|error| StoreError::redb("reading the log", error))?;
                let first = tables::log_bytes(from, 0, 0);
                let row = table.range::<&LogBytes>(&first..).map_err(redb)?.next();
                Ok(row.transpose().map_err(redb)?.map(|(key, _)| tables::log_of(key.value()).0))
            });
            let Some(Some(partition)) = self.report.take(found)? else { return Ok(()) };
            let Some(parts) = self.report.take(self.snapshot.log(partition, 0))? else {
                return Ok(());
            };
            for part in parts {
                if self.report.take(part)?.is_some() {
                    self.report.log_parts += 1;
                }
            }
            next = partition.checked_add(1);
        }
        Ok(())
    }

    fn segments(&mut self, on_segment: &mut OnSegment<'_>) -> Result<(), StoreError> {
        let last: SegmentBytes = [0xFF; size_of::<SegmentBytes>()];
        let mut from = Bound::Included([0; size_of::<SegmentBytes>()]);
        let (mut totals, mut pieces) = (Totals::default(), 0);
        let mut strays = BTreeSet::new();
        while let Some(key) = self.report.take(self.snapshot.next_key(&from, &last))?.flatten() {
            let found = self.snapshot.next_segment(&from, &last);
            from = Bound::Excluded(key.bytes(u16::MAX));
            let Some(Some(handle)) = self.report.take(found)? else { continue };
            totals.add(key.bucket_ms, handle.len());
            pieces += handle.pieces();
            if !self.hosts.contains(&key.host) && strays.insert(key.host) {
                self.report.problem(format!("host {} has segments but no row", key.host.0));
            }
            self.segment(&handle, on_segment)?;
        }
        let rows = self.report.take(self.snapshot.rows_of(SEGMENTS))?;
        if rows.is_some_and(|rows| rows != pieces) {
            self.report.problem(format!("segments have {pieces} pieces in {rows:?} rows"));
        }
        let counted = self.report.take(self.snapshot.totals())?;
        if counted.is_some_and(|counted| counted != totals) {
            self.report.problem("the totals are not those of the segments");
        }
        Ok(())
    }

    fn segment(
        &mut self,
        handle: &SegmentHandle,
        on_segment: &mut OnSegment<'_>,
    ) -> Result<(), StoreError> {
        let Some(bytes) = self.report.take(handle.read(0..handle.len()))? else { return Ok(()) };
        self.report.segments += 1;
        self.report.segment_bytes += bytes.len() as u64;
        if let Err(words) = on_segment(handle.key(), &bytes) {
            self.report.problem(format!("{}: {words}", handle.key()));
        }
        Ok(())
    }
}
