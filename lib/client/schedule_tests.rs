//! The standing order against a plain model, and the grid against its definition.

use crate::base::dice::Dice;
use std::time::Duration;

use super::schedule::*;
use crate::wire::message::{Schedule, ScheduleEntry};

const KNOWN: &[Known] = &[
    Known { collector: "cpu", metric: "cpu_seconds_total" },
    Known { collector: "memory", metric: "memory_total_bytes" },
    Known { collector: "memory", metric: "memory_available_bytes" },
    Known { collector: "diskio", metric: "disk_read_bytes_total" },
    Known { collector: "load", metric: "load1" },
];

const MIN: Duration = Duration::from_millis(50);

fn entry(pattern: &str, interval_ms: u32, lease_ms: u32) -> ScheduleEntry {
    ScheduleEntry { pattern: pattern.to_owned(), interval_ms, lease_ms }
}

fn order(entries: &[(&str, u32, u32)], received_ms: u64) -> Order {
    let entries = entries.iter().map(|(p, i, l)| entry(p, *i, *l)).collect();
    Order::new(Schedule { revision: 1, entries }, Duration::from_millis(received_ms))
}

#[track_caller]
fn check(entries: &[(&str, u32, u32)], at_ms: u64, expected: [u32; 5]) {
    let plan = order(entries, 0).plan(KNOWN, MIN, Duration::from_millis(at_ms));
    assert_eq!(plan.interval_ms, expected);
}

#[test]
fn before_any_server_everything_is_taken_once_a_second() {
    let plan = Order::default_order().plan(KNOWN, MIN, Duration::from_secs(5));
    assert_eq!(plan.interval_ms, [1_000; 5]);
    assert_eq!((plan.distinct_ms, plan.valid_until), (vec![1_000], None));
}

#[test]
fn the_most_exact_standing_entry_counts() {
    check(&[("*", 1_000, 0), ("memory*", 2_000, 0)], 0, [1_000, 2_000, 2_000, 1_000, 1_000]);
    check(&[("memory", 200, 0), ("memory*_bytes", 100, 0)], 0, [0, 200, 200, 0, 0]);
    check(&[("load1", 300, 0), ("load", 100, 0), ("*", 60, 0)], 0, [60, 60, 60, 60, 300]);
    check(&[("*", 1_000, 0), ("cpu", 0, 0)], 0, [0, 1_000, 1_000, 1_000, 1_000]);
    check(&[("cpu", 0, 0), ("cpu", 700, 0), ("cpu", 900, 0)], 0, [700, 0, 0, 0, 0]);
    check(&[], 0, [0; 5]);
}

#[test]
fn a_live_lease_outranks_and_the_shortest_of_several_wins() {
    let entries = [("cpu", 1_000, 0), ("c*", 100, 5_000), ("cpu", 400, 9_000), ("load", 0, 3_000)];
    check(&entries, 0, [100, 0, 0, 0, 0]);
    check(&entries, 4_999, [100, 0, 0, 0, 0]);
    check(&entries, 5_000, [400, 0, 0, 0, 0]);
    check(&entries, 9_000, [1_000, 0, 0, 0, 0]);
}

#[test]
fn leases_end_by_themselves_and_the_default_returns() {
    let order = order(&[("cpu", 100, 5_000)], 2_000);
    let during = order.plan(KNOWN, MIN, Duration::from_millis(6_999));
    assert_eq!(during.interval_ms, [100, 0, 0, 0, 0]);
    assert_eq!(during.valid_until, Some(Duration::from_millis(7_000)));
    let after = order.plan(KNOWN, MIN, Duration::from_millis(7_000));
    assert_eq!((after.interval_ms, after.valid_until), (vec![1_000; 5], None));
}

#[test]
fn nothing_is_faster_than_the_host_allows() {
    let plan =
        order(&[("*", 1, 0), ("cpu", 49, 0), ("load", 50, 0)], 0).plan(KNOWN, MIN, Duration::ZERO);
    assert_eq!((plan.interval_ms, plan.clamped), (vec![50; 5], 4));
}

#[test]
fn patterns_match_any_run() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a*", "a", true),
        ("*a", "bca", true),
        ("a*a", "a", false),
        ("a**b", "ab", true),
        ("*b*", "abc", true),
        ("a*b*c", "a_b_b_c", true),
        ("a*b*c", "a_c_b", false),
        ("*ab", "aab", true),
        ("cpu", "cpu_seconds", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
}

/// The definition of a match, written the slow way.
fn matches_plainly(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| matches_plainly(rest, &text[skip..])),
        Some((first, rest)) => text.first() == Some(first) && matches_plainly(rest, &text[1..]),
    }
}

