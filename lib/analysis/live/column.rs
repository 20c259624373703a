//! One series over the frames of a block, in as few bytes as its changes need.
//!
//! Integers are kept as differences, or as differences of differences, less their minimum and the
//! zeros they all end in (the kernel counts pages and 512-byte sectors), packed at the width of
//! the largest; or, where one burst would widen all, as varints. A column whose next value is
//! always told by the ones before it (a constant, an idle disk, a steady clock) takes three to ten
//! bytes a block. Fractions with at most three decimals are integers times a power of ten.

use super::bits::{Source, packed_len, put_packed, put_varint, unzigzag, varint_len, zigzag};
use crate::analysis::decimal::{self, DECIMALS_MAX};
use crate::metric::Value;

/// How integers are written; the first byte of their column.
const PACKED_ONCE: u8 = 0;
const PACKED_TWICE: u8 = 1;
const VARINTS: u8 = 2;

/// What the integers of a value column stand for: 0 to 3 are decimals of a fraction.
const UNSIGNED: u8 = 4;
const DOUBLES: u8 = 5;
const MIXED: u8 = 6;

/// Appends a column of integers; any sequence is allowed, differences wrap.
pub(super) fn put_integers(out: &mut Vec<u8>, values: &[u64]) {
    let Some(first) = values.first() else { return };
    let once = differences(values);
    let twice = differences(&once);
    let (one, two) = (Packing::of(&once), Packing::of(twice.as_slice()));
    let varints: usize = once.iter().map(|step| varint_len(zigzag(*step as i64))).sum();
    let two_len = two.len() + once.first().map_or(0, |step| varint_len(zigzag(*step as i64)));
    let way = if two_len < one.len().min(varints) {
        PACKED_TWICE
    } else if one.len() <= varints {
        PACKED_ONCE
    } else {
        VARINTS
    };
    out.push(way);
    put_varint(out, *first);
    match way {
        PACKED_ONCE => one.put(out, &once),
        PACKED_TWICE => {
            put_varint(out, zigzag(once.first().copied().unwrap_or_default() as i64));
            two.put(out, &twice);
        }
        _ => once.iter().for_each(|step| put_varint(out, zigzag(*step as i64))),
    }
}

/// Reads back `count` integers.
pub(super) fn integers(source: &mut Source<'_>, count: usize) -> Vec<u64> {
    let mut values = Vec::with_capacity(count);
    if count == 0 {
        return values;
    }
    let way = source.byte();
    let mut last = source.varint();
    values.push(last);
    match way {
        PACKED_ONCE => Packing::read(source, count - 1, |step| {
            last = last.wrapping_add(step);
            values.push(last);
        }),
        PACKED_TWICE => {
            let mut step = unzigzag(source.varint()) as u64;
            if count > 1 {
                last = last.wrapping_add(step);
                values.push(last);
            }
            Packing::read(source, count.saturating_sub(2), |change| {
                step = step.wrapping_add(change);
                last = last.wrapping_add(step);
                values.push(last);
            });
        }
        _ => {
            for _ in 1..count {
                last = last.wrapping_add(unzigzag(source.varint()) as u64);
                values.push(last);
            }
        }
    }
    values
}

/// Appends a column of values.
pub(super) fn put_values(out: &mut Vec<u8>, values: &[Value], scratch: &mut Vec<u64>) {
    scratch.clear();
    let unsigned = |value: &Value| match value {
        Value::Unsigned(value) => Some(*value),
        Value::Float(_) => None,
    };
    scratch.extend(values.iter().map_while(unsigned));
    if scratch.len() == values.len() {
        out.push(UNSIGNED);
        return put_integers(out, scratch);
    }
    for decimals in 0..=DECIMALS_MAX {
        scratch.clear();
        let units = |value: &Value| match value {
            Value::Unsigned(_) => None,
            Value::Float(value) => decimal::units(*value, decimals),
        };
        scratch.extend(values.iter().map_while(units).map(zigzag));
        if scratch.len() == values.len() {
            out.push(decimals as u8);
            return put_integers(out, scratch);
        }
    }
    let all_doubles = values.iter().all(|value| matches!(value, Value::Float(_)));
    out.push(if all_doubles { DOUBLES } else { MIXED });
    for value in values {
        if !all_doubles {
            out.push(u8::from(unsigned(value).is_some()));
        }
        let bits = unsigned(value).unwrap_or_else(|| value.as_f64().to_bits());
        out.extend_from_slice(&bits.to_le_bytes());
    }
}

