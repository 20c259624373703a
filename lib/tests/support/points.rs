//! One gauge of every host as points, by the topic and by query: what is answered is what is true.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::http;

/// Gauge that every frame has.
pub const METRIC: &str = "uptime_seconds";

/// Points of queries are so wide, of which the history keeps one frame a second and the extremes of
/// all.
const POINT_MS: u64 = 2_000;

/// Host -> beginning of the point, milliseconds -> lowest and highest value.
pub type Points = BTreeMap<String, BTreeMap<u64, (f64, f64)>>;

/// Of frames, each with its host, its time and its value.
pub fn of<'a>(frames: impl IntoIterator<Item = (&'a str, u64, f64)>) -> Points {
    let mut points = Points::new();
    for (host, time_ms, value) in frames {
        let start_ms = time_ms / POINT_MS * POINT_MS;
        let host = points.entry(host.to_owned()).or_default();
        let point = host.entry(start_ms).or_insert((value, value));
        *point = (point.0.min(value), point.1.max(value));
    }
    points
}

/// By query, from live and history. A width of 2 s needs one point more than fit in.
pub fn answered(page: SocketAddr, minutes: u64) -> Points {
    let count = minutes * 60_000 / POINT_MS + 1;
    let path = format!("/api/query?metric={METRIC}&as=raw&from=-{minutes}m&to=now&points={count}");
    let answer = http::json(page, &path).expect("an answer");
    let mut hosts = Points::new();
    for series in answer["series"].as_array().unwrap() {
        assert_eq!(series["interval_ms"], POINT_MS, "{minutes} minutes: {series}");
        let host = series["host"].as_str().unwrap().to_owned();
        let points = series["points"].as_array().unwrap().iter().map(|point| {
            let [start_ms, min, _, max] = [0, 1, 2, 3].map(|at| point[at].as_f64().unwrap());
            (start_ms as u64, (min, max))
        });
        hosts.insert(host, points.collect());
    }
    hosts
}
