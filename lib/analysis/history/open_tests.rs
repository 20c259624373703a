//! What is open: nothing is lost or doubled between pushing and taking, and everything is bounded.

use super::super::model_tests::{
    CALM, PACES, Pace, ROUGH, Readings, readings, readings_of_rows, rows,
};
use super::*;
use crate::base::dice::Dice;
use crate::metric::SeriesKey;

const NOW: Duration = Duration::from_secs(1_000);

fn readings_of(taken: Taken) -> Readings {
    let of = |rows: SessionRows| readings_of_rows(rows.session, &rows.rows);
    taken.rows().into_iter().flat_map(of).collect()
}

#[test]
fn everything_that_is_pushed_is_taken_once() {
    for seed in 1..30 {
        let dice = &mut Dice::new(seed);
        let mut model = Readings::new();
        let mut sessions: Vec<(SessionId, Vec<Row>)> = Vec::new();
        for id in 0..1 + u128::from(dice.below(3)) {
            let pace = PACES[dice.below(5) as usize];
            let rows = rows(dice, pace, ROUGH, 150);
            model.extend(readings_of_rows(SessionId(id), &rows));
            sessions.push((SessionId(id), rows));
        }
        let (mut open, mut taken, mut offset) = (Open::default(), Readings::new(), 10);
        sessions.retain(|(_, rows)| !rows.is_empty());
        while !sessions.is_empty() {
            let at = dice.below(sessions.len() as u64) as usize;
            let (session, rows) = &mut sessions[at];
            let row = rows.remove(0);
            open.push(row, *session, offset, NOW);
            offset += 1;
            sessions.retain(|(_, rows)| !rows.is_empty());
            if dice.one_in(50) {
                let (copied, first) = (readings_of(open.copy()), open.first_offset());
                let all = readings_of(open.take());
                assert_eq!((copied, first.is_some()), (all.clone(), true), "seed {seed}");
                assert!(all.keys().all(|key| !taken.contains_key(key)), "seed {seed}");
                taken.extend(all);
                assert!(open.take().is_empty() && open.first_offset().is_none(), "seed {seed}");
                assert_eq!((open.points(), open.bytes()), (0, 0), "seed {seed}");
            }
        }
        taken.extend(readings_of(open.take()));
        assert_eq!(taken, model, "seed {seed}");
    }
}

#[test]
fn a_chunk_is_due_at_its_points_its_age_or_its_size() {
    let mut open = Open::default();
    assert!(!open.is_due(NOW) && open.opened_at().is_none());
    let frames = rows(&mut Dice::new(1), Pace::Second, CALM, 700);
    for (at, row) in frames.iter().enumerate() {
        open.push(row.clone(), SessionId(1), 70 + at as u64, NOW);
        // A jitter of two milliseconds may put two frames into one second.
        assert_eq!(open.is_due(NOW), open.points() >= CHUNK_POINTS_MAX);
        assert!(open.points() + 5 > at && open.points() <= at + 1, "{} at {at}", open.points());
    }
    assert_eq!((open.first_offset(), open.opened_at()), (Some(70), Some(NOW)));
    let _ = open.take();
    open.push(frames[0].clone(), SessionId(1), 1_000, NOW);
    assert!(!open.is_due(NOW + CHUNK_AGE_MAX - Duration::from_millis(1)));
    assert!(open.is_due(NOW + CHUNK_AGE_MAX));
    assert_eq!(open.first_offset(), Some(1_000));
    // Twenty frames a second are one point.
    let _ = open.take();
    for row in rows(&mut Dice::new(1), Pace::Fast, CALM, 400) {
        open.push(row, SessionId(1), 1_001, NOW);
    }
    assert!((20..=22).contains(&open.points()), "{}", open.points());
}

