//! Every path against a scripted view; no socket.

use super::*;
use crate::analysis::view::{HistoryState, HistoryStatus, HostState, View};
use crate::base::clock::Scripted;
use crate::http::counts::HttpCounts;
use crate::http::scripted_view::ScriptedView;
use serde_json::{Value, json};
use std::sync::Arc;

fn context(view: &Arc<ScriptedView>) -> Context {
    Context {
        view: Arc::clone(view) as Arc<dyn View>,
        clock: Scripted::new(1_700_000_000_123_456),
        run: "run".to_owned(),
        version: "1.2.3".to_owned(),
        insecure: false,
        counts: Arc::new(HttpCounts::new()),
        deleting: Default::default(),
    }
}

fn ask(method: Method, target: &str, context: &Context) -> Response {
    let request =
        Request { method, target, if_none_match: None, accept: None, accept_encoding: None };
    answer(&request, context)
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let found = response.headers.iter().find(|(given, _)| *given == name);
    found.map(|(_, value)| value.as_str())
}

fn get(target: &str) -> Response {
    get_from(&ScriptedView::new(2, 5), target)
}

fn get_from(view: &Arc<ScriptedView>, target: &str) -> Response {
    let request = Request {
        method: Method::Get,
        target,
        if_none_match: None,
        accept: None,
        accept_encoding: None,
    };
    answer(&request, &context(view))
}

#[track_caller]
fn json_of(response: &Response) -> Value {
    assert!(response.headers.contains(&("Content-Type", "application/json".to_owned())));
    serde_json::from_slice(&response.body.to_vec()).unwrap()
}

#[test]
fn hosts_are_lines_without_missing_values() {
    let body = json_of(&get("/api/hosts"));
    assert_eq!(
        (&body["server_time_ms"], &body["run"]),
        (&json!(1_700_000_000_123_u64), &json!("run"))
    );
    let line = &body["hosts"][1];
    assert_eq!(line["host"], "host-0001");
    assert_eq!((&line["state"], &line["reason"]), (&json!("live"), &Value::Null));
    assert_eq!(line["session"], "00000000000000000000000000000001");
    assert_eq!((&line["time_ms"], &line["age_ms"]), (&json!(1_700_000_000_000_u64), &json!(40)));
    let values = line["values"].as_object().unwrap();
    assert_eq!(values.len(), 10, "load1 is missing, so it is absent");
    assert!(!values.contains_key("load1") && line.get("spark").is_none());
    assert_eq!(values["cpu_usage_percent"], 12.345678);
}

#[test]
fn one_host_has_its_account() {
    let body = json_of(&get("/api/hosts/host-0000"));
    assert_eq!(body["host"]["host"], "host-0000");
    let session = &body["ledger"]["sessions"][0];
    assert_eq!((&session["sampled"], &session["missing"]), (&json!(100), &json!(2)));
    assert_eq!(session["missing_ranges"], json!([[5, 6, "not seen"]]));
    assert_eq!(body["boot_id"], Value::Null);
    assert_eq!(get("/api/hosts/HOST-0000").status, 200, "names are lower-cased");
}

#[test]
fn what_is_unknown_is_said_in_words() {
    for (target, status) in [
        ("/nothing", 404),
        ("/api/hosts/other", 404),
        ("/api/hosts/a%2fb", 400),
        ("/api/hosts/%zz", 404),
        ("/api/metrics?host=other", 404),
        ("/api/metrics?hots=a", 400),
        ("/api/stages?x=1", 400),
        ("/static/nothing.js", 404),
        ("/static/../Cargo.toml", 404),
        ("/static/%2e%2e/Cargo.toml", 404),
    ] {
        let response = get(target);
        assert_eq!(response.status, status, "{target}");
        let body = json_of(&response);
        assert!(!body["error"].as_str().unwrap().is_empty(), "{target}");
        assert!(!body["expected"].as_str().unwrap().is_empty(), "{target}");
    }
    let expected = json_of(&get("/nothing"))["expected"].to_string();
    assert!(expected.contains("/api/query") && expected.contains("/api/history"), "{expected}");
}

