//! Names and formulas: what is to be done with each sample of a layout, worked out once.
//!
//! | from | becomes |
//! |---|---|
//! | `cpu_seconds_total{mode}` | `cpu_usage_percent`, `cpu_mode_percent{mode}` |
//! | `cpu_core_seconds_total{cpu,mode}` | `cpu_core_usage_percent{cpu}` |
//! | `memory_total_bytes`, `memory_available_bytes` | themselves, `memory_used_bytes`, `memory_used_percent` |
//! | `disk_busy_seconds_total{device}` | `disk_busy_percent{device}` |
//! | any other `x_total` | `x_per_second`, labels kept; `disk_written_bytes` says `disk_write_bytes` |
//! | bytes of disks and interfaces | and their sums without the devices of [`filter`] |
//! | `processes` | `process_count` |
//! | any other gauge | itself |

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::needs::derived_name;
use crate::analysis::view::SUMMARY_COLUMNS;
use crate::metric::{Layout, Samples, SeriesKey, filter};

/// Places of the summary columns among the outputs: they come first in every plan.
pub(super) const CPU_USAGE: u32 = 0;
pub(super) const MEMORY_USED_PERCENT: u32 = 1;
pub(super) const MEMORY_USED: u32 = 2;
pub(super) const MEMORY_TOTAL: u32 = 3;
const DISK_READ: u32 = 4;
const DISK_WRITE: u32 = 5;
const NETWORK_RECEIVE: u32 = 6;
const NETWORK_TRANSMIT: u32 = 7;

/// Gauges that are summary columns, some under another name.
const SUMMARY_GAUGES: [(&str, u32); 3] = [("processes", 8), ("load1", 9), ("uptime_seconds", 10)];

/// Counters whose sum over the devices is a summary column.
const TOTALS: [(&str, u32); 4] = [
    ("disk_read_bytes_total", DISK_READ),
    ("disk_written_bytes_total", DISK_WRITE),
    ("network_receive_bytes_total", NETWORK_RECEIVE),
    ("network_transmit_bytes_total", NETWORK_TRANSMIT),
];

/// Time during which a disk had something to do, and what becomes of it.
pub(super) const BUSY: &str = "disk_busy_seconds_total";
pub(super) const BUSY_SHARE: &str = "disk_busy_percent";

/// CPU time of the machine by mode and of each CPU, and what becomes of it.
pub(super) const CPU_SECONDS: &str = "cpu_seconds_total";
pub(super) const CPU_SHARE: &str = "cpu_mode_percent";
pub(super) const CPU_CORE_SECONDS: &str = "cpu_core_seconds_total";
pub(super) const CPU_CORE_USAGE: &str = "cpu_core_usage_percent";

/// The rate that people know by another name than its counter's.
pub(super) const RENAMED: (&str, &str) =
    ("disk_written_bytes_total", "disk_write_bytes_per_second");

/// Most derived names shared between hosts; beyond it each host has its own.
const POOL_MAX: usize = 65_536;

/// What is to be done with one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    /// Over the limit on series, or a name that is taken.
    Skip,
    Gauge {
        slot: u32,
        output: u32,
    },
    MemoryTotal {
        slot: u32,
    },
    MemoryAvailable {
        slot: u32,
        output: u32,
    },
    /// A counter; `total` is the summary column it adds to.
    Rate {
        slot: u32,
        output: u32,
        total: Option<u32>,
    },
    /// Seconds of doing something per second, shown as a percentage.
    Busy {
        slot: u32,
        output: u32,
    },
    /// CPU time; group 0 is the whole machine, each CPU has its own.
    Cpu {
        slot: u32,
        group: u32,
        mode: Mode,
        output: Option<u32>,
    },
}

/// What a CPU mode counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// idle and iowait.
    Idle,
    /// user, nice, system, irq, softirq, steal.
    Busy,
    /// guest and guest_nice, which are inside user and nice already, and what nobody knows yet.
    Apart,
}

impl Mode {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "idle" | "iowait" => Self::Idle,
            "user" | "nice" | "system" | "irq" | "softirq" | "steal" => Self::Busy,
            _ => Self::Apart,
        }
    }
}

/// Whether a series is time in which a CPU had nothing to do.
pub(super) fn is_idle_time(key: &SeriesKey) -> bool {
    matches!(key.name(), "cpu_seconds_total" | "cpu_core_seconds_total")
        && key.label("mode").is_some_and(|mode| Mode::named(&mode) == Mode::Idle)
}

/// What is to be done with each sample of a layout.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Plan {
    pub(in crate::analysis) layout: Layout,
    /// Names of what can come out; the summary columns first.
    pub(in crate::analysis) outputs: Vec<SeriesKey>,
    pub(super) ops: Vec<Op>,
    /// How many groups of CPU times, and the output that each one's usage goes to.
    pub(super) groups: usize,
    pub(super) usages: Vec<Option<u32>>,
    /// Samples without a slot.
    pub(in crate::analysis) refused: u64,
    /// If there are any: the layout without them, and the places of those that stay.
    kept: Option<(Layout, Vec<usize>)>,
}

