//! A table of the past (RFC 4180), one row for each point.

use std::io::{self, Write};

use crate::analysis::view::{QueryPoint, QuerySeries};
use crate::http::gate::Refusal;
use crate::http::query::time;
use crate::http::view;

/// The first row.
const HEADER: &[u8] = b"time,host,metric,labels,min,mean,max\r\n";

/// Columns of a row.
const COLUMNS: usize = 7;

/// Writes the first row.
pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    out.write_all(HEADER)
}

/// Writes the rows of one series.
pub(super) fn series(out: &mut impl Write, series: &QuerySeries) -> io::Result<()> {
    let key = series.key.as_str();
    let labels = key.split_once('{').map_or("", |(_, rest)| rest.strip_suffix('}').unwrap_or(rest));
    let mut middle = Vec::new();
    for text in [series.host.as_deref().unwrap_or_default(), series.key.name(), labels] {
        middle.push(b',');
        append_text(&mut middle, text);
    }
    middle.push(b',');
    let mut row = Vec::new();
    for point in &series.points {
        row.clear();
        if append_row(&mut row, &middle, point)? {
            out.write_all(&row)?;
        }
    }
    Ok(())
}

fn append_row(row: &mut Vec<u8>, middle: &[u8], point: &QueryPoint) -> io::Result<bool> {
    row.extend_from_slice(time::to_rfc3339(point.time_ms).as_bytes());
    row.extend_from_slice(middle);
    let is_row = view::write_values(row, point)?;
    row.extend_from_slice(b"\r\n");
    Ok(is_row)
}

/// Writes why there is no more: whoever reads the first column as a time stumbles over it, and who
/// opens the table sees it.
pub(super) fn failure(out: &mut impl Write, refusal: &Refusal) -> io::Result<()> {
    let mut row = Vec::new();
    for (at, text) in ["error", &refusal.error, &refusal.expected].into_iter().enumerate() {
        if at > 0 {
            row.push(b',');
        }
        append_text(&mut row, text);
    }
    row.resize(row.len() + COLUMNS - 3, b',');
    row.extend_from_slice(b"\r\n");
    out.write_all(&row)
}

/// A cell with a text. A table calculator takes one that begins like a formula for a formula, and
/// a label is what somebody on a host chose: an apostrophe in front says that it is text (OWASP,
/// "CSV injection").
fn append_text(row: &mut Vec<u8>, text: &str) {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let is_quoted = text.contains([',', '"', '\r', '\n']);
    if is_quoted {
        row.push(b'"');
    }
    if is_formula {
        row.push(b'\'');
    }
    for byte in text.bytes() {
        if byte == b'"' {
            row.push(b'"');
        }
        row.push(byte);
    }
    if is_quoted {
        row.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::SeriesKey;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut cell = Vec::new();
        append_text(&mut cell, text);
        assert_eq!(String::from_utf8(cell).unwrap(), expected);
    }

    #[test]
    fn no_text_becomes_a_formula_or_another_cell() {
        check("", "");
        check("web-1", "web-1");
        check("=1+1", "'=1+1");
        check("+1", "'+1");
        check("-web", "'-web");
        check("@sum(a)", "'@sum(a)");
        check("\t=1", "'\t=1");
        check("\r\n=1", "\"'\r\n=1\"");
        check("a,b", "\"a,b\"");
        check("=cmd|\"/c\",1", "\"'=cmd|\"\"/c\"\",1\"");
        check("a=\"x\",b=\"=1\"", "\"a=\"\"x\"\",b=\"\"=1\"\"\"");
    }

    #[test]
    fn a_row_for_each_point() {
        let point = |time_ms, mean| QueryPoint { time_ms, min: -1.5, mean, max: 2e10 };
        let disk = QuerySeries {
            host: Some("-web".into()),
            key: SeriesKey::labelled("disk_busy_percent", &[("device", "sda"), ("a", "=1")]),
            interval_ms: 1_000,
            hosts: 1,
            points: vec![point(1_700_000_000_000, 0.1), point(1, f64::NAN)],
        };
        let sum = QuerySeries {
            host: None,
            key: SeriesKey::plain("load1"),
            points: vec![point(1_700_000_000_001, 3.0)],
            ..disk.clone()
        };
        let mut out = Vec::new();
        begin(&mut out).unwrap();
        series(&mut out, &disk).unwrap();
        series(&mut out, &sum).unwrap();
        failure(&mut out, &Refusal::new(503, "gone, \"all\"", "later")).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "time,host,metric,labels,min,mean,max\r\n\
             2023-11-14T22:13:20.000Z,'-web,disk_busy_percent,\
             \"a=\"\"=1\"\",device=\"\"sda\"\"\",-1.5,0.1,20000000000\r\n\
             2023-11-14T22:13:20.001Z,,load1,,-1.5,3,20000000000\r\n\
             error,\"gone, \"\"all\"\"\",later,,,,\r\n"
        );
    }
}
