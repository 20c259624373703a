//! Answers as the gate gets them, piece by piece, without a socket.

use super::*;
use crate::analysis::view::{HostAnswer, QueryAnswer, QueryError, QuerySpec, View};
use crate::base::clock::Scripted;
use crate::http::counts::HttpCounts;
use crate::http::scripted_view::{ScriptedView, made_up};
use crate::metric::HostName;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

struct Running {
    view: Arc<ScriptedView>,
    counts: Arc<HttpCounts>,
    door: Arc<Door>,
    _past: Past,
}

/// An answer that was read to its end.
#[derive(Debug)]
struct Whole {
    status: u16,
    headers: String,
    length: Option<usize>,
    body: Vec<u8>,
    has_ended: bool,
}

fn start() -> Running {
    let view = ScriptedView::new(3, 1);
    let counts = Arc::new(HttpCounts::new());
    let context = Arc::new(Context {
        view: Arc::clone(&view) as Arc<dyn View>,
        clock: Scripted::new(1_700_000_000_000_000),
        run: "run".to_owned(),
        version: String::new(),
        insecure: false,
        counts: Arc::clone(&counts),
        deleting: Default::default(),
    });
    let (past, door) = super::start(&context, &Budget::new(1 << 30)).unwrap();
    Running { view, counts, door, _past: past }
}

impl Running {
    fn begin(&self, query: &str, accept_encoding: Option<&str>) -> Pieces {
        self.door.ask(&Question { query, accept_encoding, head_only: false }).unwrap()
    }

    fn ask(&self, query: &str) -> Whole {
        read(self.begin(query, None))
    }

    #[track_caller]
    fn json(&self, query: &str) -> Value {
        let read = self.ask(query);
        assert!(read.has_ended && read.headers.contains("Content-Type: application/json\r\n"));
        serde_json::from_slice(&read.body).unwrap()
    }
}

fn next(pieces: &Pieces) -> Option<Piece> {
    pieces.receiver.recv_timeout(SOON).ok()
}

fn read(pieces: Pieces) -> Whole {
    assert!(matches!(next(&pieces), Some(Piece::Started)));
    let Some(Piece::Begin(status, headers, length)) = next(&pieces) else { panic!("no head") };
    let headers = String::from_utf8(headers).unwrap();
    let mut read = Whole { status, headers, length, body: Vec::new(), has_ended: false };
    loop {
        match next(&pieces) {
            Some(Piece::Bytes(bytes)) => {
                assert!(bytes.len() < 2 * output::PIECE_BYTES, "a piece of {}", bytes.len());
                read.body.extend_from_slice(&bytes);
            }
            Some(Piece::End) => read.has_ended = true,
            Some(other) => panic!("{other:?}"),
            None => return read,
        }
    }
}

/// So many hosts, then this error.
fn failing_after(count: usize) -> impl Fn(&QuerySpec) -> Result<QueryAnswer, QueryError> {
    move |spec| {
        let hosts = (0..count).map(|number| HostName::from(format!("h{number:05}"))).collect();
        let failure = Err(QueryError::Store("page 7 is \"damaged\"".to_owned()));
        Ok(Box::new(made_up(spec, hosts).chain([failure])))
    }
}

#[test]
fn a_small_answer_is_whole_and_exact() {
    let running = start();
    let query = "host=host-0002&host=host-0000&metric=load1&from=1000&to=4000&points=3";
    let read = running.ask(query);
    assert_eq!((read.status, read.length), (200, Some(read.body.len())));
    let series = |host: &str| {
        json!({
            "host": host, "metric": "load1", "labels": {"device": "sda"}, "interval_ms": 1_000,
            "points": [
                [1_000, 0, 1_000.0 / 7_000_003.0, 1], [2_000, 0, 2_000.0 / 7_000_003.0, 1],
                [3_000, 0, 3_000.0 / 7_000_003.0, 1],
            ],
        })
    };
    let body: Value = serde_json::from_slice(&read.body).unwrap();
    assert_eq!(
        body,
        json!({
            "from_ms": 1_000, "to_ms": 4_000,
            "series": [series("host-0000"), series("host-0002")],
            "session_starts_ms": {"host-0000": [1_000], "host-0002": [1_000]},
        })
    );
    let order: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(order, ["from_ms", "to_ms", "series", "session_starts_ms"]);
    assert_eq!(running.json("metric=load1&points=1")["series"].as_array().unwrap().len(), 3);
}

