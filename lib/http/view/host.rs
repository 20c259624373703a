//! Hosts: one line, one description, one window.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ledger::SessionDoc;
use super::number::Number;
use crate::analysis::view::{
    HostDetail, HostState, HostSummary, SUMMARY_COLUMNS, SummaryValues, Window,
};
use crate::metric::SeriesKey;
use crate::wire::message::{CatalogueEntry, CatalogueMetric};

/// `{"host":..,"state":..,...}`, the shape called HostSummary.
#[derive(Debug, Serialize)]
pub(crate) struct HostLine<'a> {
    host: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
    session: String,
    interval_ms: u32,
    time_ms: Option<u64>,
    age_ms: u64,
    labels: &'a BTreeMap<String, String>,
    values: Values<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spark: Option<Vec<(u64, Number)>>,
}

/// Derived values by name; missing ones are absent.
#[derive(Debug)]
struct Values<'a>(&'a SummaryValues);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in SUMMARY_COLUMNS.iter().zip(self.0) {
            if let Some(number) = value.and_then(Number::exact) {
                map.serialize_entry(name, &number)?;
            }
        }
        map.end()
    }
}

impl<'a> HostLine<'a> {
    pub(crate) fn new(summary: &'a HostSummary) -> Self {
        Self {
            host: &summary.host,
            state: state_word(summary.state),
            reason: summary.reason.as_deref(),
            session: summary.session.to_string(),
            interval_ms: summary.interval_ms,
            time_ms: summary.time_ms,
            age_ms: summary.age_ms,
            labels: &summary.labels,
            values: Values(&summary.values),
            spark: None,
        }
    }

    /// With the newest values of CPU usage.
    pub(crate) fn with_spark(summary: &'a HostSummary, spark: Option<&[(u64, f64)]>) -> Self {
        let points = spark.unwrap_or_default().iter();
        let spark =
            points.filter_map(|(time_ms, cpu)| Some((*time_ms, Number::rounded(*cpu)?))).collect();
        Self { spark: Some(spark), ..Self::new(summary) }
    }
}

pub(crate) fn state_word(state: HostState) -> &'static str {
    match state {
        HostState::Live => "live",
        HostState::Stale => "stale",
        HostState::Ended => "ended",
    }
}

/// `/api/hosts`.
#[derive(Debug, Serialize)]
pub(crate) struct HostList<'a> {
    pub(crate) server_time_ms: u64,
    pub(crate) run: &'a str,
    pub(crate) hosts: Vec<HostLine<'a>>,
}

/// `/api/hosts/{host}`.
#[derive(Debug, Serialize)]
pub(crate) struct HostDoc<'a> {
    server_time_ms: u64,
    host: HostLine<'a>,
    catalogue: Vec<CatalogueDoc<'a>>,
    schedule: Vec<ScheduleDoc<'a>>,
    ledger: Sessions<'a>,
    boot_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct CatalogueDoc<'a> {
    collector: &'a str,
    metrics: Vec<MetricDoc<'a>>,
}

#[derive(Debug, Serialize)]
struct MetricDoc<'a> {
    name: &'a str,
    kind: &'a str,
    unit: &'a str,
    help: &'a str,
}

#[derive(Debug, Serialize)]
struct ScheduleDoc<'a> {
    pattern: &'a str,
    interval_ms: u32,
}

#[derive(Debug, Serialize)]
struct Sessions<'a> {
    sessions: Vec<SessionDoc<'a>>,
}

fn catalogue(entries: &[CatalogueEntry]) -> Vec<CatalogueDoc<'_>> {
    let docs = entries.iter().map(|entry| CatalogueDoc {
        collector: &entry.collector,
        metrics: entry.metrics.iter().map(metric).collect(),
    });
    docs.collect()
}

fn metric(metric: &CatalogueMetric) -> MetricDoc<'_> {
    MetricDoc { name: &metric.name, kind: &metric.kind, unit: &metric.unit, help: &metric.help }
}

impl<'a> HostDoc<'a> {
    pub(crate) fn new(server_time_ms: u64, detail: &'a HostDetail) -> Self {
        let schedule = detail
            .schedule
            .iter()
            .map(|entry| ScheduleDoc { pattern: &entry.pattern, interval_ms: entry.interval_ms });
        Self {
            server_time_ms,
            host: HostLine::new(&detail.summary),
            catalogue: catalogue(&detail.catalogue),
            schedule: schedule.collect(),
            ledger: Sessions { sessions: detail.sessions.iter().map(SessionDoc::new).collect() },
            boot_id: (!detail.boot_id.is_empty()).then_some(detail.boot_id.as_str()),
        }
    }
}

/// A subscribed host in a snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct WatchedHost<'a> {
    summary: HostLine<'a>,
    catalogue: Vec<CatalogueDoc<'a>>,
    sessions: Vec<SessionDoc<'a>>,
    window: WatchedWindow<'a>,
}

