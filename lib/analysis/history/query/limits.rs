//! How much one query may take: estimated before it begins, counted while it runs.

use crate::analysis::view::QueryError;

/// Most points of a series; a screen has 4,000 columns.
pub(super) const POINTS_MAX: usize = 10_000;

/// Most hosts of one query: what analysis keeps by default.
pub(super) const HOSTS_MAX: usize = 10_000;

/// Most names asked for; each is compared with every name of every host.
pub(super) const METRICS_MAX: usize = 100;

/// Readings decoded by one query: some 30 ns each, so six seconds of a core. CPU usage (eight
/// series) of 1,000 hosts over a day from the tier of ten seconds is 69 million.
pub(super) const SAMPLES_MAX: u64 = 200_000_000;

/// Points in memory at once: of one host, or of an aggregate. 32 bytes each, and while it is not
/// known how often a series was sampled up to 80, so 32 to 80 MB. 85 series of 10,000 points.
pub(super) const POINTS_HELD_MAX: u64 = 1_000_000;

/// Points of one answer: at some 45 bytes of JSON each, 225 MB.
pub(super) const POINTS_ANSWERED_MAX: u64 = 5_000_000;

/// An estimate supposes that everything was sampled as often as a tier can hold, and that nothing
/// is missing; only what is above the limit by this factor is refused unseen.
const ESTIMATE_FACTOR: u64 = 4;

/// What would help.
const ADVICE: &str = "fewer hosts, a shorter time, fewer or narrower names";

/// What a running query has taken.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) samples: u64,
    pub(super) points: u64,
}

impl Work {
    /// Some more readings were decoded.
    pub(super) fn add_samples(&mut self, count: u64) -> Result<(), QueryError> {
        self.samples += count;
        check(self.samples, SAMPLES_MAX, "readings decoded")
    }

    /// Some more points are to be answered.
    pub(super) fn add_points(&mut self, count: u64) -> Result<(), QueryError> {
        self.points += count;
        check(self.points, POINTS_ANSWERED_MAX, "points in the answer")
    }
}

/// Refuses what is more than `max`.
pub(super) fn check(count: u64, max: u64, what: &str) -> Result<(), QueryError> {
    if count <= max {
        return Ok(());
    }
    Err(QueryError::TooMuch {
        what: format!("more than {max} {what}"),
        expected: format!("at most {max}; ask for {ADVICE}, or fewer points"),
    })
}

/// Refuses what is surely too much: an upper bound of `count`, made of `factors`.
pub(super) fn check_estimate(
    count: u64,
    max: u64,
    what: &str,
    factors: &str,
) -> Result<(), QueryError> {
    if count / ESTIMATE_FACTOR <= max {
        return Ok(());
    }
    Err(QueryError::TooMuch {
        what: format!("about {count} {what} ({factors})"),
        expected: format!("at most {max}; ask for {ADVICE}, or fewer points"),
    })
}
