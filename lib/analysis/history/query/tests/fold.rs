//! How wide points are, how they are planned, and what falls into them.

use super::BASE_MS;
use super::world::World;
use crate::analysis::history::Tiers;
use crate::analysis::history::query::fold::{Fold, Item};
use crate::analysis::history::query::plan::{Grid, Plan};
use crate::analysis::view::{QueryPoint, QuerySeries};
use crate::base::dice::Dice;
use crate::metric::SeriesKey;

const DAY_MS: u64 = 86_400_000;

fn plan(ago_ms: (u64, u64), points: usize) -> Plan {
    let now_ms = BASE_MS + 100 * DAY_MS + 12_345;
    let tiers = Tiers::default().as_slice().to_vec();
    let world = World { now_ms, tiers, ..World::default() };
    let spec = super::spec(&["x"], now_ms - ago_ms.0, now_ms - ago_ms.1, points);
    Plan::new(&spec, &world)
}

#[track_caller]
fn check(ago_ms: (u64, u64), points: usize, step_ms: u64, grain_ms: u64) {
    let plan = plan(ago_ms, points);
    let got = (plan.grid.step_ms, plan.grid.grain_ms, plan.native);
    assert_eq!(got, (step_ms, grain_ms, grain_ms == 1), "{plan:?}");
    assert!(plan.grid.points <= points);
}

#[test]
fn points_are_as_wide_as_the_tiers_allow() {
    let hour_ms = 3_600_000;
    check((60_000, 0), 1_000, 61, 1);
    check((900_000, 0), 1_000, 901, 1);
    // Not inside the live window: nothing finer than a second.
    check((960_000, 900_000), 1_000, 1_000, 1_000);
    check((hour_ms, 0), 1_000, 4_000, 1_000);
    // A little wider than asked, for a tenth of the work.
    check((DAY_MS, 0), 1_000, 90_000, 10_000);
    check((6 * hour_ms, 0), 1_000, 22_000, 1_000);
    // The tier of a second does not reach back that far.
    check((26 * hour_ms, 25 * hour_ms), 1_000, 10_000, 10_000);
    check((7 * DAY_MS, 0), 1_000, 660_000, 60_000);
    check((8 * DAY_MS, 7 * DAY_MS + hour_ms), 10_000, 60_000, 60_000);
    check((90 * DAY_MS, 0), 1_000, 7_800_000, 60_000);
    check((400 * DAY_MS, 0), 1_000, 34_620_000, 60_000);
    check((hour_ms, 0), 1, 3_600_000, 60_000);
}

#[test]
fn points_are_never_more_than_asked_and_cover_the_range() {
    for seed in 1..=2_000_u64 {
        let mut dice = Dice::new(seed);
        let ago = [1_000, 900_000, DAY_MS, 91 * DAY_MS][dice.below(4) as usize];
        let ago_ms = 1 + dice.below(ago);
        let to_ms = dice.below(ago_ms);
        let points_max = [1, 5, 1_000, 10_000][dice.below(4) as usize];
        let points = 1 + dice.below(points_max) as usize;
        let plan = plan((ago_ms, to_ms), points);
        let words = format!("seed {seed}: {points} points, {plan:?}");
        let Grid { step_ms, from_ms, points: cells, grain_ms } = plan.grid;
        assert!((1..=points).contains(&cells), "{words}");
        assert!(step_ms % grain_ms == 0 && from_ms % step_ms == 0, "{words}");
        let now_ms = BASE_MS + 100 * DAY_MS + 12_345;
        let range = (now_ms - ago_ms, now_ms - to_ms);
        assert!(plan.from_ms <= range.0 && range.1 <= plan.to_ms, "{words}");
        if points > 1 {
            assert_eq!((plan.from_ms, plan.to_ms), (from_ms, from_ms + cells as u64 * step_ms));
        }
    }
}

fn grid(step_ms: u64, points: usize) -> Grid {
    Grid { step_ms, from_ms: 0, points, grain_ms: 1_000 }
}

