//! The window against a plain model: frames in any order, doubled sessions, bounds.

use crate::base::dice::Dice;
use std::collections::BTreeMap;

use super::*;
use crate::metric::{Samples, SessionId, Value};

const BASE_MS: u64 = 1_700_000_000_000;

fn samples(pairs: &[(&str, u64)]) -> Samples {
    pairs.iter().map(|(key, value)| (SeriesKey::plain(key), Value::Unsigned(*value))).collect()
}

fn frame(session: u128, seq: u64, at_ms: u64, samples: Samples) -> Frame {
    Frame {
        session: SessionId(session),
        seq,
        elapsed_us: at_ms * 1_000,
        time_ms: BASE_MS + at_ms,
        uncertainty_ms: 0,
        host_time_ms: 0,
        interval_ms: 1_000,
        sent_ms: BASE_MS + at_ms,
        samples,
    }
}

fn live() -> HostLive {
    HostLive::new(Arc::default())
}

fn column<'a>(window: &'a Window, key: &str) -> &'a [Option<f64>] {
    let found = window.series.iter().find(|(series, _)| series.as_str() == key);
    &found.unwrap_or_else(|| panic!("no {key} in {:?}", window.series)).1
}

#[test]
fn any_order_of_arrival_gives_the_window_of_the_right_order() {
    for seed in 1..120_u64 {
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Two series with different intervals, so that blocks hold several layouts.
        let mut at_ms = 0;
        let mut truth = Vec::new();
        let mut counter = 0;
        for seq in 1..=200_u64 {
            at_ms += 1 + dice.below(2_000);
            counter += dice.below(1_000);
            let values = match dice.below(3) {
                0 => samples(&[("n_total", counter)]),
                1 => samples(&[("load1", seq)]),
                _ => samples(&[("load1", seq), ("n_total", counter)]),
            };
            truth.push(frame(1, seq, at_ms, values));
        }
        // A backlog in runs, interleaved with live frames, and some single late ones.
        let (mut arrival, mut backlog) = (Vec::new(), Vec::new());
        for chunk in truth.chunks(20) {
            if dice.below(2) == 0 { &mut backlog } else { &mut arrival }.extend(chunk.iter());
        }
        let mut order: Vec<&Frame> = Vec::new();
        let (mut arrival, mut backlog) = (arrival.into_iter(), backlog.into_iter());
        loop {
            let next = if dice.below(3) == 0 { backlog.next() } else { arrival.next() };
            let Some(next) = next.or_else(|| arrival.next()).or_else(|| backlog.next()) else {
                break;
            };
            order.push(next);
        }
        for _ in 0..10 {
            let (one, other) = (dice.below(200) as usize, dice.below(200) as usize);
            order.swap(one, other);
        }
        let (mut sorted, mut mixed) = (live(), live());
        for frame in &truth {
            sorted.put(frame);
        }
        for frame in order {
            let (put, crowded_out) = mixed.put(frame);
            assert!(put.is_some(), "seed {seed}");
            assert_eq!(crowded_out, 0);
        }
        assert_eq!(mixed.rows(), 200, "seed {seed}");
        let (expected, got) = (sorted.parts().window(), mixed.parts().window());
        assert_eq!(got, expected, "seed {seed}");
        assert_eq!(got.time_ms.len(), 200);
        let load: Vec<Option<f64>> =
            truth.iter().map(|frame| frame.samples.get("load1").map(Value::as_f64)).collect();
        assert_eq!(column(&got, "load1"), load, "seed {seed}");
    }
}

#[test]
fn late_frames_have_the_rates_they_would_have_had_in_time() {
    let counted = |seq: u64| frame(1, seq, seq * 1_000, samples(&[("n_total", seq * seq)]));
    let mut live = live();
    for seq in (1..=50).chain(100..=200) {
        live.put(&counted(seq));
    }
    for seq in 51..100 {
        let Some(Placed { step, newest }) = live.put(&counted(seq)).0 else { panic!("{seq}") };
        assert!(!newest);
        let rate = (seq * seq - (seq - 1) * (seq - 1)) as f64;
        assert_eq!(step.named(), [(SeriesKey::plain("n_per_second"), rate)], "{seq}");
    }
}

