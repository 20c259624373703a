//! Who samples what, how often: the standing order, and the one-shot orders.
//!
//! For now every host gets the same standing order, from the operator's flags.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::quantity;
use crate::identity;
use crate::metric::HostName;
use crate::wire::SCHEDULE_ENTRIES_MAX;
use crate::wire::message::{Schedule, ScheduleEntry};

/// Every collector and metric that a client has enabled.
const EVERYTHING: &str = "*";

/// Longest interval: a metric that is wanted less than once a day is wanted by `Collect`.
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);

/// What the operator ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// Interval of everything that has no entry of its own.
    pub interval: Duration,
    /// Intervals by pattern of collector or metric name; zero is off. See [`parse_schedule_entry`].
    pub schedule: Vec<(String, Duration)>,
    /// Metrics to be collected once, when their host says Hello. See [`parse_collect`].
    pub collect: Vec<(String, HostName)>,
}

/// Reads one entry of a schedule: `cpu=500ms`, `disk_*=5s`, `uptime=off`.
///
/// # Errors
/// Words that quote the entry and say what was expected.
pub fn parse_schedule_entry(entry: &str) -> Result<(String, Duration), String> {
    let wrong = |why: &str| Err(format!("'{entry}': {why}; expected NAME=INTERVAL, as cpu=500ms"));
    let Some((pattern, interval)) = entry.split_once('=') else { return wrong("no '='") };
    if !is_pattern(pattern) {
        return wrong("a name has letters, digits, '_', ':' and '*' for any run of characters");
    }
    if interval == "off" {
        return Ok((pattern.to_owned(), Duration::ZERO));
    }
    match parse_interval(interval) {
        Ok(interval) => Ok((pattern.to_owned(), interval)),
        Err(words) => wrong(&words),
    }
}

/// Reads an interval of whole milliseconds up to a day.
///
/// # Errors
/// Words that quote the text and say what was expected.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = quantity::parse_duration(text)?;
    let whole = interval.subsec_micros().is_multiple_of(1_000);
    if interval.is_zero() || interval > INTERVAL_MAX || !whole {
        return Err(format!("'{text}' is no interval: expected 1ms to 1d, in whole milliseconds"));
    }
    Ok(interval)
}

/// Reads `METRIC@HOST`, as `cpu_core_seconds_total@web-1`.
///
/// # Errors
/// Words that quote the text and say what was expected.
pub fn parse_collect(text: &str) -> Result<(String, HostName), String> {
    let Some((pattern, host)) = text.split_once('@') else {
        return Err(format!("'{text}': no '@'; expected METRIC@HOST, as cpu@web-1"));
    };
    if !is_pattern(pattern) {
        return Err(format!("'{pattern}' names no metric; expected METRIC@HOST, as cpu@web-1"));
    }
    Ok((pattern.to_owned(), identity::host_name(host)?))
}

fn is_pattern(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'*');
    !text.is_empty() && text.len() <= 200 && text.bytes().all(allowed)
}

/// Gives each host its orders.
#[derive(Debug)]
pub(super) struct Director {
    standing: Schedule,
    once: HashMap<HostName, Vec<String>>,
}

impl Director {
    /// # Errors
    /// What is too much.
    pub(super) fn new(orders: &Orders) -> Result<Self, String> {
        if orders.schedule.len().max(orders.collect.len()) >= SCHEDULE_ENTRIES_MAX {
            return Err(format!(
                "more than {} entries in the schedule or metrics to collect",
                SCHEDULE_ENTRIES_MAX - 1
            ));
        }
        let entry = |pattern: &str, interval: Duration| ScheduleEntry {
            pattern: pattern.to_owned(),
            interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
            lease_ms: 0,
        };
        let named = orders.schedule.iter().filter(|(pattern, _)| pattern != EVERYTHING);
        let everything = orders.schedule.iter().rfind(|(pattern, _)| pattern == EVERYTHING);
        let rest = everything.map_or(orders.interval, |(_, interval)| *interval);
        let entries = std::iter::once(entry(EVERYTHING, rest))
            .chain(named.map(|(pattern, interval)| entry(pattern, *interval)))
            .collect();
        let mut once: HashMap<HostName, Vec<String>> = HashMap::new();
        for (pattern, host) in &orders.collect {
            once.entry(host.clone()).or_default().push(pattern.clone());
        }
        Ok(Self { standing: Schedule { revision: 1, entries }, once })
    }

    /// The standing order of a host.
    pub(super) fn schedule(&self, _host: &HostName) -> Schedule {
        self.standing.clone()
    }

    /// What a host is to collect once, now that it is welcome: everything, so that its first
    /// frame comes at once, and what the operator asked of this host.
    pub(super) fn first(&self, host: &HostName) -> Vec<String> {
        let asked = self.once.get(host).into_iter().flatten().cloned();
        std::iter::once(EVERYTHING.to_owned()).chain(asked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(schedule: &str, collect: &[&str]) -> Orders {
        Orders {
            interval: Duration::from_secs(1),
            schedule: schedule
                .split(',')
                .filter(|entry| !entry.is_empty())
                .map(|entry| parse_schedule_entry(entry).unwrap())
                .collect(),
            collect: collect.iter().map(|text| parse_collect(text).unwrap()).collect(),
        }
    }

    fn check(schedule: &str, expected: &[(&str, u32)]) {
        let standing = Director::new(&orders(schedule, &[])).unwrap().schedule(&"h".into());
        let entries: Vec<_> = standing
            .entries
            .iter()
            .map(|entry| (entry.pattern.as_str(), entry.interval_ms))
            .collect();
        assert_eq!(entries, expected, "{schedule}");
        assert!(standing.entries.iter().all(|entry| entry.lease_ms == 0));
    }

    #[test]
    fn everything_at_the_interval_unless_named() {
        check("", &[("*", 1_000)]);
        check("cpu=500ms,diskio=5s", &[("*", 1_000), ("cpu", 500), ("diskio", 5_000)]);
        check("cpu_*=50ms,*=2s,load=off", &[("*", 2_000), ("cpu_*", 50), ("load", 0)]);
    }

    #[test]
    fn a_host_collects_everything_once_and_what_was_asked_of_it() {
        let asked = ["cpu_core_seconds_total@Web-1", "load1@web-1", "x@other"];
        let director = Director::new(&orders("", &asked)).unwrap();
        assert_eq!(director.first(&"web-1".into()), ["*", "cpu_core_seconds_total", "load1"]);
        assert_eq!(director.first(&"db-1".into()), ["*"]);
    }

    #[test]
    fn wrong_orders_are_refused_in_words() {
        for bad in ["cpu", "=1s", "cpu=", "cpu=1", "c pu=1s", "cpu=0s", "cpu=1.5us", "cpu=2d"] {
            let words = parse_schedule_entry(bad).unwrap_err();
            assert!(words.contains("expected NAME=INTERVAL"), "{bad}: {words}");
        }
        for bad in ["cpu", "@web", "cpu@", "cpu@a b"] {
            assert!(parse_collect(bad).unwrap_err().contains("expected"), "{bad}");
        }
        assert!(Director::new(&orders(&"cpu=1s,".repeat(300), &[])).is_err());
    }
}