#[test]
fn a_table_has_a_name() {
    let running = start();
    let range = "metric=load1&from=2026-11-22T23:00:00Z&to=2026-11-23T00:00:00.5Z&points=2";
    let read = running.ask(&format!("host=host-0001&format=csv&{range}"));
    assert!(read.headers.contains("Content-Type: text/csv; header=present\r\n"));
    let name = "filename=\"host-0001_20261122T230000Z_20261123T000000Z.csv\"\r\n";
    assert!(read.headers.contains(name), "{}", read.headers);
    let text = String::from_utf8(read.body).unwrap();
    let rows: Vec<_> = text.split("\r\n").collect();
    assert_eq!(rows[0], "time,host,metric,labels,min,mean,max");
    assert!(rows[1].starts_with("2026-11-22T23:"), "{text}");
    assert!(rows[1].contains("Z,host-0001,load1,\"device=\"\"sda\"\"\","), "{text}");
    assert_eq!((rows.len(), rows[rows.len() - 1]), (4, ""));
    for (hosts, name) in [("", "all-hosts"), ("host=host-0001&host=host-0002&", "2-hosts")] {
        let read = running.ask(&format!("{hosts}format=csv&{range}"));
        assert!(read.headers.contains(&format!("filename=\"{name}_2026")), "{}", read.headers);
    }
}

#[test]
fn a_large_answer_comes_back_from_its_compression() {
    let running = start();
    for format in ["json", "csv"] {
        let query = format!("metric=a&metric=b&metric=c&points=10000&from=-30d&format={format}");
        let plain = read(running.begin(&query, Some("br")));
        assert!(plain.length.is_none() && !plain.headers.contains("Content-Encoding"));
        let small = read(running.begin(&query, Some("gzip, br")));
        assert!(small.headers.contains("Content-Encoding: gzip\r\n") && small.has_ended);
        assert!(small.body.len() < plain.body.len() / 2, "{} bytes", small.body.len());
        let mut again = Vec::new();
        flate2::read::GzDecoder::new(&small.body[..]).read_to_end(&mut again).unwrap();
        assert!(again == plain.body, "{format}");
    }
    let little = read(running.begin("metric=a&points=5", Some("gzip")));
    assert!(little.length.is_some() && !little.headers.contains("Content-Encoding"));
}

#[test]
fn what_fails_before_the_first_byte_has_a_status() {
    let running = start();
    for (host, status) in [("other", 404), ("much", 422), ("broken", 503), ("panic", 500)] {
        for late in [false, true] {
            let error = move || match host {
                "other" => QueryError::UnknownHost("other".into()),
                "much" => QueryError::TooMuch {
                    what: "5 billion points".to_owned(),
                    expected: "a day at most".to_owned(),
                },
                "broken" => QueryError::Store("page 7 is damaged".to_owned()),
                _ => panic!("expected by this test"),
            };
            running.view.answer_with(move |_| {
                if late {
                    return Ok(Box::new(std::iter::once_with(move || Err(error()))));
                }
                Err(error())
            });
            let read = running.ask("metric=a");
            assert_eq!((read.status, read.has_ended), (status, true), "{host}, late: {late}");
            assert_eq!(read.headers.contains("Retry-After"), status == 503);
            let body: Value = serde_json::from_slice(&read.body).unwrap();
            assert!(body["error"].is_string() && body["expected"].is_string(), "{body}");
        }
    }
    assert_eq!(running.counts.answers_failed.get(), 4, "two each of 503 and 500");
    assert_eq!(running.counts.handlers_panicked.get(), 2);
}

#[test]
fn a_document_that_fails_in_the_middle_is_whole_and_says_so() {
    let running = start();
    for accepts in [None, Some("gzip")] {
        running.view.answer_with(failing_after(3));
        let read = read(running.begin("metric=a&points=1000", accepts));
        assert!(read.has_ended && read.status == 200 && read.length.is_none());
        let mut text = read.body;
        if accepts.is_some() {
            let mut again = Vec::new();
            flate2::read::GzDecoder::new(&text[..]).read_to_end(&mut again).unwrap();
            text = again;
        }
        let body: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(body["series"].as_array().unwrap().len(), 3);
        assert!(body["error"]["error"].as_str().unwrap().contains("page 7 is \"damaged\""));
        assert!(body["error"]["expected"].is_string());
        assert_eq!(body.as_object().unwrap().keys().next_back().unwrap(), "error");
    }
    running.view.answer_with(|spec| {
        let panics = std::iter::once_with(|| panic!("expected by this test"));
        Ok(Box::new(made_up(spec, vec!["a".into()]).chain(panics)))
    });
    let body = running.json("metric=a&points=1000");
    assert!(body["error"]["error"].as_str().unwrap().contains("fault of this program"));
    assert_eq!(running.counts.answers_failed.get(), 3);
    assert_eq!(running.ask("metric=a&points=1").status, 500, "the thread is still there");
}

#[test]
fn a_table_that_fails_in_the_middle_says_so_and_has_no_end() {
    let running = start();
    running.view.answer_with(failing_after(3));
    let read = running.ask("metric=a&points=1000&format=csv");
    assert!(!read.has_ended);
    let text = String::from_utf8(read.body).unwrap();
    let last = text.lines().next_back().unwrap();
    assert!(last.starts_with("error,\"the history cannot be read now: page 7"), "{last}");
    assert_eq!(text.lines().count(), 1 + 3_000 + 1);
}

