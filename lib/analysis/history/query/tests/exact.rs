//! Any range, width, tier, gap, reset, session and order of arrival: the points are those of a
//! model that looks at every sample.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::machine::{scatter, session};
use super::world::{Seen, World, derive};
use super::{BASE_MS, ask, spec};
use crate::analysis::history::Tier;
use crate::analysis::history::query::plan::Plan;
use crate::analysis::view::{HostAnswer, QueryForm, QueryPoint, QuerySpec};
use crate::base::dice::Dice;
use crate::metric::{HostName, SeriesKey};

const NAMES: [&str; 16] = [
    "cpu_usage_percent",
    "cpu_mode_percent",
    "memory_used_bytes",
    "memory_used_percent",
    "disk_read_bytes_per_second",
    "disk_written_bytes_total",
    "disk_busy_percent",
    "network_*",
    "processes",
    "process_count",
    "load1",
    "room_celsius",
    "slow_total",
    "seventh",
    "cpu_seconds_total",
    "*",
];

/// A past of one host: three sessions over three hours, cut, late, and thinned so far.
fn world(dice: &mut Dice) -> World {
    let phase_ms = dice.below(1_000);
    let mut at_ms = BASE_MS + phase_ms;
    let mut runs = Vec::new();
    for id in 1..=3_u128 {
        let count = 600 + dice.below(3_600);
        let mut run = session(dice, id, at_ms, count);
        scatter(dice, &mut run);
        // The next begins after a pause, or before this one has ended.
        let end_ms = run.rows.last().map_or(at_ms, |row| row.time_ms);
        at_ms = if dice.one_in(3) { end_ms - 100_000 } else { end_ms + dice.below(400_000) };
        runs.push(run);
    }
    let now_ms = at_ms.max(runs[2].rows.last().unwrap().time_ms) + 1_500;
    let keep = |bucket_ms, keep_ms| Tier { bucket_ms, keep_ms };
    let finest_ms = 3_600_000 + dice.below(3) * 1_800_000;
    let mut world = World {
        now_ms,
        tiers: vec![keep(1_000, finest_ms), keep(10_000, 9_000_000), keep(60_000, 86_400_000)],
        gives_more: dice.one_in(2),
        gives_twice: dice.one_in(2),
        ..World::default()
    };
    for bucket_ms in [10_000, 60_000] {
        let behind_ms = dice.below(2_000_000);
        let complete_ms = (now_ms - behind_ms) / bucket_ms * bucket_ms;
        world.complete_ms.insert(bucket_ms, complete_ms);
    }
    // Upkeep never lets go of what is not rolled up.
    world.hosts.insert("one".into(), runs);
    world.build();
    world
}

/// What the model holds a series to be: every value that counts.
fn model(seen: &[Seen], spec: &QuerySpec, plan: &Plan) -> BTreeMap<SeriesKey, Vec<Seen>> {
    let mut series: BTreeMap<SeriesKey, Vec<Seen>> = BTreeMap::new();
    for seen in seen {
        let name = seen.key.name();
        let asked = spec.metrics.iter().any(|metric| match metric.as_str() {
            "disk_written_bytes_total" => name == "disk_write_bytes_per_second",
            "processes" => name == "process_count",
            "slow_total" => name == "slow_per_second",
            "cpu_seconds_total" => name == "cpu_mode_percent",
            pattern if pattern.ends_with('*') => name.starts_with(&pattern[..pattern.len() - 1]),
            exact => name == exact,
        });
        let has = |(name, value): &(String, String)| seen.key.label(name).as_ref() == Some(value);
        let inside = plan.from_ms <= seen.time_ms && seen.time_ms < plan.to_ms;
        if asked && inside && spec.labels.iter().all(has) {
            series.entry(seen.key.clone()).or_default().push(seen.clone());
        }
    }
    series
}

