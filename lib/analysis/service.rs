//! The read side: [`View`] over what the consumers keep.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;

use crate::analysis::consume::SteadyClock;
use crate::analysis::history::query::QueryCounts;
use crate::analysis::history::{self, Reading};
use crate::analysis::hosts::Host;
use crate::analysis::intake::Shared;
use crate::analysis::presence::BACKLOG_MS;
use crate::analysis::standing::Standing;
use crate::analysis::view::{
    BusState, HistoryStatus, HostDetail, HostSummary, Ledger, LedgerReport, LiveUpdate, Newest,
    QueryAnswer, QueryError, QuerySpec, Stages, View, Window,
};
use crate::base::counter::{Count, CountSources};
use crate::base::thread::panics_total;
use crate::metric::HostName;

/// What the view reads from.
#[derive(Debug)]
pub(in crate::analysis) struct Service {
    pub(in crate::analysis) shared: Arc<Shared>,
    pub(in crate::analysis) standing: Arc<Standing>,
    pub(in crate::analysis) time: SteadyClock,
    pub(in crate::analysis) others: CountSources,
    pub(in crate::analysis) queries: Arc<QueryCounts>,
}

impl Service {
    fn by_name<T>(&self, read: impl Fn(&Host) -> T) -> BTreeMap<HostName, T> {
        self.shared.hosts.all().iter().map(|host| (host.name.clone(), read(host))).collect()
    }
}

impl View for Service {
    fn hosts(&self) -> Vec<HostSummary> {
        let now = self.time.now();
        self.shared.hosts.all().iter().map(|host| host.summary(now)).collect()
    }

    fn host(&self, host: &str) -> Option<HostDetail> {
        self.shared.hosts.get(host).map(|host| host.detail(self.time.now()))
    }

    fn window(&self, host: &str) -> Option<Window> {
        let host = self.shared.hosts.get(host)?;
        // Two steps: the lock is free again before anything is decoded.
        let parts = host.lock().live.parts();
        Some(parts.window())
    }

    fn newest(&self, host: Option<&str>, count: usize) -> BTreeMap<HostName, Newest> {
        let newest = |host: &Host| Newest { rows: host.lock().live.newest(count) };
        match host {
            None => self.by_name(newest),
            Some(name) => {
                let host = self.shared.hosts.get(name);
                host.iter().map(|host| (host.name.clone(), newest(host))).collect()
            }
        }
    }

    fn sparks(&self, count: usize) -> BTreeMap<HostName, Vec<(u64, f64)>> {
        self.by_name(|host| host.lock().live.spark(count))
    }

    fn stages(&self) -> Stages {
        self.shared.stages().read(self.time.now())
    }

    fn ledger(&self) -> LedgerReport {
        let now = self.time.now();
        LedgerReport { fleet: self.fleet_ledger(), hosts: self.by_name(|host| host.sessions(now)) }
    }

    fn fleet_ledger(&self) -> Ledger {
        self.shared.hosts.ledger(self.time.now())
    }

    fn bus_state(&self) -> BusState {
        self.standing.worst()
    }

    fn counts(&self) -> Vec<Count> {
        let counts = &self.shared.counts;
        counts.live_bytes.set(self.shared.hosts.bytes.load(Ordering::Relaxed));
        counts.hosts.set(self.shared.hosts.len() as u64);
        let panics = Count {
            name: "process_panics_total".into(),
            help: "Faults in this program that were contained; please report them.".into(),
            is_fault: true,
            value: panics_total(),
        };
        let mut all = counts.read();
        all.push(panics);
        all.extend(self.others.read());
        if let Some(archive) = &self.shared.archive {
            all.extend(archive.read_counts());
        }
        all.extend(self.queries.read());
        all.extend(self.shared.servers().counts());
        all
    }

    fn query(&self, query: &QuerySpec) -> Result<QueryAnswer, QueryError> {
        let past = Reading { shared: self.shared.clone(), time: self.time.clone() };
        let (pool, counts) = (self.shared.hosts.pool.clone(), self.queries.clone());
        history::query::query(Arc::new(past), pool, counts, query)
    }

    fn history(&self) -> HistoryStatus {
        let archive = self.shared.archive.as_ref();
        archive.map(|archive| archive.status(self.time.now())).unwrap_or_default()
    }

    fn delete_host(&self, host: &str) -> Result<bool, QueryError> {
        let known = self.shared.hosts.get(host);
        if let Some(archive) = &self.shared.archive {
            let is_on_disk = archive.delete(host, known.as_deref())?;
            if known.is_none() {
                return Ok(is_on_disk);
            }
        }
        let Some(known) = known else { return Ok(false) };
        known.lock().departed = true;
        self.shared.hosts.remove(&known, true, self.time.now());
        log::info!("{host} and its past are forgotten");
        Ok(true)
    }

    fn subscribe(&self) -> Receiver<Arc<LiveUpdate>> {
        self.shared.feed.subscribe()
    }

    fn watch(&self, is_watched: bool) {
        self.shared.feed.watch(is_watched);
    }

    fn pushed(&self, update: &LiveUpdate, pushed_ms: u64) {
        // As everywhere, backlog says nothing about how fast the way is.
        let sent_late = update.sent_ms.saturating_sub(update.time_ms) > BACKLOG_MS;
        let read_late = update.consumed_ms.saturating_sub(update.received_ms) > BACKLOG_MS
            && self.standing.worst() != BusState::Ok;
        if !sent_late && !read_late {
            let pushed = pushed_ms.saturating_sub(update.consumed_ms);
            let total = pushed_ms.saturating_sub(update.time_ms);
            self.shared.stages().pushed(self.time.now(), pushed, total);
        }
    }
}