#[test]
fn patterns_agree_with_the_definition() {
    for seed in 1..=300 {
        let mut dice = Dice::new(seed);
        let mut word = |letters: &[u8], len: u64| -> String {
            let n = dice.below(len);
            (0..n).map(|_| letters[dice.below(letters.len() as u64) as usize] as char).collect()
        };
        for _ in 0..20 {
            let (pattern, text) = (word(b"ab*", 7), word(b"ab", 9));
            let expected = matches_plainly(pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches(&pattern, &text), expected, "seed {seed}: {pattern} on {text}");
        }
    }
}

/// The rules of the module's first page, one metric at a time and without any cleverness.
fn plain_interval(entries: &[ScheduleEntry], metric: &Known, now_ms: u64) -> u32 {
    let live = |e: &&ScheduleEntry| e.lease_ms == 0 || now_ms < u64::from(e.lease_ms);
    if !entries.is_empty() && !entries.iter().any(|e| live(&e)) {
        return 1_000;
    }
    let mine: Vec<_> =
        entries.iter().filter(live).filter(|e| speaks_of(&e.pattern, metric)).collect();
    let shortest = |of: &[&ScheduleEntry]| {
        let on = of.iter().map(|e| e.interval_ms).filter(|ms| *ms > 0).min();
        on.map_or(0, |ms| ms.max(50))
    };
    let leased: Vec<_> = mine.iter().copied().filter(|e| e.lease_ms > 0).collect();
    if !leased.is_empty() {
        return shortest(&leased);
    }
    for name in [metric.metric, metric.collector] {
        let exact: Vec<_> = mine.iter().copied().filter(|e| e.pattern == name).collect();
        if !exact.is_empty() {
            return shortest(&exact);
        }
    }
    let longest = mine.iter().map(|e| e.pattern.len()).max().unwrap_or(0);
    let longest: Vec<_> = mine.into_iter().filter(|e| e.pattern.len() == longest).collect();
    shortest(&longest)
}

#[test]
fn plans_agree_with_the_rules() {
    let patterns =
        ["*", "cpu", "cpu*", "memory", "mem*", "memory_*", "*bytes*", "load1", "l*", "x", "*total"];
    for seed in 1..=400 {
        let mut dice = Dice::new(seed);
        let entries: Vec<ScheduleEntry> = (0..dice.below(6))
            .map(|_| {
                let pattern = patterns[dice.below(patterns.len() as u64) as usize];
                let interval = [0, 10, 100, 200, 1_000, 5_000][dice.below(6) as usize];
                entry(pattern, interval, [0, 0, 1_000, 2_000, 3_000][dice.below(5) as usize])
            })
            .collect();
        let schedule = Schedule { revision: seed, entries: entries.clone() };
        let order = Order::new(schedule, Duration::ZERO);
        for now_ms in [0, 999, 1_000, 1_500, 2_000, 2_999, 3_000, 9_000] {
            let plan = order.plan(KNOWN, MIN, Duration::from_millis(now_ms));
            for (metric, got) in KNOWN.iter().zip(&plan.interval_ms) {
                let expected = plain_interval(&entries, metric, now_ms);
                assert_eq!(
                    *got, expected,
                    "seed {seed} at {now_ms}: {} {entries:?}",
                    metric.metric
                );
            }
        }
    }
}

#[test]
fn ticks_lie_on_one_grid_and_meet() {
    for seed in 1..=200 {
        let mut dice = Dice::new(seed);
        let grid = Grid::of_host(dice.below(u64::MAX));
        let now = 1_700_000_000_000_000 + dice.below(10_000_000_000);
        let slow = grid.next_us(1_000, now);
        assert!(slow > now && slow - now <= 1_000_000, "seed {seed}");
        assert_eq!(grid.next_us(100, slow - 1), slow, "seed {seed}: the fast tick meets the slow");
        assert_eq!(grid.next_us(1_000, slow), slow + 1_000_000, "seed {seed}");
    }
}

#[test]
fn what_falls_due_is_what_has_a_tick_in_between() {
    let plan = order(&[("cpu", 100, 0), ("memory", 1_000, 0), ("load", 300, 0)], 0).plan(
        KNOWN,
        MIN,
        Duration::ZERO,
    );
    let grid = Grid::of_host(0);
    let at = |ms: u64| ms * 1_000;
    assert_eq!(plan.next_us(grid, at(1_000)), Some(at(1_100)));
    assert_eq!(plan.due(grid, at(1_000), at(1_100)), [true, false, false, false, false]);
    assert_eq!(plan.due(grid, at(1_100), at(1_200)), [true, false, false, false, true]);
    assert_eq!(plan.due(grid, at(1_900), at(2_000)), [true, true, true, false, false]);
    assert_eq!(plan.due(grid, at(1_100), at(1_199)), [false; 5]);
    assert_eq!(plan.shortest_ms(), Some(100));
}
