//! A list of integers in few bytes; any sequence is allowed, differences wrap.
//!
//! ```text
//! tag    bits 4-3: order (0: the integers themselves, 1: their differences), bits 2-0: way
//! first  zigzag varint, if the order is 1
//! base   zigzag varint
//! factor varint, unless all are alike
//! rest   (integer or difference - base) / factor:
//!        alike    nothing: all are 0
//!        sparse   how many are not 0; of each, how many before it are, and what it is
//!        packed   a byte with their width, all at this width
//!        entropy  of 8, 16, 32 or 64 bits, as pco writes them
//! ```
//!
//! Doing differences, factor and base here, and handing pco the narrowest type that holds the
//! rest, halves what it writes about its bins: 18 % less than pco by itself at 600 values, and
//! twice as fast. Second differences, an LZ-like look back and stronger levels gained nothing.

use super::entropy::{self, Narrow, Unpacker};
use super::{Corrupt, FRAMES_MAX};
use crate::analysis::live::bits::{Source, packed_len, put_packed, put_varint, unzigzag, zigzag};

/// Ways to write the rest.
const ALIKE: u8 = 0;
const SPARSE: u8 = 1;
const PACKED: u8 = 2;
const ENTROPY_8: u8 = 3;
const ENTROPY_16: u8 = 4;
const ENTROPY_32: u8 = 5;
const ENTROPY_64: u8 = 6;

/// Where the order stands in the tag.
const ORDER_SHIFT: u32 = 3;

/// How many values are looked at to find a typical one.
const LOOKS: usize = 9;

/// Fewer are not worth the table that entropy coding needs.
const ENTROPY_COUNT_MIN: usize = 24;

/// What is written in so few bytes is not tried another way.
const GOOD_ENOUGH_BYTES: usize = 16;

/// Appends integers; `kind` is what they stand for, see [`column`](super).
pub(in crate::analysis) fn put_integers(out: &mut Vec<u8>, kind: u8, values: &[u64]) {
    let order = order(values);
    let tag = kind << 5 | (order as u8) << ORDER_SHIFT;
    let Some(first) = values.first() else { return out.push(tag | ALIKE) };
    let steps: Vec<i64> = if order == 0 {
        values.iter().map(|value| *value as i64).collect()
    } else {
        values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as i64).collect()
    };
    let tag_at = out.len();
    out.push(tag);
    if order == 1 {
        put_varint(out, zigzag(*first as i64));
    }
    out[tag_at] |= put_steps(out, &steps);
}

/// Reads back `count` integers from exactly these bytes, whatever they stand for.
///
/// # Errors
/// When no encoder wrote them, or for another count.
pub(in crate::analysis) fn integers(
    bytes: &[u8],
    count: usize,
    unpacker: &mut Unpacker,
) -> Result<Vec<u64>, Corrupt> {
    if count > FRAMES_MAX {
        return Err(Corrupt("a column has more values than a segment can"));
    }
    let mut source = Source::new(bytes);
    let tag = source.byte();
    let order = usize::from(tag >> ORDER_SHIFT & 3);
    if order > 1 {
        return Err(Corrupt("a column is of an unknown order"));
    }
    let mut values = Vec::with_capacity(count);
    if count > 0 {
        let start = if order == 1 { unzigzag(source.varint()) as u64 } else { 0 };
        let mut sink = Sink { values: &mut values, last: (order == 1).then_some(start) };
        if order == 1 {
            sink.values.push(start);
        }
        steps(tag & 7, &mut source, count - order, &mut sink, unpacker)?;
    }
    if !source.is_used_up() || values.len() != count {
        return Err(Corrupt("a column is longer or shorter than its values"));
    }
    Ok(values)
}

