//! `cpu`: CPU time of the whole machine and what its scheduler counts, from `/proc/stat`
//! (`Documentation/filesystems/proc.rst`, section 1.7).

use crate::metric::{MetricDef, Unit, Value};

use super::Accumulator;
use super::error::CollectError;
use super::registration::{Collector, Context, Registration, counter, gauge};
use super::source::Source;
use super::text::{Line, Text};

/// The modes in the kernel's order. Guest time, which follows, is already inside `user` and `nice`
/// (`account_guest_time` in `kernel/sched/cputime.c`) and would count twice.
pub(super) const MODES: [&str; 8] =
    ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// Modes that every kernel has; iowait, irq and softirq came with Linux 2.6.0, steal with 2.6.11.
const MODES_MIN: usize = 4;

const SECONDS: MetricDef = counter(
    "cpu_seconds_total",
    Unit::Seconds,
    "CPU time of all CPUs by mode; a mode that this kernel does not count is absent.",
);
const RUNNING: MetricDef =
    gauge("processes_running", Unit::Count, "Processes and threads that run or wait for a CPU.");
const BLOCKED: MetricDef =
    gauge("processes_blocked", Unit::Count, "Processes and threads that wait for I/O.");
const SWITCHES: MetricDef =
    counter("context_switches_total", Unit::Count, "Context switches since the start.");
const INTERRUPTS: MetricDef =
    counter("interrupts_total", Unit::Count, "Interrupts serviced since the start.");
const FORKS: MetricDef =
    counter("forks_total", Unit::Count, "Processes and threads created since the start.");

/// Lines of one number, each with its metric; one that this kernel lacks is absent.
const NUMBERS: [(&str, &MetricDef); 5] = [
    ("intr", &INTERRUPTS),
    ("ctxt", &SWITCHES),
    ("processes", &FORKS),
    ("procs_running", &RUNNING),
    ("procs_blocked", &BLOCKED),
];

/// The whole machine.
pub static REGISTRATION: Registration = Registration {
    name: "cpu",
    default_enabled: true,
    help: "CPU time by mode, context switches, interrupts, forks, runnable and blocked processes",
    metrics: &[SECONDS, INTERRUPTS, SWITCHES, FORKS, RUNNING, BLOCKED],
    build: |context| Box::new(Cpu::new(context)),
};

struct Cpu {
    source: Source,
    user_hz: u64,
}

/// What one `cpu` line says: ticks of the modes that this kernel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    values: [u64; MODES.len()],
    count: usize,
}

impl Cpu {
    fn new(context: &Context) -> Self {
        let source = Source::new(context.root.join("proc/stat"));
        Self { source, user_hz: context.user_hz }
    }
}

impl Collector for Cpu {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let text = self.source.read()?;
        match machine_line(text) {
            None => out.fault(text.fault("cpu", "a line 'cpu  ...'")),
            Some(line) => {
                let ticks = out.take(ticks(line, "cpu"));
                for (mode, ticks) in ticks.iter().flat_map(Ticks::iter) {
                    out.push(&SECONDS, &[("mode", mode)], seconds(ticks, self.user_hz));
                }
            }
        }
        for line in text.lines() {
            let known = number_of(line);
            if let Some((def, number)) = known.and_then(|result| out.take(result)) {
                out.push(def, &[], Value::Unsigned(number));
            }
        }
        Ok(())
    }
}

