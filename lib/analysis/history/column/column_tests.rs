//! What goes in comes out; what is short is short; what is broken is an error and nothing more.

use super::*;
use crate::analysis::history::segment::Group;
use crate::base::dice::Dice;

fn unpacker() -> Unpacker {
    Unpacker::new(version()).unwrap()
}

/// Bit for bit: `-0.0` is not `0.0`, and 1 is not 1.0.
fn exact(values: &[Value]) -> Vec<(bool, u64)> {
    let exact = |value: &Value| match value {
        Value::Unsigned(value) => (false, *value),
        Value::Float(value) => (true, value.to_bits()),
    };
    values.iter().map(exact).collect()
}

#[track_caller]
fn check(values: &[Value], bytes_max: usize, what: &str) {
    let mut bytes = Vec::new();
    put_values(&mut bytes, values);
    let back = super::values(&bytes, values.len(), &mut unpacker()).expect(what);
    assert_eq!(exact(&back), exact(values), "{what}");
    assert!(bytes.len() <= bytes_max, "{what}: {} bytes for {values:?}", bytes.len());
}

fn unsigned(values: impl IntoIterator<Item = u64>) -> Vec<Value> {
    values.into_iter().map(Value::Unsigned).collect()
}

fn floats(values: impl IntoIterator<Item = f64>) -> Vec<Value> {
    values.into_iter().map(Value::Float).collect()
}

#[test]
fn what_is_told_by_what_came_before_costs_nothing() {
    check(&unsigned([0; 600]), 2, "nothing happened");
    check(&unsigned([16_777_216_000; 600]), 6, "a constant");
    check(&unsigned((0..600).map(|at| 5_000_000 + at * 1_000_003)), 8, "a straight line");
    check(&floats((0..600).map(|at| f64::from(at) / 100.0)), 4, "a line of cents");
    check(&floats([0.1 + 0.2; 600]), 11, "a constant with many decimals");
    check(&floats([f64::NAN; 3]), 11, "no numbers at all");
}

#[test]
fn rare_changes_cost_themselves_alone() {
    let value = |at: u64| if at.is_multiple_of(100) { 7 + at } else { 7 };
    check(&unsigned((0..600).map(value)), 28, "a gauge with peaks");
    check(&unsigned((0..600).map(|at| at / 60 * 4_096)), 26, "a counter with jumps");
}

#[test]
fn noise_costs_its_entropy() {
    let mut dice = Dice::new(1);
    let mut total = 1_u64 << 40;
    let counter = (0..3_600).map(|_| {
        total += 4_096 * (100 + dice.below(16));
        total
    });
    check(&unsigned(counter), 3_600 / 2 + 40, "four bits of noise, times a page");
}

#[test]
fn any_values_come_back() {
    check(&[], 1, "nothing");
    check(&unsigned([u64::MAX, 0, u64::MAX, 1, 1 << 63]), 60, "the ends of the number line");
    check(&floats([0.1, -0.0, 1e300, -5.25, f64::MIN_POSITIVE]), 60, "doubles");
    check(&floats([-0.0, 0.0, 1.5, -0.0]), 60, "zeros of both signs");
    check(&floats([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN]), 60, "no numbers");
    check(
        &[Value::Unsigned(u64::MAX), Value::Float(0.5), Value::Unsigned(0), Value::Float(1.0)],
        40,
        "integers and doubles by turns",
    );
    for seed in 0..4_000 {
        let mut dice = Dice::new(seed);
        let count = dice.below(if seed % 50 == 0 { 3_000 } else { 100 });
        let (shift, rare, kind) = (dice.below(64), 1 + dice.below(20), dice.below(6));
        let mut sum = dice.next();
        let values: Vec<Value> = (0..count)
            .map(|_| {
                let noise = if dice.one_in(rare) { dice.next() >> shift } else { 0 };
                sum = sum.wrapping_add(noise);
                match kind {
                    0 => Value::Unsigned(noise),
                    1 => Value::Unsigned(sum),
                    2 => Value::Float((noise as i64 >> 12) as f64 / 100.0),
                    3 => Value::Float(f64::from_bits(sum)),
                    4 if dice.one_in(2) => Value::Unsigned(sum),
                    4 => Value::Float(noise as f64 / 7.0),
                    _ => Value::Float(sum as i64 as f64 / 3.0),
                }
            })
            .collect();
        check(&values, 20 * values.len() + 40, &format!("seed {seed}"));
    }
}

#[test]
fn times_come_back_and_a_steady_clock_is_cheap() {
    let mut dice = Dice::new(2);
    let mut group = Group::default();
    for seq in 1..=600_u64 {
        let late_us = 50 + dice.below(64);
        group.seq.push(seq);
        group.elapsed_us.push(12_345 + seq * 1_000_000 + late_us);
        group.time_ms.push((1_700_000_000_123_920 + seq * 1_000_000 + late_us) / 1_000);
    }
    let mut bytes = Vec::new();
    put_times(&mut bytes, &group);
    assert_eq!(times(&bytes, 600, &mut unpacker()), Ok(group.clone()));
    assert!(bytes.len() < 600 * 13 / 16, "{} bytes for six bits of noise a frame", bytes.len());
    for seed in 0..1_000 {
        let mut dice = Dice::new(seed);
        let mut any = || dice.next() >> dice.below(64);
        let count = 1 + any() as usize % 50;
        let group = Group {
            seq: (0..count).map(|_| any()).collect(),
            time_ms: (0..count).map(|_| any()).collect(),
            elapsed_us: (0..count).map(|_| any()).collect(),
        };
        let mut bytes = Vec::new();
        put_times(&mut bytes, &group);
        assert_eq!(times(&bytes, count, &mut unpacker()), Ok(group), "seed {seed}");
    }
}

