//! Attacks on the web gate, over real sockets: each fault of the inner server (H01 to H06 in the
//! tests' names) is tried on a process of its own, which must go on answering honest clients,
//! 100 of 100, and afterwards hold no more memory and descriptors than before.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop a test")]

mod gate {
    pub(crate) mod client;
    pub(crate) mod deleting;
    pub(crate) mod live;
    pub(crate) mod past;
    pub(crate) mod served;
}
#[path = "../base/dice.rs"]
mod dice;
mod scripted_view;

// The scripted view is shared with the unit tests and names its rooms as they do.
use realtime_monitor::{analysis, base, metric};

use gate::client::{Connection, connect, get, honest, pause, plain, send, status_of};
use gate::served::Served;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Runs an attack against a process of its own, with honest clients during and after it.
#[track_caller]
fn survives(mut served: Served, attack: impl Fn(&Served) -> Vec<TcpStream>) -> Served {
    honest(served.address, 20);
    let (descriptors, memory_kib) = (served.settled_descriptors(), served.memory_kib());
    let mut grown_kib = Vec::new();
    for _ in 0..3 {
        let held = attack(&served);
        honest(served.address, 100);
        drop(held);
        honest(served.address, 100);
        served.settle(descriptors);
        grown_kib.push(served.memory_kib().saturating_sub(memory_kib));
    }
    // What was freed stays with the allocator's arenas, so the first round may leave something
    // behind; what leaks comes again with every round.
    assert!(grown_kib[0] < 128 * 1024, "KiB more than before: {grown_kib:?}");
    assert!(grown_kib[2] < grown_kib[0] + 48 * 1024, "KiB more than before: {grown_kib:?}");
    assert!(served.is_running());
    served
}

/// Opens `count` connections and sends each the same bytes.
fn open(served: &Served, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let connections = (0..count).map(|_| {
        let mut stream = connect(served.address);
        // It may be evicted already: that is the point.
        let _ = stream.write_all(bytes);
        stream
    });
    connections.collect()
}

#[test]
fn h01_a_huge_length_neither_allocates_nor_aborts() {
    let served = survives(Served::start("", 10), |served| {
        for length in ["200000000000", "18446744073709551615", "9223372036854775807"] {
            for method in ["POST", "GET"] {
                for more in ["", "Expect: 100-continue\r\n"] {
                    let request = format!(
                        "{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{more}\r\n"
                    );
                    assert_eq!(status_of(&send(served.address, request.as_bytes())), 413);
                }
            }
        }
        Vec::new()
    });
    let chunked =
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n";
    assert_eq!(status_of(&send(served.address, chunked)), 411);
}

#[test]
fn h02_idle_connections_starve_nobody() {
    survives(Served::start("", 10), |served| {
        let mut held = Vec::new();
        for _ in 0..32 {
            let mut connection = Connection::open(served.address);
            assert_eq!(connection.get("/healthz").0, 200);
            held.push(connection.into_stream());
        }
        // Beyond the cap: the oldest make room.
        held.extend(open(served, 300, b""));
        held
    });
}

#[test]
fn h03_running_out_of_descriptors_is_survived() {
    let served =
        survives(Served::start("descriptors=64", 10), |served| open(served, 150, b"GET /"));
    let counts = gate::live::snapshot_counts(served.address);
    assert!(counts["http_accept_errors_total"].as_u64().unwrap() > 0, "it did run out: {counts}");
    assert!(counts["http_connections_evicted_total"].as_u64().unwrap() > 0, "{counts}");
}

#[test]
fn h04_a_connection_that_says_nothing_holds_up_nobody() {
    // The inner server would shake hands over TLS in its accepting thread. Ours only accepts
    // there, and the inner server never sees a connection that has not sent a whole request.
    survives(Served::start("", 10), |served| {
        let half_a_tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        let mut held = open(served, 50, b"");
        held.extend(open(served, 50, half_a_tls_hello));
        held
    });
}

#[test]
fn h05_endless_heads_and_slow_bodies_end() {
    let served = survives(Served::start("", 10), |served| {
        let mut held = open(served, 60, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
        let body = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\nslow";
        held.extend(open(served, 60, body));
        for stream in &mut held {
            let _ = stream.write_all(b"y");
        }
        // Sixteen bytes at a time until the gate has had enough.
        let mut endless = connect(served.address);
        let mut sent = endless.write_all(b"GET / HTTP/1.1\r\n");
        for _ in 0..4_096 {
            sent = sent.and_then(|()| endless.write_all(b"A: 0123456789ab\r\n"));
        }
        assert_eq!(status_of(&gate::client::rest_of(endless)), 431);
        held
    });
    // A byte each half second is not a reason to wait longer: the deadline is absolute.
    let mut dribbling = connect(served.address);
    dribbling.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ").unwrap();
    for _ in 0..18 {
        pause(Duration::from_millis(500));
        dribbling.write_all(b"y").unwrap();
    }
    assert_eq!(status_of(&gate::client::rest_of(dribbling)), 408);
}

#[test]
fn h05_viewers_who_never_read_their_answer_hold_a_bounded_memory() {
    let ask = b"GET /api/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let served = survives(Served::start("", 1_000), |served| {
        let before_kib = served.memory_kib();
        let held = open(served, 60, ask);
        honest(served.address, 100);
        let grown_kib = served.memory_kib().saturating_sub(before_kib);
        // The budget of 64 MiB, what four workers are making, and the same on its way.
        assert!(grown_kib < 192 * 1024, "{grown_kib} KiB for 60 answers");
        held
    });
    let (status, body) = get(served.address, "/api/metrics");
    assert_eq!(status, 200);
    assert!(body.len() > 4_000_000, "the answer was a large one: {}", body.len());
}

