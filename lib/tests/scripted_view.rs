//! A view that says what a test tells it to; for the tests of the http room.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::analysis::view::{
    BusState, HistoryStatus, HostAnswer, HostDetail, HostState, HostSummary, Ledger, LedgerReport,
    LiveUpdate, Newest, QueryAnswer, QueryError, QueryPoint, QuerySeries, QuerySpec,
    SUMMARY_COLUMNS, SessionLedger, Stages, SummaryValues, View, Window,
};
use crate::base::counter::Count;
use crate::metric::{HostName, SeriesKey, SessionId};

/// Frames that fit into the channel: a second of a thousand hosts.
const UPDATES_MAX: usize = 4_096;

/// The scripted view: `host_count` hosts named `host-0000` and on, all alike.
#[derive(Debug)]
pub(crate) struct ScriptedView {
    host_count: usize,
    window_rows: usize,
    subscriber: Mutex<Option<Sender<Arc<LiveUpdate>>>>,
    pub(crate) bus: Mutex<BusState>,
    pub(crate) states: Mutex<BTreeMap<HostName, HostState>>,
    pub(crate) pushed: Mutex<Vec<(u64, u64)>>,
    /// Makes `/api/ledger` panic, as a fault in a handler would.
    pub(crate) panics: AtomicBool,
    /// Answers queries instead of [`made_up`].
    answering: Answering,
    pub(crate) history: Mutex<HistoryStatus>,
    pub(crate) deleted: Mutex<BTreeSet<HostName>>,
    /// Somebody looks at a live stream.
    pub(crate) is_watched: AtomicBool,
    /// The store can be neither read nor written.
    pub(crate) store_fails: AtomicBool,
}

/// What a test lets queries be answered with.
type Answer = dyn Fn(&QuerySpec) -> Result<QueryAnswer, QueryError> + Send + Sync;

#[derive(Default)]
struct Answering(Mutex<Option<Arc<Answer>>>);

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

/// An answer of made-up points for these hosts: every metric, as many points as asked for, made
/// host by host while it is read.
pub(crate) fn made_up(spec: &QuerySpec, hosts: Vec<HostName>) -> QueryAnswer {
    let spec = spec.clone();
    let interval_ms = (spec.to_ms - spec.from_ms).div_ceil(spec.points as u64).max(1);
    let first_ms = spec.from_ms.next_multiple_of(interval_ms);
    let point = move |time_ms: u64| {
        let mean = time_ms as f64 / 7_000_003.0;
        QueryPoint { time_ms, min: mean.floor(), mean, max: mean.ceil() }
    };
    let series = move |host: &HostName, metric: &String| QuerySeries {
        host: Some(host.clone()),
        key: SeriesKey::labelled(metric, &[("device", "sda")]),
        interval_ms,
        hosts: 1,
        points: (first_ms..spec.to_ms).step_by(interval_ms as usize).map(point).collect(),
    };
    Box::new(hosts.into_iter().map(move |host| {
        let series = spec.metrics.iter().map(|metric| series(&host, metric)).collect();
        Ok(HostAnswer { host: Some(host), session_starts_ms: vec![spec.from_ms], series })
    }))
}

impl ScriptedView {
    pub(crate) fn new(host_count: usize, window_rows: usize) -> Arc<Self> {
        Arc::new(Self {
            host_count,
            window_rows,
            subscriber: Mutex::new(None),
            bus: Mutex::new(BusState::Ok),
            states: Mutex::default(),
            pushed: Mutex::default(),
            panics: AtomicBool::new(false),
            answering: Answering::default(),
            history: Mutex::default(),
            deleted: Mutex::default(),
            is_watched: AtomicBool::new(false),
            store_fails: AtomicBool::new(false),
        })
    }

    /// Lets queries be answered so from now on.
    pub(crate) fn answer_with(
        &self,
        answer: impl Fn(&QuerySpec) -> Result<QueryAnswer, QueryError> + Send + Sync + 'static,
    ) {
        *self.answering.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(answer));
    }

    /// Sends a frame to the live streams; false when it does not fit or nobody listens.
    pub(crate) fn send(&self, host: &str, seq: u64, now_ms: u64) -> bool {
        let update = LiveUpdate {
            host: host.into(),
            session: SessionId(1),
            seq,
            interval_ms: 1_000,
            time_ms: now_ms,
            sent_ms: now_ms,
            received_ms: now_ms,
            consumed_ms: now_ms,
            summary: values(),
            values: vec![
                (SeriesKey::plain("cpu_usage_percent"), 12.345_678),
                (SeriesKey::labelled("cpu_mode_percent", &[("mode", "user")]), f64::NAN),
                (SeriesKey::labelled("disk_busy_percent", &[("device", "sda")]), 3.0),
            ],
        };
        let subscriber = self.subscriber.lock().unwrap_or_else(PoisonError::into_inner);
        subscriber.as_ref().is_some_and(|sender| sender.try_send(Arc::new(update)).is_ok())
    }

    fn summary(&self, host: HostName) -> HostSummary {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        HostSummary {
            state: states.get(&host).copied().unwrap_or(HostState::Live),
            host,
            reason: None,
            session: SessionId(1),
            interval_ms: 1_000,
            time_ms: Some(1_700_000_000_000),
            age_ms: 40,
            labels: BTreeMap::from([("role".to_owned(), "web <1>".to_owned())]),
            values: values(),
        }
    }

    fn names(&self) -> impl Iterator<Item = HostName> {
        let deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names = (0..self.host_count).map(|number| format!("host-{number:04}").into());
        names.filter(move |name| !deleted.contains(name))
    }

    fn check_store(&self) -> Result<(), QueryError> {
        let fails = self.store_fails.load(Ordering::Relaxed);
        if fails { Err(QueryError::Store("no space left on device".to_owned())) } else { Ok(()) }
    }

    fn session() -> SessionLedger {
        SessionLedger {
            session: SessionId(1),
            account: Ledger { sampled: 100, stored: 98, missing: 2, ..Ledger::default() },
            missing_ranges: vec![((5, 6), "not seen".to_owned())],
            ended: None,
        }
    }
}

