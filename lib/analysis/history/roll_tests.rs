//! Rolling up against the plain model: nothing of what grew is lost or given to another bucket,
//! and every value stays inside its bucket's bounds.

use std::collections::BTreeMap as Map;

use super::super::merge::cut;
use super::super::model_tests::{
    CALM, Cell, Cells, Fate, PACES, Pace, ROUGH, Readings, assert_same, close, derived, extremes,
    readings, rows, told,
};
use super::super::thin::{SessionRows, thin};
use super::*;
use crate::base::dice::Dice;

const TEN_S: u32 = 10_000;
const MINUTE: u32 = 60_000;

fn thinned(session: SessionId, rows: Vec<Row>) -> Segment {
    let sessions = vec![SessionRows { session, before: Vec::new(), rows }];
    thin(sessions, &Arc::default()).segments.remove(0)
}

fn roll_all(segments: &[Segment], around: &[Segment], bucket_ms: u32) -> Vec<Segment> {
    let (segments, around): (Vec<_>, Vec<_>) = (segments.iter().collect(), around.iter().collect());
    roll(&segments, &around, bucket_ms, &Arc::default())
}

/// Two sessions that the dice make.
fn sessions(dice: &mut Dice, pace: Pace, fate: Fate, count: usize) -> Vec<Segment> {
    [1, 2].map(|id| thinned(SessionId(id), rows(dice, pace, fate, count))).into()
}

/// What the finer frames and extremes say of coarser buckets: all of both.
fn coarser(finer: &[Segment], bucket_ms: u32) -> Cells {
    let bucket_ms = u64::from(bucket_ms);
    let own_ms = u64::from(finer[0].bucket_ms);
    let known = extremes(finer, own_ms);
    let mut cells = Cells::new();
    for ((session, key, start_ms), cell) in told(finer) {
        let at = (session, key, start_ms / bucket_ms * bucket_ms);
        cells.entry(at).or_insert(Cell::EMPTY).add(&cell);
    }
    // Rates of the frames widen what the extremes of a second say.
    if own_ms == 1_000 {
        for ((session, key, start_ms), cell) in derived(&readings(finer), own_ms) {
            if known.contains_key(&(session, key.clone(), start_ms)) {
                let cell = Cell { sum: 0.0, count: 0, grown: 0.0, over_us: 0, ..cell };
                let at = (session, key, start_ms / bucket_ms * bucket_ms);
                cells.entry(at).or_insert(Cell::EMPTY).add(&cell);
            }
        }
    }
    cells
}

/// Means of rates by time are the same from the coarser frames as from the finer.
#[track_caller]
fn assert_same_growth(finer: &Readings, rolled: &Readings, bucket_ms: u32, what: &str) {
    let grown = |from: &Readings| {
        let cells = derived(from, u64::from(bucket_ms)).into_iter();
        cells.filter(|(_, cell)| cell.over_us > 0).collect::<Map<_, _>>()
    };
    let (finer, rolled) = (grown(finer), grown(rolled));
    for (key, cell) in &finer {
        let Some(found) = rolled.get(key) else { panic!("{what}: {key:?} is missing") };
        let same = cell.over_us == found.over_us && close(cell.grown, found.grown);
        assert!(same, "{what}: {key:?} is {found:?}, should be {cell:?}");
    }
    assert_eq!(finer.len(), rolled.len(), "{what}");
}

/// What stays is some of what was there, with the last reading of every bucket.
#[track_caller]
fn assert_kept(finer: &Readings, rolled: &Readings, bucket_ms: u32, what: &str) {
    let mut last = Map::new();
    for ((session, key, seq), reading) in finer {
        last.insert((*session, key.clone(), reading.0 / u64::from(bucket_ms)), *seq);
    }
    for ((session, key, _), seq) in &last {
        let found = rolled.contains_key(&(*session, key.clone(), *seq));
        assert!(found, "{what}: frame {seq} of {key} is missing");
    }
    for (key, reading) in rolled {
        assert_eq!(finer.get(key), Some(reading), "{what}");
    }
}

