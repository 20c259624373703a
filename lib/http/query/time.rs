//! Instants as people and programs write them in a query, and as a table gives them back.

use crate::base::quantity;

/// What [`instant`] reads, for refusals.
pub(crate) const EXPECTED: &str = "Unix milliseconds (1700000000000), RFC 3339 \
                                   (2026-11-22T23:00:00Z or with an offset), or relative to now \
                                   (now, -15m, -1h, -90d)";

/// The last instant of the year 9999, after which RFC 3339 has no words.
const TIME_MS_MAX: u64 = 253_402_300_799_999;

const DAY_MS: u64 = 86_400_000;

/// Days of 400 years of the Gregorian calendar, after which it repeats.
const DAYS_OF_400_YEARS: i64 = 146_097;

/// Days from 0000-03-01, where such 400 years begin, to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// The instant that a text means, Unix ms; `None` when it means none between 1970 and 9999.
pub(crate) fn instant(text: &str, now_ms: u64) -> Option<u64> {
    let time_ms = if text == "now" {
        now_ms
    } else if let Some(ago) = text.strip_prefix('-') {
        let ago = quantity::parse_duration(ago).ok()?;
        now_ms.saturating_sub(u64::try_from(ago.as_millis()).ok()?)
    } else if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()?
    } else {
        u64::try_from(rfc3339(text)?).ok()?
    };
    (time_ms <= TIME_MS_MAX).then_some(time_ms)
}

/// The instant as RFC 3339 has it, in UTC, with milliseconds.
pub(crate) fn to_rfc3339(time_ms: u64) -> String {
    let time_ms = time_ms.min(TIME_MS_MAX);
    let (year, month, day) = date_of((time_ms / DAY_MS) as i64);
    let of_day = time_ms % DAY_MS;
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// `2026-11-22T23:00:00.5+01:00` as Unix ms; what is finer than a millisecond is left out.
fn rfc3339(text: &str) -> Option<i64> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.number(4)?;
    rest.one_of(b"-")?;
    let month = rest.number(2)?;
    rest.one_of(b"-")?;
    let day = rest.number(2)?;
    rest.one_of(b"Tt ")?;
    let hour = rest.number(2)?;
    rest.one_of(b":")?;
    let minute = rest.number(2)?;
    rest.one_of(b":")?;
    let second = rest.number(2)?;
    let ms = rest.fraction_ms()?;
    let offset_minutes = rest.offset_minutes()?;
    // A leap second (60) is the first instant of the next minute, as in Unix time.
    if !rest.0.is_empty() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_to(year, month, day);
    if date_of(days) != (year, month, day) {
        return None;
    }
    let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1_000 + ms)
}

/// What is left of a text.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn one_of(&mut self, expected: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        expected.contains(first).then_some(*first)
    }

    /// Exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let digit = |b: &u8| b.is_ascii_digit().then(|| i64::from(b - b'0'));
        number.iter().try_fold(0, |value, b| Some(value * 10 + digit(b)?))
    }

    /// `.` and at least one digit, or nothing.
    fn fraction_ms(&mut self) -> Option<i64> {
        let Some(after) = self.0.strip_prefix(b".") else { return Some(0) };
        let length = after.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = after.split_at(length);
        self.0 = rest;
        let places = digits.iter().zip([100, 10, 1]);
        let ms = places.map(|(digit, worth)| i64::from(digit - b'0') * worth).sum();
        (length > 0).then_some(ms)
    }

    fn offset_minutes(&mut self) -> Option<i64> {
        // In a query that was not percent-encoded the `+` of an offset has become a space.
        let sign = match self.one_of(b"Zz+- ")? {
            b'Z' | b'z' => return Some(0),
            b'-' => -1,
            _ => 1,
        };
        let hours = self.number(2)?;
        self.one_of(b":")?;
        let minutes = self.number(2)?;
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
    }
}

/// Days from 1970-01-01 to a date. Years are counted from March, so that a leap day is the last
/// of its year; in each five months from March on there are 153 days.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year_of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    cycle * DAYS_OF_400_YEARS + day_of_cycle - DAYS_TO_1970
}

