//! Numbers into few bytes and back: LEB128, zigzag, and packing at a fixed width.

/// Bytes, read from the front. Past the end it gives zeros and remembers it: who reads what only
/// this process can have written need not ask, who reads a file asks once, at the end.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct Source<'a> {
    bytes: &'a [u8],
    short: bool,
}

impl<'a> Source<'a> {
    pub(in crate::analysis) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, short: false }
    }

    /// Whether everything was there that was asked for, and nothing is left.
    pub(in crate::analysis) fn is_used_up(&self) -> bool {
        !self.short && self.bytes.is_empty()
    }

    /// Whether something was asked for that was not there.
    pub(in crate::analysis) fn is_short(&self) -> bool {
        self.short
    }

    /// How many bytes are left.
    pub(in crate::analysis) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Everything that is left.
    pub(in crate::analysis) fn rest(&mut self) -> &'a [u8] {
        self.take(self.bytes.len())
    }

    pub(in crate::analysis) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    pub(in crate::analysis) fn take(&mut self, count: usize) -> &'a [u8] {
        self.short |= count > self.bytes.len();
        let (head, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        head
    }

    /// LEB128, seven bits a byte.
    pub(in crate::analysis) fn varint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    /// `count` numbers of `width` bits.
    pub(in crate::analysis) fn unpack(
        &mut self,
        count: usize,
        width: u32,
        mut each: impl FnMut(u64),
    ) {
        let bytes = self.take(packed_len(count, width));
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        for at in 0..count {
            let bit = at * width as usize;
            let mut window = [0_u8; 16];
            let from = &bytes[(bit / 8).min(bytes.len())..];
            let len = from.len().min(9);
            window[..len].copy_from_slice(&from[..len]);
            let wide = u128::from_le_bytes(window) >> (bit % 8);
            each(wide as u64 & mask);
        }
    }
}

/// Appends in LEB128.
pub(in crate::analysis) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put_varint`] takes.
pub(in crate::analysis) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Appends numbers of at most `width` bits each.
pub(in crate::analysis) fn put_packed(out: &mut Vec<u8>, values: &[u64], width: u32) {
    let (mut pending, mut filled) = (0_u128, 0);
    for value in values {
        pending |= u128::from(*value) << filled;
        filled += width;
        while filled >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(pending as u8);
    }
}

/// How many bytes `count` numbers of `width` bits take.
pub(in crate::analysis) fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Small numbers of either sign become small ones without.
pub(in crate::analysis) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Back from [`zigzag`].
pub(in crate::analysis) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back() {
        for width in 0..=64_u32 {
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let values: Vec<u64> =
                (0..33_u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15)) & mask).collect();
            let mut bytes = Vec::new();
            put_packed(&mut bytes, &values, width);
            assert_eq!(bytes.len(), packed_len(values.len(), width), "width {width}");
            let mut back = Vec::new();
            Source::new(&bytes).unpack(values.len(), width, |value| back.push(value));
            assert_eq!(back, values, "width {width}");
        }
    }

    #[test]
    fn what_is_missing_or_left_over_is_known() {
        let mut source = Source::new(&[1, 2, 3]);
        assert_eq!((source.byte(), source.is_used_up(), source.is_short()), (1, false, false));
        assert_eq!((source.rest(), source.is_used_up()), (&[2_u8, 3][..], true));
        assert_eq!((source.byte(), source.is_used_up(), source.is_short()), (0, false, true));
    }

    #[test]
    fn varints_and_signs_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX / 2, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_len(value), "{value}");
            assert_eq!(Source::new(&bytes).varint(), value);
            assert_eq!(zigzag(unzigzag(value)), value);
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!(Source::new(&[]).varint(), 0, "nothing there reads as zero");
    }
}
