//! `cpu_core`: CPU time of each CPU, from the `cpuN` lines of `/proc/stat`. Off by default: eight
//! series for each CPU.
//!
//! The label is the kernel's number of the CPU. A CPU that is offline has no line: its series
//! pauses, and those of the others keep their names.

use crate::metric::{MetricDef, Unit};

use super::Accumulator;
use super::cpu::{Ticks, seconds, ticks};
use super::error::CollectError;
use super::registration::{Collector, Context, Registration, counter};
use super::source::Source;

const SECONDS: MetricDef = counter(
    "cpu_core_seconds_total",
    Unit::Seconds,
    "CPU time of each CPU that is online by mode.",
);

/// Each CPU.
pub static REGISTRATION: Registration = Registration {
    name: "cpu_core",
    default_enabled: false,
    help: "CPU time by mode for each CPU",
    metrics: &[SECONDS],
    build: |context| Box::new(CpuCore::new(context)),
};

struct CpuCore {
    source: Source,
    user_hz: u64,
}

impl CpuCore {
    fn new(context: &Context) -> Self {
        let source = Source::new(context.root.join("proc/stat"));
        Self { source, user_hz: context.user_hz }
    }
}

impl Collector for CpuCore {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let text = self.source.read()?;
        for line in text.lines() {
            let Some(name) = line.fields().next() else { continue };
            let Some(cpu) = number(name) else { continue };
            let ticks = out.take(ticks(line, name));
            for (mode, ticks) in ticks.iter().flat_map(Ticks::iter) {
                let labels = [("cpu", cpu), ("mode", mode)];
                out.push(&SECONDS, &labels, seconds(ticks, self.user_hz));
            }
        }
        Ok(())
    }
}

/// `12` of `cpu12`; `None` for `cpu` and every other line.
fn number(name: &str) -> Option<&str> {
    let number = name.strip_prefix("cpu")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree::{self, Tree, read};

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        tree::check(&REGISTRATION, "proc/stat", text, expected);
    }

    #[test]
    fn full_and_partial() {
        check(
            "cpu  1 1 1 1 1\ncpu0 1 2 3 4\ncpu17 5 6 7 8 9\ncpufreq 1\n",
            &[
                "cpu_core_seconds_total{cpu=\"0\",mode=\"user\"} 0.01",
                "cpu_core_seconds_total{cpu=\"0\",mode=\"nice\"} 0.02",
                "cpu_core_seconds_total{cpu=\"0\",mode=\"system\"} 0.03",
                "cpu_core_seconds_total{cpu=\"0\",mode=\"idle\"} 0.04",
                "cpu_core_seconds_total{cpu=\"17\",mode=\"user\"} 0.05",
                "cpu_core_seconds_total{cpu=\"17\",mode=\"nice\"} 0.06",
                "cpu_core_seconds_total{cpu=\"17\",mode=\"system\"} 0.07",
                "cpu_core_seconds_total{cpu=\"17\",mode=\"idle\"} 0.08",
                "cpu_core_seconds_total{cpu=\"17\",mode=\"iowait\"} 0.09",
            ],
        );
    }

    #[test]
    fn a_cpu_that_goes_and_comes_keeps_its_number() {
        let tree = Tree::new("hot-plug");
        let mut set = tree.set(&REGISTRATION);
        let three = "cpu  3 3 3 3\ncpu0 1 1 1 1\ncpu1 2 2 2 2\ncpu2 3 3 3 3\n";
        tree.write("proc/stat", three);
        let before = read(&mut set);
        tree.write("proc/stat", "cpu  3 3 3 3\ncpu0 1 1 1 1\ncpu2 3 3 3 3\n");
        let without = read(&mut set);
        let kept = |line: &&String| !line.contains("cpu=\"1\"");
        assert_eq!(without, before.iter().filter(kept).cloned().collect::<Vec<_>>());
        tree.write("proc/stat", three);
        assert_eq!(read(&mut set), before);
    }

    #[test]
    fn torn_and_absurd() {
        check(
            "cpu0 1 2\ncpu1 1 1 1 -1\ncpu2 0 0 0 0\ncpu2 0 0 0 0\ncpu3 1 1 1 1",
            &[
                "cpu_core_seconds_total{cpu=\"2\",mode=\"user\"} 0.0",
                "cpu_core_seconds_total{cpu=\"2\",mode=\"nice\"} 0.0",
                "cpu_core_seconds_total{cpu=\"2\",mode=\"system\"} 0.0",
                "cpu_core_seconds_total{cpu=\"2\",mode=\"idle\"} 0.0",
                "proc/stat:1: system of cpu0: expected a whole number of at most 64 bits, found nothing",
                "proc/stat:2: idle of cpu1: expected a whole number of at most 64 bits, found '-1'",
                "cpu_core_seconds_total{cpu=\"2\",mode=\"user\"}: expected each series once in a reading",
                "cpu_core_seconds_total{cpu=\"2\",mode=\"nice\"}: expected each series once in a reading",
                "cpu_core_seconds_total{cpu=\"2\",mode=\"system\"}: expected each series once in a reading",
                "cpu_core_seconds_total{cpu=\"2\",mode=\"idle\"}: expected each series once in a reading",
                "proc/stat:5: cpu3: expected a line that ends with a newline, found 'cpu3 1 1 1 1'",
            ],
        );
    }

    #[test]
    fn missing() {
        tree::check(
            &REGISTRATION,
            "proc/other",
            "x",
            &["proc/stat: not on this kernel or not in this container"],
        );
    }
}
