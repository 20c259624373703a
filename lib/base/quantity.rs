//! Durations and sizes as people write them: `500ms`, `5s`, `15m`, `4MiB`.

use std::time::Duration;

/// Units of time, shortest first, in microseconds.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Units of size in bytes.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads `500ms`, `5s`, `1.5m`, `2h`, `7d`.
///
/// # Errors
/// Words that quote the text and say what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let micros = parse(text, DURATION_UNITS, "a duration such as 500ms, 5s, 15m, 2h or 7d")?;
    Ok(Duration::from_micros(micros))
}

/// Reads `4MiB`, `512KiB`, `20GiB`, `1000B`.
///
/// # Errors
/// Words that quote the text and say what was expected.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    parse(text, SIZE_UNITS, "a size such as 512KiB, 4MiB or 20GiB")
}

/// Writes a duration with the largest unit that divides it: `1500ms`, `5s`, `2h`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let (unit, size) = DURATION_UNITS
        .iter()
        .rev()
        .find(|(_, size)| micros >= *size && micros.is_multiple_of(*size))
        .unwrap_or(&("s", 1_000_000));
    format!("{}{unit}", micros / size)
}

/// Writes a size with one decimal, in the largest unit of IEC 80000-13 that it has one of:
/// `1.5 GiB`, `12 B`.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

fn parse(text: &str, units: &[(&str, u64)], expected: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not {expected}");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let value = number * *size as f64;
    // Beyond 2^53 a double no longer counts single bytes or microseconds; nobody means that.
    if !(0.0..9.0e15).contains(&value) {
        return Err(wrong());
    }
    Ok(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_for_people() {
        let texts = [0, 1_023, 1_024, 1_572_864, 3 << 30, 5 << 40].map(format_bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "3.0 GiB", "5.0 TiB"]);
    }

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_bytes("4MiB"), Ok(4 << 20));
        assert_eq!(format_duration(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(format_duration(Duration::from_secs(7_200)), "2h");
    }

    #[test]
    fn says_what_was_expected() {
        for bad in ["", "5", "s", "-1s", "5 s", "1e3s", "1.2.3s", "99999999999d", "5parsecs"] {
            let words = parse_duration(bad).unwrap_err();
            assert!(words.contains(&format!("'{bad}'")) && words.contains("500ms"), "{words}");
        }
    }
}
