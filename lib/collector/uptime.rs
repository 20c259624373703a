//! `uptime`: how long the machine has been up, from `/proc/uptime` (proc(5)).

use procfs::{FromRead, Uptime as UptimeFile};

use crate::metric::{MetricDef, Unit, Value};

use super::Accumulator;
use super::error::CollectError;
use super::registration::{Collector, Context, Registration, gauge};
use super::source::Source;
use super::text::Text;

const UPTIME: MetricDef =
    gauge("uptime_seconds", Unit::Seconds, "Time since the start, time in suspend included.");

/// Uptime.
pub static REGISTRATION: Registration = Registration {
    name: "uptime",
    default_enabled: true,
    help: "time since the machine started",
    metrics: &[UPTIME],
    build: |context| Box::new(Uptime::new(context)),
};

struct Uptime {
    source: Source,
}

impl Uptime {
    fn new(context: &Context) -> Self {
        Self { source: Source::new(context.root.join("proc/uptime")) }
    }
}

impl Collector for Uptime {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let seconds = parse(self.source.read()?)?;
        out.push(&UPTIME, &[], Value::Float(seconds));
        Ok(())
    }
}

fn parse(text: Text<'_>) -> Result<f64, CollectError> {
    const ITEM: &str = "uptime";
    let line = text.whole_line(ITEM)?;
    let wrong = || line.fault(ITEM, "seconds up and seconds idle", line.as_str());
    let read = UptimeFile::from_read(line.as_str().as_bytes()).map_err(|_| wrong())?;
    // Rust reads "nan", "inf" and "-1" as well.
    let is_sound = read.uptime.is_finite() && read.uptime >= 0.0;
    if is_sound { Ok(read.uptime) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        tree::check(&REGISTRATION, "proc/uptime", text, expected);
    }

    #[test]
    fn full() {
        check("1512.74 939.09\n", &["uptime_seconds 1512.74"]);
        check("0.00 0.00\n", &["uptime_seconds 0.0"]);
    }

    #[test]
    fn partial_torn_and_absurd() {
        for text in ["1512.74", "nan 1.0", "inf 1.0", "-1 1.0", "1e999 1.0", "x 1.0"] {
            let expected = format!(
                "proc/uptime:1: uptime: expected seconds up and seconds idle, found '{text}'"
            );
            check(&format!("{text}\n"), &[&expected]);
        }
        check(
            "1512.74 939.0",
            &[
                "proc/uptime:1: uptime: expected a line that ends with a newline, found '1512.74 939.0'",
            ],
        );
    }

    #[test]
    fn missing() {
        check("", &[]);
        tree::check(
            &REGISTRATION,
            "proc/other",
            "x",
            &["proc/uptime: not on this kernel or not in this container"],
        );
    }
}
