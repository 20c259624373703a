//! `load`: the load averages of `/proc/loadavg` (proc(5)).

use procfs::{FromRead, LoadAverage};

use crate::metric::{MetricDef, Unit, Value};

use super::Accumulator;
use super::error::CollectError;
use super::registration::{Collector, Context, Registration, gauge};
use super::source::Source;
use super::text::Text;

const LOAD1: MetricDef = gauge(
    "load1",
    Unit::None,
    "Threads that run, wait for a CPU or wait for I/O, averaged over one minute.",
);
const LOAD5: MetricDef = gauge("load5", Unit::None, "As load1, averaged over five minutes.");
const LOAD15: MetricDef = gauge("load15", Unit::None, "As load1, averaged over fifteen minutes.");

/// Load averages.
pub static REGISTRATION: Registration = Registration {
    name: "load",
    default_enabled: true,
    help: "load averages over one, five and fifteen minutes",
    metrics: &[LOAD1, LOAD5, LOAD15],
    build: |context| Box::new(Load::new(context)),
};

struct Load {
    source: Source,
}

impl Load {
    fn new(context: &Context) -> Self {
        Self { source: Source::new(context.root.join("proc/loadavg")) }
    }
}

impl Collector for Load {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let averages = parse(self.source.read()?)?;
        for (def, average) in [&LOAD1, &LOAD5, &LOAD15].into_iter().zip(averages) {
            out.push(def, &[], Value::Float(average));
        }
        Ok(())
    }
}

fn parse(text: Text<'_>) -> Result<[f64; 3], CollectError> {
    const ITEM: &str = "load averages";
    const EXPECTED: &str = "three averages, running/all threads and a process id";
    let line = text.whole_line(ITEM)?;
    let wrong = || line.fault(ITEM, EXPECTED, line.as_str());
    let load = LoadAverage::from_read(line.as_str().as_bytes()).map_err(|_| wrong())?;
    let averages = [load.one, load.five, load.fifteen];
    // The kernel writes two decimals; as singles they would come out as 0.20000000298.
    let averages = averages.map(|average| (f64::from(average) * 100.0).round() / 100.0);
    // Rust reads "nan", "inf" and "-1" as well.
    let is_sound = |average: &f64| average.is_finite() && *average >= 0.0;
    if averages.iter().all(is_sound) { Ok(averages) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        tree::check(&REGISTRATION, "proc/loadavg", text, expected);
    }

    #[test]
    fn full() {
        check("0.20 17.05 1024.99 3/108 18818\n", &["load1 0.2", "load5 17.05", "load15 1024.99"]);
    }

    #[test]
    fn partial_torn_and_absurd() {
        for (text, found) in [
            ("0.20 0.30\n", "0.20 0.30"),
            ("0.20 0.30 0.40 3\n", "0.20 0.30 0.40 3"),
            ("nan 0.30 0.40 3/1 5\n", "nan 0.30 0.40 3/1 5"),
            ("0.1 inf 0.40 3/1 5\n", "0.1 inf 0.40 3/1 5"),
            ("0.1 0.2 -0.40 3/1 5\n", "0.1 0.2 -0.40 3/1 5"),
            ("0.1 1e99 0.40 3/1 5\n", "0.1 1e99 0.40 3/1 5"),
        ] {
            let expected = format!(
                "proc/loadavg:1: load averages: expected three averages, running/all threads and \
                 a process id, found '{found}'"
            );
            check(text, &[&expected]);
        }
        check(
            "0.20 0.30 0.40 3/108 18",
            &["proc/loadavg:1: load averages: expected a line that ends with a newline, \
             found '0.20 0.30 0.40 3/108 18'"],
        );
    }

    #[test]
    fn missing() {
        check("", &[]);
        tree::check(
            &REGISTRATION,
            "proc/other",
            "x",
            &["proc/loadavg: not on this kernel or not in this container"],
        );
    }
}
