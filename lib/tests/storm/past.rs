//! The history against the topic: a point where there are frames, none where there is none, and in
//! each the lowest and the highest value, as far as the history keeps them apart: to 0.1 %.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::Topic;
use super::world::World;
use crate::support::http;

/// Gauge that every frame has.
const METRIC: &str = "uptime_seconds";

/// Points of queries are so wide.
const POINT_MS: u64 = 2_000;

/// Host -> beginning of the point, milliseconds -> lowest and highest value.
type Points = BTreeMap<String, BTreeMap<u64, (f64, f64)>>;

/// Compares everything since the beginning.
#[track_caller]
pub fn agrees_with(world: &World, topic: &Topic, elapsed: Duration) {
    let expected = expected(topic);
    let minutes = elapsed.as_secs() / 60 + 2;
    let answered = answered(world, minutes);
    assert_eq!(answered.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let mut count = 0;
    for (host, points) in &expected {
        let answer = &answered[host];
        let (have, want): (Vec<_>, Vec<_>) = (answer.keys().collect(), points.keys().collect());
        assert_eq!(have, want, "{host}: points of the history, points of the topic");
        for (start_ms, (low, high)) in points {
            let (min, max) = answer[start_ms];
            let is_same =
                (below(*low)..=*low).contains(&min) && (*high..=above(*high)).contains(&max);
            assert!(is_same, "{host}, {start_ms}: {min} to {max}, in the topic {low} to {high}");
        }
        count += points.len();
    }
    eprintln!("{count} points of {} hosts agree with the topic", expected.len());
}

fn expected(topic: &Topic) -> Points {
    let mut points = Points::new();
    for frame in topic.frames.values() {
        let start_ms = frame.time_ms / POINT_MS * POINT_MS;
        let host = points.entry(frame.host.clone()).or_default();
        let value = frame.uptime;
        let point = host.entry(start_ms).or_insert((value, value));
        *point = (point.0.min(value), point.1.max(value));
    }
    points
}

/// By query, from live and history. A width of 2 s needs one point more than fit in.
fn answered(world: &World, minutes: u64) -> Points {
    let count = minutes * 60_000 / POINT_MS + 1;
    let path = format!("/api/query?metric={METRIC}&as=raw&from=-{minutes}m&to=now&points={count}");
    let answer = http::json(world.page, &path).expect("an answer");
    let mut hosts = Points::new();
    for series in answer["series"].as_array().unwrap() {
        assert_eq!(series["interval_ms"], POINT_MS, "{minutes} minutes");
        let host = series["host"].as_str().unwrap().to_owned();
        let points = series["points"].as_array().unwrap().iter().map(|point| {
            let [start_ms, min, _, max] = [0, 1, 2, 3].map(|at| point[at].as_f64().unwrap());
            (start_ms as u64, (min, max))
        });
        hosts.insert(host, points.collect());
    }
    hosts
}

/// A double's upper 22 bits are kept of extremes, rounded away from what lies between.
const KEPT_BITS: u64 = !((1 << 42) - 1);

fn below(value: f64) -> f64 {
    f64::from_bits(value.to_bits() & KEPT_BITS)
}

fn above(value: f64) -> f64 {
    f64::from_bits((value.to_bits() & KEPT_BITS) + !KEPT_BITS + 1)
}
