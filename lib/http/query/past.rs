//! The parameters of `/api/query`: a question to the past, checked as far as it can be without
//! asking it.

use super::{Query, host, time};
use crate::analysis::view::{Aggregate, QueryForm, QuerySpec};
use crate::http::gate::Refusal;
use crate::metric::SeriesKey;

const NAMES: &[&str] =
    &["host", "metric", "labels", "from", "to", "points", "as", "aggregate", "format"];

/// Points of a series: as many as a large screen has columns when none are asked for, and never
/// more than it could make use of.
const POINTS_DEFAULT: usize = 1_000;
const POINTS_MAX: usize = 10_000;

/// Series that `aggregate=top:N` may keep.
const TOP_MAX: usize = 1_000;

/// Longest name of a metric; ours have up to 45 characters.
const METRIC_LEN_MAX: usize = 200;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One document.
    Json,
    /// A table with a row for each point.
    Csv,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) spec: QuerySpec,
    pub(crate) format: Format,
}

impl Asked {
    /// Reads the query of a request that came at `now_ms`.
    ///
    /// # Errors
    /// 400 with the parameter that is wrong, and what would be right.
    pub(crate) fn parse(query: &str, now_ms: u64) -> Result<Self, Refusal> {
        let query = Query::parse(query, NAMES)?;
        let mut hosts = query.all("host").map(host).collect::<Result<Vec<_>, _>>()?;
        hosts.sort();
        hosts.dedup();
        let (from_ms, to_ms) = range(&query, now_ms)?;
        let spec = QuerySpec {
            hosts,
            metrics: metrics(&query)?,
            labels: labels(&query)?,
            from_ms,
            to_ms,
            points: points(&query)?,
            form: form(&query)?,
            aggregate: query.last("aggregate").map(aggregate).transpose()?,
        };
        let format = match query.last("format") {
            None | Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some(other) => return Err(wrong("format", other, "json or csv")),
        };
        Ok(Self { spec, format })
    }
}

fn wrong(name: &str, value: &str, expected: &str) -> Refusal {
    let error = format!("'{value:.64}' is not a value of {name}");
    Refusal::new(400, error, format!("{name}= with {expected}"))
}

fn range(query: &Query, now_ms: u64) -> Result<(u64, u64), Refusal> {
    let read = |name: &str, default: &str| {
        let text = query.last(name).unwrap_or(default);
        time::instant(text, now_ms).ok_or_else(|| wrong(name, text, time::EXPECTED))
    };
    let (from_ms, to_ms) = (read("from", "-1h")?, read("to", "now")?);
    if from_ms >= to_ms {
        let (from, to) = (time::to_rfc3339(from_ms), time::to_rfc3339(to_ms));
        let error = format!("the range ends at {to}, and does not begin before that: {from}");
        return Err(Refusal::new(400, error, "from= before to= (without them: -1h and now)"));
    }
    Ok((from_ms, to_ms))
}

fn metrics(query: &Query) -> Result<Vec<String>, Refusal> {
    let is_name = |text: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':';
        text.len() <= METRIC_LEN_MAX
            && text.bytes().all(fine)
            && !text.starts_with(|first: char| first.is_ascii_digit())
    };
    let mut metrics = Vec::new();
    for text in query.all("metric") {
        let prefix = text.strip_suffix('*');
        if !is_name(prefix.unwrap_or(text)) || text.is_empty() {
            let expected = "a name (cpu_usage_percent), or the beginning of names (disk_*)";
            return Err(wrong("metric", text, expected));
        }
        metrics.push(text.to_owned());
    }
    metrics.sort();
    metrics.dedup();
    if metrics.is_empty() {
        let expected = "metric=cpu_usage_percent, several of them, or metric=* for all";
        return Err(Refusal::new(400, "no metric is asked for", expected));
    }
    Ok(metrics)
}

fn labels(query: &Query) -> Result<Vec<(String, String)>, Refusal> {
    let mut labels = Vec::new();
    for text in query.all("labels").filter(|text| !text.is_empty()) {
        let expected = "device=\"sda\", or several: a=\"x\",b=\"y\" (\\, \" and line ends escaped)";
        labels
            .extend(SeriesKey::parse_labels(text).ok_or_else(|| wrong("labels", text, expected))?);
    }
    Ok(labels)
}

fn points(query: &Query) -> Result<usize, Refusal> {
    let Some(text) = query.last("points") else { return Ok(POINTS_DEFAULT) };
    count(text, POINTS_MAX)
        .ok_or_else(|| wrong("points", text, &format!("a number from 1 to {POINTS_MAX}")))
}

fn form(query: &Query) -> Result<QueryForm, Refusal> {
    match query.last("as") {
        None | Some("rate") => Ok(QueryForm::Rate),
        Some("raw") => Ok(QueryForm::Raw),
        Some(other) => Err(wrong("as", other, "rate or raw")),
    }
}

fn aggregate(text: &str) -> Result<Aggregate, Refusal> {
    Ok(match text {
        "sum" => Aggregate::Sum,
        "mean" => Aggregate::Mean,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "p50" => Aggregate::Quantile(0.5),
        "p90" => Aggregate::Quantile(0.9),
        "p95" => Aggregate::Quantile(0.95),
        "p99" => Aggregate::Quantile(0.99),
        _ => match text.strip_prefix("top:").and_then(|number| count(number, TOP_MAX)) {
            Some(number) => Aggregate::Top(number),
            None => {
                let expected = format!(
                    "sum, mean, min, max, p50, p90, p95, p99, or top:N with N from 1 to {TOP_MAX}"
                );
                return Err(wrong("aggregate", text, &expected));
            }
        },
    })
}

/// A plain number from 1 to `limit`.
fn count(text: &str, limit: usize) -> Option<usize> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && (1..=limit).contains(number))
}

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
