//! How long it takes to be told of the past: over HTTP from the real program, warm and cold, beside
//! a Prometheus that holds the same host's samples.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use realtime_monitor::analysis::view::{QueryForm, QuerySpec};

use super::child::open_history;
use super::figures::digits;
use super::past::{Past, forget_cached};
use super::peers::{self, Peer};
use super::settings::Settings;
use super::support::{Scratch, http};
use super::table::Table;
use super::usage;

const HOSTS: u64 = 4;
const HOUR_MS: u64 = 3_600_000;

/// A day, an hour in which ranges may end, and one that is not merged yet.
const SECONDS: u64 = 26 * 3_600;

/// Questions of one kind; the first tenth is not counted.
const WARM: usize = 330;
const COLD: usize = 25;

/// What is asked.
struct Question {
    what: &'static str,
    goals: [&'static str; 2],
    span_ms: u64,
    points: usize,
    /// The same for us, but host and range, and the expression for Prometheus.
    metric: &'static str,
    label: Option<(&'static str, &'static str)>,
    form: QueryForm,
    theirs: &'static str,
}

const QUESTIONS: &[Question] = &[
    Question {
        what: "1 h of a disk counter, every sample",
        goals: ["<= 1 ms", "<= 5 ms"],
        span_ms: HOUR_MS,
        points: 3_600,
        metric: "disk_written_bytes_total",
        label: Some(("device", "vda")),
        form: QueryForm::Raw,
        theirs: "disk_written_bytes_total{host=\"HOST\",device=\"vda\"}[1h]",
    },
    Question {
        what: "1 h of CPU usage, every second",
        goals: ["<= 1 ms", "<= 5 ms"],
        span_ms: HOUR_MS,
        points: 3_600,
        metric: "cpu_usage_percent",
        label: None,
        form: QueryForm::Rate,
        theirs: "100*(1-sum(rate(cpu_seconds_total{host=\"HOST\",mode=~\"idle|iowait\"}[3s]))\
                 /sum(rate(cpu_seconds_total{host=\"HOST\"}[3s])))",
    },
    Question {
        what: "24 h of bytes written to a disk, 1,000 points",
        goals: ["<= 3 ms", "<= 20 ms"],
        span_ms: 24 * HOUR_MS,
        points: 1_000,
        metric: "disk_write_bytes_per_second",
        label: None,
        form: QueryForm::Rate,
        theirs: "rate(disk_written_bytes_total{host=\"HOST\",device=\"vda\"}[87s])",
    },
    Question {
        what: "24 h of CPU usage, 1,000 points",
        goals: ["<= 3 ms", "<= 20 ms"],
        span_ms: 24 * HOUR_MS,
        points: 1_000,
        metric: "cpu_usage_percent",
        label: None,
        form: QueryForm::Rate,
        theirs: "100*(1-sum(rate(cpu_seconds_total{host=\"HOST\",mode=~\"idle|iowait\"}[87s]))\
                 /sum(rate(cpu_seconds_total{host=\"HOST\"}[87s])))",
    },
];

/// Times of answers, ms, and what each took of the program's processor time, where it was looked at.
#[derive(Default)]
struct Times(Vec<f64>, Option<f64>);

/// `history-query`
pub fn run(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    let scratch = Scratch::new("bench-query");
    let past = Past::make(&scratch, HOSTS, SECONDS)?;
    let prometheus = match peers::prometheus_blocks(&scratch.join("prometheus"), &past) {
        Ok(folder) => Some(folder),
        Err(words) => {
            table.note(format!("no Prometheus beside it: {words}"));
            None
        }
    };
    for question in QUESTIONS {
        let warm = ours_warm(&scratch, &past, question)?;
        let cold = ours_cold(&scratch, &past, question)?;
        let inside = format!("; without HTTP {}", inside(&past, question)?.words());
        let theirs = prometheus.as_deref().map(|folder| theirs(folder, &past, question));
        let theirs = theirs.transpose()?;
        let rows = [(warm, "warm", inside.as_str()), (cold, "cold", "")];
        for (at, (ours, name, inside)) in rows.iter().enumerate() {
            let theirs = theirs.as_ref().map(|theirs| theirs[at].words());
            let theirs = theirs.map_or(String::new(), |words| format!("; Prometheus {words}"));
            let words = ours.words() + inside + &theirs;
            table.row(&format!("{}, {name}", question.what), words, question.goals[at]);
        }
    }
    let (monitor, page) = past.monitor(&scratch);
    let mut nothing = Times::default();
    for _ in 0..WARM {
        let start = Instant::now();
        http::get(page, "/healthz")?;
        nothing.0.push(start.elapsed().as_secs_f64() * 1e3);
    }
    monitor.stop();
    table.note(format!("an answer of a line (/healthz) takes {}", nothing.words()));
    table.note(format!(
        "over HTTP, a connection for each, the whole answer read; ranges by lot in a day and a \
         bit; {HOSTS} hosts of 60 series in the history, one of them in Debian's Prometheus (blocks of two hours made by promtool); warm: {} \
         answers, cold: the first answer of a program just started whose files are out of the \
         kernel's cache, {COLD} of them (Prometheus {}). Ours answers minimum, mean and maximum \
         of each point, Prometheus one value.",
        WARM - WARM / 10,
        COLD / 2,
    ));
    Ok(())
}

fn ours_warm(scratch: &Scratch, past: &Past, question: &Question) -> Result<Times, String> {
    let (monitor, page) = past.monitor(scratch);
    let mut times = Times::default();
    let before = usage::cpu_time(monitor.pid());
    for number in 0..WARM as u64 {
        let host = Past::host(number % past.hosts);
        times.0.push(ask(page, &question.of_ours(past, &host, number), question)?);
    }
    let used = usage::cpu_time(monitor.pid()) - before;
    times.1 = Some(used.as_secs_f64() * 1e3 / WARM as f64);
    times.0.drain(..WARM / 10);
    monitor.stop();
    Ok(times)
}

fn ours_cold(scratch: &Scratch, past: &Past, question: &Question) -> Result<Times, String> {
    let mut times = Times::default();
    for number in 0..COLD as u64 {
        forget_cached(&past.history())?;
        let (monitor, page) = past.monitor(scratch);
        let host = Past::host(number % past.hosts);
        times.0.push(ask(page, &question.of_ours(past, &host, number), question)?);
        monitor.stop();
    }
    Ok(times)
}

/// What the engine alone takes: analysis in this process, every point of the answer made.
fn inside(past: &Past, question: &Question) -> Result<Times, String> {
    let analysis = open_history::begin(past.history())?.analysis;
    let view = analysis.view();
    let mut times = Times::default();
    for number in 0..WARM as u64 {
        let spec = question.spec(past, &Past::host(number % past.hosts), number);
        let start = Instant::now();
        let answer = view.query(&spec).map_err(|error| format!("{error:?}"))?;
        let points: usize = answer
            .map(|host| host.map(|host| host.series.iter().map(|s| s.points.len()).sum::<usize>()))
            .sum::<Result<usize, _>>()
            .map_err(|error| format!("{error:?}"))?;
        times.0.push(start.elapsed().as_secs_f64() * 1e3);
        if points < question.points * 9 / 10 {
            return Err(format!("{points} points of {}", question.what));
        }
    }
    times.0.drain(..WARM / 10);
    Ok(times)
}

/// Warm and cold.
fn theirs(folder: &Path, past: &Past, question: &Question) -> Result<[Times; 2], String> {
    let (mut warm, mut cold) = (Times::default(), Times::default());
    let (peer, address): (Peer, SocketAddr) = peers::prometheus(folder)?;
    let before = usage::cpu_time(peer.pid());
    for number in 0..WARM as u64 {
        warm.0.push(ask(address, &question.of_theirs(past, number), question)?);
    }
    let used = usage::cpu_time(peer.pid()) - before;
    warm.1 = Some(used.as_secs_f64() * 1e3 / WARM as f64);
    warm.0.drain(..WARM / 10);
    drop(peer);
    for number in 0..COLD as u64 / 2 {
        forget_cached(folder)?;
        let (_peer, address) = peers::prometheus(folder)?;
        cold.0.push(ask(address, &question.of_theirs(past, number), question)?);
    }
    Ok([warm, cold])
}

/// Asks once; how long it took, ms.
fn ask(address: SocketAddr, path: &str, question: &Question) -> Result<f64, String> {
    let start = Instant::now();
    let answer = http::get(address, path)?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let text = String::from_utf8_lossy(&answer.body);
    // Each point is an array of its own.
    let points = text.matches("],[").count() + 1;
    if answer.status != 200 || points < question.points * 9 / 10 {
        let begin: String = text.chars().take(300).collect();
        return Err(format!("{path}: {} with {points} points: {begin}", answer.status));
    }
    Ok(took)
}

impl Question {
    /// A range by lot: whole seconds; of an hour one in the last day, as seconds are kept that
    /// long; it ends half an hour ago at the latest.
    fn range_ms(&self, past: &Past, number: u64) -> (u64, u64) {
        let lot = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let earliest_ms = match self.span_ms {
            HOUR_MS => past.to_ms - 23 * HOUR_MS,
            _ => past.from_ms,
        };
        let latest_ms = past.to_ms - HOUR_MS / 2 - self.span_ms;
        let from_ms = earliest_ms + lot % (latest_ms - earliest_ms) / 1_000 * 1_000;
        (from_ms, from_ms + self.span_ms)
    }

