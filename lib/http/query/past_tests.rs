//! Questions that are understood, and what is said to the others.

use super::*;
use crate::base::dice::Dice;

const NOW_MS: u64 = 1_700_000_000_000;

fn asked(query: &str) -> Asked {
    Asked::parse(query, NOW_MS).unwrap()
}

#[track_caller]
fn check_refused(query: &str, words: &[&str]) {
    let refusal = Asked::parse(query, NOW_MS).unwrap_err();
    assert_eq!(refusal.status, 400, "{query}");
    let text = format!("{} / {}", refusal.error, refusal.expected);
    for word in words {
        assert!(text.contains(word), "{query}: {text}");
    }
}

#[test]
fn a_short_question_has_defaults() {
    let Asked { spec, format } = asked("metric=load1");
    assert_eq!((spec.from_ms, spec.to_ms), (NOW_MS - 3_600_000, NOW_MS));
    assert_eq!((spec.points, spec.form, spec.aggregate), (1_000, QueryForm::Rate, None));
    assert!(spec.hosts.is_empty() && spec.labels.is_empty());
    assert_eq!((spec.metrics, format), (vec!["load1".to_owned()], Format::Json));
}

#[test]
fn a_long_question_is_understood() {
    let Asked { spec, format } = asked(
        "host=web-2&host=WEB-1&host=web-2&metric=disk_*&metric=a:b&metric=*&from=0&to=-1d\
         &labels=device%3D%22sda%22,b%3D%22%2C%5C%22%5C%5C%5Cn%26%22&labels=&labels=c=%22%22\
         &points=10000&as=raw&aggregate=top:5&format=csv",
    );
    let hosts: Vec<_> = spec.hosts.iter().map(|host| &**host).collect();
    assert_eq!(hosts, ["web-1", "web-2"], "sorted, each once");
    assert_eq!(spec.metrics, ["*", "a:b", "disk_*"]);
    let labels: Vec<_> = spec.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("device", "sda"), ("b", ",\"\\\n&"), ("c", "")]);
    assert_eq!((spec.from_ms, spec.to_ms), (0, NOW_MS - 86_400_000));
    assert_eq!((spec.points, spec.form), (10_000, QueryForm::Raw));
    assert_eq!((spec.aggregate, format), (Some(Aggregate::Top(5)), Format::Csv));
    for (text, quantile) in [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)] {
        let spec = asked(&format!("metric=a&aggregate={text}")).spec;
        assert_eq!(spec.aggregate, Some(Aggregate::Quantile(quantile)));
    }
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    check_refused("", &["no metric", "metric=*"]);
    check_refused("metric=", &["metric", "disk_*"]);
    for bad in ["1a", "a b", "a*b", "**", "a{}", "%C3%A4", "=x"] {
        check_refused(&format!("metric={bad}"), &["metric", "disk_*"]);
    }
    check_refused(&format!("metric={}", "a".repeat(201)), &["metric"]);
    check_refused("metric=a&host=", &["cannot name a host"]);
    check_refused("metric=a&host=a/b", &["cannot name a host"]);
    check_refused("metric=a&from=yesterday", &["'yesterday'", "from", "RFC 3339", "-1h"]);
    check_refused("metric=a&to=", &["to=", "RFC 3339"]);
    check_refused("metric=a&from=5&to=5", &["1970-01-01T00:00:00.005Z", "from= before to="]);
    check_refused("metric=a&to=-2h", &["from= before to="]);
    for bad in ["0", "10001", "-1", "+5", "5.0", "many", "", "99999999999999999999"] {
        check_refused(&format!("metric=a&points={bad}"), &["points", "1 to 10000"]);
    }
    check_refused("metric=a&as=delta", &["'delta'", "rate or raw"]);
    for bad in ["avg", "p98", "top", "top:", "top:0", "top:1001", "top:+1", "SUM", ""] {
        check_refused(&format!("metric=a&aggregate={bad}"), &["aggregate", "top:N"]);
    }
    check_refused("metric=a&format=xml", &["'xml'", "json or csv"]);
    for bad in
        ["device", "device=sda", "=%22x%22", "a=%22x%22,", "a=%22x", "a=%22\\t%22", "1=%22%22"]
    {
        check_refused(&format!("metric=a&labels={bad}"), &["labels", "device=\"sda\""]);
    }
    check_refused("metric=a&metrics=b", &["'metrics'", "aggregate, format"]);
    check_refused("metric=%", &["percent-encoded"]);
}

/// Parts of questions, thrown together: whatever comes is understood or refused in words.
#[test]
fn no_question_does_harm() {
    const PARTS: &[&str] = &[
        "host",
        "metric",
        "labels",
        "from",
        "to",
        "points",
        "as",
        "aggregate",
        "format",
        "=",
        "=",
        "=",
        "&",
        "&",
        "-",
        "1h",
        "now",
        "%",
        "%22",
        "%00",
        "%ff",
        "*",
        "disk_",
        "a",
        ",",
        "{",
        "}",
        "\"",
        "\\",
        "top:",
        "p99",
        "9999999999999999999999",
        "2026-11-22T23:00:00Z",
        "+",
        ":",
        "rate",
    ];
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        for _ in 0..2_000 {
            let length = dice.below(14);
            let part = |_| PARTS[dice.below(PARTS.len() as u64) as usize];
            let mut query: String = (0..length).map(part).collect();
            if length.is_multiple_of(2) {
                query.insert_str(0, "metric=a&");
            }
            match Asked::parse(&query, NOW_MS) {
                Ok(asked) => {
                    let spec = &asked.spec;
                    assert!(spec.from_ms < spec.to_ms, "{query}, seed {seed}");
                    assert!((1..=10_000).contains(&spec.points), "{query}, seed {seed}");
                    assert!(!spec.metrics.is_empty(), "{query}, seed {seed}");
                }
                Err(refusal) => {
                    assert_eq!(refusal.status, 400, "{query}, seed {seed}");
                    assert!(!refusal.error.is_empty() && !refusal.expected.is_empty());
                }
            }
        }
    }
}