/// Every column with its own number, load1 missing.
fn values() -> SummaryValues {
    let mut values = [None; SUMMARY_COLUMNS.len()];
    for (at, value) in values.iter_mut().enumerate() {
        *value = (SUMMARY_COLUMNS[at] != "load1").then_some(1_000_000.0 * at as f64 + 12.345_678);
    }
    values
}

impl View for ScriptedView {
    fn hosts(&self) -> Vec<HostSummary> {
        self.names().map(|host| self.summary(host)).collect()
    }

    fn host(&self, host: &str) -> Option<HostDetail> {
        let host = self.names().find(|name| **name == *host)?;
        Some(HostDetail {
            summary: self.summary(host),
            catalogue: Vec::new(),
            schedule: Vec::new(),
            boot_id: String::new(),
            sessions: vec![Self::session()],
        })
    }

    fn window(&self, host: &str) -> Option<Window> {
        self.names().find(|name| **name == *host)?;
        let rows = self.window_rows as u64;
        let column = |_| (0..rows).map(|row| Some(row as f64 / 7.0)).collect();
        Some(Window {
            time_ms: (0..rows).map(|row| 1_700_000_000_000 + row * 1_000).collect(),
            interval_ms: vec![1_000; self.window_rows],
            session_starts_ms: vec![1_700_000_000_000],
            series: (0..20)
                .map(|number| {
                    (SeriesKey::plain(&format!("series_{number}_percent")), column(number))
                })
                .collect(),
        })
    }

    fn newest(&self, host: Option<&str>, count: usize) -> BTreeMap<HostName, Newest> {
        let rows: Vec<_> = (0..count as u64).map(|row| (row, values())).collect();
        let names = self.names().filter(|name| host.is_none_or(|wanted| **name == *wanted));
        names.map(|name| (name, Newest { rows: rows.clone() })).collect()
    }

    fn sparks(&self, count: usize) -> BTreeMap<HostName, Vec<(u64, f64)>> {
        let points: Vec<_> = (0..count as u64)
            .map(|point| (1_700_000_000_000 + point, point as f64 / 3.0))
            .collect();
        self.names().map(|name| (name, points.clone())).collect()
    }

    fn stages(&self) -> Stages {
        Stages::default()
    }

    fn ledger(&self) -> LedgerReport {
        assert!(!self.panics.load(Ordering::Relaxed), "expected by this test");
        let hosts = self.names().map(|name| (name, vec![Self::session()]));
        LedgerReport { fleet: self.fleet_ledger(), hosts: hosts.collect() }
    }

    fn fleet_ledger(&self) -> Ledger {
        Self::session().account
    }

    fn bus_state(&self) -> BusState {
        self.bus.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counts(&self) -> Vec<Count> {
        vec![
            Count {
                name: "scripted_dropped_total".into(),
                help: "".into(),
                is_fault: true,
                value: 3,
            },
            Count {
                name: "scripted_silent_total".into(),
                help: "".into(),
                is_fault: true,
                value: 0,
            },
        ]
    }

    fn query(&self, query: &QuerySpec) -> Result<QueryAnswer, QueryError> {
        self.check_store()?;
        let answer = self.answering.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(answer) = answer {
            return answer(query);
        }
        let known: Vec<_> = self.names().collect();
        if let Some(host) = query.hosts.iter().find(|host| !known.contains(host)) {
            return Err(QueryError::UnknownHost(host.clone()));
        }
        Ok(made_up(query, if query.hosts.is_empty() { known } else { query.hosts.clone() }))
    }

    fn history(&self) -> HistoryStatus {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn delete_host(&self, host: &str) -> Result<bool, QueryError> {
        self.check_store()?;
        let is_known = self.names().any(|name| *name == *host);
        let mut deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(is_known && deleted.insert(host.into()))
    }

    fn watch(&self, is_watched: bool) {
        self.is_watched.store(is_watched, Ordering::Relaxed);
    }

    fn subscribe(&self) -> Receiver<Arc<LiveUpdate>> {
        let (sender, receiver) = bounded(UPDATES_MAX);
        *self.subscriber.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    fn pushed(&self, update: &LiveUpdate, pushed_ms: u64) {
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        pushed.push((update.seq, pushed_ms));
    }
}
