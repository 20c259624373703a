//! Questions to the past over real sockets: answers larger than memory may hold, viewers that are
//! slow or gone, and answers that cannot be finished.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use realtime_monitor::base::clock::Real;
use realtime_monitor::http::{self, Handle};
use serde_json::Value;

use super::client::{Connection, connect, get, honest, pause, plain, send, status_of};
use super::live::heartbeats;
use super::served::{Served, config};
use crate::analysis::view::{HostAnswer, QueryError};
use crate::dice::Dice;
use crate::metric::HostName;
use crate::scripted_view::{ScriptedView, made_up};

const SOON: Duration = Duration::from_secs(10);

/// 1,000 hosts, 1,000 points each: about 45 MB.
const LARGE: &str = "/api/query?metric=a&points=1000&from=-30d";

fn start(hosts: usize) -> (Handle, Arc<ScriptedView>) {
    let view = ScriptedView::new(hosts, 900);
    let handle = http::start(config(), Arc::clone(&view) as _, Real::shared()).unwrap();
    (handle, view)
}

/// Says when it is dropped.
struct Dropped(Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// Lets queries be answered without end: one host again and again, of so many points. Tells when
/// an answer is dropped, and counts the hosts.
fn endless(view: &ScriptedView, points: usize) -> (Receiver<()>, Arc<AtomicUsize>) {
    let (dropped, has_dropped) = bounded(16);
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    view.answer_with(move |spec| {
        let (guard, counted) = (Dropped(dropped.clone()), Arc::clone(&counted));
        let mut spec = spec.clone();
        spec.points = points.max(1);
        Ok(Box::new(std::iter::from_fn(move || {
            let _held = &guard;
            counted.fetch_add(1, Ordering::Relaxed);
            if points > 0 {
                return made_up(&spec, vec!["a".into()]).next();
            }
            // A step of a search that finds nothing.
            pause(Duration::from_millis(1));
            Some(Ok(HostAnswer { host: None, session_starts_ms: Vec::new(), series: Vec::new() }))
        })))
    });
    (has_dropped, made)
}

#[test]
fn a_large_answer_comes_in_order_and_is_never_held_whole() {
    let served = Served::start("", 1_000);
    honest(served.address, 20);
    let before_kib = served.memory_kib();
    let mut connection = Connection::open(served.address);
    let head = connection.begin(LARGE, "");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
    assert!(!head.contains("Content-Length") && head.contains("Cache-Control: no-store"));
    let (mut whole, mut memory_kib, mut chunks) = (Vec::new(), 0, 0);
    loop {
        let chunk = connection.chunk().unwrap();
        if chunk.is_empty() {
            break;
        }
        chunks += 1;
        if u32::is_multiple_of(chunks, 200) {
            // While nothing is taken, no more is made than has room.
            pause(Duration::from_millis(100));
            memory_kib = memory_kib.max(served.memory_kib());
        }
        whole.extend_from_slice(&chunk);
    }
    assert!(whole.len() > 40_000_000 && chunks > 1_000, "{} in {chunks}", whole.len());
    let grown_kib = memory_kib.saturating_sub(before_kib);
    assert!(grown_kib < 16 * 1024, "{grown_kib} KiB for an answer of {} bytes", whole.len());
    let body: Value = serde_json::from_slice(&whole).unwrap();
    let series = body["series"].as_array().unwrap();
    let hosts: Vec<_> = series.iter().map(|series| series["host"].as_str().unwrap()).collect();
    assert!(hosts.len() == 1_000 && hosts.is_sorted());
    assert!(series.iter().all(|series| series["points"].as_array().unwrap().len() >= 999));
    assert_eq!(connection.get("/healthz").0, 200, "the connection is in step");
}

#[test]
fn a_compressed_answer_is_the_same() {
    let (handle, _view) = start(20);
    let target = "/api/query?metric=a&points=10000&from=0&to=1700000000000";
    let mut connection = Connection::open(handle.address());
    for format in ["json", "csv"] {
        let target = format!("{target}&format={format}");
        let (_, head, whole) = connection.request("GET", &target, "");
        assert!(!head.contains("Content-Encoding") && whole.len() > 5_000_000, "{head}");
        let (_, head, small) = connection.request("GET", &target, "Accept-Encoding: gzip\r\n");
        assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
        assert!(head.contains("\r\nVary: Accept-Encoding\r\n"), "{head}");
        assert!(small.len() < whole.len() / 2, "{} of {}", small.len(), whole.len());
        assert!(plain(&head, small) == whole, "{format}");
    }
    let (status, head, body) = connection.request("HEAD", target, "");
    assert_eq!((status, body.len()), (200, 0), "{head}");
    let (_, head, body) = connection.request("GET", "/api/query?metric=a&points=1", "");
    assert!(head.contains("Content-Length: ") && !head.contains("chunked"), "{head}");
    assert!(serde_json::from_slice::<Value>(&body).unwrap()["series"][19].is_object());
    assert_eq!(handle.counts().answers_abandoned.get(), 0);
}

#[test]
fn an_old_viewer_gets_it_without_chunks() {
    let (handle, _view) = start(50);
    let ask = format!("GET {LARGE} HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    let answer = send(handle.address(), ask.as_bytes());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    assert!(head.contains("Connection: close") && !head.contains("chunked"), "{head}");
    let body: Value = serde_json::from_slice(&answer[end + 4..]).unwrap();
    assert_eq!(body["series"].as_array().unwrap().len(), 50);
}

#[test]
fn slow_viewers_hold_up_nobody_and_are_given_up() {
    let (handle, view) = start(3);
    let (has_dropped, _) = endless(&view, 1_000);
    let ask = format!("GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let begun = Instant::now();
    let silent: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(handle.address());
            stream.write_all(ask.as_bytes()).unwrap();
            stream
        })
        .collect();
    while handle.counts().queries.get() < 2 {
        pause(Duration::from_millis(5));
    }
    // Both query threads are taken: a third waits its time, and everything else goes on.
    let mut third = Connection::open(handle.address());
    let mut beats = heartbeats(handle.address());
    for _ in 0..3 {
        honest(handle.address(), 20);
        assert_eq!(get(handle.address(), "/").0, get(handle.address(), "/?x").0);
        beats();
    }
    let head = third.begin("/api/query?metric=a", "");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nRetry-After: 2\r\n"), "{head}");
    assert_eq!(handle.counts().queries_refused.get(), 1);
    assert!(begun.elapsed() < SOON, "the two have not been given up yet");
    for _ in 0..2 {
        has_dropped.recv_timeout(2 * SOON).unwrap();
    }
    while handle.counts().answers_abandoned.get() < 2 {
        pause(Duration::from_millis(5));
    }
    // Before the kernel would have given them up (TCP_USER_TIMEOUT, 20 s).
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
    view.answer_with(|spec| Ok(made_up(spec, vec!["b".into()])));
    assert_eq!(get(handle.address(), "/api/query?metric=a").0, 200);
    drop(silent);
}

#[test]
fn a_viewer_that_leaves_ends_its_question() {
    let (handle, view) = start(3);
    // Once while it is being told something, once while there is nothing to tell.
    for points in [1_000, 0] {
        let (has_dropped, made) = endless(&view, points);
        let abandoned = handle.counts().answers_abandoned.get();
        let mut stream = connect(handle.address());
        let ask = format!("GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        if points > 0 {
            stream.read_exact(&mut vec![0; 1_000_000]).unwrap();
        }
        while made.load(Ordering::Relaxed) < 5 {
            pause(Duration::from_millis(1));
        }
        assert!(has_dropped.is_empty());
        drop(stream);
        has_dropped.recv_timeout(SOON).unwrap();
        while handle.counts().answers_abandoned.get() == abandoned {
            pause(Duration::from_millis(1));
        }
    }
    assert_eq!(handle.counts().answers_failed.get(), 0);
}

#[test]
fn a_stop_does_not_wait_for_an_endless_answer() {
    let (handle, view) = start(3);
    let (has_dropped, _) = endless(&view, 1_000);
    let mut stream = connect(handle.address());
    let ask = format!("GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    stream.read_exact(&mut vec![0; 1_000_000]).unwrap();
    drop(handle);
    assert!(has_dropped.try_recv().is_ok(), "its thread has ended");
}

#[test]
fn what_fails_in_the_middle_is_seen_to() {
    let (handle, view) = start(3);
    view.answer_with(|spec| {
        let hosts: Vec<HostName> = vec!["a".into(), "b".into()];
        let failure = Err(QueryError::Store("page 7 is damaged".to_owned()));
        Ok(Box::new(made_up(spec, hosts).chain([failure])))
    });
    let mut connection = Connection::open(handle.address());
    for lines in ["", "Accept-Encoding: gzip\r\n"] {
        let (status, head, body) = connection.request("GET", LARGE, lines);
        assert_eq!(status, 200);
        let body: Value = serde_json::from_slice(&plain(&head, body)).unwrap();
        assert_eq!(body["series"].as_array().unwrap().len(), 2);
        assert!(body["error"]["error"].as_str().unwrap().contains("page 7 is damaged"), "{head}");
    }
    // A table cannot say that it ends too early, so its last chunk is missing.
    connection.begin(&format!("{LARGE}&format=csv"), "");
    let mut text = Vec::new();
    while let Some(chunk) = connection.chunk() {
        assert!(!chunk.is_empty(), "it looks like a whole one");
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with(",,,,\r\n") && text.contains("\r\nerror,"), "{}", text.len());
    assert_eq!(handle.counts().answers_failed.get(), 3);
    assert_eq!(get(handle.address(), "/healthz").0, 200);
}

#[test]
fn what_was_asked_wrongly_is_said_and_the_connection_stays() {
    let (handle, view) = start(3);
    let mut connection = Connection::open(handle.address());
    for (target, status, word) in [
        ("/api/query", 400, "metric=*"),
        ("/api/query?metric=a&from=later", 400, "RFC 3339"),
        ("/api/query?metric=a&host=other", 404, "/api/hosts lists"),
        ("/api/query?metric=a&nothing=1", 400, "only these parameters"),
    ] {
        let (given, head, body) = connection.request("GET", target, "");
        assert_eq!(given, status, "{target}");
        assert!(head.contains("Content-Type: application/json"), "{head}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["expected"].as_str().unwrap().contains(word), "{body}");
        let (given, _, body) = connection.request("HEAD", target, "");
        assert_eq!((given, body.len()), (status, 0), "{target}");
    }
    view.store_fails.store(true, Ordering::Relaxed);
    let (status, head, _) = connection.request("GET", "/api/query?metric=a", "");
    assert_eq!(status, 503);
    assert!(head.contains("Retry-After: 2\r\n"), "{head}");
    let (status, head, _) = connection.request("DELETE", "/api/query?metric=a", "");
    assert_eq!(status, 405);
    assert!(head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
    let foreign = b"GET /api/query?metric=a HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(status_of(&send(handle.address(), foreign)), 421);
}

#[test]
fn no_garbage_is_a_fault_of_ours() {
    const PARTS: &[&str] = &[
        "host=",
        "metric=",
        "labels=",
        "from=",
        "to=",
        "points=",
        "as=",
        "aggregate=",
        "format=",
        "&",
        "&",
        "=",
        "host-0001",
        "disk_*",
        "*",
        "load1",
        "-1h",
        "now",
        "csv",
        "raw",
        "top:3",
        "9",
        "1700000000000",
        "2026-11-22T23:00:00Z",
        "%",
        "%22",
        "%00",
        "%ff",
        "a=%22b%22",
        "{",
        "}",
        "'",
        ";",
        "<",
        "?",
        "/",
        "\\",
        "~",
        "+",
        ",",
    ];
    let (handle, _view) = start(2);
    let mut answered = 0;
    for seed in 0..6 {
        let mut dice = Dice::new(seed);
        let mut connection = Connection::open(handle.address());
        for round in 0..300 {
            let mut query = String::new();
            if !dice.one_in(3) {
                query.push_str("metric=a&points=3&");
            }
            for _ in 0..dice.below(8) {
                query.push_str(PARTS[dice.below(PARTS.len() as u64) as usize]);
            }
            let target = format!("/api/query?{query}");
            let (status, _, body) = connection.request("GET", &target, "");
            let place = format!("seed {seed}, round {round}: {target}");
            assert!(matches!(status, 200 | 400 | 404), "{status}, {place}");
            if status == 200 {
                answered += 1;
            } else {
                let body: Value = serde_json::from_slice(&body).unwrap();
                assert!(body["error"].is_string() && body["expected"].is_string(), "{place}");
            }
        }
    }
    assert!(answered > 100, "{answered} were understood");
    assert_eq!(handle.counts().handlers_panicked.get(), 0);
}
