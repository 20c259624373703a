//! How long what is kept how finely.

use std::fmt;
use std::time::Duration;

use crate::base::quantity::{format_duration, parse_duration};

/// Most tiers: a second, ten, a minute, and three more for years.
const TIERS_MAX: usize = 6;

/// Width of a point of the finest tier; what is faster is in the live window.
pub(in crate::analysis) const SECOND_MS: u32 = 1_000;

/// Longest that anything is kept: ten years.
const KEEP_MS_MAX: u64 = 10 * 366 * 86_400_000;

/// Lengths of a segment, and how many points one should have at least: enough that its names and
/// headers weigh little, few enough that the newest whole one is not long in coming.
const SPANS_MS: [u64; 5] = [3_600_000, 2 * 3_600_000, 86_400_000, 10 * 86_400_000, 60 * 86_400_000];
const SPAN_POINTS_MIN: u64 = 700;

/// One resolution and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Width of a point.
    pub bucket_ms: u64,
    /// How long.
    pub keep_ms: u64,
}

/// All tiers, the finest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

impl Tier {
    /// Width of a point as segments and the store have it.
    #[must_use]
    pub fn bucket(&self) -> u32 {
        u32::try_from(self.bucket_ms).unwrap_or(u32::MAX)
    }

    /// Length of a whole segment; segments begin at its multiples.
    #[must_use]
    pub fn span_ms(&self) -> u64 {
        let long_enough = |span: &&u64| **span >= SPAN_POINTS_MIN * self.bucket_ms;
        let last = SPANS_MS[SPANS_MS.len() - 1].max(SPAN_POINTS_MIN * self.bucket_ms);
        SPANS_MS.iter().find(long_enough).copied().unwrap_or(last)
    }
}

impl Default for Tiers {
    /// A second for a day, ten seconds for a week, a minute for ninety days.
    fn default() -> Self {
        let day_ms = 86_400_000_u64;
        let tier = |bucket_ms, days: u64| Tier { bucket_ms, keep_ms: days * day_ms };
        Self(vec![tier(1_000, 1), tier(10_000, 7), tier(60_000, 90)])
    }
}

impl Tiers {
    /// Reads `1s:24h,10s:7d,1m:90d`.
    ///
    /// # Errors
    /// Words that say what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected RESOLUTION:TIME,... with growing resolutions and times, as in \
                        1s:24h,10s:7d,1m:90d";
        let mut tiers: Vec<Tier> = Vec::new();
        for part in text.split(',') {
            let wrong = |why: &str| format!("'{part}': {why}; {expected}");
            let (bucket, keep) = part.split_once(':').ok_or_else(|| wrong("there is no ':'"))?;
            let millis = |text: &str| {
                let time = parse_duration(text.trim()).map_err(|words| wrong(&words))?;
                Ok::<u64, String>(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            };
            let tier = Tier { bucket_ms: millis(bucket)?, keep_ms: millis(keep)? };
            if tier.keep_ms < tier.span_ms() || tier.keep_ms > KEEP_MS_MAX {
                let least = format_duration(Duration::from_millis(tier.span_ms()));
                return Err(wrong(&format!("kept for {least} at least and ten years at most")));
            }
            match tiers.last() {
                None if tier.bucket() != SECOND_MS => {
                    return Err(wrong("the first resolution must be 1s"));
                }
                Some(last) if !grows(*last, tier) => {
                    return Err(wrong(
                        "it must be coarser than the one before, by a whole factor, \
                                      and kept longer",
                    ));
                }
                _ => tiers.push(tier),
            }
        }
        if tiers.len() > TIERS_MAX {
            return Err(format!("'{text}': at most {TIERS_MAX} resolutions; {expected}"));
        }
        Ok(Self(tiers))
    }

    /// The finest first; never empty.
    #[must_use]
    pub fn as_slice(&self) -> &[Tier] {
        &self.0
    }

    /// How far back anything reaches.
    #[must_use]
    pub fn reach_ms(&self) -> u64 {
        self.0.last().map_or(0, |tier| tier.keep_ms)
    }
}

fn grows(last: Tier, next: Tier) -> bool {
    next.bucket_ms > last.bucket_ms
        && next.bucket_ms.is_multiple_of(last.bucket_ms)
        && next.span_ms().is_multiple_of(next.bucket_ms)
        && next.keep_ms > last.keep_ms
}

impl fmt::Display for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, tier) in self.0.iter().enumerate() {
            let time = |ms| format_duration(Duration::from_millis(ms));
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{}:{}", time(tier.bucket_ms), time(tier.keep_ms))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_what_its_text_says() {
        let text = "1s:1d,10s:7d,1m:90d";
        assert_eq!(Tiers::parse(text), Ok(Tiers::default()));
        assert_eq!(Tiers::default().to_string(), text);
        assert_eq!(Tiers::parse("1s:24h,10s:7d,1m:90d"), Ok(Tiers::default()));
        let spans: Vec<u64> = Tiers::default().as_slice().iter().map(Tier::span_ms).collect();
        assert_eq!(spans, [3_600_000, 7_200_000, 86_400_000]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for bad in [
            "",
            "1s",
            "1s:",
            "1s:x",
            "2s:1d",
            "1s:1m",
            "1s:20000d",
            "1s:1d,1s:2d",
            "1s:1d,10s:1d",
            "1s:1d,10s:12h",
            "1s:1d,2500ms:7d",
            "1s:1d,7s:7d",
            "1s:2h,2s:3h,4s:4h,8s:5h,16s:6d,32s:9d,64s:20d",
        ] {
            let words = Tiers::parse(bad).unwrap_err();
            assert!(words.contains("expected"), "{bad}: {words}");
        }
        assert!(Tiers::parse("1s:1h").is_ok());
        assert!(Tiers::parse("1s:30d,5m:1000d").is_ok());
    }
}