fn fold(grid: &Grid, values: &[(u64, f64)]) -> QuerySeries {
    let mut fold = Fold::new(SeriesKey::plain("x"), grid, false);
    for (time_ms, value) in values {
        let (time_ms, value) = (*time_ms, *value);
        fold.add(
            grid,
            Item { time_ms, min: value, max: value, mean: value, weight: 1, single: true },
        );
    }
    fold.finish(grid, None).unwrap()
}

fn times(series: &QuerySeries) -> Vec<u64> {
    series.points.iter().map(|point| point.time_ms).collect()
}

#[test]
fn what_is_sampled_seldom_has_no_false_gaps() {
    let every = |spacing_ms: u64, count: u64| -> Vec<(u64, f64)> {
        (0..count).map(|at| (300 + at * spacing_ms, 1.0)).collect()
    };
    let five = fold(&grid(4_000, 900), &every(5_000, 700));
    assert_eq!((five.interval_ms, five.points.len()), (5_000, 700));
    assert_eq!(times(&five)[..3], [0, 5_000, 10_000]);
    let dense = fold(&grid(4_000, 900), &every(1_000, 3_600));
    assert_eq!((dense.interval_ms, dense.points.len()), (4_000, 900));
    // A true gap is one, and makes nothing wider.
    let mut broken = every(2_000, 200);
    broken.extend(every(2_000, 200).iter().map(|(time, value)| (time + 1_000_000, *value)));
    let series = fold(&grid(2_000, 900), &broken);
    assert_eq!((series.interval_ms, series.points.len()), (2_000, 400));
    // A minute, two and a half thousandths late each: still a minute.
    let minute = fold(&grid(10_000, 900), &every(60_050, 60));
    assert_eq!(minute.interval_ms, 60_000);
}

#[test]
fn a_time_that_trembles_over_an_edge_makes_no_gap() {
    let nominal = |at: u64| 10_000 + at * 5_000;
    for seed in 1..=50 {
        let mut dice = Dice::new(seed);
        let values: Vec<(u64, f64)> =
            (0..200).map(|at| (nominal(at) + dice.below(41) - 20, at as f64)).collect();
        let series = fold(&grid(1_000, 2_000), &values);
        assert_eq!(series.interval_ms, 5_000, "seed {seed}");
        let expected: Vec<u64> = (0..200).map(nominal).collect();
        assert_eq!(times(&series), expected, "seed {seed}");
    }
    // Where something is missing it stays missing.
    let mut values: Vec<(u64, f64)> = (0..20).map(|at| (nominal(at) + 4_900, 1.0)).collect();
    values.remove(10);
    assert_eq!(fold(&grid(1_000, 200), &values).points.len(), 19);
}

#[test]
fn extremes_without_a_mean_go_to_the_next_point() {
    let grid = grid(1_000, 10);
    let mut fold = Fold::new(SeriesKey::plain("x"), &grid, false);
    let extremes =
        |time_ms, min, max| Item { time_ms, min, max, mean: 0.0, weight: 0, single: false };
    let value = |time_ms, value| Item {
        time_ms,
        min: value,
        max: value,
        mean: value,
        weight: 7,
        single: true,
    };
    fold.add(&grid, extremes(2_000, 1.0, 90.0));
    fold.add(&grid, value(3_100, 5.0));
    fold.add(&grid, value(4_100, 6.0));
    // Nothing follows at once: nothing is known of a mean, and nothing is made up.
    fold.add(&grid, extremes(6_000, 1.0, 80.0));
    fold.add(&grid, value(8_100, 7.0));
    let point = |time_ms, min, mean, max| QueryPoint { time_ms, min, mean, max };
    let expected =
        [point(3_000, 1.0, 5.0, 90.0), point(4_000, 6.0, 6.0, 6.0), point(8_000, 7.0, 7.0, 7.0)];
    assert_eq!(fold.finish(&grid, None).unwrap().points, expected);
}
