//! The standing order: which metric is sampled how often, and what falls due when. Pure.
//!
//! How an order becomes one interval per metric ([`Order::plan`]):
//!
//! 1. Among the standing entries (no lease) that match a metric the most exact one counts: its own
//!    name, then its collector's name, then the longest pattern; of equally exact ones the
//!    shortest interval.
//! 2. A live lease outranks the standing entries, as that is what it was given for. Among several
//!    the shortest interval wins, whatever their patterns.
//! 3. Interval 0 is off, and loses against any other interval of the same rank. What no entry
//!    matches is off.
//! 4. Nothing is sampled faster than the host's own `--interval-min`.
//!
//! When the last entry's lease has ended and none is left, the client is back to its own default.
//!
//! All ticks of a host lie on one [`Grid`]: whole multiples of their interval in server time plus
//! the host's phase. Intervals that divide each other therefore meet, and what meets is one frame.

use std::time::Duration;

use crate::wire::message::{Schedule, ScheduleEntry};

/// How often every metric is sampled before any server has spoken.
pub const INTERVAL_DEFAULT_MS: u32 = 1_000;

/// Default of `--interval-min`: 20 Hz, the fastest that the budget of 1 % of a core was set for.
pub const INTERVAL_MIN_DEFAULT: Duration = Duration::from_millis(50);

/// Phases are spread over an hour, a multiple of the intervals in use, so that hosts with slow
/// schedules are spread as evenly as those with fast ones.
const PHASE_SPAN_US: u64 = 3_600_000_000;

/// A metric this client can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its collector's name.
    pub collector: &'static str,
    /// Its own name.
    pub metric: &'static str,
}

/// The order in force, with the moment it came.
#[derive(Debug, Clone)]
pub struct Order {
    entries: Vec<ScheduleEntry>,
    received: Duration,
}

/// One interval per metric, and until when that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the known metrics; 0 is off.
    pub interval_ms: Vec<u32>,
    /// The distinct intervals that are not 0, shortest first.
    pub distinct_ms: Vec<u32>,
    /// Metrics whose order was faster than this host allows.
    pub clamped: usize,
    /// By the monotonic clock: when the next lease ends.
    pub valid_until: Option<Duration>,
}

/// Where the ticks of a host lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    phase_us: u64,
}

impl Order {
    /// What a client does before any server has spoken: everything, once a second.
    #[must_use]
    pub fn default_order() -> Self {
        let everything = ScheduleEntry {
            pattern: "*".to_owned(),
            interval_ms: INTERVAL_DEFAULT_MS,
            lease_ms: 0,
        };
        Self { entries: vec![everything], received: Duration::ZERO }
    }

    /// An order whose leases run from `received`, monotonic.
    #[must_use]
    pub fn new(schedule: Schedule, received: Duration) -> Self {
        Self { entries: schedule.entries, received }
    }

    /// The order as it stands at `now`, monotonic.
    #[must_use]
    pub fn plan(&self, known: &[Known], interval_min: Duration, now: Duration) -> Plan {
        let had_entries = !self.entries.is_empty();
        let live: Vec<(&ScheduleEntry, Option<Duration>)> = self
            .entries
            .iter()
            .map(|entry| (entry, self.lease_end(entry)))
            .filter(|(_, end)| end.is_none_or(|end| now < end))
            .collect();
        if live.is_empty() && had_entries {
            return Self::default_order().plan(known, interval_min, now);
        }
        let shortest_ms = u32::try_from(interval_min.as_millis()).unwrap_or(u32::MAX).max(1);
        let mut clamped = 0;
        let interval_ms: Vec<u32> = known
            .iter()
            .map(|metric| {
                let ordered = ordered_ms(metric, &live);
                clamped += usize::from(ordered != 0 && ordered < shortest_ms);
                if ordered == 0 { 0 } else { ordered.max(shortest_ms) }
            })
            .collect();
        let mut distinct_ms: Vec<u32> = interval_ms.iter().copied().filter(|ms| *ms > 0).collect();
        distinct_ms.sort_unstable();
        distinct_ms.dedup();
        let valid_until = live.iter().filter_map(|(_, end)| *end).min();
        Plan { interval_ms, distinct_ms, clamped, valid_until }
    }