/// Derived names, shared between the hosts that have the same.
#[derive(Debug, Default)]
pub(in crate::analysis) struct KeyPool {
    keys: Mutex<HashSet<SeriesKey>>,
}

impl KeyPool {
    fn share(&self, key: SeriesKey) -> SeriesKey {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = keys.get(&key) {
            return known.clone();
        }
        if keys.len() < POOL_MAX {
            keys.insert(key.clone());
        }
        key
    }
}

/// The summary column that a gauge is.
pub(super) fn summary_gauge(name: &str) -> Option<u32> {
    SUMMARY_GAUGES.iter().find(|known| known.0 == name).map(|(_, column)| *column)
}

/// The gauge that a summary column is.
pub(super) fn gauge_of(column: &str) -> Option<&'static str> {
    let is_it = |known: &&(&str, u32)| SUMMARY_COLUMNS[known.1 as usize] == column;
    SUMMARY_GAUGES.iter().find(is_it).map(|(name, _)| *name)
}

/// The summary column that a counter's series may add to.
pub(super) fn total_of(name: &str) -> Option<u32> {
    TOTALS.iter().find(|known| known.0 == name).map(|(_, column)| *column)
}

impl Plan {
    /// Works out what to do with each series of a layout; `slot` gives each one its place among
    /// the readings, or refuses it.
    pub(super) fn build(
        layout: &Layout,
        pool: &KeyPool,
        mut slot: impl FnMut(&SeriesKey) -> Option<u32>,
    ) -> Self {
        let mut builder = Builder::new(pool, layout);
        let mut places = Vec::with_capacity(layout.len());
        for (at, key) in layout.iter().enumerate() {
            let op = match slot(key) {
                Some(slot) => {
                    places.push(at);
                    builder.op(key, slot)
                }
                None => {
                    builder.plan.refused += 1;
                    Op::Skip
                }
            };
            builder.plan.ops.push(op);
        }
        builder.plan.groups = builder.plan.usages.len();
        if places.len() < layout.len() {
            builder.plan.kept =
                Some((places.iter().map(|at| layout[*at].clone()).collect(), places));
        }
        builder.plan
    }

    /// What would be done with each series of a layout, without following anyone.
    pub(in crate::analysis) fn of(layout: &Layout, pool: &KeyPool) -> Self {
        Self::build(layout, pool, |_| Some(0))
    }

    /// Which samples go into which outputs: pairs of a place in the layout and one in the outputs.
    /// Times of a CPU that are inside others stand with what is made of them alone.
    pub(in crate::analysis) fn sources(&self) -> Vec<(usize, u32)> {
        let mut sources = Vec::with_capacity(self.ops.len());
        for (at, op) in self.ops.iter().enumerate() {
            match *op {
                Op::Skip => {}
                Op::Gauge { output, .. } | Op::Busy { output, .. } => sources.push((at, output)),
                Op::MemoryTotal { .. } => {
                    let outputs = [MEMORY_TOTAL, MEMORY_USED, MEMORY_USED_PERCENT];
                    sources.extend(outputs.map(|output| (at, output)));
                }
                Op::MemoryAvailable { output, .. } => {
                    let outputs = [output, MEMORY_USED, MEMORY_USED_PERCENT];
                    sources.extend(outputs.map(|output| (at, output)));
                }
                Op::Rate { output, total, .. } => {
                    sources.push((at, output));
                    sources.extend(total.map(|total| (at, total)));
                }
                Op::Cpu { group, mode, output, .. } => {
                    let usage = self.usages.get(group as usize).copied().flatten();
                    let usage = usage.filter(|_| mode != Mode::Apart);
                    sources.extend([output, usage].into_iter().flatten().map(|to| (at, to)));
                }
            }
        }
        sources
    }
}

impl Plan {
    /// Leaves out the samples that were refused, and shares the layout with the frames before.
    pub(in crate::analysis) fn keep(&self, samples: &mut Samples) {
        match &self.kept {
            None => samples.layout = self.layout.clone(),
            Some((layout, places)) => {
                let values = places.iter().filter_map(|at| samples.values.get(*at)).copied();
                *samples = Samples { values: values.collect(), layout: layout.clone() };
            }
        }
    }
}

/// Which of some devices count.
type Decide = fn(&[String]) -> Vec<bool>;

struct Builder<'a> {
    pool: &'a KeyPool,
    plan: Plan,
    /// Every name that is given away already.
    taken: HashSet<SeriesKey>,
    /// Group of each CPU; the machine is the empty name.
    cpus: HashMap<String, u32>,
    /// Disks and interfaces that count towards the totals.
    counting: [HashSet<String>; 2],
}