#[test]
fn names_that_never_come_back_fill_it_soon() {
    let mut open = Open::default();
    let template = rows(&mut Dice::new(1), Pace::Second, CALM, 1).remove(0);
    let mut frames = 0;
    while !open.is_due(NOW) {
        let name = |at: u64| format!("series_with_a_rather_long_name_{frames}_{at}");
        let pairs = (0..500).map(|at| (SeriesKey::plain(&name(at)), Value::Unsigned(at)));
        let seq = frames + 1;
        let row = Row { seq, samples: pairs.collect(), ..template.clone() };
        open.push(row, SessionId(1), 0, NOW);
        frames += 1;
    }
    assert!(frames < 100 && open.bytes() < 2 * OPEN_BYTES_MAX, "{frames}");
    let session = &open.sessions[0];
    assert!(session.layouts.len() <= LAYOUTS_MAX && session.lanes.len() <= LANES_MAX);
}

#[test]
fn the_session_unheard_of_for_longest_is_forgotten_and_its_frames_are_not() {
    let mut open = Open::default();
    let frames = rows(&mut Dice::new(1), Pace::Second, CALM, 40);
    for (at, row) in frames.iter().enumerate() {
        open.push(row.clone(), SessionId(at as u128), at as u64, NOW);
        open.push(frames[0].clone(), SessionId(0), at as u64, NOW);
    }
    assert_eq!(open.sessions.len(), SESSIONS_MAX);
    assert!(open.sessions.iter().any(|session| session.id == SessionId(0)));
    let taken = open.take().rows();
    assert_eq!(taken.len(), 40);
    assert_eq!(taken.iter().map(|of| of.rows.len()).sum::<usize>(), 80);
}

#[test]
fn a_frame_that_was_committed_before_is_where_rates_begin_and_nothing_else() {
    let frames = rows(&mut Dice::new(6), Pace::Fast, CALM, 90);
    let (earlier, later) = frames.split_at(50);
    // An earlier run took the first frames; this one reads them again.
    let (mut ran, mut again) = (Open::default(), Open::default());
    for row in earlier {
        ran.push(row.clone(), SessionId(1), 0, NOW);
        again.note_replayed(row.clone(), SessionId(1));
    }
    let _ = ran.take();
    assert!(again.copy().is_empty() && again.opened_at().is_none() && !again.is_due(NOW));
    for row in later {
        ran.push(row.clone(), SessionId(1), 1, NOW);
        again.push(row.clone(), SessionId(1), 1, NOW);
    }
    let pool = Arc::default();
    let segments = again.segments(&pool);
    assert_eq!(segments, ran.segments(&pool));
    assert_eq!(segments, again.take().thin(&pool).segments);
    let mut model = readings_of_rows(SessionId(1), later);
    model.retain(|(_, _, seq), _| readings(&segments).keys().any(|key| key.2 == *seq));
    assert_eq!(readings(&segments), model);
    let first = &segments[0].extremes[0];
    let here = later.iter().filter(|row| second(row) == second(&later[0])).count();
    let counts = &segments[0].spans[first.spans].counts;
    assert_eq!(counts[0] as usize, here, "the step into the first frame is known");
}

/// Memory of the open frames of one host of 60 series that behave like a machine's.
#[test]
fn a_sample_takes_two_and_a_half_bytes() {
    let dice = &mut Dice::new(0x2545);
    let keys: Vec<SeriesKey> =
        (0..60).map(|at| SeriesKey::plain(&format!("s{at}_total"))).collect();
    let mut values = [1_000_000_000_u64; 60];
    let mut open = Open::default();
    for seq in 1..=576 {
        for (at, value) in values.iter_mut().enumerate() {
            *value += [0, dice.below(5), 4_096 * dice.below(300), dice.below(100_000)][at % 4];
        }
        let of = |at: usize| (keys[at].clone(), Value::Unsigned(values[at]));
        let row = Row {
            seq,
            elapsed_us: seq * 1_000_000 + dice.below(1_000),
            time_ms: seq * 1_000,
            interval_ms: 1_000,
            samples: (0..60).map(of).collect(),
        };
        open.push(row, SessionId(1), seq, NOW);
    }
    let per_sample = open.bytes() as f64 / (576.0 * 60.0);
    assert!(per_sample < 2.5, "{per_sample:.2} bytes a sample");
}