#[test]
fn means_and_bounds_are_those_of_the_finer_tier() {
    for seed in 1..50 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let what = format!("seed {seed}, {pace:?}");
        let finer = sessions(dice, pace, ROUGH, 400);
        let bucket_ms = if dice.one_in(2) { TEN_S } else { MINUTE };
        let rolled = roll_all(&finer, &[], bucket_ms);
        let (all, kept) = (readings(&finer), readings(&rolled));
        assert_kept(&all, &kept, bucket_ms, &what);
        assert_same_growth(&all, &kept, bucket_ms, &what);
        assert_same(&told(&rolled), &coarser(&finer, bucket_ms), &what);
    }
}

#[test]
fn two_steps_come_to_the_same_as_one() {
    for seed in 1..40 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let what = format!("seed {seed}, {pace:?}");
        let finer = sessions(dice, pace, ROUGH, 600);
        let once = roll_all(&finer, &[], MINUTE);
        let twice = roll_all(&roll_all(&finer, &[], TEN_S), &[], MINUTE);
        assert_eq!(readings(&once), readings(&twice), "{what}");
        let minute_ms = u64::from(MINUTE);
        assert_same(&extremes(&twice, minute_ms), &extremes(&once, minute_ms), &what);
    }
}

#[test]
fn spans_rolled_one_by_one_are_one_long_series() {
    for seed in 1..40 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let what = format!("seed {seed}, {pace:?}");
        let finer = sessions(dice, pace, ROUGH, 500);
        let mut spans: Map<u64, Vec<Segment>> = Map::new();
        for (start_ms, piece) in finer.iter().cloned().flat_map(|segment| cut(segment, 120_000)) {
            spans.entry(start_ms).or_default().push(piece);
        }
        let mut rolled = Vec::new();
        for (start_ms, span) in &spans {
            let others = spans.iter().filter(|(other, _)| *other != start_ms);
            let around: Vec<Segment> = others.flat_map(|(_, span)| span.clone()).collect();
            rolled.extend(roll_all(span, &around, TEN_S));
        }
        let (all, kept) = (readings(&finer), readings(&rolled));
        assert_kept(&all, &kept, TEN_S, &what);
        assert_same_growth(&all, &kept, TEN_S, &what);
        assert_same(&told(&rolled), &coarser(&finer, TEN_S), &what);
    }
}

#[test]
fn a_calm_host_keeps_one_frame_a_bucket() {
    for (pace, groups) in [(Pace::Second, vec![61]), (Pace::Mixed, vec![61, 61, 21])] {
        let finer = [thinned(SessionId(1), rows(&mut Dice::new(11), pace, CALM, 600))];
        let rolled = roll_all(&finer, &[], TEN_S);
        let [segment] = rolled.as_slice() else { panic!("{}", rolled.len()) };
        let mut lens: Vec<usize> = segment.groups.iter().map(Group::len).collect();
        lens.sort_unstable_by(|one, other| other.cmp(one));
        // One more for the first frame, and the bucket at the end that is not whole.
        assert_eq!(lens.len(), groups.len(), "{pace:?}");
        for (len, around) in lens.iter().zip(groups) {
            assert!(len.abs_diff(around) <= 1, "{pace:?}: {lens:?}");
        }
        // What is sampled less often than there are buckets needs no extremes.
        let names: Vec<&str> = segment.extremes.iter().map(|of| of.key.as_str()).collect();
        assert_eq!(names.contains(&"process_count"), pace == Pace::Second, "{names:?}");
        assert_eq!(segment.spans.len(), if pace == Pace::Second { 2 } else { 3 }, "{pace:?}");
    }
}