#[test]
fn a_refused_method_names_those_of_its_path() {
    let context = context(&ScriptedView::new(1, 0));
    for (method, path, allow) in [
        (Method::Other, "/", "GET, HEAD"),
        (Method::Delete, "/", "GET, HEAD"),
        (Method::Delete, "/api/hosts", "GET, HEAD"),
        (Method::Delete, "/api/hosts/", "GET, HEAD"),
        (Method::Delete, "/api/ledger?x", "GET, HEAD"),
        (Method::Other, "/api/hosts/host-0000", "GET, HEAD, DELETE"),
    ] {
        let refused = ask(method, path, &context);
        assert_eq!((refused.status, header(&refused, "Allow")), (405, Some(allow)), "{path}");
    }
}

#[test]
fn a_deleted_host_is_gone_and_only_once() {
    let view = ScriptedView::new(2, 5);
    let mut context = context(&view);
    let delete = |target: &str, context: &Context| ask(Method::Delete, target, context);
    let deleted = delete("/api/hosts/HOST-%30000", &context);
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(delete("/api/hosts/host-0000", &context).status, 404);
    assert_eq!(ask(Method::Get, "/api/hosts/host-0000", &context).status, 404);
    assert_eq!(context.counts.hosts_deleted.get(), 1);
    for (target, status) in [
        ("/api/hosts/other", 404),
        ("/api/hosts/a%2fb", 400),
        ("/api/hosts/%zz", 404),
        ("/api/hosts/host-0001?force=1", 400),
    ] {
        assert_eq!(delete(target, &context).status, status, "{target}");
    }

    view.store_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = delete("/api/hosts/host-0001", &context);
    assert_eq!((refused.status, header(&refused, "Retry-After")), (503, Some("2")));
    let words = json_of(&refused)["error"].to_string();
    assert!(words.contains("nothing was deleted") && words.contains("no space left"), "{words}");
    view.store_fails.store(false, std::sync::atomic::Ordering::Relaxed);

    let busy = context.deleting.lock().unwrap();
    assert_eq!(delete("/api/hosts/host-0001", &context).status, 503, "one at a time");
    drop(busy);
    context.insecure = true;
    let refused = delete("/api/hosts/host-0001", &context);
    assert_eq!(refused.status, 403);
    assert!(json_of(&refused)["expected"].to_string().contains("loopback"));
    assert_eq!(ask(Method::Get, "/api/hosts/host-0001", &context).status, 200, "still there");
    context.insecure = false;
    assert_eq!(delete("/api/hosts/host-0001", &context).status, 204);
}

#[test]
fn the_state_of_the_history_is_told_everywhere() {
    let view = ScriptedView::new(1, 1);
    let off = json!({"state": "off", "detail": null, "behind_s": null});
    assert_eq!(json_of(&get_from(&view, "/readyz"))["history"], off);
    *view.history.lock().unwrap() = HistoryStatus {
        state: HistoryState::Behind { detail: "disk full".to_owned(), behind_s: 90 },
        tiers: vec![(1_000, 86_400_000, 3_600_000), (10_000, 604_800_000, 3_600_000)],
        bytes: 4_096,
        bytes_max: 1 << 30,
    };
    let behind = json!({"state": "behind", "detail": "disk full", "behind_s": 90});
    let ready = get_from(&view, "/readyz");
    assert_eq!((ready.status, &json_of(&ready)["history"]), (200, &behind), "ready all the same");
    let context = context(&view);
    let snapshot = context.snapshot(true, &[]).to_vec();
    assert_eq!(serde_json::from_slice::<Value>(&snapshot).unwrap()["history"], behind);
    let whole = json_of(&get_from(&view, "/api/history"));
    assert_eq!(
        whole,
        json!({
            "state": "behind", "detail": "disk full", "behind_s": 90,
            "tiers": [
                {"resolution_ms": 1_000, "keep_ms": 86_400_000, "kept_ms": 3_600_000},
                {"resolution_ms": 10_000, "keep_ms": 604_800_000, "kept_ms": 3_600_000},
            ],
            "bytes": 4_096, "bytes_max": 1 << 30,
        })
    );
    view.history.lock().unwrap().bytes_max = 0;
    assert_eq!(json_of(&get_from(&view, "/api/history"))["bytes_max"], Value::Null);
    assert_eq!(get("/api/history?x=1").status, 400);
}

