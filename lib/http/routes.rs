//! What each path answers: a pure function of the request and what the view says.

use super::assets::{self, Asset};
use super::body::Body;
use super::gate::{ANSWER_BYTES_MAX, Refusal};
use super::query::{self, Query};
use super::view::{self, HostDoc, HostLine, HostList, LedgerDoc, NewestDoc, StagesDoc, StagesOnly};
use crate::analysis::view::BusState;
use crate::metric::HostName;

pub(crate) use super::snapshot::Context;

/// Samples of each metric in `/api/metrics`.
const NEWEST_SAMPLES_MAX: usize = 15;

/// Frames looked at for them: metrics sampled half as often as the fastest still have 15.
const NEWEST_FRAMES_MAX: usize = 2 * NEWEST_SAMPLES_MAX;

/// What handlers need to know about a request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) accept_encoding: Option<&'a str>,
}

/// The methods that are told apart. HEAD is answered like GET; its body is left out on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Other,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Response {
    fn new(status: u16, content_type: &str, body: Body) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn json(status: u16, body: Body) -> Self {
        if body.len() > ANSWER_BYTES_MAX {
            let error = format!("the answer would be {} bytes long", body.len());
            return Self::error(503, &error, "one host at a time, with ?host=");
        }
        Self::new(status, "application/json", body).with("Cache-Control", "no-store")
    }

    /// `{"error":..,"expected":..}`.
    pub(crate) fn error(status: u16, error: &str, expected: &str) -> Self {
        Self::json(status, Refusal::new(status, error, expected).body().into())
    }
}

/// Answers one request.
pub(crate) fn answer(request: &Request<'_>, context: &Context) -> Response {
    route(request, context).unwrap_or_else(|refusal| {
        let response = Response::json(refusal.status, refusal.body().into());
        if refusal.status == 405 { response.with("Allow", "GET, HEAD") } else { response }
    })
}

fn route(request: &Request<'_>, context: &Context) -> Result<Response, Refusal> {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    if request.method == Method::Other {
        return Err(Refusal::new(405, "nothing can be changed here", "GET or HEAD"));
    }
    match path {
        // Its query is the page's own business.
        "/" => Ok(page(context)),
        "/healthz" => Ok(Response::json(200, Body::embedded(br#"{"status":"ok"}"#))),
        "/readyz" => Ok(ready(context)),
        "/api/hosts" => Query::parse(query, &[]).map(|_| hosts(context)),
        "/api/metrics" => metrics(query, context),
        "/api/stages" => Query::parse(query, &[]).map(|_| stages(context)),
        "/api/ledger" => Query::parse(query, &[]).map(|_| ledger(context)),
        _ => match (path.strip_prefix("/api/hosts/"), path.strip_prefix("/static/")) {
            (Some(host), _) => one_host(host, context),
            (_, Some(file)) => asset(file, request),
            _ => Err(not_found(path)),
        },
    }
}

fn not_found(path: &str) -> Refusal {
    let expected = "/, /api/hosts, /api/hosts/{host}, /api/metrics, /api/live, /api/stages, \
                    /api/ledger, /healthz or /readyz";
    Refusal::new(404, format!("there is nothing at '{path:.64}'"), expected)
}

fn page(context: &Context) -> Response {
    let Some(index) = assets::find("index.html") else {
        let error = "this program was built without its page";
        return Response::error(404, error, "a build with static/index.html, or /api/metrics");
    };
    let whole = assets::with_snapshot(index.bytes, &context.snapshot(true, &[]));
    Response::new(200, index.content_type, whole).with("Cache-Control", "no-store")
}

fn asset(path: &str, request: &Request<'_>) -> Result<Response, Refusal> {
    let Some(asset) = query::decode(path, false).and_then(|path| assets::find(&path)) else {
        let error = format!("there is no file '{path:.64}'");
        return Err(Refusal::new(404, error, "a file that / refers to"));
    };
    Ok(asset_response(asset, request))
}

/// A file; the browser asks each time and gets it when it has changed.
fn asset_response(asset: &'static Asset, request: &Request<'_>) -> Response {
    let gzip = asset.gzip.filter(|_| accepts_gzip(request.accept_encoding));
    let response = if is_known(request.if_none_match, asset.etag) {
        Response::new(304, asset.content_type, Body::default())
    } else {
        Response::new(200, asset.content_type, Body::embedded(gzip.unwrap_or(asset.bytes)))
    };
    let response = response
        .with("ETag", asset.etag)
        .with("Cache-Control", "no-cache")
        .with("Vary", "Accept-Encoding");
    match gzip {
        Some(_) if response.status == 200 => response.with("Content-Encoding", "gzip"),
        _ => response,
    }
}

/// Whether `If-None-Match` names this content (RFC 9110 section 13.1.2, weak comparison).
fn is_known(if_none_match: Option<&str>, etag: &str) -> bool {
    if_none_match.is_some_and(|header| {
        let mut tags = header.split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    })
}

/// Whether gzip is among the encodings, and not ruled out with `q=0`.
fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    accept_encoding.is_some_and(|header| {
        header.split(',').any(|item| {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality = parameters.trim().strip_prefix("q=").map(str::parse);
            name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality, Some(Ok(0.0_f64)))
        })
    })
}

fn ready(context: &Context) -> Response {
    let (status, body) = match context.view.bus_state() {
        BusState::Ok => (200, serde_json::json!({"status": "ready"})),
        BusState::CatchingUp { behind_s } => {
            (503, serde_json::json!({"status": "catching up", "behind_s": behind_s}))
        }
        BusState::Down { detail } => {
            (503, serde_json::json!({"status": "bus down", "error": detail}))
        }
    };
    Response::json(status, view::to_body(&body))
}

fn hosts(context: &Context) -> Response {
    let hosts = context.view.hosts();
    let list = HostList {
        server_time_ms: context.server_time_ms(),
        run: &context.run,
        hosts: hosts.iter().map(HostLine::new).collect(),
    };
    Response::json(200, view::to_body(&list))
}

fn one_host(name: &str, context: &Context) -> Result<Response, Refusal> {
    let name = query::decode(name, false).ok_or_else(|| not_found(name))?;
    let name = query::host(&name)?;
    let detail = context.view.host(&name).ok_or_else(|| unknown(&name))?;
    let document = HostDoc::new(context.server_time_ms(), &detail);
    Ok(Response::json(200, view::to_body(&document)))
}

fn unknown(host: &HostName) -> Refusal {
    Refusal::new(404, format!("no host '{host}' has been seen"), "a host that /api/hosts lists")
}

fn metrics(query: &str, context: &Context) -> Result<Response, Refusal> {
    let query = Query::parse(query, &["host"])?;
    let host = query.last("host").map(query::host).transpose()?;
    let newest = context.view.newest(host.as_deref(), NEWEST_FRAMES_MAX);
    match host {
        Some(host) if newest.is_empty() => Err(unknown(&host)),
        _ => {
            let document = NewestDoc::new(&newest, NEWEST_SAMPLES_MAX);
            Ok(Response::json(200, view::to_body(&document)))
        }
    }
}

fn stages(context: &Context) -> Response {
    let stages = StagesOnly::new(&context.view.stages());
    let server_time_ms = context.server_time_ms();
    Response::json(200, view::to_body(&StagesDoc { server_time_ms, stages }))
}

fn ledger(context: &Context) -> Response {
    Response::json(200, view::to_body(&LedgerDoc::new(&context.view.ledger())))
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