#[test]
fn idle_time_that_steps_back_a_little_is_no_reset() {
    let mut frames = rows(&mut Dice::new(2), Pace::Second, CALM, 20);
    let low = |row: &mut Row, at: usize, less: f64| {
        row.samples.values[at] = Value::Float(row.samples.values[at].as_f64() - less);
    };
    let idle = 0;
    let at = 3 + frames[3..].iter().position(|row| row.time_ms / 1_000 % 10 == 5).unwrap();
    let back = frames[at].samples.values[idle].as_f64() - 0.01;
    let mut small = frames.clone();
    small[at + 1].samples.values[idle] = Value::Float(back);
    let count = |frames: Vec<Row>| {
        let rolled = roll_all(&[thinned(SessionId(1), frames)], &[], TEN_S);
        rolled[0].groups[0].len()
    };
    let calm = count(frames.clone());
    assert_eq!(count(small), calm);
    // The time of the CPU's users is not excused, nor a long way back.
    for row in &mut frames[at..] {
        low(row, idle, 1_000.0);
    }
    assert_eq!(count(frames), calm + 2);
}

#[test]
fn a_counter_that_is_none_costs_itself_only() {
    let mut frames = rows(&mut Dice::new(2), Pace::Second, CALM, 600);
    for (at, row) in frames.iter_mut().enumerate() {
        // Down, and up again.
        let read = row.samples.layout.iter().position(|key| key.name() == "disk_read_bytes_total");
        row.samples.values[read.unwrap()] = Value::Unsigned(1_000 + at as u64 % 2);
    }
    let finer = [thinned(SessionId(1), frames)];
    let rolled = roll_all(&finer, &[], MINUTE);
    let mut lens: Vec<usize> = rolled[0].groups.iter().map(Group::len).collect();
    lens.sort_unstable();
    assert!(lens.len() == 2 && lens[0] < 14 && lens[1] == 600, "{lens:?}");
    assert_same_growth(&readings(&finer), &readings(&rolled), MINUTE, "restless");
}

#[test]
fn what_the_finer_tier_lacks_stays_when_a_span_is_made_anew() {
    for seed in 1..40 {
        let dice = &mut Dice::new(seed);
        let pace = PACES[dice.below(5) as usize];
        let what = format!("seed {seed}, {pace:?}");
        let finer = sessions(dice, pace, ROUGH, 500);
        let parts = finer.iter().cloned().flat_map(|segment| cut(segment, 60_000));
        // Of every second minute the seconds are gone, or never were in the finer tier.
        let is_there = |(start_ms, _): &(u64, Segment)| start_ms / 60_000 % 2 == 0;
        let (there, gone): (Vec<_>, Vec<_>) = parts.partition(is_there);
        let alone = |parts: Vec<(u64, Segment)>| -> Vec<Segment> {
            parts.into_iter().map(|(_, segment)| segment).collect()
        };
        let (there, gone) = (alone(there), alone(gone));
        let there_now: Vec<&Segment> = there.iter().collect();
        let pool = Arc::default();
        let anew = |here: Vec<Segment>| {
            with_remainder(roll_all(&there, &here, TEN_S), &here, &there_now, &pool)
        };
        let ten_s = u64::from(TEN_S);

        let whole = roll_all(&finer, &[], TEN_S);
        let made = anew(whole.clone());
        let (kept, expected) = (readings(&made), readings(&whole));
        let missing: Vec<_> = expected.keys().filter(|key| !kept.contains_key(*key)).collect();
        assert!(missing.is_empty(), "{what}: {missing:?}");
        // Once more changes nothing.
        assert_eq!(readings(&anew(made.clone())), kept, "{what}");
        assert_same(&extremes(&anew(made.clone()), ten_s), &extremes(&made, ten_s), &what);

        let direct = roll_all(&gone, &[], TEN_S);
        let both = readings(&anew(direct.clone()));
        for frame in readings(&direct).keys().chain(readings(&roll_all(&there, &[], TEN_S)).keys())
        {
            assert!(both.contains_key(frame), "{what}: {frame:?}");
        }
    }
}
