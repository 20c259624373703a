//! Random numbers from the kernel (`getrandom(2)`).

use rustix::rand::{GetRandomFlags, getrandom};

/// 128 random bits.
#[must_use]
pub fn u128() -> u128 {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            // Interrupted by a signal: ask again. Requests of up to 256 bytes fail in no other way
            // once the pool is ready (getrandom(2)).
            Err(_) => std::thread::yield_now(),
        }
    }
    u128::from_ne_bytes(bytes)
}

/// A number in `0.0 .. 1.0`.
#[must_use]
pub fn fraction() -> f64 {
    // The upper 53 bits are all that a double holds.
    let bits = (u128() >> 75) as u64;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_fractions_stay_below_one() {
        assert_ne!(u128(), u128());
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&fraction()));
        }
    }
}