/// Whether the differences are smaller than the values, which of counters they are.
fn order(values: &[u64]) -> usize {
    if values.len() < 2 {
        return 0;
    }
    let step = |at: usize| values[at + 1].wrapping_sub(values[at]) as i64;
    let typical_value = typical(values.len(), |at| values[at] as i64);
    let typical_step = typical(values.len() - 1, step);
    let bits = |value: i64, typical: i64| {
        u64::from(64 - zigzag(value.wrapping_sub(typical)).leading_zeros())
    };
    let (mut of_values, mut of_steps) = (0, 0);
    for at in 0..values.len() - 1 {
        of_values += bits(values[at + 1] as i64, typical_value);
        of_steps += bits(step(at), typical_step);
    }
    usize::from(of_steps < of_values)
}

/// The median of a few.
fn typical(count: usize, at: impl Fn(usize) -> i64) -> i64 {
    let mut some: [i64; LOOKS] = std::array::from_fn(|look| at(look * (count - 1) / (LOOKS - 1)));
    some.sort_unstable();
    some[LOOKS / 2]
}

/// Appends base, factor and rest in the shortest way, which it returns.
fn put_steps(out: &mut Vec<u8>, steps: &[i64]) -> u8 {
    let least = steps.iter().copied().min().unwrap_or_default();
    let most = steps.iter().copied().max().unwrap_or_default();
    if least == most {
        put_varint(out, zigzag(least));
        return ALIKE;
    }
    let factor = factor(steps, least);
    let mut best = sparse(steps, factor);
    let rest = rest(steps, least, factor);
    let width = 64 - (most.wrapping_sub(least) as u64 / factor).leading_zeros();
    let packed = 1 + packed_len(rest.len(), width);
    let good =
        |best: &Option<Vec<u8>>, bytes| best.as_ref().is_some_and(|best| best.len() <= bytes);
    if good(&best, GOOD_ENOUGH_BYTES.max(packed / 64)) {
        out.append(&mut best.unwrap_or_default());
        return SPARSE;
    }
    let mut way = SPARSE;
    let mut head = Vec::new();
    put_varint(&mut head, zigzag(least));
    put_varint(&mut head, factor);
    if rest.len() >= ENTROPY_COUNT_MIN {
        let mut bytes = head.clone();
        let entropy = put_entropy(&mut bytes, &rest, width);
        if let Some(entropy) = entropy
            && !good(&best, bytes.len())
        {
            (way, best) = (entropy, Some(bytes));
        }
    }
    if !good(&best, head.len() + packed) {
        head.push(width as u8);
        put_packed(&mut head, &rest, width);
        (way, best) = (PACKED, Some(head));
    }
    out.append(&mut best.unwrap_or_default());
    way
}

/// The largest that divides every difference to the least.
fn factor(steps: &[i64], least: i64) -> u64 {
    let all = steps.iter().fold(0, |all, step| all | step.wrapping_sub(least) as u64);
    let shift = all.trailing_zeros().min(63);
    let mut odd = 0_u64;
    for step in steps {
        odd = greatest_common_divisor(step.wrapping_sub(least) as u64 >> shift, odd);
        if odd == 1 {
            break;
        }
    }
    odd.max(1) << shift
}