/// Year, month and day; the other way round.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_1970;
    let (cycle, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    // Leap days before this one: each 4 years, not each 100, again at the end of the 400.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = cycle * 400 + year + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::dice::Dice;

    const NOW_MS: u64 = 1_700_000_000_123;

    #[track_caller]
    fn check(text: &str, expected: u64) {
        assert_eq!(instant(text, NOW_MS), Some(expected), "{text}");
    }

    #[test]
    fn reads_what_programs_and_people_write() {
        check("now", NOW_MS);
        check("-1h", NOW_MS - 3_600_000);
        check("-90d", NOW_MS - 90 * DAY_MS);
        check("-1.5s", NOW_MS - 1_500);
        check("-99999d", 0);
        check("0", 0);
        check("1700000000000", 1_700_000_000_000);
        check("2023-11-14T22:13:20Z", 1_700_000_000_000);
        check("2023-11-14t22:13:20.987654321z", 1_700_000_000_987);
        check("2023-11-14 22:13:20.5Z", 1_700_000_000_500);
        check("2023-11-15T00:13:20+02:00", 1_700_000_000_000);
        check("2023-11-15T00:13:20 02:00", 1_700_000_000_000);
        check("2023-11-14T17:43:20-04:30", 1_700_000_000_000);
        check("2016-12-31T23:59:60Z", 1_483_228_800_000);
        check("2024-02-29T00:00:00Z", 1_709_164_800_000);
        check("2000-02-29T00:00:00Z", 951_782_400_000);
        check("1970-01-01T01:00:00+01:00", 0);
        check("9999-12-31T23:59:59.999Z", TIME_MS_MAX);
    }

    #[test]
    fn reads_nothing_else() {
        for bad in [
            "",
            "-",
            "yesterday",
            "-1",
            "-1y",
            "1h",
            "+1h",
            "1e12",
            "1700000000000.5",
            "-1e3s",
            "253402300800000",
            "99999999999999999999999",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14T22:13Z",
            "2023-11-14T22:13:20.Z",
            "2023-13-14T22:13:20Z",
            "2023-00-14T22:13:20Z",
            "2023-11-00T22:13:20Z",
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:60:20Z",
            "2023-11-14T22:13:61Z",
            "2023-11-14T22:13:20+24:00",
            "2023-11-14T22:13:20+02",
            "2023-11-14T22:13:20Z ",
            "1970-01-01T00:00:00+01:00",
            "1969-12-31T23:59:59Z",
            "20231114T221320Z",
            "２０２３",
            "-١h",
        ] {
            assert_eq!(instant(bad, NOW_MS), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        assert_eq!(to_rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(to_rfc3339(NOW_MS), "2023-11-14T22:13:20.123Z");
        assert_eq!(to_rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
        let seed = 0x7133;
        let mut dice = Dice::new(seed);
        for round in 0..20_000 {
            let time_ms = dice.below(TIME_MS_MAX + 1);
            let text = to_rfc3339(time_ms);
            assert_eq!(instant(&text, 0), Some(time_ms), "{text}, seed {seed}, round {round}");
        }
        // Every day of 400 years follows the one before.
        let mut before = date_of(-1);
        for days in 0..DAYS_OF_400_YEARS {
            let (year, month, day) = date_of(days);
            assert_eq!(days_to(year, month, day), days);
            let follows = (year, month, day) == (before.0, before.1, before.2 + 1)
                || (day == 1 && before.2 >= 28 && (year, month) > (before.0, before.1));
            assert!(follows, "{before:?} -> {year}-{month}-{day}");
            before = (year, month, day);
        }
    }

    #[test]
    fn no_text_does_harm() {
        let seed = 0xbad;
        let mut dice = Dice::new(seed);
        let alphabet = "0123456789-+:.TtZz hdmsnow \u{e9}\0";
        let letters: Vec<char> = alphabet.chars().collect();
        for _ in 0..50_000 {
            let length = dice.below(30);
            let letter = |_| letters[dice.below(letters.len() as u64) as usize];
            let text: String = (0..length).map(letter).collect();
            if let Some(time_ms) = instant(&text, NOW_MS) {
                assert!(time_ms <= TIME_MS_MAX, "{text:?}, seed {seed}");
            }
        }
    }
}