#[test]
fn the_window_is_fifteen_minutes_and_what_is_older_is_refused() {
    let mut live = live();
    for second in 0..2_000_u64 {
        live.put(&frame(1, second + 1, second * 1_000, samples(&[("load1", second)])));
    }
    assert!((901..901 + 64).contains(&live.rows()), "{} frames", live.rows());
    let window = live.parts().window();
    assert_eq!(window.time_ms.len(), 901);
    assert_eq!(window.time_ms[0], BASE_MS + 1_099_000);
    assert!(window.session_starts_ms.is_empty(), "its beginning is not in the window");
    let late = frame(1, 5_000, 900_000, samples(&[("load1", 1)]));
    assert!(live.put(&late).0.is_none());
    let other = frame(2, 1, 900_000, samples(&[("load1", 1)]));
    assert!(live.put(&other).0.is_none());
    // A new session begins; the old one leaves the window by and by.
    for second in 2_000..3_000_u64 {
        let new = frame(3, second - 1_999, second * 1_000, samples(&[("load1", second)]));
        live.put(&Frame { elapsed_us: new.elapsed_us - 2_000_000_000, ..new });
    }
    let window = live.parts().window();
    assert_eq!((live.rings.len(), window.time_ms.len()), (1, 901));
}

#[test]
fn rates_do_not_cross_sessions_and_interleaved_ones_become_one_line_of_time() {
    let mut live = live();
    for at in 0..10_u64 {
        for session in [1_u128, 2] {
            let value = 1_000 * session as u64 + at;
            let at_ms = at * 1_000 + 10 * session as u64;
            live.put(&frame(session, at + 1, at_ms, samples(&[("n_total", value)])));
        }
    }
    let window = live.parts().window();
    assert!(window.time_ms.is_sorted());
    assert_eq!(window.session_starts_ms, [BASE_MS + 10, BASE_MS + 20]);
    let mut expected = vec![Some(1.0); 20];
    expected[..2].fill(None);
    assert_eq!(column(&window, "n_per_second"), expected);
}

#[test]
fn a_host_is_bounded_by_frames_and_sessions() {
    let mut live = live();
    let mut crowded_out = 0;
    let frames = FRAMES_PER_HOST_MAX as u64 + 500;
    for at in 0..frames {
        crowded_out += live.put(&frame(1, at + 1, at * 10, samples(&[("load1", at)]))).1;
    }
    assert!(live.rows() <= FRAMES_PER_HOST_MAX);
    assert_eq!(live.rows() as u64 + crowded_out, frames);
    for session in 2..40 {
        live.put(&frame(session, 1, frames * 10, samples(&[("load1", 1)])));
    }
    assert_eq!(live.rings.len(), SESSIONS_MAX);
    let bytes: usize =
        live.rings.iter().flat_map(|ring| ring.segments()).map(|segment| segment.bytes()).sum();
    assert_eq!(live.bytes(), bytes, "the running sum is the sum");
}

#[test]
fn the_newest_values_of_every_column_whatever_their_intervals() {
    let mut live = live();
    for at in 0..200_u64 {
        let pairs: &[(&str, u64)] =
            if at % 20 == 0 { &[("load1", at), ("processes", at)] } else { &[("load1", at)] };
        live.put(&frame(1, at + 1, at * 50, samples(pairs)));
    }
    let rows: BTreeMap<u64, SummaryValues> = live.newest(5).into_iter().collect();
    let of = |column: usize| -> Vec<f64> { rows.values().filter_map(|row| row[column]).collect() };
    assert_eq!(of(9), [195.0, 196.0, 197.0, 198.0, 199.0]);
    assert_eq!(of(8), [100.0, 120.0, 140.0, 160.0, 180.0]);
    assert_eq!(live.newest(usize::MAX).iter().filter(|row| row.1[9].is_some()).count(), NEWEST_MAX);
}

/// Memory of the window for one host of 60 series that behave like a machine's.
#[test]
fn a_sample_takes_less_than_two_bytes() {
    let mut dice = Dice::new(0x2545_f491_4f6c_dd1d);
    let keys: Vec<SeriesKey> =
        (0..60).map(|at| SeriesKey::plain(&format!("s{at}_total"))).collect();
    let mut values = [1_000_000_000_u64; 60];
    let mut live = live();
    for second in 0..900_u64 {
        for (at, value) in values.iter_mut().enumerate() {
            *value += match at % 4 {
                0 => 0,
                1 => dice.below(5),
                2 => 4_096 * dice.below(300),
                _ => dice.below(100_000),
            };
        }
        let of = |at: usize| match at % 4 {
            1 => Value::Float(values[at] as f64 / 100.0),
            _ => Value::Unsigned(values[at]),
        };
        let samples = keys.iter().cloned().enumerate().map(|(at, key)| (key, of(at))).collect();
        let at_ms = second * 1_000 + dice.below(3);
        let mut frame = frame(1, second + 1, at_ms, samples);
        frame.elapsed_us += dice.below(1_000);
        live.put(&frame);
    }
    let per_sample = live.bytes() as f64 / (900.0 * 60.0);
    assert!(per_sample < 2.0, "{per_sample:.2} bytes a sample");
}
