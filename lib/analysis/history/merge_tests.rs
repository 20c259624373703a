//! Merging and cutting against the plain model: chunks cut anywhere, frames late and out of
//! order, segments merged in any order.

use std::time::Duration;

use super::super::model_tests::{
    CALM, Cells, Fate, PACES, Pace, ROUGH, assert_same, derived, extremes, readings,
    readings_of_rows, rows, told,
};
use super::super::open::Open;
use super::super::roll::roll;
use super::super::thin::tests::{SESSION, lowest};
use super::*;
use crate::analysis::live::Row;
use crate::base::dice::Dice;
use crate::metric::SeriesKey;

fn pool() -> Arc<KeyPool> {
    Arc::default()
}

/// Frames into chunks that are cut wherever the dice say, each thinned by itself.
fn chunks(dice: &mut Dice, rows: &[Row]) -> (Vec<Segment>, u64) {
    let (mut open, mut segments, mut thinned) = (Open::default(), Vec::new(), 0);
    for (offset, row) in rows.iter().enumerate() {
        open.push(row.clone(), SESSION, offset as u64, Duration::ZERO);
        if dice.one_in(70) || offset + 1 == rows.len() {
            let done = open.take().thin(&pool());
            segments.extend(done.segments);
            thinned += done.thinned;
        }
    }
    (segments, thinned)
}

/// Merges a few at a time, in any order, until one is left.
fn merge_all(dice: &mut Dice, mut segments: Vec<Segment>) -> (Segment, u64) {
    let mut removed = 0;
    loop {
        let mut few = Vec::new();
        for _ in 0..2 + dice.below(4).min(segments.len() as u64) {
            if !segments.is_empty() {
                few.push(segments.swap_remove(dice.below(segments.len() as u64) as usize));
            }
        }
        let (merged, gone) = merge(&few.iter().collect::<Vec<_>>(), &pool()).unwrap();
        removed += gone;
        if segments.is_empty() {
            return (merged, removed);
        }
        segments.push(merged);
    }
}

/// Merges what there is so far with the next few, over and over.
fn merge_in_order(dice: &mut Dice, segments: Vec<Segment>) -> (Segment, u64) {
    let (mut whole, mut removed): (Option<Segment>, u64) = (None, 0);
    let mut rest = segments.as_slice();
    while !rest.is_empty() {
        let (few, later) = rest.split_at(rest.len().min(1 + dice.below(4) as usize));
        let all: Vec<&Segment> = few.iter().rev().chain(&whole).collect();
        let (merged, gone) = merge(&all, &pool()).unwrap();
        (whole, removed, rest) = (Some(merged), removed + gone, later);
    }
    (whole.unwrap(), removed)
}

fn shuffle(dice: &mut Dice, segments: &mut [Segment]) {
    for at in 0..segments.len() {
        segments.swap(at, dice.below(segments.len() as u64) as usize);
    }
}

/// Readings of an instant.
fn instants(cells: &Cells) -> Cells {
    let rate =
        |key: &SeriesKey| key.name().ends_with("_per_second") || key.name().starts_with("cpu_");
    let instants = cells.iter().filter(|((_, key, _), _)| !rate(key));
    instants.map(|(key, cell)| (key.clone(), *cell)).collect()
}

#[test]
fn chunks_cut_anywhere_are_one_long_series() {
    for seed in 1..50 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let what = format!("seed {seed}, {pace:?}");
        // Where a clock steps, frames of other seconds stand between: that is the next test.
        let frames = rows(dice, pace, Fate { clock: false, ..ROUGH }, 500);
        let all = readings_of_rows(SESSION, &frames);
        let (mut segments, thinned) = chunks(dice, &frames);
        assert_same_told(&segments, &all, &what);
        let (merged, removed) = if dice.one_in(2) {
            merge_in_order(dice, segments)
        } else {
            shuffle(dice, &mut segments);
            merge(&segments.iter().collect::<Vec<_>>(), &pool()).unwrap()
        };
        let merged = [merged];
        let found = readings(&merged);
        assert_eq!(found, lowest(&all), "{what}");
        assert_same(&told(&merged), &derived(&all, 1_000), &what);
        let kept: std::collections::HashSet<u64> = found.keys().map(|key| key.2).collect();
        assert_eq!(kept.len() as u64 + thinned + removed, 500, "{what}");
    }
}

/// Unmerged chunks have the lowest of each second among theirs.
fn assert_same_told(segments: &[Segment], all: &super::super::model_tests::Readings, what: &str) {
    let found = readings(segments);
    for (key, reading) in lowest(all) {
        assert_eq!(found.get(&key), Some(&reading), "{what}");
    }
}

