//! Live streams: prompt, shared, and ended when their viewer is (H06).

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use realtime_monitor::base::clock::Real;
use realtime_monitor::http::{self, Handle};
use serde_json::{Value, json};

use super::client::{connect, get, honest, pause, send, status_of};
use super::served::{Served, config};
use crate::scripted_view::ScriptedView;

/// A viewer's end of a live stream.
struct Events {
    reader: BufReader<std::net::TcpStream>,
}

/// One event.
#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Events {
    #[track_caller]
    fn open(address: SocketAddr, query: &str) -> Self {
        let mut stream = connect(address);
        let request = format!("GET /api/live?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut events = Self { reader: BufReader::new(stream) };
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(events.reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("Content-Type: text/event-stream\r\n"), "{head}");
        assert_eq!(events.line(), "retry: 1000");
        assert_eq!(events.line(), "");
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    fn next(&mut self) -> Event {
        let field = |line: String, name: &str| line.strip_prefix(name).unwrap().to_owned();
        let id = field(self.line(), "id: ");
        let name = field(self.line(), "event: ");
        let data = serde_json::from_str(&field(self.line(), "data: ")).unwrap();
        assert_eq!(self.line(), "");
        Event { id, name, data }
    }

    /// The next event of this name.
    fn next_of(&mut self, name: &str) -> Event {
        loop {
            let event = self.next();
            if event.name == name {
                return event;
            }
        }
    }
}

/// Refusals and drops, as a newcomer is told.
pub(crate) fn snapshot_counts(address: SocketAddr) -> Value {
    Events::open(address, "summary=1").next().data["counts"].clone()
}

/// Opens a stream; each call waits for its next heartbeat, which must come within two seconds.
pub(crate) fn heartbeats(address: SocketAddr) -> impl FnMut() {
    let mut events = Events::open(address, "summary=1");
    events.next_of("heartbeat");
    move || {
        let before = std::time::Instant::now();
        let beat = events.next_of("heartbeat");
        assert!(beat.data["history"]["state"].is_string(), "{}", beat.data);
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    }
}

fn start(hosts: usize) -> (Handle, Arc<ScriptedView>) {
    let view = ScriptedView::new(hosts, 900);
    let handle = http::start(config(), Arc::clone(&view) as _, Real::shared()).unwrap();
    (handle, view)
}

#[test]
fn h06_an_event_comes_while_the_stream_goes_on() {
    let (handle, view) = start(2);
    let mut both = Events::open(handle.address(), "summary=1&host=host-0001&host=later");
    let mut one = Events::open(handle.address(), "host=host-0001");
    let snapshot = both.next();
    assert_eq!(snapshot.name, "snapshot");
    assert_eq!(snapshot.data["summary"]["hosts"].as_array().unwrap().len(), 2);
    assert_eq!(snapshot.data["hosts"][0]["window"]["time_ms"].as_array().unwrap().len(), 900);
    assert_eq!(snapshot.data["hosts"][1], json!({"summary": null, "host": "later"}));
    assert_eq!(one.next().name, "snapshot");

    assert!(view.send("host-0001", 7, 1_000) && view.send("host-0000", 8, 1_000));
    let mut rows = Vec::new();
    let mut frames = Vec::new();
    while rows.len() < 2 {
        let event = both.next_of("frames");
        assert!(event.data["pushed_ms"].as_u64().unwrap() > 1_700_000_000_000);
        rows.extend(event.data["rows"].as_array().unwrap().clone());
        frames.extend(event.data["frames"].as_array().unwrap().clone());
    }
    assert_eq!(
        rows[0].as_array().unwrap()[..7],
        [
            json!("host-0001"),
            json!(7),
            json!(1_000),
            json!(1_000),
            json!(1_000),
            json!(1_000),
            json!(1_000),
        ]
    );
    assert_eq!((&rows[0][7][0], &rows[0][7][1]), (&json!(12.346), &json!(1_000_000)));
    assert_eq!(rows[0][7][9], Value::Null, "load1 is missing");
    assert_eq!(frames.len(), 1, "only the subscribed host");
    assert_eq!(
        frames[0]["values"],
        json!({"cpu_usage_percent": 12.346, "disk_busy_percent{device=\"sda\"}": 3}),
        "what is not a number is absent"
    );
    let event = one.next_of("frames");
    assert!(event.data.get("rows").is_none());
    assert_eq!(event.data["frames"], json!(frames));
    assert!(event.id.split_once('-').unwrap().1.parse::<u64>().is_ok());
    // It is told after the writing.
    while view.pushed.lock().unwrap().len() < 2 {
        pause(Duration::from_millis(5));
    }
    let pushed = view.pushed.lock().unwrap().clone();
    let seqs: Vec<_> = pushed.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [7, 8], "analysis is told what was written");
}

