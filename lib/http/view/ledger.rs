//! The account of frames, and the latency by stage.

use std::collections::BTreeMap;

use serde::Serialize;

use super::number::Number;
use crate::analysis::view::{
    Ledger, LedgerReport, STAGES_WINDOW_S, SessionLedger, StageLatency, Stages,
};

/// The shape called L.
#[derive(Debug, Serialize)]
pub(crate) struct Account {
    sampled: u64,
    acknowledged: u64,
    stored: u64,
    thinned: u64,
    waiting: u64,
    missing: u64,
    doubled: u64,
    dropped: u64,
    tails_unknown: u64,
}

/// The account as it is written.
pub(crate) fn account(ledger: &Ledger) -> Account {
    Account {
        sampled: ledger.sampled,
        acknowledged: ledger.acknowledged,
        stored: ledger.stored,
        thinned: ledger.thinned,
        waiting: ledger.waiting,
        missing: ledger.missing,
        doubled: ledger.doubled,
        dropped: ledger.dropped,
        tails_unknown: ledger.tails_unknown,
    }
}

/// One session's account.
#[derive(Debug, Serialize)]
pub(crate) struct SessionDoc<'a> {
    #[serde(flatten)]
    account: Account,
    session: String,
    missing_ranges: Vec<(u64, u64, &'a str)>,
    ended: Option<&'a str>,
}

impl<'a> SessionDoc<'a> {
    pub(crate) fn new(session: &'a SessionLedger) -> Self {
        let ranges = session.missing_ranges.iter();
        Self {
            account: account(&session.account),
            session: session.session.to_string(),
            missing_ranges: ranges.map(|((from, to), why)| (*from, *to, why.as_str())).collect(),
            ended: session.ended.as_deref(),
        }
    }
}

/// `/api/ledger`.
#[derive(Debug, Serialize)]
pub(crate) struct LedgerDoc<'a> {
    fleet: Account,
    hosts: BTreeMap<&'a str, HostSessions<'a>>,
}

#[derive(Debug, Serialize)]
struct HostSessions<'a> {
    sessions: Vec<SessionDoc<'a>>,
}

impl<'a> LedgerDoc<'a> {
    pub(crate) fn new(report: &'a LedgerReport) -> Self {
        let hosts = report.hosts.iter().map(|(host, sessions)| {
            let sessions = sessions.iter().map(SessionDoc::new).collect();
            (&**host, HostSessions { sessions })
        });
        Self { fleet: account(&report.fleet), hosts: hosts.collect() }
    }
}

/// The shape called S.
#[derive(Debug, Serialize)]
pub(crate) struct StagesOnly {
    window_s: u64,
    stages: [StageDoc; 5],
    sampled_to_pushed: LatencyDoc,
}

#[derive(Debug, Serialize)]
struct StageDoc {
    stage: &'static str,
    /// Where the first stage counts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    /// Not a step of the way to the screen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    beside: bool,
    #[serde(flatten)]
    latency: LatencyDoc,
}

#[derive(Debug, Serialize)]
struct LatencyDoc {
    p50_ms: Option<Number>,
    p99_ms: Option<Number>,
    max_ms: Option<Number>,
    count: u64,
}

fn latency(of: &StageLatency) -> LatencyDoc {
    LatencyDoc {
        p50_ms: Number::rounded(of.p50_ms),
        p99_ms: Number::rounded(of.p99_ms),
        max_ms: Number::rounded(of.max_ms),
        count: of.count,
    }
}

impl StagesOnly {
    pub(crate) fn new(stages: &Stages) -> Self {
        let stage =
            |stage, from, beside, of| StageDoc { stage, from, beside, latency: latency(of) };
        Self {
            window_s: STAGES_WINDOW_S,
            stages: [
                stage("sent", Some("sampled"), false, &stages.sent),
                stage("received", None, false, &stages.received),
                stage("durable", None, true, &stages.durable),
                stage("consumed", None, false, &stages.consumed),
                stage("pushed", None, false, &stages.pushed),
            ],
            sampled_to_pushed: latency(&stages.sampled_to_pushed),
        }
    }
}

/// `/api/stages`.
#[derive(Debug, Serialize)]
pub(crate) struct StagesDoc {
    pub(crate) server_time_ms: u64,
    #[serde(flatten)]
    pub(crate) stages: StagesOnly,
}