/// The line of all CPUs together, which has two blanks where the others have a number.
fn machine_line(text: Text<'_>) -> Option<Line<'_>> {
    text.lines().find(|line| line.fields().next() == Some("cpu"))
}

/// The metric and number of a line that is one of [`NUMBERS`]. The line of interrupts has the sum
/// first and then thousands of columns, which are not looked at.
fn number_of(line: Line<'_>) -> Option<Result<(&'static MetricDef, u64), CollectError>> {
    let (name, rest) = line.as_str().split_once(' ')?;
    let (name, def) = NUMBERS.iter().find(|(known, _)| *known == name)?;
    let first = rest.split(' ').next();
    let number = line.require_end(name).and_then(|()| line.unsigned(first, name));
    Some(number.map(|number| (*def, number)))
}

/// Ticks of a `cpu` line; `name` is for the error.
pub(super) fn ticks(line: Line<'_>, name: &str) -> Result<Ticks, CollectError> {
    line.require_end(name)?;
    let mut fields = line.fields().skip(1);
    let mut ticks = Ticks { values: [0; MODES.len()], count: 0 };
    for (mode, value) in MODES.iter().zip(&mut ticks.values) {
        let field = fields.next();
        if field.is_none() && ticks.count >= MODES_MIN {
            break;
        }
        *value = line.unsigned(field, format_args!("{mode} of {name}"))?;
        ticks.count += 1;
    }
    Ok(ticks)
}

/// Ticks as seconds: two decimals where a second has 100 ticks.
pub(super) fn seconds(ticks: u64, user_hz: u64) -> Value {
    Value::Float(ticks as f64 / user_hz as f64)
}

impl Ticks {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        MODES.into_iter().zip(self.values).take(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        tree::check(&REGISTRATION, "proc/stat", text, expected);
    }

    #[test]
    fn full() {
        check(
            "cpu  250 0 100 5000 7 1 2 3 90 9\ncpu0 125 0 50 2500 3 1 2 3 0 0\n\
             intr 1234 5 6 7\nctxt 99\nbtime 1700000000\nprocesses 42\nprocs_running 2\n\
             procs_blocked 1\nsoftirq 1 2 3\nfuture 1 x\n",
            &[
                "cpu_seconds_total{mode=\"user\"} 2.5",
                "cpu_seconds_total{mode=\"nice\"} 0.0",
                "cpu_seconds_total{mode=\"system\"} 1.0",
                "cpu_seconds_total{mode=\"idle\"} 50.0",
                "cpu_seconds_total{mode=\"iowait\"} 0.07",
                "cpu_seconds_total{mode=\"irq\"} 0.01",
                "cpu_seconds_total{mode=\"softirq\"} 0.02",
                "cpu_seconds_total{mode=\"steal\"} 0.03",
                "interrupts_total 1234",
                "context_switches_total 99",
                "forks_total 42",
                "processes_running 2",
                "processes_blocked 1",
            ],
        );
    }

    #[test]
    fn partial() {
        // Linux 2.4 counts four modes; gVisor has no line of interrupts.
        check(
            "cpu  1 2 3 4\nctxt 5\n",
            &[
                "cpu_seconds_total{mode=\"user\"} 0.01",
                "cpu_seconds_total{mode=\"nice\"} 0.02",
                "cpu_seconds_total{mode=\"system\"} 0.03",
                "cpu_seconds_total{mode=\"idle\"} 0.04",
                "context_switches_total 5",
            ],
        );
    }

    #[test]
    fn torn() {
        check(
            "cpu  1 2 3\nctxt 5\nprocesses 12",
            &[
                "context_switches_total 5",
                "proc/stat:1: idle of cpu: expected a whole number of at most 64 bits, found nothing",
                "proc/stat:3: processes: expected a line that ends with a newline, found 'processes 12'",
            ],
        );
    }

    #[test]
    fn absurd() {
        check(
            "cpu0 1 2 3 4\nctxt 99999999999999999999\nprocs_running -1\nprocs_blocked 0\n",
            &[
                "processes_blocked 0",
                "proc/stat: cpu: expected a line 'cpu  ...', found nothing",
                "proc/stat:2: ctxt: expected a whole number of at most 64 bits, \
                 found '99999999999999999999'",
                "proc/stat:3: procs_running: expected a whole number of at most 64 bits, found '-1'",
            ],
        );
        check(
            "cpu  1 two 3 4 5\n",
            &["proc/stat:1: nice of cpu: expected a whole number of at most 64 bits, found 'two'"],
        );
    }

    #[test]
    fn missing() {
        check("\n", &[]);
        tree::check(
            &REGISTRATION,
            "proc/other",
            "x",
            &["proc/stat: not on this kernel or not in this container"],
        );
    }
}