#[test]
fn garbage_is_answered_in_words_or_not_at_all() {
    survives(Served::start("", 10), |served| {
        let mut garbage: Vec<u8> = (0..=255).collect();
        for shift in 0..40 {
            garbage.rotate_left(7 * shift % 256);
            let answer = send(served.address, &garbage);
            assert!(answer.is_empty() || (400..=505).contains(&status_of(&answer)));
        }
        for (request, status) in [
            (&b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"[..], 421),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
            (b"DELETE /api/hosts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        ] {
            let answer = send(served.address, request);
            assert_eq!(status_of(&answer), status);
            let text = String::from_utf8(answer).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(body["error"].is_string() && body["expected"].is_string(), "{body}");
        }
        Vec::new()
    });
}

#[test]
fn one_connection_answers_many_requests_in_step() {
    let served = Served::start("", 3);
    let mut connection = Connection::open(served.address);
    for round in 0..20 {
        assert_eq!(connection.request("HEAD", "/api/hosts", "").0, 200);
        let (status, _, body) = connection.request("GET", "/api/hosts/host-0002", "");
        assert_eq!(status, 200, "round {round}");
        assert!(body.starts_with(b"{\"server_time_ms\":"));
        assert_eq!(connection.request("GET", "/none", "").0, 404);
        let posted = connection.request_with("POST", "/api/hosts", "", b"five!");
        assert_eq!(posted.0, 405, "its body is not taken for the next request");
    }
    // Three requests in one packet come back in order.
    let three = "GET /api/hosts/host-0000 HTTP/1.1\r\nHost: localhost\r\n\r\n\
                 GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\
                 GET /none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let text = String::from_utf8(send(served.address, three.as_bytes())).unwrap();
    let statuses: Vec<_> = text.matches("HTTP/1.1 ").map(|_| ()).collect();
    assert_eq!(statuses.len(), 3);
    let order = ["host-0000", "\"ok\"", "there is nothing"].map(|part| text.find(part).unwrap());
    assert!(order.is_sorted());
    for header in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff"]
    {
        assert_eq!(text.to_ascii_lowercase().matches(header).count(), 3, "{header}");
    }
    assert!(!text.contains("tiny-http"));
}

#[test]
fn the_page_and_every_module_it_refers_to_is_served_once() {
    let served = Served::start("", 3);
    let mut connection = Connection::open(served.address);
    let (status, head, page) = connection.request("GET", "/", "Accept-Encoding: gzip\r\n");
    assert_eq!(status, 200);
    assert!(head.contains("Cache-Control: no-store"), "{head}");
    assert!(head.contains("Vary: Accept-Encoding"), "{head}");
    let page = String::from_utf8(plain(&head, page)).unwrap();
    let (_, rest) = page.split_once("id=\"snapshot\">").unwrap();
    let snapshot: serde_json::Value =
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    assert_eq!(snapshot["summary"]["hosts"].as_array().unwrap().len(), 3);

    let (mut waiting, mut seen) = (references(&page), std::collections::BTreeSet::new());
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let (status, head, body) = connection.request("GET", &path, "");
        assert_eq!((status, body.is_empty()), (200, false), "{path}");
        let etag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
        let again = connection.request("GET", &path, &format!("If-None-Match: {etag}\r\n"));
        assert_eq!((again.0, again.2.len()), (304, 0), "{path}");
        let small = connection.request("GET", &path, "Accept-Encoding: gzip\r\n");
        if small.1.contains("Content-Encoding: gzip") {
            assert!(small.2.starts_with(&[0x1f, 0x8b]) && small.2.len() < body.len(), "{path}");
        }
        waiting.extend(references(&String::from_utf8(body).unwrap()));
    }
    assert!(seen.iter().any(|path| path.ends_with(".js")), "{seen:?}");
}

/// What a page or a module loads: `/static/...`, and imports of its neighbours.
fn references(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = code.flat_map(|line| line.split(['"', '\'']));
    let paths = quoted.filter_map(|word| {
        let is_path = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
        let neighbour = word.strip_prefix("./").map(|name| format!("/static/{name}"));
        let path = neighbour.or_else(|| word.starts_with("/static/").then(|| word.to_owned()));
        path.filter(|path| is_path && (path.ends_with(".js") || path.ends_with(".css")))
    });
    paths.collect()
}

#[test]
fn a_panic_in_a_handler_is_an_answer_and_no_more() {
    let served = Served::start("panics=1", 3);
    for _ in 0..12 {
        assert_eq!(get(served.address, "/api/ledger").0, 500);
        honest(served.address, 5);
    }
}

#[test]
fn an_address_in_use_is_said_in_words() {
    let view = scripted_view::ScriptedView::new(1, 1);
    let config = gate::served::config();
    let clock = base::clock::Real::shared();
    let first =
        realtime_monitor::http::start(config.clone(), Arc::clone(&view) as _, clock.clone())
            .unwrap();
    let again = realtime_monitor::http::Config { listen: first.address(), ..config };
    let error = realtime_monitor::http::start(again.clone(), Arc::clone(&view) as _, clock.clone())
        .unwrap_err()
        .to_string();
    assert!(error.contains("in use") && error.contains(&first.address().to_string()), "{error}");
    drop(first);
    drop(realtime_monitor::http::start(again, view, clock).unwrap());
}
