//! What a collector is, which ones there are, and how some of them are chosen.

use std::path::PathBuf;

use crate::base::clock::{Real, SharedClock};
use crate::metric::{Kind, MetricDef, Unit};

use super::accumulator::Accumulator;
use super::error::{BuildError, CollectError};
use super::{cpu, cpu_core, diskio, load, memory, network, process_count, uptime};

/// One source of samples about this machine.
pub trait Collector: Send {
    /// Reads the source once and pushes what it says to `out`. An item that cannot be parsed is
    /// reported by [`Accumulator::fault`] and silences only itself.
    ///
    /// # Errors
    /// What leaves nothing to report: samples that this call has already pushed are discarded.
    /// `NoData`: readable but empty. `Unsupported`: this kernel lacks it (switched off, asked again
    /// after [`RETRY_AFTER`](super::RETRY_AFTER)). `Io`, `Parse`, `TooLong`: carry the place.
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError>;
}

/// A collector as it is registered.
#[derive(Debug)]
pub struct Registration {
    /// Its name everywhere: flag, schedule, log, fixture.
    pub name: &'static str,
    /// Whether it runs when nobody says which to run.
    pub default_enabled: bool,
    /// One line for help and README.
    pub help: &'static str,
    /// All it can take, in the order in which it pushes them; at most 64.
    pub metrics: &'static [MetricDef],
    /// Makes one; reads nothing that may hang.
    pub build: fn(&Context) -> Box<dyn Collector>,
}

/// Where and how collectors read.
#[derive(Debug, Clone)]
pub struct Context {
    /// Root of the host's file system: `root/proc`, `root/sys`. Where it is not `/`, the network
    /// interfaces are those of the host's process 1, see [`network`].
    pub root: PathBuf,
    /// The kernel's ticks of CPU time per second (`USER_HZ`).
    pub user_hz: u64,
    /// Whether loop devices, partitions, virtual interfaces and the like are taken as well.
    pub include_filtered: bool,
    /// Measures runs and says when to ask again.
    pub clock: SharedClock,
}

impl Context {
    /// This machine under `root`: its own ticks (`sysconf(_SC_CLK_TCK)`), the real clock, nothing
    /// filtered included.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let user_hz = rustix::param::clock_ticks_per_second();
        Self { root: root.into(), user_hz, include_filtered: false, clock: Real::shared() }
    }
}

/// In the order of the README's table. A line here is all the registering there is.
pub const COLLECTORS: &[&Registration] = &[
    &cpu::REGISTRATION,
    &cpu_core::REGISTRATION,
    &memory::REGISTRATION,
    &diskio::REGISTRATION,
    &network::REGISTRATION,
    &process_count::REGISTRATION,
    &load::REGISTRATION,
    &uptime::REGISTRATION,
];

/// Reads a list such as `cpu,memory`, `default,cpu_core` or `all`; the answer is in the order of
/// [`COLLECTORS`] and without doubles.
///
/// # Errors
/// A name that no collector has, or a list of none.
pub fn select(list: &str) -> Result<Vec<&'static Registration>, BuildError> {
    let names: Vec<_> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(BuildError::Empty);
    }
    let known = |name: &str| {
        ["default", "all"].contains(&name) || COLLECTORS.iter().any(|known| known.name == name)
    };
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        return Err(BuildError::Unknown { name: (*unknown).to_owned() });
    }
    let is_selected = |registration: &&&'static Registration| {
        names.iter().any(|name| match *name {
            "all" => true,
            "default" => registration.default_enabled,
            name => name == registration.name,
        })
    };
    Ok(COLLECTORS.iter().filter(is_selected).copied().collect())
}

/// A counter as a collector declares it.
pub(super) const fn counter(name: &'static str, unit: Unit, help: &'static str) -> MetricDef {
    MetricDef { name, kind: Kind::Counter, unit, help }
}

/// A gauge as a collector declares it.
pub(super) const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> MetricDef {
    MetricDef { name, kind: Kind::Gauge, unit, help }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn names(list: &str) -> Vec<&'static str> {
        select(list).unwrap().iter().map(|registration| registration.name).collect()
    }

    #[test]
    fn selects_by_name_in_the_order_of_the_table() {
        assert_eq!(names("memory, cpu,cpu"), ["cpu", "memory"]);
        assert_eq!(names("default").len() + 1, COLLECTORS.len());
        assert_eq!(names("default,cpu_core"), names("all"));
        let words = select("cpu,disk").unwrap_err().to_string();
        assert!(words.contains("'disk'") && words.contains("diskio"), "{words}");
        assert_eq!(select(" ,").unwrap_err(), BuildError::Empty);
    }

    #[test]
    fn every_metric_is_named_as_prometheus_asks() {
        let mut seen = BTreeSet::new();
        for registration in COLLECTORS {
            assert!(!registration.metrics.is_empty() && registration.metrics.len() <= 64);
            for def in registration.metrics {
                assert!(seen.insert(def.name), "{} twice", def.name);
                assert_eq!(def.kind == Kind::Counter, def.name.ends_with("_total"), "{}", def.name);
                let base = def.name.trim_end_matches("_total");
                assert_eq!(def.unit == Unit::Bytes, base.ends_with("_bytes"), "{}", def.name);
                assert_eq!(def.unit == Unit::Seconds, base.ends_with("_seconds"), "{}", def.name);
                assert!(def.help.ends_with('.'), "{}", def.name);
            }
        }
    }
}