    fn spec(&self, past: &Past, host: &str, number: u64) -> QuerySpec {
        let (from_ms, to_ms) = self.range_ms(past, number);
        let label = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        QuerySpec {
            hosts: vec![host.into()],
            metrics: vec![self.metric.to_owned()],
            labels: self.label.into_iter().map(label).collect(),
            from_ms,
            to_ms,
            points: self.points,
            form: self.form,
            aggregate: None,
        }
    }

    fn of_ours(&self, past: &Past, host: &str, number: u64) -> String {
        let spec = self.spec(past, host, number);
        let mut path = format!("/api/query?host={host}&metric={}", self.metric);
        for (name, value) in &spec.labels {
            path += &format!("&labels={name}=%22{value}%22");
        }
        if self.form == QueryForm::Raw {
            path += "&as=raw";
        }
        path + &format!("&from={}&to={}&points={}", spec.from_ms, spec.to_ms, spec.points)
    }

    fn of_theirs(&self, past: &Past, number: u64) -> String {
        let (from_ms, to_ms) = self.range_ms(past, number);
        let expression = escape(&self.theirs.replace("HOST", &Past::host(0)));
        let (from, to) = (from_ms as f64 / 1e3, to_ms as f64 / 1e3);
        if self.form == QueryForm::Raw {
            return format!("/api/v1/query?query={expression}&time={to}");
        }
        let step = (to - from) / self.points as f64;
        format!("/api/v1/query_range?query={expression}&start={from}&end={to}&step={step}")
    }
}

/// As a value in a query string.
fn escape(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

impl Times {
    /// `p50 0.8, p99 1.9 ms (at most 2.4)`.
    fn words(&self) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let at = (sorted.len() as f64 * q).ceil() as usize;
            digits(sorted.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN))
        };
        let cpu = self.1.map_or(String::new(), |ms| format!(", {} of CPU", digits(ms)));
        format!("p50 {}, p99 {} ms{cpu} (at most {})", quantile(0.5), quantile(0.99), quantile(1.0))
    }
}