fn bands(min: &[f64], max: &[f64], mean: &[f64]) -> (usize, Bands) {
    let mut bytes = Vec::new();
    put_extremes(&mut bytes, min, max, mean);
    let bands = extremes(&bytes, min.len(), !mean.is_empty(), &mut unpacker()).unwrap();
    let mut again = Vec::new();
    put_extremes(&mut again, &bands.min, &bands.max, &bands.mean);
    let twice = extremes(&again, min.len(), !mean.is_empty(), &mut unpacker()).unwrap();
    assert_eq!(twice, bands, "what was rounded once is not rounded again");
    (bytes.len(), bands)
}

#[test]
fn extremes_hold_what_they_stand_for_within_a_thousandth() {
    for seed in 0..2_000 {
        let mut dice = Dice::new(seed);
        let (count, decimals, size) = (1 + dice.below(60), dice.below(5), dice.below(300) as i32);
        let mut value = || {
            let value = (dice.next() as i64 as f64) * 2.0_f64.powi(-size);
            let scale = 10.0_f64.powi(decimals as i32);
            if decimals < 4 { (value * scale).round() / scale } else { value }
        };
        let (mut min, mut max, mut mean) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let mut three = [value(), value(), value()];
            three.sort_unstable_by(f64::total_cmp);
            min.push(three[0]);
            mean.push(three[1]);
            max.push(three[2]);
        }
        let (_, back) = bands(&min, &max, &mean);
        for at in 0..min.len() {
            let near = |kept: f64, was: f64| (kept - was).abs() <= was.abs() / 1_000.0;
            let (low, middle, high) = (back.min[at], back.mean[at], back.max[at]);
            assert!(low <= min[at] && near(low, min[at]), "seed {seed}: {low} for {}", min[at]);
            assert!(high >= max[at] && near(high, max[at]), "seed {seed}: {high} for {}", max[at]);
            assert!(near(middle, mean[at]), "seed {seed}: {middle} for {}", mean[at]);
            assert!((low..=high).contains(&middle), "seed {seed}: {low} {middle} {high}");
        }
    }
}

#[test]
fn extremes_that_can_be_exact_are() {
    let counts: Vec<f64> = (0..=2_048).map(f64::from).collect();
    let more: Vec<f64> = counts.iter().map(|count| count + 1e9).collect();
    assert_eq!(bands(&counts, &counts, &counts).1.min, counts);
    assert_eq!(bands(&counts, &more, &[]).1.min, counts, "as steps too");
    let loads = [0.37, 0.0, 20.48, -1.01];
    let (_, back) = bands(&loads, &loads, &loads);
    assert_eq!(
        (&back.min[..], &back.max[..], &back.mean[..]),
        (&loads[..], &loads[..], &loads[..])
    );
    let (len, _) = bands(&[8e9; 500], &[8e9; 500], &[8e9; 500]);
    assert!(len <= 12, "{len} bytes for what never moved");
}

#[test]
fn extremes_that_are_no_numbers_do_no_harm() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX, f64::MIN];
    let (_, back) = bands(&odd, &odd, &odd);
    assert!(back.min.iter().chain(&back.max).chain(&back.mean).all(|value| value.is_finite()));
}

#[test]
fn broken_columns_are_errors_and_nothing_more() {
    let mut refused = 0;
    for seed in 0..30_000 {
        let mut dice = Dice::new(seed);
        let count = 1 + dice.below(400) as usize;
        let noise = 1 << dice.below(40);
        let values: Vec<u64> = (0..count).map(|_| dice.below(noise)).collect();
        let mut bytes = Vec::new();
        let column = dice.below(4);
        let doubles: Vec<f64> = values.iter().map(|value| *value as f64 / 3.0).collect();
        match column {
            0 => put_extremes(&mut bytes, &doubles, &doubles, &doubles),
            1 => {
                let [seq, time_ms, elapsed_us] = std::array::from_fn(|_| values.clone());
                put_times(&mut bytes, &Group { seq, time_ms, elapsed_us });
            }
            2 => put_values(&mut bytes, &unsigned(values)),
            _ => put_values(&mut bytes, &floats(doubles)),
        }
        for _ in 0..1 + dice.below(4) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] ^= dice.next() as u8;
        }
        if dice.one_in(3) {
            bytes.truncate(dice.below(bytes.len() as u64) as usize);
        }
        let count = if dice.one_in(4) { dice.below(500) as usize } else { count };
        let unpacker = &mut unpacker();
        let failed = match column {
            0 => extremes(&bytes, count, true, unpacker).is_err(),
            1 => times(&bytes, count, unpacker).is_err(),
            _ => super::values(&bytes, count, unpacker).is_err(),
        };
        refused += u32::from(failed);
    }
    assert!(refused > 10_000, "only {refused} were refused");
    let packed = |width: u8| [UNSIGNED << 5 | 2, 0, 1, width, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(integers(&packed(64)[..12], 1, &mut unpacker()), Ok(vec![0]));
    assert!(integers(&packed(65), 1, &mut unpacker()).is_err());
    assert!(integers(&[0, 0], FRAMES_MAX + 1, &mut unpacker()).is_err());
    assert!(Unpacker::new([9, 9]).is_err());
}
