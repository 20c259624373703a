//! Faster than a second: the live window as it was sampled, and what the tier of a second keeps of
//! it.

use std::sync::Arc;

use super::world::{Run, World, derive, row};
use super::{BASE_MS, ask, spec};
use crate::analysis::history::Tier;
use crate::analysis::view::{QueryError, QuerySeries, QuerySpec};
use crate::metric::{Samples, SeriesKey, SessionId, Value};

/// 10 Hz for a minute; every rate is 100, but for one of 10,000; the load climbs.
fn world() -> World {
    let sample = |key: &str, value| (SeriesKey::parse(key).unwrap(), value);
    let samples = |at: u64| -> Samples {
        let spike = if at > 333 { 990 } else { 0 };
        let read = Value::Unsigned(10 * at + spike);
        let pairs = [
            sample("disk_read_bytes_total{device=\"sda\"}", read),
            sample("load1", Value::Float(at as f64)),
        ];
        pairs.into_iter().collect()
    };
    let rows =
        (0..600).map(|at| row(at + 1, BASE_MS + at * 100 + 7, at * 100_000, samples(at))).collect();
    let run = Run { session: SessionId(1), rows, chunks: vec![0; 600] };
    let tier = |bucket_ms, keep_ms| Tier { bucket_ms, keep_ms };
    let mut world = World {
        now_ms: BASE_MS + 60_000,
        tiers: vec![tier(1_000, 3_600_000), tier(10_000, 86_400_000)],
        ..World::default()
    };
    world.complete_ms.insert(10_000, BASE_MS + 40_000);
    world.hosts.insert("one".into(), vec![run]);
    world.build();
    world
}

fn one(world: World, spec: &QuerySpec) -> QuerySeries {
    let mut answers = ask(&Arc::new(world), spec).unwrap();
    assert_eq!(answers[0].session_starts_ms, [BASE_MS + 7]);
    answers[0].series.remove(0)
}

#[test]
fn the_live_window_is_answered_as_it_was_sampled() {
    let spec = spec(&["disk_read_bytes_total"], BASE_MS, BASE_MS + 60_000, 1_000);
    let series = one(world(), &spec);
    // 60 ms were asked for, 100 are there.
    assert_eq!((series.interval_ms, series.points.len()), (100, 599));
    let fast: Vec<_> = series.points.iter().filter(|point| point.max > 101.0).collect();
    assert_eq!((fast.len(), fast[0].time_ms), (1, BASE_MS + 33_400));
    // Without a store there is nothing else, however wide the points.
    let storeless = World { tiers: Vec::new(), ..world() };
    let wide = QuerySpec { points: 6, ..spec.clone() };
    let series = one(storeless, &wide);
    assert_eq!((series.interval_ms, series.points.len()), (10_000, 6));
    assert!((series.points[3].mean - 199.0).abs() < 1e-9, "{:?}", series.points[3]);
    assert!((series.points[3].max - 10_000.0).abs() < 1e-6);
    // Where the window begins late, seconds stand before it, and no rate is lost between.
    let short = World { live_from_ms: Some(BASE_MS + 50_050), ..world() };
    let series = one(short, &spec);
    let slow = series.points.iter().filter(|point| point.time_ms < BASE_MS + 50_000);
    assert_eq!(slow.count(), 49);
    let means = series.points.iter().map(|point| point.mean);
    assert!(means.clone().all(|mean| mean > 99.9), "{:?}", means.collect::<Vec<_>>());
}

#[test]
fn a_tenth_of_a_second_is_seen_in_every_tier() {
    for points in [60, 31, 6, 2, 1] {
        let (from_ms, to_ms) = (BASE_MS, BASE_MS + 60_000);
        let spec = spec(&["disk_read_bytes_per_second", "load1"], from_ms, to_ms, points);
        let world = Arc::new(world());
        let answers = ask(&world, &spec).unwrap();
        let seen = derive(&world.hosts["one"][0].rows);
        for series in &answers[0].series {
            let words = format!("{points} points of {}", series.key);
            let of_key = seen.iter().filter(|seen| seen.key == series.key);
            let all: Vec<f64> = of_key.map(|seen| seen.value).collect();
            let max = series.points.iter().map(|point| point.max).fold(0.0, f64::max);
            let min = series.points.iter().map(|point| point.min).fold(1e9, f64::min);
            assert!((max - all.iter().copied().fold(0.0, f64::max)).abs() < 1e-6, "{words}: {max}");
            assert!((min - all.iter().copied().fold(1e9, f64::min)).abs() < 1e-6, "{words}: {min}");
            assert!(series.points.iter().all(|p| p.min <= p.mean && p.mean <= p.max), "{words}");
            if series.key.name() == "load1" && points > 1 {
                // Readings count each, those that are not kept as well.
                let first = series.points[0];
                let count = (series.interval_ms / 100) as f64;
                assert!((first.mean - (count - 1.0) / 2.0).abs() < 1e-9, "{words}: {first:?}");
            }
        }
        assert_eq!(answers[0].series.len(), 3);
    }
}

#[test]
fn a_store_that_cannot_be_read_ends_the_answer() {
    let broken = World { broken: Some("the disk is gone".to_owned()), ..world() };
    let spec = spec(&["load1"], BASE_MS, BASE_MS + 60_000, 10);
    let failed = ask(&Arc::new(broken), &spec);
    assert_eq!(failed, Err(QueryError::Store("the disk is gone".to_owned())));
}
