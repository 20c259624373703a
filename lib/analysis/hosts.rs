//! Every host that analysis knows: one lock each, so that reading one never holds up another.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::analysis::history::{Recalled, Track};
use crate::analysis::ledger::{self, HostLedger};
use crate::analysis::live::HostLive;
use crate::analysis::presence::Presence;
use crate::analysis::rate::KeyPool;
use crate::analysis::view::{
    HostDetail, HostSummary, Ledger, SUMMARY_COLUMNS, SessionLedger, SummaryValues,
};
use crate::metric::{HostName, SessionId};
use crate::wire::json::{SessionRecord, encode_session};
use crate::wire::message::{CatalogueEntry, Schedule, ScheduleEntry};

/// Dropped hosts whose accounts are known one by one: 20 MB. One beyond that which comes back from
/// the disk is in the fleet's account twice.
const DEPARTED_MAX: usize = 100_000;

/// Everything known of one host.
#[derive(Debug)]
pub(in crate::analysis) struct Host {
    pub(in crate::analysis) name: HostName,
    state: Mutex<HostState>,
}

/// What is behind a host's lock.
#[derive(Debug)]
pub(in crate::analysis) struct HostState {
    pub(in crate::analysis) presence: Presence,
    pub(in crate::analysis) ledger: HostLedger,
    pub(in crate::analysis) live: HostLive,
    pub(in crate::analysis) track: Track,
    description: Description,
    /// Newest values; each stays until its metric is sampled again.
    values: SummaryValues,
    time_ms: Option<u64>,
    /// Monotonic, when the host was last heard of.
    seen: Duration,
    /// It was dropped for another host; whoever still holds it finds it anew.
    pub(in crate::analysis) departed: bool,
}

/// The newest session's words about itself.
#[derive(Debug, Default)]
struct Description {
    labels: BTreeMap<String, String>,
    catalogue: Vec<CatalogueEntry>,
    schedule: Vec<ScheduleEntry>,
    boot_id: String,
}

impl Description {
    fn record(&self, host: &HostName, session: SessionId) -> SessionRecord {
        SessionRecord {
            host: host.clone(),
            session,
            server: "".into(),
            time_ms: 0,
            first_seq: 0,
            sampled_through: 0,
            acked: Vec::new(),
            dropped: Vec::new(),
            boot_id: self.boot_id.clone(),
            catalogue: self.catalogue.clone(),
            labels: self.labels.clone(),
            schedule: Schedule { revision: 0, entries: self.schedule.clone() },
            ended: None,
        }
    }
}

/// All hosts.
#[derive(Debug)]
pub(in crate::analysis) struct Hosts {
    hosts_max: usize,
    hosts: RwLock<HashMap<HostName, Arc<Host>>>,
    pub(in crate::analysis) pool: Arc<KeyPool>,
    /// Memory of all live windows.
    pub(in crate::analysis) bytes: AtomicU64,
    departed: Mutex<Departed>,
}

/// Accounts of the hosts that were dropped.
#[derive(Debug, Default)]
struct Departed {
    all: Ledger,
    /// Of these, what each of them is in the sum with, so that it can be taken out again.
    by_host: HashMap<HostName, Ledger>,
}

impl Host {
    pub(in crate::analysis) fn lock(&self) -> MutexGuard<'_, HostState> {
        // A panic while it was held was contained and counted; what it left is still the best
        // there is, and every field is valid by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host in one line.
    pub(in crate::analysis) fn summary(&self, now: Duration) -> HostSummary {
        let host = self.lock();
        host.summary(&self.name, now)
    }

    /// Everything but its samples.
    pub(in crate::analysis) fn detail(&self, now: Duration) -> HostDetail {
        let host = self.lock();
        HostDetail {
            summary: host.summary(&self.name, now),
            catalogue: host.description.catalogue.clone(),
            schedule: host.description.schedule.clone(),
            boot_id: host.description.boot_id.clone(),
            sessions: host.ledger.sessions(now),
        }
    }

    /// Its accounts, newest session first.
    pub(in crate::analysis) fn sessions(&self, now: Duration) -> Vec<SessionLedger> {
        self.lock().ledger.sessions(now)
    }
}

