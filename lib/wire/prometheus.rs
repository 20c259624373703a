//! One reading as Prometheus text, format 0.0.4: what `promtool check metrics` accepts.

use std::fmt::Write;

use crate::metric::{MetricDef, Samples, Value};

/// Appends the samples of each definition, in the order of the definitions; a definition without
/// samples is left out. The labels of a [`SeriesKey`](crate::metric::SeriesKey) are written as
/// they are: its canonical text is what the format asks for.
pub fn write(definitions: &[&MetricDef], samples: &Samples, out: &mut String) {
    for definition in definitions {
        let mut lines = samples.iter().filter(|(key, _)| key.name() == definition.name).peekable();
        if lines.peek().is_none() {
            continue;
        }
        let MetricDef { name, kind, help, .. } = definition;
        // Writing into a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(out, "# TYPE {name} {}", kind.word());
        for (key, value) in lines {
            let _ = match value {
                Value::Unsigned(value) => writeln!(out, "{key} {value}"),
                Value::Float(value) => writeln!(out, "{key} {value}"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Kind, SeriesKey, Unit};

    #[test]
    fn groups_series_under_their_metric() {
        let def = |name, help| MetricDef { name, kind: Kind::Counter, unit: Unit::Bytes, help };
        let (read, absent) = (def("disk_read_bytes_total", "Read.\n"), def("x_total", "X."));
        let device = |name| SeriesKey::labelled("disk_read_bytes_total", &[("device", name)]);
        let samples: Samples =
            [(device("sda"), Value::Unsigned(5)), (device("sdb"), Value::Float(0.5))]
                .into_iter()
                .collect();
        let mut out = String::new();
        write(&[&absent, &read], &samples, &mut out);
        assert_eq!(
            out,
            "# HELP disk_read_bytes_total Read.\\n\n# TYPE disk_read_bytes_total counter\n\
             disk_read_bytes_total{device=\"sda\"} 5\ndisk_read_bytes_total{device=\"sdb\"} 0.5\n"
        );
    }
}