/// What is left of every step. Nearly all factors are powers of two or one.
fn rest(steps: &[i64], least: i64, factor: u64) -> Vec<u64> {
    let shift = factor.trailing_zeros();
    let shifted = steps.iter().map(|step| step.wrapping_sub(least) as u64 >> shift);
    match factor >> shift {
        1 => shifted.collect(),
        odd => shifted.map(|step| step / odd).collect(),
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Base, factor and rest where most are the same; `None` when that is not half of them.
fn sparse(steps: &[i64], factor: u64) -> Option<Vec<u8>> {
    // Boyer and Moore's vote: what more than half of all are is what remains.
    let (mut base, mut votes) = (0, 0_usize);
    for step in steps {
        match votes {
            0 => (base, votes) = (*step, 1),
            _ if *step == base => votes += 1,
            _ => votes -= 1,
        }
    }
    let others = steps.iter().filter(|step| **step != base).count();
    // Each takes two bytes at least: with more than this, packing at one bit is shorter.
    if others > steps.len() / 8 {
        return None;
    }
    let mut out = Vec::with_capacity(8 + 3 * others);
    put_varint(&mut out, zigzag(base));
    put_varint(&mut out, factor);
    put_varint(&mut out, others as u64);
    let mut since = 0;
    for step in steps {
        if *step == base {
            since += 1;
            continue;
        }
        put_varint(&mut out, since);
        // A multiple of the factor, for both are that far from the least.
        let wide = i128::from(*step) - i128::from(base);
        put_varint(&mut out, zigzag_wide(wide / i128::from(factor)));
        since = 0;
    }
    Some(out)
}

/// The difference of two `i64` over the factor may take 65 bits; then it wraps, as adding does.
fn zigzag_wide(value: i128) -> u64 {
    zigzag(value as i64)
}

fn put_entropy(out: &mut Vec<u8>, rest: &[u64], width: u32) -> Option<u8> {
    fn narrow<T: Narrow>(out: &mut Vec<u8>, rest: &[u64]) -> bool {
        entropy::put(out, &rest.iter().map(|value| T::narrow(*value)).collect::<Vec<T>>())
    }
    let (way, done) = match width {
        0..=8 => (ENTROPY_8, narrow::<u8>(out, rest)),
        9..=16 => (ENTROPY_16, narrow::<u16>(out, rest)),
        17..=32 => (ENTROPY_32, narrow::<u32>(out, rest)),
        _ => (ENTROPY_64, narrow::<u64>(out, rest)),
    };
    done.then_some(way)
}

/// Takes steps and makes integers of them.
struct Sink<'a> {
    values: &'a mut Vec<u64>,
    /// The integer before, where steps are differences.
    last: Option<u64>,
}

impl Sink<'_> {
    fn take(&mut self, steps: impl Iterator<Item = u64>) {
        let Some(mut last) = self.last else { return self.values.extend(steps) };
        self.values.extend(steps.map(|step| {
            last = last.wrapping_add(step);
            last
        }));
        self.last = Some(last);
    }
}

fn steps(
    way: u8,
    source: &mut Source<'_>,
    count: usize,
    sink: &mut Sink<'_>,
    unpacker: &mut Unpacker,
) -> Result<(), Corrupt> {
    let base = unzigzag(source.varint()) as u64;
    if way == ALIKE {
        sink.take(std::iter::repeat_n(base, count));
        return Ok(());
    }
    let factor = source.varint();
    let step = |rest: u64| rest.wrapping_mul(factor).wrapping_add(base);
    match way {
        SPARSE => read_sparse(source, count, base, factor, sink)?,
        PACKED => {
            let width = u32::from(source.byte());
            if width > 64 || source.is_short() {
                return Err(Corrupt("a column is packed at more than 64 bits"));
            }
            let mut rest = Vec::with_capacity(count);
            source.unpack(count, width, |value| rest.push(value));
            sink.take(rest.into_iter().map(step));
        }
        ENTROPY_8 => sink.take(unpacker.read::<u8>(source.rest(), count)?.map(step)),
        ENTROPY_16 => sink.take(unpacker.read::<u16>(source.rest(), count)?.map(step)),
        ENTROPY_32 => sink.take(unpacker.read::<u32>(source.rest(), count)?.map(step)),
        ENTROPY_64 => sink.take(unpacker.read::<u64>(source.rest(), count)?.map(step)),
        _ => return Err(Corrupt("a column is written in an unknown way")),
    }
    Ok(())
}

fn read_sparse(
    source: &mut Source<'_>,
    count: usize,
    base: u64,
    factor: u64,
    sink: &mut Sink<'_>,
) -> Result<(), Corrupt> {
    let others = source.varint();
    let mut left = count;
    for _ in 0..others.min(count as u64) {
        let since = usize::try_from(source.varint()).unwrap_or(usize::MAX);
        let step = (unzigzag(source.varint()) as u64).wrapping_mul(factor).wrapping_add(base);
        if since >= left || source.is_short() {
            return Err(Corrupt("a column has a change past its end"));
        }
        sink.take(std::iter::repeat_n(base, since).chain([step]));
        left -= since + 1;
    }
    sink.take(std::iter::repeat_n(base, left));
    Ok(())
}
