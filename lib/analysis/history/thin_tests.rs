//! Thinning against the plain model.

use super::super::model_tests::{
    CALM, PACES, Pace, ROUGH, Readings, assert_same, derived, readings, readings_of_rows, rows,
    told,
};
use super::*;
use crate::base::dice::Dice;

pub(in crate::analysis::history) const SESSION: SessionId = SessionId(7);

/// Of each second and series, the reading with the lowest number.
pub(in crate::analysis::history) fn lowest(all: &Readings) -> Readings {
    let mut kept = Readings::new();
    let mut seconds = std::collections::HashSet::new();
    // In the order of their numbers.
    for ((session, key, seq), reading) in all {
        if seconds.insert((*session, key.clone(), reading.0 / 1_000)) {
            kept.insert((*session, key.clone(), *seq), *reading);
        }
    }
    kept
}

fn thin_all(rows: Vec<Row>) -> Thinned {
    thin(vec![SessionRows { session: SESSION, before: Vec::new(), rows }], &Arc::default())
}

#[test]
fn keeps_the_lowest_of_each_second_and_tells_what_the_others_showed() {
    for seed in 1..50 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let mut frames = rows(dice, pace, ROUGH, 300);
        let model = readings_of_rows(SESSION, &frames);
        // In any order, and some twice.
        for _ in 0..100 {
            let (one, other) = (dice.below(300) as usize, dice.below(300) as usize);
            frames.swap(one, other);
        }
        frames.extend_from_within(..dice.below(20) as usize);
        let thinned = thin_all(frames);
        let found = readings(&thinned.segments);
        assert_eq!(found, lowest(&model), "seed {seed}, {pace:?}");
        let kept: std::collections::HashSet<u64> = found.keys().map(|key| key.2).collect();
        assert_eq!(thinned.thinned + kept.len() as u64, 300, "seed {seed}, {pace:?}");
        let what = format!("seed {seed}, {pace:?}");
        assert_same(&told(&thinned.segments), &derived(&model, 1_000), &what);
    }
}

#[test]
fn one_frame_a_second_says_everything() {
    let frames = rows(&mut Dice::new(3), Pace::Second, CALM, 600);
    let thinned = thin_all(frames);
    let [segment] = thinned.segments.as_slice() else { panic!("{thinned:?}") };
    assert_eq!((segment.groups.len(), segment.groups[0].len(), thinned.thinned), (1, 600, 0));
    assert!(segment.extremes.is_empty() && segment.spans.is_empty());
    // Metrics with longer intervals have groups of their own, and still no extremes.
    let thinned = thin_all(rows(&mut Dice::new(3), Pace::Mixed, CALM, 600));
    let lens: Vec<usize> = thinned.segments[0].groups.iter().map(|group| group.len()).collect();
    assert_eq!((lens, thinned.segments[0].extremes.len()), (vec![600, 120, 20], 0));
}

#[test]
fn what_is_watched_closely_does_not_crowd_out_the_rest() {
    let frames = rows(&mut Dice::new(5), Pace::FastCpu, CALM, 12_000);
    let thinned = thin_all(frames);
    let segment = &thinned.segments[0];
    let of = |key: &str| {
        let column = segment.columns.iter().find(|column| column.key.as_str() == key).unwrap();
        column.values.len()
    };
    assert!((595..=625).contains(&of("cpu_seconds_total{mode=\"idle\"}")));
    assert!((595..=605).contains(&of("load1")), "{}", of("load1"));
    let names: Vec<&str> = segment.extremes.iter().map(|of| of.key.as_str()).collect();
    assert!(names.contains(&"cpu_usage_percent"), "{names:?}");
    assert!(!names.contains(&"load1") && !names.contains(&"memory_used_bytes"), "{names:?}");
}

#[test]
fn a_step_from_an_earlier_chunk_is_told() {
    let frames = rows(&mut Dice::new(9), Pace::Fast, CALM, 200);
    let (earlier, rest) = frames.split_at(110);
    let before = vec![Before { row: earlier[109].clone(), kept: false }];
    let sessions = vec![SessionRows { session: SESSION, before, rows: rest.to_vec() }];
    let thinned = thin(sessions, &Arc::default());
    let all = derived(&readings_of_rows(SESSION, &frames), 1_000);
    let second = rest[0].time_ms / 1_000 * 1_000;
    let later = all.into_iter().filter(|((_, _, start_ms), _)| *start_ms > second).collect();
    let mut found = told(&thinned.segments);
    let first = found.iter().find(|((_, key, _), _)| key.as_str() == "cpu_usage_percent");
    let here = rest.iter().filter(|row| row.time_ms / 1_000 * 1_000 == second).count() as u64;
    assert_eq!(first.map(|(_, cell)| cell.count), Some(here), "the step into it is told too");
    found.retain(|(_, _, start_ms), _| *start_ms > second);
    assert_same(&found, &later, "later");
}

#[test]
fn odd_frames_do_no_harm() {
    assert_eq!(thin_all(Vec::new()), Thinned::default());
    let mut frames = rows(&mut Dice::new(1), Pace::Second, CALM, 3);
    // A series twice, values missing, nothing at all; the same number at another time.
    let twice = frames[0].samples.layout.iter().chain(&*frames[0].samples.layout).cloned();
    frames[0].samples.layout = twice.collect();
    frames[1].samples.values.truncate(2);
    frames[2].samples = std::iter::empty().collect();
    frames.push(Row { elapsed_us: u64::MAX, time_ms: u64::MAX, ..frames[0].clone() });
    let thinned = thin_all(frames);
    assert_eq!((thinned.segments.len(), thinned.thinned), (1, 1));
}