#[test]
fn metrics_are_the_newest_fifteen_of_each() {
    let body = json_of(&get("/api/metrics"));
    assert_eq!(body["hosts"].as_object().unwrap().len(), 2);
    let host = &json_of(&get("/api/metrics?host=host-0001"))["hosts"]["host-0001"];
    for metric in ["cpu", "memory", "diskio", "network", "process_count"] {
        let samples = host[metric].as_array().unwrap();
        assert_eq!(samples.len(), 15, "{metric}");
        assert_eq!(samples[14]["time_ms"], 29, "newest last");
    }
    assert_eq!(host["memory"][0]["total_bytes"], 3_000_012.345678);
}

#[test]
fn stages_say_which_is_beside_the_way() {
    let body = json_of(&get("/api/stages"));
    assert_eq!(body["window_s"], 60);
    let stages = body["stages"].as_array().unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["sent", "received", "durable", "consumed", "pushed"]);
    assert_eq!(stages[0]["from"], "sampled");
    assert_eq!((&stages[2]["beside"], stages[1].get("beside")), (&json!(true), None));
    assert_eq!(body["sampled_to_pushed"]["count"], 0);
}

#[test]
fn the_ledger_names_hosts_and_sessions() {
    let body = json_of(&get("/api/ledger"));
    assert_eq!(body["fleet"]["missing"], 2);
    assert_eq!(body["hosts"]["host-0001"]["sessions"][0]["ended"], Value::Null);
}

#[test]
fn ready_follows_the_bus() {
    let view = ScriptedView::new(1, 1);
    let check = |state, status, mut expected: Value| {
        *view.bus.lock().unwrap() = state;
        let response = get_from(&view, "/readyz");
        expected["history"] = json!({"state": "off", "detail": null, "behind_s": null});
        assert_eq!((response.status, json_of(&response)), (status, expected));
    };
    check(BusState::Ok, 200, json!({"status": "ready"}));
    let behind = BusState::CatchingUp { behind_s: 7 };
    check(behind, 503, json!({"status": "catching up", "behind_s": 7}));
    let down = BusState::Down { detail: "refused".to_owned() };
    check(down, 503, json!({"status": "bus down", "error": "refused"}));
    assert_eq!(get_from(&view, "/healthz").status, 200, "the process serves all the same");
}

#[test]
fn a_snapshot_has_everything_and_unknown_hosts_too() {
    let view = ScriptedView::new(2, 5);
    let hosts = ["host-0001".into(), "later".into()];
    let bytes = context(&view).snapshot(true, &hosts);
    let body: Value = serde_json::from_slice(&bytes.to_vec()).unwrap();
    assert_eq!((&body["run"], &body["version"]), (&json!("run"), &json!("1.2.3")));
    assert_eq!(body["bus"], json!({"state": "ok", "detail": null, "behind_s": null}));
    assert_eq!(body["counts"], json!({"scripted_dropped_total": 3}));
    assert_eq!(body["summary"]["columns"].as_array().unwrap().len(), 11);
    assert_eq!(body["summary"]["hosts"][0]["spark"].as_array().unwrap().len(), 60);
    let window = &body["hosts"][0]["window"];
    assert_eq!(window["time_ms"].as_array().unwrap().len(), 5);
    assert_eq!(window["series"][3]["unit"], "percent");
    assert_eq!(window["series"][3]["values"], json!([0, 0.14286, 0.28571, 0.42857, 0.57143]));
    assert_eq!(body["hosts"][1], json!({"summary": null, "host": "later"}));
    let alone: Value =
        serde_json::from_slice(&context(&view).snapshot(false, &[]).to_vec()).unwrap();
    assert!(alone.get("summary").is_none());
}

