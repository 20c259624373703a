//! Several hosts: order, aggregates, the first few; what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::{Past, QueryCounts, query};
use super::machine::session;
use super::world::{Run, World, row};
use super::{BASE_MS, ask, spec};
use crate::analysis::history::Tier;
use crate::analysis::view::{
    Aggregate, HostAnswer, QueryError, QueryForm, QueryPoint, QuerySeries, QuerySpec,
};
use crate::base::dice::Dice;
use crate::metric::{HostName, SeriesKey, SessionId, Value};

const MINUTES: u64 = 20 * 60_000;

fn world(seed: u64, hosts: u64) -> World {
    let mut dice = Dice::new(seed);
    let tiers = vec![Tier { bucket_ms: 1_000, keep_ms: 7_200_000 }];
    let mut world = World { now_ms: BASE_MS + MINUTES, tiers, ..World::default() };
    for host in 0..hosts {
        let start_ms = BASE_MS + dice.below(900_000);
        let seconds = 100 + dice.below(200);
        let run = session(&mut dice, u128::from(host), start_ms, seconds);
        world.hosts.insert(HostName::from(format!("h{host}")), vec![run]);
    }
    world.build();
    world
}

fn question(points: usize) -> QuerySpec {
    spec(&["load1", "network_*", "cpu_usage_percent"], BASE_MS, BASE_MS + MINUTES, points)
}

/// Each series of each host, by name.
fn by_key(answers: &[HostAnswer]) -> BTreeMap<String, Vec<QuerySeries>> {
    let mut keys: BTreeMap<String, Vec<QuerySeries>> = BTreeMap::new();
    for series in answers.iter().flat_map(|answer| &answer.series) {
        keys.entry(series.key.to_string()).or_default().push(series.clone());
    }
    keys
}

#[test]
fn hosts_come_by_name_each_once() {
    let world = Arc::new(world(1, 12));
    let names = |spec: &QuerySpec| -> Vec<String> {
        let answers = ask(&world, spec).unwrap();
        answers.iter().map(|answer| answer.host.as_deref().unwrap().to_owned()).collect()
    };
    let mut expected: Vec<String> = (0..12).map(|host| format!("h{host}")).collect();
    expected.sort();
    assert_eq!(names(&question(10)), expected);
    let hosts = vec!["h7".into(), "h11".into(), "h7".into()];
    assert_eq!(names(&QuerySpec { hosts, ..question(10) }), ["h11", "h7"]);
    let unknown = QuerySpec { hosts: vec!["h1".into(), "nobody".into()], ..question(10) };
    assert_eq!(ask(&world, &unknown), Err(QueryError::UnknownHost("nobody".into())));
}

