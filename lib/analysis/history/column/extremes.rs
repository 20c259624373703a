//! Minimum, maximum and mean of a derived value, to 0.1 %.
//!
//! A value is kept as a *step*: its sign, its exponent and the first ten bits of its mantissa
//! (a double's upper 22 bits), as an integer that grows as the value does. So two neighbouring
//! steps are 0.1 % apart at most, 0 and the integers up to 2,048 are exact, and what has been
//! rounded once is not rounded again when segments are merged.
//!
//! - minimum: rounded down, maximum: up; so that they always hold what they stand for
//! - mean: to the nearest step between the two
//! - fractions with few decimals that are small, such as a load of 0.37, are kept exactly, in
//!   units of their last decimal
//!
//! The minimum is written as it is; the maximum and the mean too, or as their distance to it,
//! whichever is shorter: where nothing moves, two columns of zeros, which take no bytes at all;
//! where the minimum is now and then zero, the distance would be all over the place.

use super::entropy::Unpacker;
use super::integers::{integers, put_integers};
use super::{Corrupt, STEPS, UNSIGNED, kind, part, put_part};
use crate::analysis::decimal::{self, DECIMALS_MAX};
use crate::analysis::live::bits::Source;

/// Bits of a double's mantissa that a step leaves out: 52 - 10.
const CUT_BITS: u32 = 42;

/// The step of infinity; stands for the largest finite value, which would lie between two.
const STEP_MAX: i64 = (f64::INFINITY.to_bits() >> CUT_BITS) as i64;

/// What a list is that has a first one to be measured from: itself, or distances to that.
const PLAIN: u8 = STEPS;
const APART: u8 = UNSIGNED;

/// Up to so many units a fraction is exact: above, steps are as fine.
const UNITS_MAX: u64 = 2_048;

/// What happened to a derived value, bucket by bucket; all lists as long as there are buckets.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::analysis) struct Bands {
    pub(in crate::analysis) min: Vec<f64>,
    pub(in crate::analysis) max: Vec<f64>,
    /// Empty where it follows from the frames.
    pub(in crate::analysis) mean: Vec<f64>,
}

/// Appends a column; `mean` is empty or as long as the others.
pub(in crate::analysis) fn put_extremes(out: &mut Vec<u8>, min: &[f64], max: &[f64], mean: &[f64]) {
    let scale = Scale::of(min, max);
    let numbers = |values: &[f64], round| -> Vec<u64> {
        values.iter().map(|value| scale.number(*value, round) as u64).collect()
    };
    let least = numbers(min, Round::Down);
    put_part(out, |out| put_integers(out, scale.kind(), &least));
    put_part(out, |out| put_shorter(out, &numbers(max, Round::Up), &least));
    let means: Vec<u64> = mean.iter().map(|value| step(*value, Round::Nearest) as u64).collect();
    put_shorter(out, &means, &steps_of(scale, least.get(..mean.len()).unwrap_or(&least)));
}

/// Reads back `count` buckets from exactly these bytes.
///
/// # Errors
/// When no encoder wrote them, or for another count.
pub(in crate::analysis) fn extremes(
    bytes: &[u8],
    count: usize,
    has_mean: bool,
    unpacker: &mut Unpacker,
) -> Result<Bands, Corrupt> {
    let mut source = Source::new(bytes);
    let least = part(&mut source)?;
    let scale = match kind(least)? {
        STEPS => Scale::Steps,
        decimals if u32::from(decimals) <= DECIMALS_MAX => Scale::Units(u32::from(decimals)),
        _ => return Err(Corrupt("expected a column of extremes")),
    };
    let least = integers(least, count, unpacker)?;
    let most = either(part(&mut source)?, &least, unpacker)?;
    let means = &least[..if has_mean { count } else { 0 }];
    let means = either(source.rest(), &steps_of(scale, means), unpacker)?;
    let values = |numbers: Vec<u64>| -> Vec<f64> {
        numbers.into_iter().map(|number| scale.value(number as i64)).collect()
    };
    let (min, max) = (values(least), values(most));
    let means = means.into_iter().zip(&min).zip(&max);
    let mean = means.map(|((mean, min), max)| value(mean as i64).max(*min).min(*max)).collect();
    Ok(Bands { min, max, mean })
}