#[test]
fn h06_heartbeats_say_what_changed() {
    use crate::analysis::view::HostState;
    let (handle, view) = start(3);
    let mut events = Events::open(handle.address(), "summary=1");
    let first = events.next_of("heartbeat").data;
    assert_eq!(first["states"].as_array().unwrap().len(), 3, "all, for a newcomer");
    assert_eq!((&first["viewers"], &first["bus"]["state"]), (&json!(1), &json!("ok")));
    assert_eq!(events.next_of("heartbeat").data["states"], json!([]));
    view.states.lock().unwrap().insert("host-0001".into(), HostState::Stale);
    let changed = loop {
        let states = events.next_of("heartbeat").data["states"].clone();
        if states != json!([]) {
            break states;
        }
    };
    assert_eq!(changed, json!([["host-0001", "stale", 40, null]]));
}

#[test]
fn h06_seven_streams_and_more_leave_the_rest_alone() {
    let (handle, view) = start(3);
    let mut streams: Vec<_> =
        (0..40).map(|_| Events::open(handle.address(), "summary=1")).collect();
    assert!(streams.iter_mut().all(|events| events.next().name == "snapshot"));
    honest(handle.address(), 20);
    assert!(view.send("host-0000", 1, 1_000));
    let events: Vec<_> = streams.iter_mut().map(|events| events.next_of("frames").data).collect();
    assert!(events.windows(2).all(|pair| pair[0] == pair[1]), "one rendering for all");
    assert_eq!(handle.counts().viewers.get(), 40);
    drop(streams.split_off(3));
    let heartbeat = loop {
        let heartbeat = streams[0].next_of("heartbeat").data;
        if heartbeat["viewers"] == 3 {
            break heartbeat;
        }
    };
    assert!(heartbeat["counts"].get("http_live_viewers_left_total").is_none(), "not a fault");
    assert_eq!(handle.counts().viewers_left.get(), 37);
    drop(handle);
    let mut rest = String::new();
    while streams[0].reader.read_line(&mut rest).is_ok_and(|count| count > 0) {}
}

#[test]
fn h06_a_viewer_who_never_reads_is_dropped_and_counted() {
    let (handle, view) = start(1_000);
    let counts = handle.counts();
    let _silent: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = connect(handle.address());
            let request = b"GET /api/live?summary=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
            stream.write_all(request).unwrap();
            stream
        })
        .collect();
    let mut reader = Events::open(handle.address(), "summary=1");
    let mut seq = 0;
    // A second of frames of a thousand hosts at a time, the next one when who reads has it, until
    // those who do not read are gone.
    while counts.viewers_behind.get() + counts.viewers_stalled.get() < 3 {
        for host in 0..1_000 {
            seq += 1;
            assert!(view.send(&format!("host-{host:04}"), seq, 1_000));
        }
        let mut rows = 0;
        while rows < 1_000 {
            rows += reader.next_of("frames").data["rows"].as_array().unwrap().len();
        }
    }
    assert_eq!(counts.viewers.get(), 1, "who reads is still there");
    // Everything that came in was written to somebody, or was asked for by nobody.
    assert_eq!(counts.updates.get(), seq);
    let pushed = view.pushed.lock().unwrap().len() as u64;
    assert_eq!(pushed + counts.updates_unwatched.get(), seq);
}

#[test]
fn h06_streams_of_a_client_that_is_gone_are_given_back() {
    let served = Served::start("", 3);
    honest(served.address, 10);
    let before = served.settled_descriptors();
    for _ in 0..3 {
        let streams: Vec<_> = (0..30).map(|_| Events::open(served.address, "summary=1")).collect();
        assert!(served.descriptors() >= before + 30);
        drop(streams);
        served.settle(before);
    }
}

#[test]
fn h06_the_cap_of_viewers_is_said_in_words() {
    let (handle, view) = start(1);
    let mut streams: Vec<_> =
        (0..256).map(|_| Events::open(handle.address(), "summary=1")).collect();
    let ask = b"GET /api/live?summary=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = send(handle.address(), ask);
    assert_eq!(status_of(&answer), 503);
    assert!(String::from_utf8(answer).unwrap().contains("256 live streams are open already"));
    honest_healthz(handle.address());
    streams.truncate(200);
    while handle.counts().viewers.get() > 200 {
        pause(Duration::from_millis(50));
    }
    assert_eq!(Events::open(handle.address(), "summary=1").next().name, "snapshot");
    assert!(view.is_watched.load(Ordering::Relaxed));
    streams.clear();
    // Nothing is made for a page that nobody looks at any more.
    while view.is_watched.load(Ordering::Relaxed) {
        pause(Duration::from_millis(50));
    }
}

fn honest_healthz(address: SocketAddr) {
    for _ in 0..20 {
        assert_eq!(get(address, "/healthz"), (200, br#"{"status":"ok"}"#.to_vec()));
    }
}

#[test]
fn what_is_wrong_with_a_stream_is_said_before_it_begins() {
    let (handle, _view) = start(1);
    for (request, status) in [
        ("GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /api/live?host=a%20b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /api/live?summary=1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("HEAD /api/live?summary=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ] {
        assert_eq!(status_of(&send(handle.address(), request.as_bytes())), status, "{request}");
    }
}