#[test]
fn aggregates_are_made_of_the_hosts_at_each_point() {
    for seed in 1..=6_u64 {
        let world = Arc::new(world(seed, 9));
        let each = by_key(&ask(&world, &question(60)).unwrap());
        let quantile = |values: &mut Vec<f64>, share: f64| {
            values.sort_by(f64::total_cmp);
            let place = share * (values.len() - 1) as f64;
            let (low, high) = (values[place as usize], values[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        let check = |aggregate: Aggregate, model: &dyn Fn(&mut Vec<f64>) -> f64| {
            let spec = QuerySpec { aggregate: Some(aggregate), ..question(60) };
            let answers = ask(&world, &spec).unwrap();
            assert_eq!((answers.len(), &answers[0].host), (1, &None));
            let got = by_key(&answers);
            assert!(got.keys().eq(each.keys()), "seed {seed} {aggregate:?}");
            for (key, series) in &each {
                let mut points: BTreeMap<u64, Vec<QueryPoint>> = BTreeMap::new();
                for point in series.iter().flat_map(|series| &series.points) {
                    points.entry(point.time_ms).or_default().push(*point);
                }
                let [one] = got[key].as_slice() else { panic!("{key} came twice") };
                assert_eq!((one.hosts, &one.host), (series.len(), &None));
                assert_eq!(one.points.len(), points.len(), "seed {seed} {key} {aggregate:?}");
                for (got, (time_ms, points)) in one.points.iter().zip(points) {
                    let mean = model(&mut points.iter().map(|point| point.mean).collect());
                    let max = model(&mut points.iter().map(|point| point.max).collect());
                    let near = |one: f64, other: f64| (one - other).abs() <= 1e-9 * (1.0 + other);
                    let same = near(got.mean, mean) && near(got.max, max);
                    assert!(same && got.time_ms == time_ms, "seed {seed} {key} {got:?}: {mean}");
                }
            }
        };
        check(Aggregate::Sum, &|values| values.iter().sum());
        check(Aggregate::Mean, &|values| values.iter().sum::<f64>() / values.len() as f64);
        check(Aggregate::Min, &|values| values.iter().copied().fold(f64::INFINITY, f64::min));
        check(Aggregate::Max, &|values| values.iter().copied().fold(0.0, f64::max));
        check(Aggregate::Quantile(0.9), &|values| quantile(values, 0.9));
        check(Aggregate::Quantile(0.5), &|values| quantile(values, 0.5));
    }
}

#[test]
fn a_host_that_is_sampled_seldom_does_not_make_a_sum_flicker() {
    let mut world = world(3, 0);
    for (host, every, load) in [("h0", 1, 1.0), ("h1", 5, 2.0)] {
        let at = |at: u64| {
            let samples = [(SeriesKey::plain("load1"), Value::Float(load))].into_iter().collect();
            row(at + 1, BASE_MS + 1_000 * at * every, 1_000_000 * at * every, samples)
        };
        let rows: Vec<_> = (0..600 / every).map(at).collect();
        let chunks = vec![0; rows.len()];
        world.hosts.insert(host.into(), vec![Run { session: SessionId(1), rows, chunks }]);
    }
    world.build();
    let mut spec = spec(&["load1"], BASE_MS, BASE_MS + 600_000, 301);
    spec.aggregate = Some(Aggregate::Sum);
    let sum = ask(&Arc::new(world), &spec).unwrap().remove(0).series.remove(0);
    assert_eq!((sum.interval_ms, sum.hosts, sum.points.len()), (2_000, 2, 300));
    // The last of the second host stands at 594 s.
    let before = sum.points.iter().take_while(|point| point.time_ms <= BASE_MS + 594_000);
    assert!(before.clone().all(|point| point.mean == 3.0), "{:?}", sum.points);
    assert_eq!(before.count(), 298);
}

#[test]
fn the_first_few_are_those_with_the_largest_means() {
    let world = Arc::new(world(2, 9));
    let mut wide = question(1);
    let each = by_key(&ask(&world, &wide).unwrap());
    wide.points = 40;
    wide.aggregate = Some(Aggregate::Top(3));
    let few = ask(&world, &wide).unwrap();
    assert!(few.is_sorted_by(|one, other| one.host < other.host));
    for (key, series) in by_key(&few) {
        let mut means: Vec<_> =
            each[&key].iter().map(|series| (series.points[0].mean, &series.host)).collect();
        means.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut best: Vec<_> = means[..3].iter().map(|(_, host)| (*host).clone()).collect();
        best.sort();
        let got: Vec<_> = series.iter().map(|series| series.host.clone()).collect();
        assert_eq!(got, best, "{key}");
    }
}

#[test]
fn too_much_is_refused_with_figures() {
    let counts = Arc::new(QueryCounts::new());
    let refuse = |world: &Arc<World>, spec: &QuerySpec| {
        let past: Arc<dyn Past> = world.clone();
        let answer = query(past, Arc::default(), counts.clone(), spec);
        let refused = answer.err();
        let Some(QueryError::TooMuch { what, expected }) = refused else {
            panic!("it was not refused: {refused:?}");
        };
        assert!(expected.contains("at most"), "{expected}");
        what
    };
    let some = Arc::new(world(1, 2));
    assert_eq!(refuse(&some, &question(10_001)), "more than 10000 points of a series");
    // A thousand hosts for a year, from a tier of a second.
    let mut large = world(1, 1);
    let run = large.hosts["h0"].clone();
    for host in 0..1_000 {
        large.hosts.insert(HostName::from(format!("h{host}")), run.clone());
    }
    large.now_ms += 366 * 86_400_000;
    large.tiers[0].keep_ms = 400 * 86_400_000;
    let large = Arc::new(large);
    let mut year = question(10_000);
    year.to_ms = large.now_ms;
    let what = refuse(&large, &year);
    assert!(what.contains("readings to decode (1000 hosts, 10 series each"), "{what}");
    assert_eq!((counts.refused.get(), counts.queries.get()), (2, 2));
}

#[test]
fn an_answer_is_lazy_and_ends_when_the_program_stops() {
    let world = Arc::new(world(4, 5));
    for aggregate in [None, Some(Aggregate::Sum)] {
        world.stopping.store(false, Ordering::Relaxed);
        let past: Arc<dyn Past> = world.clone();
        let spec = QuerySpec { aggregate, form: QueryForm::Raw, ..question(10) };
        let mut answer = query(past, Arc::default(), Arc::default(), &spec).unwrap();
        if aggregate.is_none() {
            assert!(answer.next().unwrap().is_ok());
        }
        world.stopping.store(true, Ordering::Relaxed);
        assert!(matches!(answer.next(), Some(Err(QueryError::Store(_)))));
        assert!(answer.next().is_none(), "nothing comes after an error");
    }
}
