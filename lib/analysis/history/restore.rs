//! What was on disk: at the start for every host, later for one that was let go of and came back.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::archive::Archive;
use super::index::{Entry, Index};
use super::lane::{Checkpoint, Lane};
use super::logged::Log;
use super::names::Names;
use super::open::CHUNK_AGE_MAX;
use super::store::{DESCRIPTION, HostId, PartitionRow, Snapshot, Store, StoreError};
use super::tiers::{Tier, Tiers};
use super::track::Track;
use super::writer::SUMMARY;
use crate::analysis::ledger::HostLedger;
use crate::bus::Reader;
use crate::metric::{HostName, SessionId};
use crate::wire::json::{Record, RecordDecoder, SessionRecord};

/// How long frames wait in memory before they are written, and so what a crash makes analysis read
/// again: the longer, the fewer bytes a sample takes until an hour is whole.
pub const WRITE_AFTER: Duration = CHUNK_AGE_MAX;

/// What a program says about the past it is to keep.
#[derive(Debug, Clone)]
pub struct HistoryConfig {
    /// Directory of its own, there already.
    pub dir: PathBuf,
    /// What is kept how long.
    pub tiers: Tiers,
    /// Bytes that it may use on disk; 0 for no limit.
    pub bytes_max: u64,
    /// How long frames may wait in memory before they are written; [`WRITE_AFTER`].
    pub write_after: Duration,
    /// The bus keeps nothing: what is not in the past yet is to be logged here.
    pub logs_bus: bool,
}

/// A history that was opened and not begun to be used.
#[derive(Debug)]
pub struct OpenHistory {
    config: HistoryConfig,
    store: Store,
    names: Names,
    index: Index,
    partitions: HashMap<u32, PartitionRow>,
}

/// Why a history cannot be opened.
#[derive(Debug)]
pub struct OpenError(StoreError);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

/// A host as it was on disk.
#[derive(Debug)]
pub(in crate::analysis) struct Recalled {
    pub(in crate::analysis) ledger: HostLedger,
    pub(in crate::analysis) track: Track,
    /// Its words about itself.
    pub(in crate::analysis) description: Option<Box<SessionRecord>>,
    /// Time of its newest frame, Unix ms.
    pub(in crate::analysis) seen_ms: u64,
}

/// Opens the history of a directory, and makes one where there is none. A file that cannot be used
/// is set aside.
///
/// # Errors
/// Another process uses it, it is of a later version of this program, or the disk does not do.
pub fn open(config: HistoryConfig, now_ms: u64) -> Result<OpenHistory, OpenError> {
    let opened = Store::open(&config.dir, now_ms).map_err(OpenError::from)?;
    opened.notes.iter().for_each(|note| log::warn!("history: {note}"));
    let read = || {
        let snapshot = opened.store.snapshot()?;
        let names = Names::restore(snapshot.series()?);
        let mut hosts = HashMap::new();
        for (id, row) in snapshot.hosts()? {
            let done_ms = |tier: &Tier| {
                let known = row.rolled_through_ms.iter().find(|(of, _)| *of == tier.bucket());
                known.map_or(0, |(_, done_ms)| *done_ms)
            };
            let entry = Entry {
                id: id.0,
                through: row.through,
                epoch: row.epoch,
                done_ms: config.tiers.as_slice().iter().map(done_ms).collect(),
                seen_ms: row.seen_ms,
                first_ms: row.first_ms,
                deleted: row.deleted,
            };
            hosts.insert(row.name.into(), entry);
        }
        let partitions = snapshot.partitions()?.into_iter().collect();
        Ok::<_, StoreError>((names, Index::new(hosts), partitions))
    };
    let (names, index, partitions) = read().map_err(OpenError::from)?;
    Ok(OpenHistory { config, store: opened.store, names, index, partitions })
}

impl OpenHistory {
    /// Where the log of each partition ends: a bus that keeps nothing goes on from there.
    #[must_use]
    pub fn log_ends(&self, partitions: u32) -> Vec<u64> {
        let end = |at| self.partitions.get(&at).map_or(0, |row| row.log_end);
        (0..partitions).map(end).collect()
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// Begins to use it.
    pub(in crate::analysis) fn begin(self, partitions: u32) -> Archive {
        // With another number of partitions hosts are elsewhere, and offsets mean something else.
        let is_same = self.partitions.len() == partitions as usize;
        let epochs = self.partitions.values().map(|row| row.epoch);
        let next_epoch = epochs.max().map_or(0, |epoch| epoch + 1);
        let lane = |at: u32| {
            let row = self.partitions.get(&at).filter(|_| is_same);
            let epoch = row.map_or(next_epoch, |row| row.epoch);
            let mark = row.and_then(|row| row.checkpoint);
            let mark = mark.map(|(offset, crc)| Checkpoint { offset, crc });
            let log_end = self.config.logs_bus.then(|| row.map_or(0, |row| row.log_end));
            Lane::new(row.map(|row| row.resume), mark, epoch, log_end)
        };
        let lanes = (0..partitions).map(lane).collect();
        let HistoryConfig { dir, tiers, bytes_max, write_after, .. } = self.config;
        let parts = (self.store, self.names, self.index);
        Archive::new(&dir, parts, (tiers, bytes_max, write_after), lanes)
    }
}

impl Archive {
    /// A host as it is on disk, and as what waits for the disk will make it; `None` when it was
    /// never seen. `now`: monotonic.
    pub(in crate::analysis) fn recall(
        &self,
        host: &str,
        partition: u32,
        now: Duration,
    ) -> Option<Recalled> {
        let recalled = self
            .store
            .snapshot()
            .and_then(|snapshot| self.recall_from(&snapshot, host, partition, now));
        recalled.unwrap_or_else(|error| {
            self.counts.corrupt.increment();
            log::warn!("history: what is on disk of {host} cannot be read: {error}");
            None
        })
    }

