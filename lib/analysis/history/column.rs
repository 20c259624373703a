//! The codecs of one column: what comes out is bit for bit what went in, extremes aside.
//!
//! A column begins with one byte: what its integers stand for, and how they are written.
//!
//! ```text
//! bits 7-5  0..=3  fractions, as integers times 10^-n     4  integers
//!           5      doubles, as integers in their order    6  integers and doubles by turns
//!           7      steps of 0.1 %, see `extremes`
//! bits 4-0  how the integers are written, see `integers`
//! ```
//!
//! - `integers`: differences, common factor, and the shortest of four ways to write what is left
//! - `entropy`: the strongest of these ways; the only place that knows pco
//! - `times`: when the frames of a group were
//! - `extremes`: minimum, maximum and mean, to 0.1 %
//!
//! Nothing in here trusts its bytes: a length that cannot be is an error before memory is taken
//! for it, and no column takes more than its group has frames ([`FRAMES_MAX`] at most).

use std::fmt;

use crate::analysis::decimal::{self, DECIMALS_MAX};
use crate::analysis::live::bits::{Source, put_varint};
use crate::metric::Value;

mod entropy;
mod extremes;
mod integers;
mod times;

pub(in crate::analysis) use entropy::{Unpacker, VERSION_LEN, version};
pub(in crate::analysis) use extremes::{Bands, extremes, put_extremes};
pub(in crate::analysis) use integers::{integers, put_integers};
pub(in crate::analysis) use times::{put_times, times};

/// Most frames of a segment: an hour of seconds is 3,600, a day of minutes 1,440, sixty days of
/// five minutes 17,280; four frames a bucket where every one had resets, and half as many again.
pub(in crate::analysis) const FRAMES_MAX: usize = 1 << 17;

/// What the integers of a column stand for; 0 to 3 are decimals of a fraction.
const UNSIGNED: u8 = DECIMALS_MAX as u8 + 1;
const DOUBLES: u8 = 5;
const MIXED: u8 = 6;
const STEPS: u8 = 7;

/// Bytes that no encoder wrote; with the words that say what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) struct Corrupt(pub(in crate::analysis) &'static str);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Appends a column of readings; [`FRAMES_MAX`] at most.
pub(in crate::analysis) fn put_values(out: &mut Vec<u8>, values: &[Value]) {
    let unsigned = |value: &Value| match value {
        Value::Unsigned(value) => Some(*value),
        Value::Float(_) => None,
    };
    let double = |value: &Value| match value {
        Value::Unsigned(_) => None,
        Value::Float(value) => Some(*value),
    };
    let integers: Vec<u64> = values.iter().map_while(unsigned).collect();
    if integers.len() == values.len() {
        return put_integers(out, UNSIGNED, &integers);
    }
    let doubles: Vec<f64> = values.iter().map_while(double).collect();
    if doubles.len() == values.len() {
        return put_doubles(out, &doubles);
    }
    out.push(MIXED << 5);
    let kinds: Vec<u64> = values.iter().map(|value| u64::from(unsigned(value).is_some())).collect();
    put_part(out, |out| put_integers(out, UNSIGNED, &kinds));
    let integers: Vec<u64> = values.iter().filter_map(unsigned).collect();
    put_part(out, |out| put_integers(out, UNSIGNED, &integers));
    put_doubles(out, &values.iter().filter_map(double).collect::<Vec<_>>());
}

/// Reads back `count` readings from exactly these bytes.
///
/// # Errors
/// When no encoder wrote them, or for another count.
pub(in crate::analysis) fn values(
    bytes: &[u8],
    count: usize,
    unpacker: &mut Unpacker,
) -> Result<Vec<Value>, Corrupt> {
    match kind(bytes)? {
        UNSIGNED => {
            Ok(integers(bytes, count, unpacker)?.into_iter().map(Value::Unsigned).collect())
        }
        MIXED => mixed(bytes, count, unpacker),
        _ => Ok(doubles(bytes, count, unpacker)?.into_iter().map(Value::Float).collect()),
    }
}

fn mixed(bytes: &[u8], count: usize, unpacker: &mut Unpacker) -> Result<Vec<Value>, Corrupt> {
    let mut source = Source::new(&bytes[1..]);
    let kinds = integers(part(&mut source)?, count, unpacker)?;
    let count = kinds.iter().filter(|kind| **kind != 0).count();
    let mut of_integers = integers(part(&mut source)?, count, unpacker)?.into_iter();
    let mut of_doubles = doubles(source.rest(), kinds.len() - count, unpacker)?.into_iter();
    let next = |kind| match kind {
        0 => of_doubles.next().map(Value::Float),
        _ => of_integers.next().map(Value::Unsigned),
    };
    Ok(kinds.into_iter().filter_map(next).collect())
}

/// As fractions with few decimals, if all of them are.
fn put_doubles(out: &mut Vec<u8>, values: &[f64]) {
    for decimals in 0..=DECIMALS_MAX {
        let units = |value: &f64| decimal::units(*value, decimals).map(|units| units as u64);
        let units: Vec<u64> = values.iter().map_while(units).collect();
        if units.len() == values.len() {
            return put_integers(out, decimals as u8, &units);
        }
    }
    let ordered: Vec<u64> = values.iter().map(|value| in_order(value.to_bits())).collect();
    put_integers(out, DOUBLES, &ordered);
}

fn doubles(bytes: &[u8], count: usize, unpacker: &mut Unpacker) -> Result<Vec<f64>, Corrupt> {
    let kind = kind(bytes)?;
    let units = integers(bytes, count, unpacker)?.into_iter();
    match kind {
        DOUBLES => Ok(units.map(|ordered| f64::from_bits(out_of_order(ordered))).collect()),
        decimals if u32::from(decimals) <= DECIMALS_MAX => {
            Ok(units.map(|units| decimal::fraction(units as i64, u32::from(decimals))).collect())
        }
        _ => Err(Corrupt("expected a column of doubles")),
    }
}

/// The bits of a double as an integer that grows as it does, so that differences are small.
fn in_order(bits: u64) -> u64 {
    let sign = (bits as i64 >> 63) as u64;
    bits ^ (sign >> 1)
}

/// Back from [`in_order`], which is its own inverse: the sign stays where it is.
fn out_of_order(ordered: u64) -> u64 {
    in_order(ordered)
}

/// What the integers of these bytes stand for.
fn kind(bytes: &[u8]) -> Result<u8, Corrupt> {
    bytes.first().map(|tag| tag >> 5).ok_or(Corrupt("expected a column, found nothing"))
}

/// Appends bytes with their length before them, so that others can follow.
pub(in crate::analysis) fn put_part(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let mut part = Vec::new();
    put(&mut part);
    put_varint(out, part.len() as u64);
    out.extend_from_slice(&part);
}

/// Reads what [`put_part`] appended.
///
/// # Errors
/// When it is not all there.
pub(in crate::analysis) fn part<'a>(source: &mut Source<'a>) -> Result<&'a [u8], Corrupt> {
    let len = usize::try_from(source.varint()).unwrap_or(usize::MAX);
    let bytes = source.take(len);
    if source.is_short() { Err(Corrupt("a part is longer than its column")) } else { Ok(bytes) }
}

#[cfg(test)]
#[path = "column/column_tests.rs"]
mod tests;
