//! What each path answers: a pure function of the request and what the view says.

use std::sync::TryLockError;

use super::assets::{self, Asset};
use super::body::Body;
use super::exposition::{self, Format};
use super::gate::{ANSWER_BYTES_MAX, RETRY_AFTER_S, Refusal};
use super::gzip;
use super::past::unknown_host;
use super::query::{self, Query};
use super::view::{
    self, HistoryDoc, HostDoc, HostLine, HostList, LedgerDoc, NewestDoc, StagesDoc, StagesOnly,
};
use crate::analysis::view::{BusState, QueryError};

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
    pub(crate) accept: Option<&'a str>,
    pub(crate) accept_encoding: Option<&'a str>,
}

/// The methods that are told apart. HEAD is answered like GET; its body is left out on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Delete,
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
        Self::refusal(&Refusal::new(status, error, expected))
    }

    fn refusal(refusal: &Refusal) -> Self {
        let response = Self::json(refusal.status, refusal.body().into());
        match refusal.status {
            405 => response.with("Allow", refusal.allow),
            503 => response.with("Retry-After", RETRY_AFTER_S),
            _ => response,
        }
    }

    /// Compressed, if that is accepted and worth it.
    fn compressed(self, request: &Request<'_>) -> Self {
        let response = self.with("Vary", "Accept-Encoding");
        let is_large = response.body.len() >= gzip::GZIP_BYTES_MIN;
        if !is_large || !gzip::is_accepted(request.accept_encoding) {
            return response;
        }
        match gzip::compressed(&response.body) {
            Ok(body) => Self { body, ..response }.with("Content-Encoding", "gzip"),
            Err(_) => response,
        }
    }
}

/// Answers one request.
pub(crate) fn answer(request: &Request<'_>, context: &Context) -> Response {
    route(request, context).unwrap_or_else(|refusal| Response::refusal(&refusal))
}

fn route(request: &Request<'_>, context: &Context) -> Result<Response, Refusal> {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    match request.method {
        Method::Get | Method::Head => {}
        Method::Delete => {
            let host = path.strip_prefix("/api/hosts/").filter(|host| !host.is_empty());
            let host = host.ok_or_else(|| Refusal::method(path, "this cannot be deleted"))?;
            return delete_host(host, query, context);
        }
        Method::Other => return Err(Refusal::method(path, "this cannot be changed so")),
    }
    match path {
        // Its query is the page's own business.
        "/" => Ok(page(context).compressed(request)),
        "/healthz" => Ok(Response::json(200, Body::embedded(br#"{"status":"ok"}"#))),
        "/readyz" => Ok(ready(context)),
        "/api/hosts" => Query::parse(query, &[]).map(|_| hosts(context)),
        "/metrics" => Ok(own_metrics(request, context).compressed(request)),
        "/api/metrics" => metrics(query, context),
        "/api/stages" => Query::parse(query, &[]).map(|_| stages(context)),
        "/api/history" => Query::parse(query, &[]).map(|_| history(context)),
        "/api/ledger" => Query::parse(query, &[]).map(|_| ledger(context)),
        _ => match (path.strip_prefix("/api/hosts/"), path.strip_prefix("/static/")) {
            (Some(host), _) => one_host(host, context),
            (_, Some(file)) => asset(file, request),
            _ => Err(not_found(path)),
        },
    }
}

fn not_found(path: &str) -> Refusal {
    let expected = "/, /api/hosts, /api/hosts/{host}, /api/metrics, /api/query, /api/live, \
                    /api/stages, /api/ledger, /api/history, /metrics, /healthz or /readyz";
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
    let gzip = asset.gzip.filter(|_| gzip::is_accepted(request.accept_encoding));
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

/// Whether it has caught up with the bus. A store that is behind does not make it unready: what is
/// live is all there, and nobody else would answer better; so that stands beside.
fn ready(context: &Context) -> Response {
    let status = context.view.history();
    let history = view::history(&status.state);
    let (status, body) = match context.view.bus_state() {
        BusState::Ok => (200, serde_json::json!({"status": "ready", "history": history})),
        BusState::CatchingUp { behind_s } => {
            let status = "catching up";
            let body = serde_json::json!({
                "status": status, "behind_s": behind_s, "history": history
            });
            (503, body)
        }
        BusState::Down { detail } => {
            let status = "bus down";
            (503, serde_json::json!({"status": status, "error": detail, "history": history}))
        }
    };
    Response::json(status, view::to_body(&body))
}

fn history(context: &Context) -> Response {
    let status = context.view.history();
    Response::json(200, view::to_body(&HistoryDoc::new(&status)))
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
    let detail = context.view.host(&name).ok_or_else(|| unknown_host(&name))?;
    let document = HostDoc::new(context.server_time_ms(), &detail);
    Ok(Response::json(200, view::to_body(&document)))
}

/// Forgets a host. Pages of other sites do not get here: see `policy.rs`.
fn delete_host(name: &str, query: &str, context: &Context) -> Result<Response, Refusal> {
    Query::parse(query, &[])?;
    if context.insecure {
        let error = "whoever reaches this address could delete hosts: it can be reached from other \
                     machines, and nothing protects it yet";
        let expected = "the same where the program listens on loopback (--listen 127.0.0.1:8003), \
                        on its machine or through an SSH forward";
        return Err(Refusal::new(403, error, expected));
    }
    let name = query::decode(name, false).ok_or_else(|| not_found(name))?;
    let name = query::host(&name)?;
    // Each waits for the store, and there are few threads.
    let _alone = match context.deleting.try_lock() {
        Ok(alone) => alone,
        // It protects nothing that a panic could have left half done.
        Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
        Err(TryLockError::WouldBlock) => {
            let error = "another host is being deleted";
            return Err(Refusal::new(503, error, "the same again in some seconds"));
        }
    };
    match context.view.delete_host(&name) {
        Ok(true) => {
            context.counts.hosts_deleted.increment();
            log::info!("http: host '{name}' was deleted, as somebody asked");
            Ok(Response { status: 204, headers: Vec::new(), body: Body::default() })
        }
        Ok(false) | Err(QueryError::UnknownHost(_)) => Err(unknown_host(&name)),
        Err(QueryError::TooMuch { what, expected }) => Err(Refusal::new(422, what, expected)),
        Err(QueryError::Store(words)) => {
            let error = format!("nothing was deleted, the history cannot be written: {words}");
            Err(Refusal::new(503, error, "the same again later; /api/history says how it is"))
        }
    }
}

fn metrics(query: &str, context: &Context) -> Result<Response, Refusal> {
    let query = Query::parse(query, &["host"])?;
    let host = query.last("host").map(query::host).transpose()?;
    let newest = context.view.newest(host.as_deref(), NEWEST_FRAMES_MAX);
    match host {
        Some(host) if newest.is_empty() => Err(unknown_host(&host)),
        _ => {
            let document = NewestDoc::new(&newest, NEWEST_SAMPLES_MAX);
            Ok(Response::json(200, view::to_body(&document)))
        }
    }
}

fn own_metrics(request: &Request<'_>, context: &Context) -> Response {
    let format = Format::accepted(request.accept);
    let text = exposition::text(context, format).into_bytes();
    Response::new(200, format.content_type(), text.into()).with("Cache-Control", "no-store")
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