impl HostState {
    fn new(pool: Arc<KeyPool>) -> Self {
        Self {
            presence: Presence::default(),
            ledger: HostLedger::default(),
            live: HostLive::new(pool),
            track: Track::default(),
            description: Description::default(),
            values: [None; SUMMARY_COLUMNS.len()],
            time_ms: None,
            seen: Duration::ZERO,
            departed: false,
        }
    }

    /// A host that was on disk. `age_ms`: how long ago its newest frame was sampled.
    fn restored(pool: Arc<KeyPool>, recalled: Recalled, age_ms: u64, now: Duration) -> Self {
        let mut state = Self::new(pool);
        state.go_back(recalled.ledger, recalled.track);
        state.time_ms = Some(recalled.seen_ms);
        if let Some(record) = recalled.description {
            state.presence.restore(&record, age_ms, now);
            state.describe(*record);
        }
        state
    }

    /// Back to what is on disk; what came after it will be read again.
    pub(in crate::analysis) fn go_back(&mut self, ledger: HostLedger, track: Track) {
        self.ledger = ledger;
        self.track.go_back(track);
    }

    /// The host's words about itself, as a session record for the store; `None` when they are
    /// there already.
    pub(in crate::analysis) fn description_row(&mut self, host: &HostName) -> Option<Vec<u8>> {
        let mut row = Vec::new();
        encode_session(&self.description.record(host, self.presence.session()), &mut row);
        self.track.describes(&row).then_some(row)
    }

    /// It was heard of.
    pub(in crate::analysis) fn touch(&mut self, now: Duration) {
        self.seen = self.seen.max(now);
    }

    /// A new session began: nothing of the old one is shown as if it were of now.
    pub(in crate::analysis) fn forget_values(&mut self) {
        self.values = [None; SUMMARY_COLUMNS.len()];
    }

    /// The newest frame of the newest session.
    pub(in crate::analysis) fn note_newest(&mut self, time_ms: u64, summary: &SummaryValues) {
        self.time_ms = Some(time_ms);
        for (newest, value) in self.values.iter_mut().zip(summary) {
            *newest = value.or(*newest);
        }
    }

    /// The newest session describes itself.
    pub(in crate::analysis) fn describe(&mut self, record: SessionRecord) {
        self.description = Description {
            labels: record.labels,
            catalogue: record.catalogue,
            schedule: record.schedule.entries,
            boot_id: record.boot_id,
        };
    }

    fn summary(&self, name: &HostName, now: Duration) -> HostSummary {
        let (state, reason, age_ms) = self.presence.state(now);
        HostSummary {
            host: name.clone(),
            state,
            reason,
            session: self.presence.session(),
            interval_ms: self.presence.interval_ms(),
            time_ms: self.time_ms,
            age_ms,
            labels: self.description.labels.clone(),
            values: self.values,
        }
    }
}

impl Hosts {
    /// None yet; at most `hosts_max`.
    pub(in crate::analysis) fn new(hosts_max: usize) -> Self {
        Self {
            hosts_max: hosts_max.max(1),
            hosts: RwLock::default(),
            pool: Arc::default(),
            bytes: AtomicU64::new(0),
            departed: Mutex::default(),
        }
    }

    /// Adds a host, as it was on disk if it was; another thread may have been faster.
    pub(in crate::analysis) fn add(
        &self,
        name: &HostName,
        recalled: Option<(Recalled, u64)>,
        now: Duration,
    ) -> Arc<Host> {
        let state = match recalled {
            None => HostState::new(self.pool.clone()),
            Some((recalled, age_ms)) => {
                // If it was dropped before, its account is its own again.
                self.departed().came_back(name);
                HostState::restored(self.pool.clone(), recalled, age_ms, now)
            }
        };
        let host = Arc::new(Host { name: name.clone(), state: Mutex::new(state) });
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(name.clone()).or_insert(host).clone()
    }

