//! Fractions with few decimals as integers, exactly: procfs prints two, and an integer takes a
//! quarter of the bytes.

/// Most decimals that a fraction may have to be kept as an integer.
pub(in crate::analysis) const DECIMALS_MAX: u32 = 3;

/// Above this an `f64` no longer holds every half, by which is rounded.
const UNITS_MAX: u64 = 1 << 52;

const POWERS: [f64; DECIMALS_MAX as usize + 1] = [1.0, 10.0, 100.0, 1_000.0];

/// How many `10^-decimals` make up `value`; `None` when [`fraction`] would not give back the very
/// same bits (too many decimals, too large, `-0.0`, no number).
pub(in crate::analysis) fn units(value: f64, decimals: u32) -> Option<i64> {
    // A conversion saturates, and takes what is no number for zero.
    let units = (value * power(decimals) + 0.5_f64.copysign(value)) as i64;
    let exact =
        units.unsigned_abs() < UNITS_MAX && fraction(units, decimals).to_bits() == value.to_bits();
    exact.then_some(units)
}

/// Back from [`units`].
pub(in crate::analysis) fn fraction(units: i64, decimals: u32) -> f64 {
    units as f64 / power(decimals)
}

fn power(decimals: u32) -> f64 {
    POWERS[decimals.min(DECIMALS_MAX) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_units_only_if_its_bits_come_back() {
        assert_eq!(units(12.34, 2), Some(1_234));
        assert_eq!(units(-0.125, 3), Some(-125));
        assert_eq!(units(12.34, 1), None);
        assert_eq!(units(0.0, 0), Some(0));
        assert_eq!(units(4_503_599_627_370_495.0, 0), Some((1 << 52) - 1));
        for not in [-0.0, 1e300, f64::NAN, f64::INFINITY, 4_503_599_627_370_496.0, 1.0 / 3.0] {
            assert_eq!(units(not, 3), None, "{not}");
        }
        for cents in (0..2_000_000_i64).step_by(7) {
            let value = format!("{}.{:02}", cents / 100, cents % 100).parse().unwrap_or(f64::NAN);
            assert_eq!(units(value, 2), Some(cents), "{value}");
        }
    }
}