/// A subscribed host that has never been seen.
#[derive(Debug, Serialize)]
pub(crate) struct UnknownHost<'a> {
    summary: Option<()>,
    host: &'a str,
}

/// The live window, by series.
#[derive(Debug, Serialize)]
pub(crate) struct WatchedWindow<'a> {
    session_starts_ms: Vec<u64>,
    time_ms: &'a [u64],
    interval_ms: &'a [u32],
    series: Vec<SeriesDoc<'a>>,
}

#[derive(Debug, Serialize)]
struct SeriesDoc<'a> {
    key: &'a str,
    name: &'a str,
    labels: BTreeMap<String, String>,
    unit: &'static str,
    values: Vec<Option<Number>>,
}

impl<'a> WatchedHost<'a> {
    pub(crate) fn new(detail: &'a HostDetail, window: WatchedWindow<'a>) -> Self {
        Self {
            summary: HostLine::new(&detail.summary),
            catalogue: catalogue(&detail.catalogue),
            sessions: detail.sessions.iter().map(SessionDoc::new).collect(),
            window,
        }
    }
}

impl<'a> UnknownHost<'a> {
    pub(crate) fn new(host: &'a str) -> Self {
        Self { summary: None, host }
    }
}

impl<'a> WatchedWindow<'a> {
    /// The newest rows of a window, at most so many that rows x series stays within `cells_max`.
    pub(crate) fn newest(window: &'a Window, cells_max: usize) -> Self {
        let rows = window.time_ms.len();
        let kept = rows.min(cells_max / window.series.len().max(1));
        let from = rows - kept;
        let tail = |values: &'a [Option<f64>]| -> Vec<Option<Number>> {
            let newest = values.get(from..).unwrap_or_default();
            newest.iter().map(|value| Number::rounded_option(*value)).collect()
        };
        let first_ms = window.time_ms.get(from).copied().unwrap_or(0);
        let starts = window.session_starts_ms.iter().copied();
        Self {
            session_starts_ms: starts.filter(|start_ms| *start_ms >= first_ms).collect(),
            time_ms: &window.time_ms[from..],
            interval_ms: window.interval_ms.get(from..).unwrap_or_default(),
            series: window.series.iter().map(|(key, values)| series(key, tail(values))).collect(),
        }
    }
}

fn series(key: &SeriesKey, values: Vec<Option<Number>>) -> SeriesDoc<'_> {
    let labels = key.labels().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    SeriesDoc { key: key.as_str(), name: key.name(), labels, unit: unit_of(key.name()), values }
}

/// The unit of a derived value, from its name: that is where names carry it.
fn unit_of(name: &str) -> &'static str {
    const UNITS: &[(&str, &str)] = &[
        ("_percent", "percent"),
        ("_bytes_per_second", "bytes_per_second"),
        ("_per_second", "per_second"),
        ("_bytes", "bytes"),
        ("_seconds", "seconds"),
        ("process_count", "count"),
    ];
    if name.starts_with("processes_") {
        return "count";
    }
    UNITS.iter().find(|(suffix, _)| name.ends_with(suffix)).map_or("", |(_, unit)| unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_names() {
        for (name, unit) in [
            ("cpu_mode_percent", "percent"),
            ("disk_read_bytes_per_second", "bytes_per_second"),
            ("network_receive_packets_per_second", "per_second"),
            ("memory_cached_bytes", "bytes"),
            ("uptime_seconds", "seconds"),
            ("processes_running", "count"),
            ("load5", ""),
        ] {
            assert_eq!(unit_of(name), unit, "{name}");
        }
    }

    #[test]
    fn a_window_keeps_its_newest_rows_when_it_is_too_large() {
        let column = |first: u64| (first..first + 6).map(|value| Some(value as f64)).collect();
        let window = Window {
            time_ms: vec![1, 2, 3, 4, 5, 6],
            interval_ms: vec![10; 6],
            session_starts_ms: vec![1, 2, 5],
            series: vec![(SeriesKey::plain("a"), column(10)), (SeriesKey::plain("b"), column(20))],
        };
        let text = String::from_utf8(super::super::to_bytes(&WatchedWindow::newest(&window, 7)));
        assert_eq!(
            text.unwrap(),
            "{\"session_starts_ms\":[5],\"time_ms\":[4,5,6],\"interval_ms\":[10,10,10],\"series\":[\
             {\"key\":\"a\",\"name\":\"a\",\"labels\":{},\"unit\":\"\",\"values\":[13,14,15]},\
             {\"key\":\"b\",\"name\":\"b\",\"labels\":{},\"unit\":\"\",\"values\":[23,24,25]}]}"
        );
        assert_eq!(WatchedWindow::newest(&window, 1_000).time_ms.len(), 6);
    }
}