#[test]
fn files_are_compressed_and_asked_for_once() {
    static FILE: Asset = Asset {
        path: "a.js",
        content_type: "text/javascript",
        etag: "\"abc\"",
        bytes: b"plain",
        gzip: Some(b"gz"),
    };
    let ask = |if_none_match, accept_encoding| {
        let request = Request {
            method: Method::Get,
            target: "/",
            if_none_match,
            accept: None,
            accept_encoding,
        };
        let response = asset_response(&FILE, &request);
        let encoding = response.headers.iter().find(|(name, _)| *name == "Content-Encoding");
        (response.status, response.body.to_vec(), encoding.map(|(_, value)| value.clone()))
    };
    assert_eq!(ask(None, None), (200, b"plain".to_vec(), None));
    assert_eq!(ask(None, Some("br, gzip")), (200, b"gz".to_vec(), Some("gzip".to_owned())));
    assert_eq!(ask(None, Some("gzip;q=0, br")).1, b"plain");
    assert_eq!(ask(Some("\"abc\""), Some("gzip")), (304, Vec::new(), None));
    assert_eq!(ask(Some("W/\"x\", W/\"abc\""), None).0, 304);
    assert_eq!(ask(Some("\"other\""), None).0, 200);
}

#[test]
fn the_page_carries_the_snapshot_when_it_is_embedded() {
    let response = get("/");
    let Some(index) = assets::find("index.html") else {
        assert_eq!(response.status, 404);
        return;
    };
    assert_eq!(response.status, 200);
    let text = String::from_utf8(response.body.to_vec()).unwrap();
    let has_place = String::from_utf8_lossy(index.bytes).contains(assets::SNAPSHOT_PLACEHOLDER);
    assert!(has_place, "index.html has the placeholder");
    assert!(text.contains("\"version\":\"1.2.3\"") && text.contains("web \\u003c1>"));
}

#[test]
fn a_large_page_is_compressed_for_who_accepts_it() {
    let view = ScriptedView::new(500, 1);
    let context = context(&view);
    let get = |accept_encoding| {
        let target = "/";
        let request = Request {
            method: Method::Get,
            target,
            if_none_match: None,
            accept: None,
            accept_encoding,
        };
        answer(&request, &context)
    };
    let plain = get(None);
    if plain.status != 200 {
        return;
    }
    assert_eq!(header(&plain, "Vary"), Some("Accept-Encoding"));
    let small = get(Some("gzip"));
    assert_eq!(header(&small, "Content-Encoding"), Some("gzip"));
    assert!(small.body.len() < plain.body.len() / 5, "{} bytes", small.body.len());
    let mut again = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(small.body.reader());
    std::io::Read::read_to_end(&mut decoder, &mut again).unwrap();
    assert_eq!(again, plain.body.to_vec());
}

#[test]
fn a_scraper_gets_counters_the_account_and_hosts_in_the_format_it_asks_for() {
    let view = ScriptedView::new(3, 1);
    view.states.lock().unwrap().insert("host-0001".into(), HostState::Stale);
    let ask = |accept| {
        let (method, target) = (Method::Get, "/metrics");
        let request =
            Request { method, target, if_none_match: None, accept, accept_encoding: None };
        let response = answer(&request, &context(&view));
        let kind = response.headers.iter().find(|(name, _)| *name == "Content-Type").unwrap();
        (kind.1.clone(), String::from_utf8(response.body.to_vec()).unwrap())
    };
    let (kind, text) = ask(None);
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "# TYPE monitor_http_live_viewers_joined_total counter",
        "monitor_http_live_viewers_joined_total 0",
        "# TYPE monitor_ledger_frames gauge",
        "monitor_hosts{state=\"live\"} 2",
        "monitor_hosts{state=\"stale\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let fleet = json_of(&get_from(&view, "/api/ledger"))["fleet"].clone();
    for (account, frames) in fleet.as_object().unwrap() {
        let line = format!("monitor_ledger_frames{{account=\"{account}\"}} {frames}");
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let (kind, open) = ask(Some("application/openmetrics-text;version=1.0.0,*/*;q=0.1"));
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.contains("# TYPE monitor_http_live_viewers_joined counter\n"), "{open}");
    assert!(open.contains("\nmonitor_http_live_viewers_joined_total 0\n"), "{open}");
    assert!(open.ends_with("\n# EOF\n"), "{open}");
}