/// Reads back `count` values.
pub(super) fn values(source: &mut Source<'_>, count: usize) -> Vec<Value> {
    let raw = |source: &mut Source<'_>| {
        let mut bytes = [0_u8; 8];
        let from = source.take(8);
        bytes[..from.len()].copy_from_slice(from);
        u64::from_le_bytes(bytes)
    };
    match source.byte() {
        UNSIGNED => integers(source, count).into_iter().map(Value::Unsigned).collect(),
        DOUBLES => (0..count).map(|_| Value::Float(f64::from_bits(raw(source)))).collect(),
        MIXED => (0..count)
            .map(|_| match source.byte() {
                0 => Value::Float(f64::from_bits(raw(source))),
                _ => Value::Unsigned(raw(source)),
            })
            .collect(),
        decimals => {
            let fraction =
                |units| Value::Float(decimal::fraction(unzigzag(units), u32::from(decimals)));
            integers(source, count).into_iter().map(fraction).collect()
        }
    }
}

fn differences(values: &[u64]) -> Vec<u64> {
    values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect()
}

/// Numbers less their minimum, without the zeros they all end in, at the width of the largest.
struct Packing {
    min: i64,
    shift: u32,
    width: u32,
    count: usize,
}

impl Packing {
    fn of(steps: &[u64]) -> Self {
        let min = steps.iter().map(|step| *step as i64).min().unwrap_or_default();
        let all = steps.iter().fold(0, |all, step| all | step.wrapping_sub(min as u64));
        let shift = if all == 0 { 0 } else { all.trailing_zeros() };
        // The OR of all has the width of the largest.
        let width = 64 - (all >> shift).leading_zeros();
        Self { min, shift, width, count: steps.len() }
    }

    fn len(&self) -> usize {
        2 + varint_len(zigzag(self.min)) + packed_len(self.count, self.width)
    }

    fn put(&self, out: &mut Vec<u8>, steps: &[u64]) {
        out.push(self.width as u8);
        out.push(self.shift as u8);
        put_varint(out, zigzag(self.min));
        let rest: Vec<u64> =
            steps.iter().map(|step| step.wrapping_sub(self.min as u64) >> self.shift).collect();
        put_packed(out, &rest, self.width);
    }

    fn read(source: &mut Source<'_>, count: usize, mut each: impl FnMut(u64)) {
        let width = u32::from(source.byte()).min(64);
        let shift = u32::from(source.byte()).min(63);
        let min = unzigzag(source.varint()) as u64;
        source.unpack(count, width, |rest| each((rest << shift).wrapping_add(min)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[Value], bytes_max: usize) {
        let mut bytes = Vec::new();
        put_values(&mut bytes, values, &mut Vec::new());
        assert_eq!(super::values(&mut Source::new(&bytes), values.len()), values);
        assert!(bytes.len() <= bytes_max, "{} bytes for {values:?}", bytes.len());
    }

    fn unsigned(values: impl IntoIterator<Item = u64>) -> Vec<Value> {
        values.into_iter().map(Value::Unsigned).collect()
    }

    #[test]
    fn what_is_told_by_what_came_before_costs_nothing() {
        check(&unsigned([16_777_216_000; 32]), 10);
        check(&unsigned((0..32).map(|at| 5_000_000 + at * 1_000_003)), 12);
        check(&(0..32).map(|at| Value::Float(f64::from(at) / 100.0)).collect::<Vec<_>>(), 8);
    }

    #[test]
    fn changes_cost_their_width_and_a_burst_does_not_widen_all() {
        // Pages of 4 KiB, up and down by a few: 4 bits each.
        check(&unsigned((0..32).map(|at| (1_000_000 + (at * 7) % 8) * 4_096)), 32);
        check(&unsigned((0..32).map(|at| if at < 16 { at } else { at + (1 << 40) })), 48);
    }

    #[test]
    fn any_values_come_back() {
        check(&[], 1);
        check(&unsigned([u64::MAX, 0, u64::MAX, 1, 1 << 63]), 60);
        check(&unsigned([7]), 8);
        check(&[0.1, -0.0, 1e300, -5.25, f64::MIN_POSITIVE].map(Value::Float), 48);
        check(&[Value::Unsigned(u64::MAX), Value::Float(0.5), Value::Unsigned(0)], 32);
        check(&[-1.5, 2.25, -1_000_000.125].map(Value::Float), 24);
        let mut dice = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..2_000_u32 {
            let values: Vec<Value> = (0..round % 65)
                .map(|_| {
                    dice ^= dice << 13;
                    dice ^= dice >> 7;
                    dice ^= dice << 17;
                    match round % 4 {
                        0 => Value::Unsigned(dice >> (round % 64)),
                        1 => Value::Float((dice >> (round % 64)) as i32 as f64 / 100.0),
                        2 => Value::Float(dice as f64 / 3.0),
                        _ if dice.is_multiple_of(2) => Value::Unsigned(dice),
                        _ => Value::Float(dice as f64),
                    }
                })
                .collect();
            check(&values, 10 * values.len() + 24);
        }
    }
}