    /// When there is no room for one more: the host not seen for longest, marked as departed. It
    /// stays in place until it is [removed](Self::remove), so that what it still has to have
    /// written is known.
    pub(in crate::analysis) fn make_room(&self) -> Option<Arc<Host>> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() < self.hosts_max {
            return None;
        }
        let seen = |host: &&Arc<Host>| {
            let state = host.lock();
            (state.departed, state.seen)
        };
        let oldest = hosts.values().min_by_key(seen)?.clone();
        let was_departed = std::mem::replace(&mut oldest.lock().departed, true);
        (!was_departed).then_some(oldest)
    }

    /// Takes a departed host out. `is_forgotten`: its account goes with it.
    pub(in crate::analysis) fn remove(&self, host: &Host, is_forgotten: bool, now: Duration) {
        self.hosts.write().unwrap_or_else(PoisonError::into_inner).remove(&host.name);
        let state = host.lock();
        self.resized(state.live.bytes(), 0);
        if is_forgotten {
            return;
        }
        let mut last = state.ledger.total(now);
        // Nobody will look for them any more.
        last.missing = last.missing.saturating_add(std::mem::take(&mut last.waiting));
        self.departed().left(&host.name, &last);
    }

    pub(in crate::analysis) fn get(&self, name: &str) -> Option<Arc<Host>> {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, by name.
    pub(in crate::analysis) fn all(&self) -> Vec<Arc<Host>> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = hosts.values().cloned().collect();
        drop(hosts);
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    pub(in crate::analysis) fn len(&self) -> usize {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The fleet's account: every host's, and those of the hosts that were dropped.
    pub(in crate::analysis) fn ledger(&self, now: Duration) -> Ledger {
        let mut fleet = self.departed().all;
        for host in self.all() {
            ledger::add(&mut fleet, &host.lock().ledger.total(now));
        }
        fleet
    }

    fn departed(&self) -> MutexGuard<'_, Departed> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a change of a live window's size.
    pub(in crate::analysis) fn resized(&self, before: usize, after: usize) -> u64 {
        let grown = (after as u64).wrapping_sub(before as u64);
        self.bytes.fetch_add(grown, Ordering::Relaxed).wrapping_add(grown)
    }
}

impl Departed {
    fn left(&mut self, host: &HostName, account: &Ledger) {
        ledger::add(&mut self.all, account);
        if self.by_host.len() < DEPARTED_MAX || self.by_host.contains_key(host) {
            ledger::add(self.by_host.entry(host.clone()).or_default(), account);
        }
    }

    fn came_back(&mut self, host: &HostName) {
        if let Some(account) = self.by_host.remove(host) {
            ledger::subtract(&mut self.all, &account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing;

    const SESSION: SessionId = SessionId(1);

    fn arrive(ledger: &mut HostLedger, frames: u64) {
        for seq in 1..=frames {
            ledger.frame(SESSION, seq, true, Duration::ZERO);
        }
    }

    /// As the disk has it: so many frames came, and another one waits at its client.
    fn recalled(frames: u64) -> Option<(Recalled, u64)> {
        let mut ledger = HostLedger::default();
        let mut record = testing::session("b", SESSION.0, 0);
        record.sampled_through = frames + 1;
        ledger.record(&record, Duration::ZERO).unwrap();
        arrive(&mut ledger, frames);
        Some((Recalled { ledger, track: Track::default(), description: None, seen_ms: 0 }, 0))
    }

    #[test]
    fn the_fleet_counts_a_host_once_wherever_it_is() {
        let (hosts, now) = (Hosts::new(1), Duration::ZERO);
        let leave = || hosts.remove(&hosts.make_room().unwrap(), false, now);
        let account = || {
            let all = hosts.ledger(now);
            (all.sampled, all.stored, all.waiting, all.missing)
        };
        arrive(&mut hosts.add(&"a".into(), None, now).lock().ledger, 5);
        assert_eq!(account(), (5, 5, 0, 0));
        leave();
        // On disk since an earlier run, and not among those that were here at the start.
        hosts.add(&"b".into(), recalled(3), now);
        assert_eq!(account(), (9, 8, 1, 0));
        leave();
        assert_eq!(account(), (9, 8, 0, 1), "nobody looks for it any more");
        hosts.add(&"b".into(), recalled(3), now);
        assert_eq!(account(), (9, 8, 1, 0));
    }
}
