//! The past: series with their points, and how its store is.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::number::Number;
use crate::analysis::view::{HistoryState, HistoryStatus, QueryPoint, QuerySeries};

/// Bytes of points that are put together before they are passed on.
const POINTS_BYTES: usize = 4 << 10;

/// One entry of `series` in `/api/query`, but for its points.
#[derive(Debug, Serialize)]
struct SeriesHead<'a> {
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<usize>,
    metric: &'a str,
    labels: BTreeMap<&'a str, String>,
    interval_ms: u64,
}

/// A series as JSON, its points as `[[time_ms,min,mean,max],..]`; one that is not finite is no
/// point. Written by hand: an hour of seconds is 200 KB, and where minimum, mean and maximum are
/// one number, as they mostly are then, its digits are worked out once.
///
/// # Errors
/// What `out` says.
pub(crate) fn write_series(out: &mut impl Write, series: &QuerySeries) -> io::Result<()> {
    let host = series.host.as_deref();
    let mut text = super::to_bytes(&SeriesHead {
        host,
        hosts: host.is_none().then_some(series.hosts),
        metric: series.key.name(),
        labels: series.key.labels().into_iter().collect(),
        interval_ms: series.interval_ms,
    });
    // The object goes on.
    text.pop();
    text.extend_from_slice(b",\"points\":");
    let mut mark = b'[';
    for point in &series.points {
        let Some([min, mean, max]) = values(point) else { continue };
        text.extend_from_slice(&[mark, b'[']);
        mark = b',';
        super::write(&mut text, &point.time_ms)?;
        text.push(b',');
        let start = text.len();
        super::write(&mut text, &min)?;
        let end = text.len();
        for value in [mean, max] {
            text.push(b',');
            if value == min {
                text.extend_from_within(start..end);
            } else {
                super::write(&mut text, &value)?;
            }
        }
        text.push(b']');
        if text.len() >= POINTS_BYTES {
            out.write_all(&text)?;
            text.clear();
        }
    }
    if mark == b'[' {
        text.push(mark);
    }
    text.extend_from_slice(b"]}");
    out.write_all(&text)
}

/// Minimum, mean and maximum of a point, as they are; `None` when they are no numbers.
fn values(point: &QueryPoint) -> Option<[Number; 3]> {
    let [min, mean, max] = [point.min, point.mean, point.max].map(Number::exact);
    Some([min?, mean?, max?])
}

/// The values of a point as a row of a table has them: `min,mean,max`, or nothing when they are no
/// numbers.
///
/// # Errors
/// What `out` says.
pub(crate) fn write_values(out: &mut impl Write, point: &QueryPoint) -> io::Result<bool> {
    let Some(values) = values(point) else { return Ok(false) };
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        super::write(out, value)?;
    }
    Ok(true)
}

/// The state of the store, as snapshot, heartbeat and `/readyz` have it.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryBrief<'a> {
    state: &'static str,
    detail: Option<&'a str>,
    behind_s: Option<u64>,
}

/// The state of the store as it is written.
pub(crate) fn history(state: &HistoryState) -> HistoryBrief<'_> {
    let (state, detail, behind_s) = match state {
        HistoryState::Off => ("off", None, None),
        HistoryState::Ok => ("ok", None, None),
        HistoryState::Behind { detail, behind_s } => {
            ("behind", Some(detail.as_str()), Some(*behind_s))
        }
    };
    HistoryBrief { state, detail, behind_s }
}

/// `/api/history`.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryDoc<'a> {
    #[serde(flatten)]
    brief: HistoryBrief<'a>,
    tiers: Vec<TierDoc>,
    bytes: u64,
    /// Null where there is no limit.
    bytes_max: Option<u64>,
}

#[derive(Debug, Serialize)]
struct TierDoc {
    resolution_ms: u64,
    keep_ms: u64,
    kept_ms: u64,
}

impl<'a> HistoryDoc<'a> {
    pub(crate) fn new(status: &'a HistoryStatus) -> Self {
        let tiers = status.tiers.iter().map(|&(resolution_ms, keep_ms, kept_ms)| TierDoc {
            resolution_ms,
            keep_ms,
            kept_ms,
        });
        Self {
            brief: history(&status.state),
            tiers: tiers.collect(),
            bytes: status.bytes,
            bytes_max: (status.bytes_max > 0).then_some(status.bytes_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::SeriesKey;

    fn point(time_ms: u64, min: f64, mean: f64, max: f64) -> QueryPoint {
        QueryPoint { time_ms, min, mean, max }
    }

    #[test]
    fn a_series_is_exact_and_what_is_no_number_is_no_point() {
        let series = QuerySeries {
            host: Some("web-1".into()),
            key: SeriesKey::labelled("disk_read_bytes_per_second", &[("device", "s\"d")]),
            interval_ms: 10_000,
            hosts: 1,
            points: vec![
                point(10_000, 0.1, 1.0 / 3.0, 16_777_216_123.0),
                point(20_000, 1.0, f64::NAN, 2.0),
                point(30_000, -0.0, 1.5, f64::INFINITY),
                point(40_000, -7.25, 1e-7, 1e300),
                point(50_000, 2.5, 2.5, 2.5),
            ],
        };
        let mut text = Vec::new();
        write_series(&mut text, &series).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            "{\"host\":\"web-1\",\"metric\":\"disk_read_bytes_per_second\",\
             \"labels\":{\"device\":\"s\\\"d\"},\"interval_ms\":10000,\"points\":[\
             [10000,0.1,0.3333333333333333,16777216123],[40000,-7.25,1e-7,1e+300],[50000,2.5,2.5,2.5]]}"
        );
        let mut row = Vec::new();
        assert!(write_values(&mut row, &series.points[3]).unwrap());
        assert_eq!(row, b"-7.25,1e-7,1e+300");
        assert!(!write_values(&mut row, &series.points[1]).unwrap() && row.len() == 17);
    }

    #[test]
    fn an_aggregate_has_no_host_but_says_of_how_many_it_is() {
        let key = SeriesKey::plain("load1");
        let series =
            QuerySeries { host: None, key, interval_ms: 1_000, hosts: 7, points: Vec::new() };
        let mut text = Vec::new();
        write_series(&mut text, &series).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            "{\"host\":null,\"hosts\":7,\"metric\":\"load1\",\"labels\":{},\
             \"interval_ms\":1000,\"points\":[]}"
        );
    }
}
