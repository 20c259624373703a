//! Events as bytes, each made once for everybody who asked for the same.

use std::collections::HashMap;
use std::sync::Arc;

use super::Subscription;
use crate::analysis::view::{HostState, HostSummary, LiveUpdate};
use crate::http::body::Body;
use crate::http::snapshot::Context;
use crate::http::view::{self, Heartbeat, Row, StagesOnly, StateChange, account};
use crate::metric::HostName;

/// One event; `json` has no line breaks.
pub(super) fn event(run: &str, number: u64, name: &str, json: &[u8]) -> Arc<[u8]> {
    let mut bytes = format!("id: {run}-{number}\nevent: {name}\ndata: ").into_bytes();
    bytes.reserve_exact(json.len() + 2);
    bytes.extend_from_slice(json);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

/// One event in blocks.
pub(super) fn large_event(run: &str, number: u64, name: &str, json: Body) -> Vec<Vec<u8>> {
    let mut blocks = vec![format!("id: {run}-{number}\nevent: {name}\ndata: ").into_bytes()];
    blocks.extend(json.into_blocks());
    blocks.push(b"\n\n".to_vec());
    blocks
}

/// A batch of updates with its parts written once: rows for all summaries, frames for each host.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    run: &'a str,
    number: u64,
    pushed_ms: u64,
    rows: Vec<u8>,
    frames: HashMap<&'a str, Vec<u8>>,
    events: HashMap<Arc<Subscription>, Option<Arc<[u8]>>>,
}

impl<'a> Batch<'a> {
    /// Writes the parts somebody wants.
    pub(super) fn new(
        (run, number): (&'a str, u64),
        pushed_ms: u64,
        updates: &'a [Arc<LiveUpdate>],
        with_summary: bool,
        is_watched: impl Fn(&HostName) -> bool,
    ) -> Self {
        let mut rows = Vec::new();
        let mut frames: HashMap<&str, Vec<u8>> = HashMap::new();
        for update in updates {
            if with_summary {
                append_item(&mut rows, &Row(update));
            }
            if is_watched(&update.host) {
                append_item(frames.entry(&update.host).or_default(), &view::frame(update));
            }
        }
        Self { run, number, pushed_ms, rows, frames, events: HashMap::new() }
    }

    /// The event for one subscription; nothing when there is nothing in it.
    pub(super) fn event_for(&mut self, wanted: &Arc<Subscription>) -> Option<Arc<[u8]>> {
        if let Some(event) = self.events.get(wanted) {
            return event.clone();
        }
        let event = self.assemble(wanted);
        self.events.insert(Arc::clone(wanted), event.clone());
        event
    }

    fn assemble(&self, wanted: &Subscription) -> Option<Arc<[u8]>> {
        let rows: &[u8] = if wanted.summary { &self.rows } else { &[] };
        let frames = wanted.hosts.iter().filter_map(|host| self.frames.get(&**host));
        let frames: Vec<&[u8]> = frames.map(Vec::as_slice).collect();
        if rows.is_empty() && frames.is_empty() {
            return None;
        }
        let now = self.pushed_ms;
        let mut json = format!("{{\"server_time_ms\":{now},\"pushed_ms\":{now}").into_bytes();
        if wanted.summary {
            json.extend_from_slice(b",\"rows\":[");
            json.extend_from_slice(rows);
            json.push(b']');
        }
        json.extend_from_slice(b",\"frames\":[");
        json.extend_from_slice(&frames.join(&b","[..]));
        json.extend_from_slice(b"]}");
        Some(event(self.run, self.number, "frames", &json))
    }
}

fn append_item(list: &mut Vec<u8>, item: &impl serde::Serialize) {
    if !list.is_empty() {
        list.push(b',');
    }
    view::append(list, item);
}

/// What every host was like at the last heartbeat.
#[derive(Debug, Default)]
pub(super) struct States(HashMap<HostName, (HostState, Option<String>)>);

impl States {
    /// The heartbeat's JSON: the hosts that changed, or all of them when `all` (somebody joined:
    /// what changed and changed back since its snapshot would otherwise be missing).
    pub(super) fn heartbeat(&mut self, context: &Context, viewers: usize, all: bool) -> Vec<u8> {
        let hosts = context.view.hosts();
        let before = std::mem::take(&mut self.0);
        let is_new = |host: &HostSummary| {
            before
                .get(&host.host)
                .is_none_or(|(state, reason)| *state != host.state || *reason != host.reason)
        };
        let changed = hosts.iter().filter(|host| all || is_new(host)).map(|host| {
            StateChange::new(&host.host, host.state, host.age_ms, host.reason.as_deref())
        });
        let states = changed.collect();
        let now = hosts.iter().map(|host| (host.host.clone(), (host.state, host.reason.clone())));
        self.0 = now.collect();
        let removed = before.keys().filter(|host| !self.0.contains_key(*host));
        view::to_bytes(&Heartbeat {
            server_time_ms: context.server_time_ms(),
            bus: view::bus(context.view.bus_state()),
            history: view::history(&context.view.history().state),
            ledger: account(&context.view.fleet_ledger()),
            stages: StagesOnly::new(&context.view.stages()),
            counts: view::counts(context.fault_counts()),
            states,
            removed: removed.map(|host| &**host).collect(),
            viewers,
        })
    }
}