impl<'a> Builder<'a> {
    fn new(pool: &'a KeyPool, layout: &Layout) -> Self {
        let outputs: Vec<SeriesKey> =
            SUMMARY_COLUMNS.iter().map(|name| pool.share(SeriesKey::plain(name))).collect();
        let counting = |totals: &[(&str, u32)], label: &str, decide: Decide| {
            let of_totals = |key: &&SeriesKey| totals.iter().any(|(name, _)| *name == key.name());
            let names: BTreeSet<String> =
                layout.iter().filter(of_totals).filter_map(|key| key.label(label)).collect();
            let names: Vec<String> = names.into_iter().collect();
            let counts = decide(&names);
            names.into_iter().zip(counts).filter(|(_, yes)| *yes).map(|(name, _)| name).collect()
        };
        Self {
            pool,
            taken: outputs.iter().cloned().collect(),
            plan: Plan { layout: layout.clone(), outputs, ..Plan::default() },
            cpus: HashMap::new(),
            counting: [
                counting(&TOTALS[..2], "device", filter::total_disks),
                counting(&TOTALS[2..], "interface", filter::total_interfaces),
            ],
        }
    }

    fn op(&mut self, key: &SeriesKey, slot: u32) -> Op {
        let name = key.name();
        let labelled = key.as_str().len() > name.len();
        if let Some(output) = summary_gauge(name).filter(|_| !labelled) {
            return Op::Gauge { slot, output };
        }
        match name {
            "memory_total_bytes" if !labelled => Op::MemoryTotal { slot },
            CPU_SECONDS => self.cpu(key, slot, None),
            CPU_CORE_SECONDS => self.cpu(key, slot, key.label("cpu")),
            BUSY => self.give(key, BUSY_SHARE, |output| Op::Busy { slot, output }),
            "memory_available_bytes" if !labelled => {
                self.give(key, name, |output| Op::MemoryAvailable { slot, output })
            }
            _ => match name.strip_suffix("_total") {
                Some(_) => self.rate(key, slot),
                None => self.give(key, name, |output| Op::Gauge { slot, output }),
            },
        }
    }

    fn rate(&mut self, key: &SeriesKey, slot: u32) -> Op {
        let total = self.total(key);
        self.give(key, &derived_name(key.name()), |output| Op::Rate { slot, output, total })
    }

    /// The summary column that a counter adds to.
    fn total(&self, key: &SeriesKey) -> Option<u32> {
        let column = total_of(key.name())?;
        let disk = column == DISK_READ || column == DISK_WRITE;
        let (label, counting) =
            if disk { ("device", &self.counting[0]) } else { ("interface", &self.counting[1]) };
        let counts = key.label(label).is_some_and(|name| counting.contains(&name));
        counts.then_some(column)
    }

    fn cpu(&mut self, key: &SeriesKey, slot: u32, cpu: Option<String>) -> Op {
        let Some(mode_name) = key.label("mode") else { return Op::Skip };
        let mode = Mode::named(&mode_name);
        let group = self.group(cpu.as_deref());
        let labels = [("mode", &*mode_name)];
        let output = match cpu {
            None => self.output(SeriesKey::labelled(CPU_SHARE, &labels)),
            Some(_) => None,
        };
        Op::Cpu { slot, group, mode, output }
    }

    fn group(&mut self, cpu: Option<&str>) -> u32 {
        if let Some(group) = self.cpus.get(cpu.unwrap_or_default()) {
            return *group;
        }
        let usage = match cpu {
            None => Some(CPU_USAGE),
            Some(cpu) => self.output(SeriesKey::labelled(CPU_CORE_USAGE, &[("cpu", cpu)])),
        };
        let group = self.plan.usages.len() as u32;
        self.plan.usages.push(usage);
        self.cpus.insert(cpu.unwrap_or_default().to_owned(), group);
        group
    }

    /// An output with the labels of `key` under another name; `Skip` when it is given away.
    fn give(&mut self, key: &SeriesKey, name: &str, op: impl FnOnce(u32) -> Op) -> Op {
        let text = format!("{name}{}", &key.as_str()[key.name().len()..]);
        let output = SeriesKey::parse(&text).ok().and_then(|renamed| self.output(renamed));
        output.map_or(Op::Skip, op)
    }

    fn output(&mut self, key: SeriesKey) -> Option<u32> {
        let key = self.pool.share(key);
        if !self.taken.insert(key.clone()) {
            return None;
        }
        self.plan.outputs.push(key);
        Some(self.plan.outputs.len() as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_columns_are_where_the_formulas_put_them() {
        let at = |column: u32| SUMMARY_COLUMNS[column as usize];
        assert_eq!(at(CPU_USAGE), "cpu_usage_percent");
        assert_eq!(at(MEMORY_USED_PERCENT), "memory_used_percent");
        assert_eq!(at(MEMORY_USED), "memory_used_bytes");
        assert_eq!(at(MEMORY_TOTAL), "memory_total_bytes");
        assert_eq!(at(DISK_READ), "disk_read_bytes_per_second");
        assert_eq!(at(DISK_WRITE), "disk_write_bytes_per_second");
        assert_eq!(at(NETWORK_RECEIVE), "network_receive_bytes_per_second");
        assert_eq!(at(NETWORK_TRANSMIT), "network_transmit_bytes_per_second");
        assert_eq!(
            SUMMARY_GAUGES.map(|(_, column)| at(column)),
            ["process_count", "load1", "uptime_seconds"]
        );
    }
}