#[test]
fn an_answer_is_made_no_faster_than_it_is_taken() {
    let running = start();
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    running.view.answer_with(move |spec| {
        let hosts = (0..10_000).map(|number| HostName::from(format!("h{number:05}"))).collect();
        let counted = Arc::clone(&counted);
        Ok(Box::new(made_up(spec, hosts).inspect(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        })))
    });
    // 50 KB a host.
    let pieces = running.begin("metric=a&points=1000", None);
    assert!(matches!(next(&pieces), Some(Piece::Started)));
    assert!(matches!(next(&pieces), Some(Piece::Begin(200, _, None))));
    for _ in 0..100 {
        assert!(matches!(next(&pieces), Some(Piece::Bytes(_))));
    }
    // It is full again as soon as nothing is taken, and stays so.
    let (_stopper, stop) = stop::pair();
    for _ in 0..2_000 {
        if pieces.receiver.is_full() || stop.wait(Duration::from_millis(5)) {
            break;
        }
    }
    assert!(pieces.receiver.is_full());
    let made_then = made.load(Ordering::Relaxed);
    assert!(made_then < 200, "{made_then} hosts for 4 MiB");
    // Who leaves ends it.
    drop(pieces);
    assert_eq!(running.ask("metric=a&points=1&to=now").status, 200);
    assert!(made.load(Ordering::Relaxed) < 20_000);
}

#[test]
fn who_leaves_ends_a_question_that_finds_nothing() {
    let running = start();
    let (left, has_left) = bounded::<()>(0);
    let (ended, has_ended) = bounded(1);
    running.view.answer_with(move |_| {
        let (has_left, ended) = (has_left.clone(), ended.clone());
        let mut steps = 0;
        Ok(Box::new(std::iter::from_fn(move || {
            steps += 1;
            if steps == 1 {
                let _ = has_left.recv();
            }
            if steps > 1_000 {
                ended.send(steps).unwrap();
                return None;
            }
            // Nothing that could be sent, and nothing that fails to be.
            Some(Ok(HostAnswer { host: None, session_starts_ms: Vec::new(), series: Vec::new() }))
        })))
    });
    let pieces = running.begin("metric=a", None);
    assert!(matches!(next(&pieces), Some(Piece::Started)));
    let receiver = pieces.receiver.clone();
    drop(pieces);
    drop(left);
    assert!(receiver.recv_timeout(SOON).is_err(), "its sender is gone");
    assert!(has_ended.is_empty(), "it was given up before its last step");
}

#[test]
fn two_are_answered_at_a_time_and_the_line_is_short() {
    let running = start();
    let (open, opened) = bounded::<()>(0);
    running.view.answer_with(move |spec| {
        let _ = opened.recv();
        Ok(made_up(spec, vec!["a".into()]))
    });
    let begin = || running.begin("metric=a&points=1", None);
    let (first, second) = (begin(), begin());
    for pieces in [&first, &second] {
        assert!(matches!(next(pieces), Some(Piece::Started)));
    }
    let waiting: Vec<_> = (0..QUERIES_WAITING_MAX).map(|_| begin()).collect();
    let question = Question { query: "metric=a", accept_encoding: None, head_only: false };
    let refusal = running.door.ask(&question).unwrap_err();
    assert_eq!(refusal.status, 503);
    assert!(refusal.error.contains("wait already"), "{refusal:?}");
    assert_eq!(running.counts.queries_refused.get(), 1);
    assert!(waiting.iter().all(|pieces| pieces.receiver.is_empty()), "none has started");
    assert_eq!(running.counts.queries.get(), 2);
    drop(waiting);
    drop(open);
    for pieces in [first, second] {
        assert!(matches!(next(&pieces), Some(Piece::Begin(200, ..))));
    }
    assert_eq!(running.ask("metric=a").status, 200);
    assert_eq!(running.counts.queries.get(), 3, "who left the line cost nothing");
}

#[test]
fn a_head_alone_costs_no_answer() {
    let running = start();
    running.view.answer_with(|_| Ok(Box::new(std::iter::from_fn(|| panic!("not asked for")))));
    let question = |query| Question { query, accept_encoding: None, head_only: true };
    let read_head = |query| read(running.door.ask(&question(query)).unwrap());
    let head = read_head("metric=a");
    assert_eq!((head.status, head.length, head.body.len()), (200, None, 0));
    assert!(head.has_ended);
    running.view.answer_with(|_| Err(QueryError::UnknownHost("a".into())));
    let head = read_head("metric=a");
    assert_eq!((head.status, head.body.len()), (404, 0));
    assert!(head.length.is_some_and(|length| length > 0));
}

#[test]
fn a_budget_that_is_used_up_refuses() {
    let running = start();
    let door = Door {
        context: Arc::clone(&running.door.context),
        budget: Budget::new(AHEAD_BYTES),
        jobs: running.door.jobs.clone(),
    };
    let question = Question { query: "metric=a", accept_encoding: None, head_only: false };
    let held = door.ask(&question).unwrap();
    assert_eq!(door.ask(&question).unwrap_err().status, 503);
    drop(held);
    assert_eq!(read(door.ask(&question).unwrap()).status, 200);
}