    /// The same from one state of the disk, for many hosts.
    pub(in crate::analysis) fn recall_from(
        &self,
        snapshot: &Snapshot,
        host: &str,
        partition: u32,
        now: Duration,
    ) -> Result<Option<Recalled>, StoreError> {
        let waiting = self.pending.of(host);
        let entry = self.index.get(host);
        if entry.is_none() && waiting.is_empty() {
            return Ok(None);
        }
        let mut entry = entry.unwrap_or_default();
        let on_disk = self.index.get(host).is_some();
        let id = HostId(entry.id);
        let mut rows: Vec<(SessionId, Vec<u8>)> = Vec::new();
        let mut description = None;
        if on_disk && !entry.deleted {
            let accounts = snapshot.accounts(id)?.into_iter();
            rows = accounts.map(|(session, row)| (SessionId(session), row)).collect();
            let words = rows.iter().position(|(session, _)| session.0 == DESCRIPTION);
            description = words.map(|at| rows.remove(at).1);
        }
        for closed in &waiting {
            rows.retain(|(session, _)| !closed.ledger.closed.contains(session));
            let summary = (SUMMARY, closed.ledger.summary.clone());
            for (session, row) in closed.ledger.accounts.iter().chain([&summary]) {
                rows.retain(|(known, _)| known != session);
                rows.push((*session, row.clone()));
            }
            (entry.through, entry.epoch) = (closed.through, closed.epoch);
            entry.seen_ms = entry.seen_ms.max(closed.seen_ms);
            description = closed.description.clone().or(description);
        }
        let summary = rows.iter().position(|(session, _)| *session == SUMMARY);
        let summary = summary.map(|at| rows.remove(at).1).unwrap_or_default();
        let (ledger, broken) = if rows.is_empty() && summary.is_empty() {
            (HostLedger::default(), 0)
        } else {
            HostLedger::import(&summary, &rows, now)
        };
        self.counts.corrupt.add(broken as u64);
        let is_of_now = self.lane(partition).is_some_and(|lane| lane.epoch() == entry.epoch);
        let through = entry.through.filter(|_| is_of_now);
        let described = description.as_deref().map(crc32fast::hash);
        Ok(Some(Recalled {
            ledger,
            track: Track::restored(through, entry.seen_ms, described),
            description: description.and_then(|bytes| self.described(&bytes)),
            seen_ms: entry.seen_ms,
        }))
    }

    /// Everything that the log holds of a partition, then the bus; the bus alone where it keeps
    /// its records itself.
    pub(in crate::analysis) fn reader(
        &self,
        partition: u32,
        bus: Box<dyn Reader>,
    ) -> Box<dyn Reader> {
        let Some(lane) = self.lane(partition).filter(|lane| lane.is_logged()) else { return bus };
        let snapshot = self.store.snapshot();
        match snapshot.and_then(|snapshot| Log::read(&snapshot, partition, lane.logged())) {
            Ok(log) => Box::new(log.then(bus)),
            Err(error) => {
                self.counts.corrupt.increment();
                log::warn!("history: the log of partition {partition} cannot be read: {error}");
                bus
            }
        }
    }

    fn described(&self, bytes: &[u8]) -> Option<Box<SessionRecord>> {
        match RecordDecoder::new().decode(bytes) {
            Ok(Record::Session(record)) => Some(record),
            _ => {
                self.counts.corrupt.increment();
                None
            }
        }
    }

    /// The hosts on disk that were seen last, as they are there.
    pub(in crate::analysis) fn recall_newest(
        &self,
        count: usize,
        now: Duration,
    ) -> Vec<(HostName, Recalled)> {
        let mut hosts: Vec<_> = self.index.all().into_iter().collect();
        hosts.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.seen_ms));
        hosts.truncate(count);
        let recall = || {
            let snapshot = self.store.snapshot()?;
            let mut recalled = Vec::new();
            for (host, _) in hosts {
                let partition = self.partition_of(&host);
                let of_host = self.recall_from(&snapshot, &host, partition, now)?;
                recalled.extend(of_host.map(|of_host| (host, of_host)));
            }
            Ok::<_, StoreError>(recalled)
        };
        recall().unwrap_or_else(|error| {
            self.counts.corrupt.increment();
            log::warn!("history: the hosts on disk cannot be read: {error}");
            Vec::new()
        })
    }
}
