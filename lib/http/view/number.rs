//! Numbers as JSON: finite, without a fraction when they have none, five digits where a picture
//! needs no more.

use serde::{Serialize, Serializer};

/// A finite number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number(f64);

/// Above this an integer is no longer exact in a double, here or in a browser (2^53).
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// The number as it is; `None` for NaN and infinities.
    pub(crate) fn exact(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number to five significant digits: 0.001 % of what it shows, a third of the bytes.
    pub(crate) fn rounded(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        if value == 0.0 {
            return Some(Self(0.0));
        }
        let exponent = value.abs().log10().floor() as i32;
        let scale = 10_f64.powi((4 - exponent).abs());
        let rounded = if exponent <= 4 {
            (value * scale).round() / scale
        } else {
            (value / scale).round() * scale
        };
        // Beyond the range of scaling a number stays as it is.
        Some(Self(if rounded.is_finite() { rounded } else { value }))
    }

    /// [`rounded`](Self::rounded) of what may be missing.
    pub(crate) fn rounded_option(value: Option<f64>) -> Option<Self> {
        value.and_then(Self::rounded)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < EXACT_MAX {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, expected: &str) {
        let text = serde_json::to_string(&Number::rounded(value)).unwrap();
        assert_eq!(text, expected, "{value}");
    }

    #[test]
    fn five_digits_and_no_needless_ones() {
        check(0.0, "0");
        check(-0.0, "0");
        check(12.0, "12");
        check(12.345678, "12.346");
        check(99.999999, "100");
        check(0.000123456789, "0.00012346");
        check(123456.789, "123460");
        check(16_777_216_123.0, "16777000000");
        check(-7.123456, "-7.1235");
        check(1e-320, "1e-320");
        check(f64::NAN, "null");
        check(f64::INFINITY, "null");
    }

    #[test]
    fn exact_keeps_every_digit_of_an_integer() {
        let text = serde_json::to_string(&Number::exact(16_777_216_123.0)).unwrap();
        assert_eq!(text, "16777216123");
        assert_eq!(Number::exact(f64::NEG_INFINITY), None);
    }

    #[test]
    fn rounding_is_within_a_hundred_thousandth() {
        let mut value = 1.234_567_89e-12;
        while value < 1e18 {
            let Number(rounded) = Number::rounded(value).unwrap();
            assert!(((rounded - value) / value).abs() < 5.1e-5, "{value} -> {rounded}");
            value *= 3.7;
        }
    }
}