    fn lease_end(&self, entry: &ScheduleEntry) -> Option<Duration> {
        let lease = Duration::from_millis(u64::from(entry.lease_ms));
        (entry.lease_ms > 0).then(|| self.received + lease)
    }
}

impl Plan {
    /// The shortest interval in force; `None` when everything is off.
    #[must_use]
    pub fn shortest_ms(&self) -> Option<u32> {
        self.distinct_ms.first().copied()
    }

    /// Which metrics fell due in `(after_us, until_us]`, server time, in the order of the known.
    #[must_use]
    pub fn due(&self, grid: Grid, after_us: u64, until_us: u64) -> Vec<bool> {
        let fell_due = |ms: &u32| *ms > 0 && grid.next_us(*ms, after_us) <= until_us;
        self.interval_ms.iter().map(fell_due).collect()
    }

    /// The first tick of any metric after `after_us`, server time.
    #[must_use]
    pub fn next_us(&self, grid: Grid, after_us: u64) -> Option<u64> {
        self.distinct_ms.iter().map(|ms| grid.next_us(*ms, after_us)).min()
    }
}

impl Grid {
    /// The grid of the host with this hash of its name.
    #[must_use]
    pub fn of_host(name_hash: u64) -> Self {
        Self { phase_us: name_hash % PHASE_SPAN_US }
    }

    /// The first multiple of the interval, plus the phase, after `after_us`.
    #[must_use]
    pub fn next_us(self, interval_ms: u32, after_us: u64) -> u64 {
        let step = u64::from(interval_ms.max(1)) * 1_000;
        let phase = self.phase_us % step;
        let whole = (after_us.saturating_sub(phase)) / step;
        let at = whole.saturating_mul(step).saturating_add(phase);
        if at > after_us { at } else { at.saturating_add(step) }
    }
}

/// Whether a pattern of names and `*` (any run of characters, also none) matches the whole text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        // The leftmost place leaves the most for what follows, so no other need be tried.
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    true
}

/// Whether an entry speaks of this metric, by its name or by its collector's.
#[must_use]
pub fn speaks_of(pattern: &str, metric: &Known) -> bool {
    matches(pattern, metric.metric) || matches(pattern, metric.collector)
}

fn ordered_ms(metric: &Known, live: &[(&ScheduleEntry, Option<Duration>)]) -> u32 {
    let matching = || live.iter().filter(|(entry, _)| speaks_of(&entry.pattern, metric));
    let leased = matching().filter(|(_, end)| end.is_some()).map(|(entry, _)| entry.interval_ms);
    let standing = matching().filter(|(_, end)| end.is_none());
    leased.min_by_key(|ms| off_last(*ms)).unwrap_or_else(|| {
        let rank = |entry: &ScheduleEntry| exactness(&entry.pattern, metric);
        let best = standing.clone().map(|(entry, _)| rank(entry)).max();
        let equals = standing.filter(|(entry, _)| Some(rank(entry)) == best);
        equals.map(|(entry, _)| entry.interval_ms).min_by_key(|ms| off_last(*ms)).unwrap_or(0)
    })
}

/// Orders intervals from short to long, off being the longest.
fn off_last(interval_ms: u32) -> u32 {
    interval_ms.wrapping_sub(1)
}

/// Larger is more exact.
fn exactness(pattern: &str, metric: &Known) -> (u8, usize) {
    if pattern == metric.metric {
        (2, 0)
    } else if pattern == metric.collector {
        (1, 0)
    } else {
        (0, pattern.len())
    }
}