/// Appends numbers, or their distances to others.
fn put_shorter(out: &mut Vec<u8>, numbers: &[u64], from: &[u64]) {
    let (mut plain, mut apart) = (Vec::new(), Vec::new());
    put_integers(&mut plain, PLAIN, numbers);
    let distances = numbers.iter().zip(from).map(|(number, from)| number.wrapping_sub(*from));
    put_integers(&mut apart, APART, &distances.collect::<Vec<_>>());
    out.append(if plain.len() < apart.len() { &mut plain } else { &mut apart });
}

/// Reads back what [`put_shorter`] appended.
fn either(bytes: &[u8], from: &[u64], unpacker: &mut Unpacker) -> Result<Vec<u64>, Corrupt> {
    let mut numbers = integers(bytes, from.len(), unpacker)?;
    match kind(bytes)? {
        PLAIN => {}
        APART => {
            let both = numbers.iter_mut().zip(from);
            both.for_each(|(number, from)| *number = number.wrapping_add(*from));
        }
        _ => return Err(Corrupt("expected the other half of a column of extremes")),
    }
    Ok(numbers)
}

/// The steps of minima, for the means to be measured from.
fn steps_of(scale: Scale, least: &[u64]) -> Vec<u64> {
    least.iter().map(|least| step(scale.value(*least as i64), Round::Down) as u64).collect()
}

/// Where a value goes that is between two steps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Round {
    Down,
    Up,
    Nearest,
}

/// How the minimum and the maximum of a column are kept.
#[derive(Debug, Clone, Copy)]
enum Scale {
    /// In units of so many decimals.
    Units(u32),
    Steps,
}

impl Scale {
    fn of(min: &[f64], max: &[f64]) -> Self {
        let small = |value: &f64, decimals| {
            decimal::units(*value, decimals).is_some_and(|units| units.unsigned_abs() <= UNITS_MAX)
        };
        (0..=DECIMALS_MAX)
            .find(|decimals| min.iter().chain(max).all(|value| small(value, *decimals)))
            .map_or(Self::Steps, Self::Units)
    }

    fn kind(self) -> u8 {
        match self {
            Self::Units(decimals) => decimals as u8,
            Self::Steps => STEPS,
        }
    }

    fn number(self, value: f64, round: Round) -> i64 {
        match self {
            Self::Units(decimals) => decimal::units(value, decimals).unwrap_or_default(),
            Self::Steps => step(value, round),
        }
    }

    fn value(self, number: i64) -> f64 {
        match self {
            Self::Units(decimals) => decimal::fraction(number, decimals),
            Self::Steps => value(number),
        }
    }
}

/// The step of a value; 0 of what is no number.
fn step(value: f64, round: Round) -> i64 {
    if value.is_nan() {
        return 0;
    }
    if value.abs() >= f64::MAX {
        return if value < 0.0 { -STEP_MAX } else { STEP_MAX };
    }
    let bits = value.abs().to_bits();
    let (cut, left_out) = (bits >> CUT_BITS, bits & ((1 << CUT_BITS) - 1));
    let outwards = match round {
        Round::Down => value < 0.0 && left_out > 0,
        Round::Up => value > 0.0 && left_out > 0,
        Round::Nearest => left_out >> (CUT_BITS - 1) > 0,
    };
    let magnitude = cut as i64 + i64::from(outwards);
    if value < 0.0 { -magnitude } else { magnitude }
}

/// The value of a step, always finite.
fn value(step: i64) -> f64 {
    let magnitude = step.unsigned_abs().min(STEP_MAX as u64);
    let value = f64::from_bits(magnitude << CUT_BITS).min(f64::MAX);
    if step < 0 { -value } else { value }
}