#[test]
fn what_comes_late_and_out_of_order_is_placed_where_it_belongs() {
    for seed in 1..50 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let what = format!("seed {seed}, {pace:?}");
        let mut frames = rows(dice, pace, Fate { resets: false, comings: false, ..ROUGH }, 400);
        let all = readings_of_rows(SESSION, &frames);
        // A backlog in order, and some that come anywhere.
        let from = dice.below(300) as usize;
        let late: Vec<Row> = frames.drain(from..from + 80).collect();
        let at = dice.below(frames.len() as u64) as usize;
        for (number, row) in late.into_iter().enumerate() {
            frames.insert((at + 2 * number).min(frames.len()), row);
        }
        for _ in 0..20 {
            let (one, other) = (dice.below(400) as usize, dice.below(400) as usize);
            frames.swap(one, other);
        }
        let (segments, _) = chunks(dice, &frames);
        let (merged, _) = merge_all(dice, segments);
        let merged = [merged];
        assert_eq!(readings(&merged), lowest(&all), "{what}");
        let model = derived(&all, 1_000);
        assert_same(&instants(&told(&merged)), &instants(&model), &what);
        // Steps between frames that did not arrive together are not known to the last one, but
        // none is made up: none is beyond what the session ever did.
        for ((session, key, _), cell) in extremes(&merged, 1_000) {
            let of_key = model.iter().filter(|((_, name, _), _)| *name == key);
            let (low, high) = of_key.fold((f64::MAX, f64::MIN), |(low, high), (_, cell)| {
                (low.min(cell.min), high.max(cell.max))
            });
            let inside = cell.min >= low - 1e-6 * low.abs() && cell.max <= high * (1.0 + 1e-6);
            assert!(inside, "{what}: {session} {key}: {cell:?} beyond {low} to {high}");
        }
    }
}

#[test]
fn coarser_tiers_keep_every_frame() {
    for seed in 1..30 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let what = format!("seed {seed}, {pace:?}");
        let frames = rows(dice, pace, ROUGH, 300);
        let (segments, _) = chunks(dice, &frames);
        let roll_one = |segment: &Segment| roll(&[segment], &[], 10_000, &pool()).remove(0);
        let rolled: Vec<Segment> = segments.iter().map(roll_one).collect();
        let (merged, removed) = merge_all(dice, rolled.clone());
        let merged = [merged];
        assert_eq!((readings(&merged), removed), (readings(&rolled), 0), "{what}");
        let (of_one, of_all) = (extremes(&merged, 10_000), extremes(&rolled, 10_000));
        for (key, cell) in &of_all {
            let found = of_one.get(key).unwrap();
            let whole = found.min <= cell.min && found.max >= cell.max && found.count >= cell.count;
            assert!(whole, "{what}: {key:?} is {found:?}, was {cell:?}");
        }
        let (twice, _) = merge(&[&merged[0], &merged[0]], &pool()).unwrap();
        assert_eq!(readings(&[twice]), readings(&merged), "{what}");
        assert_eq!(merge(&[], &pool()), None);
        assert_eq!(merge(&[&merged[0]], &pool()), Some((merged[0].clone(), 0)));
    }
}

#[test]
fn the_same_twice_is_the_same() {
    let frames = rows(&mut Dice::new(4), Pace::Mixed, CALM, 200);
    let (segments, _) = chunks(&mut Dice::new(1), &frames);
    let (merged, _) = merge_all(&mut Dice::new(2), segments);
    assert!(merged.extremes.is_empty());
    assert_eq!(merge(&[&merged, &merged], &pool()), Some((merged.clone(), 0)));
    let part = cut(merged.clone(), 60_000).remove(1).1;
    assert_eq!(merge(&[&part, &merged], &pool()), Some((merged.clone(), 0)));
    assert_eq!(merge(&[&merged, &part], &pool()), Some((merged, 0)));
}

#[test]
fn what_is_cut_is_all_there_and_goes_together_again() {
    for seed in 1..40 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let what = format!("seed {seed}, {pace:?}");
        let frames = rows(dice, pace, ROUGH, 300);
        let (segments, _) = chunks(dice, &frames);
        let (whole, _) = merge_all(dice, segments);
        let span_ms = [10_000, 60_000, 3_600_000][dice.below(3) as usize];
        let pieces = cut(whole.clone(), span_ms);
        assert!(pieces.windows(2).all(|pair| pair[0].0 < pair[1].0), "{what}");
        let mut parts = Vec::new();
        for (start_ms, piece) in pieces {
            let (first_ms, last_ms) = piece.bounds_ms().unwrap();
            assert!(start_ms <= first_ms && last_ms < start_ms + span_ms, "{what}");
            parts.push(piece);
        }
        let of_whole = [whole];
        assert_eq!(readings(&parts), readings(&of_whole), "{what}");
        assert_eq!(extremes_of(&parts), extremes_of(&of_whole), "{what}");
        let again = [merge_all(dice, parts).0];
        assert_eq!(readings(&again), readings(&of_whole), "{what}");
        assert_eq!(extremes_of(&again), extremes_of(&of_whole), "{what}");
    }
}

/// Without what is unknown, which is never equal.
fn extremes_of(segments: &[Segment]) -> Vec<(SeriesKey, u64, [u64; 3])> {
    let cells = extremes(segments, 1_000).into_iter();
    cells
        .map(|((_, key, start_ms), cell)| {
            (key, start_ms, [cell.min.to_bits(), cell.max.to_bits(), cell.count])
        })
        .collect()
}
