//! What consumers, the writer and queries share of the past.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::counts::HistoryCounts;
use super::index::Index;
use super::lane::Lane;
use super::names::Names;
use super::pending::{PENDING_BYTES_MAX, Pending};
use super::store::{Store, StoreError};
use super::tiers::Tiers;
use crate::analysis::rate::KeyPool;
use crate::analysis::view::{HistoryState, HistoryStatus};
use crate::base::counter::Count;
use crate::bus::partition_of;

/// So much that waits wakes the writer before its time.
const WAKE_BYTES: usize = 8 << 20;

/// The past, as all threads see it.
#[derive(Debug)]
pub(in crate::analysis) struct Archive {
    pub(super) store: Store,
    pub(super) dir: PathBuf,
    pub(super) tiers: Tiers,
    /// Bytes the file may use; 0 for no limit.
    pub(super) bytes_max: u64,
    /// How long frames may wait in memory.
    pub(super) write_after: Duration,
    pub(super) names: Names,
    pub(super) index: Index,
    pub(super) lanes: Vec<Lane>,
    pub(super) pending: Pending,
    /// Names of derived values, shared.
    pub(super) pool: Arc<KeyPool>,
    pub(in crate::analysis) counts: HistoryCounts,
    /// One writes at a time: the writer, or whoever deletes a host.
    pub(super) writing: Mutex<()>,
    health: Mutex<Health>,
    bell: (Sender<()>, Receiver<()>),
    stopping: AtomicBool,
}

/// Whether the disk takes what it is given.
#[derive(Debug, Default)]
struct Health {
    failing: Option<(String, Duration)>,
    kept_ms: Vec<u64>,
}

impl Archive {
    pub(super) fn new(
        dir: &Path,
        (store, names, index): (Store, Names, Index),
        (tiers, bytes_max, write_after): (Tiers, u64, Duration),
        lanes: Vec<Lane>,
    ) -> Self {
        let kept_ms = tiers.as_slice().iter().map(|tier| tier.keep_ms).collect();
        Self {
            store,
            dir: dir.to_owned(),
            tiers,
            bytes_max,
            write_after,
            names,
            index,
            lanes,
            pending: Pending::default(),
            pool: Arc::default(),
            counts: HistoryCounts::new(),
            writing: Mutex::default(),
            health: Mutex::new(Health { failing: None, kept_ms }),
            bell: bounded(1),
            stopping: AtomicBool::new(false),
        }
    }

    /// More waits than should: the writer need not wait for its time.
    pub(super) fn waits(&self, bytes: usize) {
        self.counts.pending_bytes.set(bytes as u64);
        if bytes > WAKE_BYTES && !self.is_failing() {
            self.ring();
        }
        if bytes > PENDING_BYTES_MAX {
            self.suspend();
        }
    }

    /// Somebody waits for what is to be written, and cannot wait long.
    pub(in crate::analysis) fn ring(&self) {
        // Full: it is about to look anyway.
        let _ = self.bell.0.try_send(());
    }

    /// The file is damaged: it is set aside, and the past made anew from what the bus still has.
    pub(super) fn begin_again(&self, why: &StoreError, now_ms: u64) {
        match self.store.start_anew(&why.to_string(), now_ms) {
            Ok(notes) => notes.iter().for_each(|note| log::warn!("history: {note}")),
            Err(error) => return log::error!("history: {why}; and no new file: {error}"),
        }
        self.counts.set_aside.increment();
        self.index.clear();
        self.names.tell_all();
        for (lane, partition) in self.lanes.iter().zip(0..) {
            // Whoever reads the partition goes back to its beginning.
            lane.set_resume(0);
            lane.suspend(true);
            self.pending.drop_partition(partition);
        }
    }

    pub(super) fn bell(&self) -> &Receiver<()> {
        &self.bell.1
    }

    /// The disk has not taken enough: let go of what waits, and read it again when it does.
    fn suspend(&self) {
        let now = self.lanes.iter().zip(0..).filter(|(lane, _)| !lane.is_suspended());
        for (lane, partition) in now {
            lane.suspend(true);
            self.pending.drop_partition(partition);
        }
        self.counts.pending_bytes.set(self.pending.bytes() as u64);
        log::warn!(
            "history: {PENDING_BYTES_MAX} bytes wait for the disk: frames are shown and not kept \
             in memory any longer; they will be read from the bus again"
        );
    }

    /// The disk took something, or did not.
    pub(super) fn note_health(&self, result: Result<(), &StoreError>, now: Duration) {
        let mut health = self.lock_health();
        match result {
            Ok(()) => health.failing = None,
            Err(error) => {
                let since = health.failing.as_ref().map_or(now, |(_, since)| *since);
                health.failing = Some((error.to_string(), since));
            }
        }
    }

    pub(in crate::analysis) fn is_failing(&self) -> bool {
        self.lock_health().failing.is_some()
    }

    /// For how long each tier is kept now.
    pub(super) fn kept_ms(&self) -> Vec<u64> {
        self.lock_health().kept_ms.clone()
    }

    /// A tier has to be shortened to save space.
    pub(super) fn set_kept_ms(&self, tier: usize, kept_ms: u64) {
        if let Some(kept) = self.lock_health().kept_ms.get_mut(tier) {
            *kept = kept_ms;
        }
    }

    /// For people.
    pub(in crate::analysis) fn status(&self, now: Duration) -> HistoryStatus {
        let health = self.lock_health();
        let state = match &health.failing {
            None => HistoryState::Ok,
            Some((detail, since)) => HistoryState::Behind {
                detail: detail.clone(),
                behind_s: now.saturating_sub(*since).as_secs(),
            },
        };
        let tiers = self.tiers.as_slice().iter().zip(&health.kept_ms);
        HistoryStatus {
            state,
            tiers: tiers.map(|(tier, kept)| (tier.bucket_ms, tier.keep_ms, *kept)).collect(),
            bytes: self.counts.used_bytes.get(),
            bytes_max: self.bytes_max,
        }
    }

    /// Counters of the past and of its tables.
    pub(in crate::analysis) fn read_counts(&self) -> Vec<Count> {
        let mut counts = self.counts.read();
        counts.extend(self.store.counts().read());
        counts
    }

    /// Where a host's records are.
    pub(in crate::analysis) fn partition_of(&self, host: &str) -> u32 {
        partition_of(host.as_bytes(), u32::try_from(self.lanes.len()).unwrap_or(u32::MAX))
    }

    /// How one partition stands.
    pub(in crate::analysis) fn lane(&self, partition: u32) -> Option<&Lane> {
        self.lanes.get(partition as usize)
    }

    /// The last commit has been asked for: nothing is to be begun any more.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn lock_health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