fn points(values: &[Seen], interval_ms: u64, single: Option<u64>) -> Vec<QueryPoint> {
    let mut cells: BTreeMap<u64, Vec<&Seen>> = BTreeMap::new();
    for seen in values {
        let time_ms = single.unwrap_or(seen.time_ms / interval_ms * interval_ms);
        cells.entry(time_ms).or_default().push(seen);
    }
    let point = |(time_ms, values): (u64, Vec<&Seen>)| {
        let weight = |seen: &Seen| f64::from(seen.over_us.max(1));
        let weights: f64 = values.iter().map(|seen| weight(seen)).sum();
        let all = || values.iter().map(|seen| seen.value);
        QueryPoint {
            time_ms,
            min: all().fold(f64::INFINITY, f64::min),
            mean: values.iter().map(|seen| seen.value * weight(seen)).sum::<f64>() / weights,
            max: all().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    cells.into_iter().map(point).collect()
}

#[track_caller]
fn near(one: f64, other: f64, words: &str) {
    let off = (one - other).abs();
    assert!(off <= 1e-6 + 1e-7 * one.abs().max(other.abs()), "{one} is not {other}: {words}");
}

fn check(world: &Arc<World>, spec: &QuerySpec, seen: &[Seen], words: &str) -> usize {
    let plan = Plan::new(spec, world.as_ref());
    let answers = ask(world, spec).unwrap();
    let [HostAnswer { host, series, session_starts_ms }] = answers.as_slice() else {
        panic!("{words}: {} answers", answers.len());
    };
    assert_eq!(host.as_deref(), Some("one"), "{words}");
    let starts: Vec<u64> = world.hosts["one"].iter().map(|run| run.rows[0].time_ms).collect();
    let starts = starts.into_iter().filter(|at| plan.from_ms <= *at && *at < plan.to_ms);
    let expected = model(seen, spec, &plan);
    if expected.is_empty() {
        assert!(series.is_empty(), "{words}: {series:?}");
        return 0;
    }
    assert_eq!(*session_starts_ms, starts.collect::<Vec<_>>(), "{words}");
    let names = |keys: Vec<&SeriesKey>| keys.iter().map(|key| key.to_string()).collect::<Vec<_>>();
    let (got, model) = (series.iter().map(|s| &s.key).collect(), expected.keys().collect());
    assert_eq!(names(got), names(model), "{words}");
    let mut checked = 0;
    for series in series {
        let words = format!("{words} {} every {} ms", series.key, series.interval_ms);
        let grid = &plan.grid;
        assert!(series.interval_ms >= grid.step_ms, "{words}");
        assert_eq!(series.interval_ms % grid.grain_ms, 0, "{words}");
        let slow = ["room_celsius", "slow_per_second", "seventh"].contains(&series.key.name());
        // A hundredth less than a second makes a hole seldom enough to be left as it is.
        let usual_ms = if grid.step_ms >= 990 { grid.step_ms } else { 1_000 };
        let meant = [usual_ms, grid.step_ms.max(1_000)].contains(&series.interval_ms);
        assert!(slow || meant, "{words}");
        assert!(series.points.len() <= spec.points, "{words}: {}", series.points.len());
        let single = (spec.points == 1).then_some(grid.from_ms);
        let expected = points(&expected[&series.key], series.interval_ms, single);
        let times = |points: &[QueryPoint]| points.iter().map(|p| p.time_ms).collect::<Vec<_>>();
        assert_eq!(times(&series.points), times(&expected), "{words}");
        for (got, expected) in series.points.iter().zip(&expected) {
            let words = format!("{words} at {}", got.time_ms);
            near(got.mean, expected.mean, &format!("mean, {words}"));
            near(got.min, expected.min, &format!("min, {words}"));
            near(got.max, expected.max, &format!("max, {words}"));
            checked += 1;
        }
    }
    checked
}

fn random_spec(dice: &mut Dice, world: &World) -> QuerySpec {
    let first_ms = BASE_MS - 600_000;
    // Never further back than what is kept: there the coarse tiers do not know the first rates.
    let from_ms = first_ms + dice.below(world.now_ms - first_ms);
    let longest_ms = world.now_ms + 60_000 - from_ms;
    let length_ms = 1 + if dice.one_in(3) { longest_ms } else { dice.below(longest_ms) };
    let points = [1, 2, 7, 50, 333, 1_000, 1_000, 5_000][dice.below(8) as usize];
    let names = 1 + dice.below(3);
    let names: Vec<&str> = (0..names).map(|_| NAMES[dice.below(16) as usize]).collect();
    let mut spec = spec(&names, from_ms, from_ms + length_ms, points);
    if dice.one_in(6) {
        let labels = [("device", "sda"), ("mode", "user"), ("interface", "eth0"), ("x", "y")];
        let (name, value) = labels[dice.below(4) as usize];
        spec.labels.push((name.to_owned(), value.to_owned()));
    }
    spec
}

#[test]
fn points_are_those_of_every_sample() {
    let (mut checked, mut coarse, mut mixed) = (0, 0, 0);
    for seed in 1..=30_u64 {
        let mut dice = Dice::new(seed);
        let world = Arc::new(world(&mut dice));
        let mut seen: Vec<Seen> = Vec::new();
        world.hosts["one"].iter().for_each(|run| seen.extend(derive(&run.rows)));
        for turn in 0..12 {
            let spec = random_spec(&mut dice, &world);
            let plan = Plan::new(&spec, world.as_ref());
            let spans = plan.spans("one", world.as_ref());
            let mut buckets: Vec<u64> = spans.iter().map(|span| span.bucket_ms).collect();
            buckets.dedup();
            coarse += usize::from(buckets.first().is_some_and(|bucket| *bucket > 1_000));
            mixed += usize::from(buckets.len() > 1);
            // A fine tier that has expired under the coarse one's end is upkeep's fault.
            let held = |span: &super::super::plan::Span| {
                let tier = world.tiers.iter().find(|tier| tier.bucket_ms == span.bucket_ms);
                span.from_ms + tier.unwrap().keep_ms + 200_000 > world.now_ms
            };
            if spec.from_ms + world.tiers[2].keep_ms < world.now_ms || !spans.iter().all(held) {
                continue;
            }
            let words = format!("seed {seed} turn {turn} {buckets:?} {spec:?}");
            checked += check(&world, &spec, &seen, &words);
        }
    }
    assert!(checked > 100_000 && coarse > 100 && mixed > 50, "{checked} {coarse} {mixed}");
}

#[test]
fn raw_counters_are_as_read() {
    for seed in 1..=5_u64 {
        let mut dice = Dice::new(seed);
        let world = Arc::new(world(&mut dice));
        let to_ms = world.now_ms.next_multiple_of(1_000);
        let mut spec = spec(&["network_*", "processes"], to_ms - 700_000, to_ms, 700);
        spec.form = QueryForm::Raw;
        let answers = ask(&world, &spec).unwrap();
        let rows = world.hosts["one"].iter().flat_map(|run| &run.rows);
        let mut expected: BTreeMap<(String, u64), Vec<f64>> = BTreeMap::new();
        for row in rows.filter(|row| row.time_ms / 1_000 >= spec.from_ms / 1_000) {
            for (key, value) in row.samples.iter() {
                if key.name().starts_with("network_") || key.name() == "processes" {
                    let place = (key.to_string(), row.time_ms / 1_000 * 1_000);
                    expected.entry(place).or_default().push(value.as_f64());
                }
            }
        }
        let mut got = BTreeMap::new();
        for series in &answers[0].series {
            assert_eq!(series.interval_ms, 1_000, "seed {seed}");
            for point in &series.points {
                got.insert((series.key.to_string(), point.time_ms), *point);
            }
        }
        let places = expected.keys().collect::<Vec<_>>();
        assert_eq!(got.keys().collect::<Vec<_>>(), places, "seed {seed}");
        for (place, values) in expected {
            let point = got[&place];
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            near(point.mean, mean, &format!("seed {seed} {place:?}"));
            near(point.min, values.iter().copied().fold(f64::INFINITY, f64::min), "min");
            near(point.max, values.iter().copied().fold(0.0, f64::max), "max");
        }
    }
}

#[test]
fn a_clock_that_steps_back_loses_no_growth() {
    for seed in 1..=20_u64 {
        let mut dice = Dice::new(seed);
        let mut run = session(&mut dice, 1, BASE_MS, 3_000);
        let at = 100 + dice.below(2_000) as usize;
        let back_ms = 1_000 * (1 + dice.below(90));
        run.rows[at..].iter_mut().for_each(|row| row.time_ms -= back_ms);
        let seen = derive(&run.rows);
        let tiers = vec![Tier { bucket_ms: 1_000, keep_ms: 7_200_000 }];
        let now_ms = BASE_MS + 3_500_000;
        let mut world = World { now_ms, tiers, ..World::default() };
        // Two frames of one second are both there where they came in different segments.
        run.chunks.iter_mut().skip(at).for_each(|chunk| *chunk = 1);
        world.hosts.insert(HostName::from("one"), vec![run]);
        world.build();
        let spec = spec(&["network_*", "cpu_usage_percent"], BASE_MS, now_ms, 60);
        check(&Arc::new(world), &spec, &seen, &format!("seed {seed}"));
    }
}
