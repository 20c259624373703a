//! What the page gets: the snapshot, and the events that follow it.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::host::{HostLine, UnknownHost, WatchedHost, state_word};
use super::ledger::{Account, StagesOnly};
use super::number::Number;
use super::past::HistoryBrief;
use crate::analysis::view::{BusState, HostState, LiveUpdate, SUMMARY_COLUMNS};
use crate::base::counter::Count;
use crate::metric::SeriesKey;

/// The state of the bus.
#[derive(Debug, Serialize)]
pub(crate) struct BusDoc {
    state: &'static str,
    detail: Option<String>,
    behind_s: Option<u64>,
}

/// The state of the bus as it is written.
pub(crate) fn bus(state: BusState) -> BusDoc {
    match state {
        BusState::Ok => BusDoc { state: "ok", detail: None, behind_s: None },
        BusState::CatchingUp { behind_s } => {
            BusDoc { state: "catching up", detail: None, behind_s: Some(behind_s) }
        }
        BusState::Down { detail } => BusDoc { state: "down", detail: Some(detail), behind_s: None },
    }
}

/// Counters by name.
#[derive(Debug)]
pub(crate) struct Counts(Vec<Count>);

/// Those that are not 0.
pub(crate) fn counts(all: impl IntoIterator<Item = Count>) -> Counts {
    Counts(all.into_iter().filter(|count| count.value != 0).collect())
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|count| (&*count.name, count.value)))
    }
}

/// Event `snapshot`, and what `/` carries.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotDoc<'a> {
    pub(crate) server_time_ms: u64,
    pub(crate) run: &'a str,
    pub(crate) version: &'a str,
    pub(crate) insecure: bool,
    pub(crate) bus: BusDoc,
    pub(crate) history: HistoryBrief<'a>,
    pub(crate) ledger: Account,
    pub(crate) stages: StagesOnly,
    pub(crate) counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<Summary<'a>>,
    pub(crate) hosts: Vec<Watched<'a>>,
}

/// Every host in one line.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    columns: [&'static str; SUMMARY_COLUMNS.len()],
    hosts: Vec<HostLine<'a>>,
}

impl<'a> Summary<'a> {
    pub(crate) fn new(hosts: Vec<HostLine<'a>>) -> Self {
        Self { columns: SUMMARY_COLUMNS, hosts }
    }
}

/// A subscribed host, seen before or not.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Watched<'a> {
    Known(Box<WatchedHost<'a>>),
    Unknown(UnknownHost<'a>),
}

/// One line of `rows` in event `frames`.
#[derive(Debug)]
pub(crate) struct Row<'a>(pub(crate) &'a LiveUpdate);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(update) = self;
        let values = update.summary.map(Number::rounded_option);
        let times = (update.time_ms, update.sent_ms, update.received_ms, update.consumed_ms);
        let row = (
            &*update.host,
            update.seq,
            update.interval_ms,
            times.0,
            times.1,
            times.2,
            times.3,
            values,
        );
        row.serialize(serializer)
    }
}

/// One entry of `frames` in event `frames`.
#[derive(Debug, Serialize)]
pub(crate) struct FrameDoc<'a> {
    host: &'a str,
    session: String,
    seq: u64,
    interval_ms: u32,
    time_ms: u64,
    sent_ms: u64,
    received_ms: u64,
    consumed_ms: u64,
    values: SeriesValues<'a>,
}

/// Values by canonical series; what is not finite is absent.
#[derive(Debug)]
struct SeriesValues<'a>(&'a [(SeriesKey, f64)]);

impl Serialize for SeriesValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0 {
            if let Some(number) = Number::rounded(*value) {
                map.serialize_entry(key.as_str(), &number)?;
            }
        }
        map.end()
    }
}

/// A frame of a subscribed host.
pub(crate) fn frame(update: &LiveUpdate) -> FrameDoc<'_> {
    FrameDoc {
        host: &update.host,
        session: update.session.to_string(),
        seq: update.seq,
        interval_ms: update.interval_ms,
        time_ms: update.time_ms,
        sent_ms: update.sent_ms,
        received_ms: update.received_ms,
        consumed_ms: update.consumed_ms,
        values: SeriesValues(&update.values),
    }
}

/// Event `heartbeat`.
#[derive(Debug, Serialize)]
pub(crate) struct Heartbeat<'a> {
    pub(crate) server_time_ms: u64,
    pub(crate) bus: BusDoc,
    pub(crate) history: HistoryBrief<'a>,
    pub(crate) ledger: Account,
    pub(crate) stages: StagesOnly,
    pub(crate) counts: Counts,
    pub(crate) states: Vec<StateChange<'a>>,
    pub(crate) removed: Vec<&'a str>,
    pub(crate) viewers: usize,
}

/// A host whose state is not what it was a heartbeat ago.
#[derive(Debug, Serialize)]
pub(crate) struct StateChange<'a>(&'a str, &'static str, u64, Option<&'a str>);

impl<'a> StateChange<'a> {
    pub(crate) fn new(
        host: &'a str,
        state: HostState,
        age_ms: u64,
        reason: Option<&'a str>,
    ) -> Self {
        Self(host, state_word(state), age_ms, reason)
    }
}
