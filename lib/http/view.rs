//! The JSON that leaves this program: one serde shape for each type of
//! [`analysis::view`](crate::analysis::view), so that those stay free of any format.
//!
//! Two rules hold everywhere: what is missing is absent (never null, never 0), unless its place in
//! a list says what it is; and a number is always finite.

mod host;
mod ledger;
mod live;
mod newest;
mod number;
mod past;

pub(crate) use host::{
    HostDoc, HostLine, HostList, UnknownHost, WatchedHost, WatchedWindow, state_word,
};
pub(crate) use ledger::{LedgerDoc, StagesDoc, StagesOnly, account};
pub(crate) use live::{
    Heartbeat, Row, SnapshotDoc, StateChange, Summary, Watched, bus, counts, frame,
};
pub(crate) use newest::NewestDoc;
pub(crate) use past::{HistoryDoc, history, write_series, write_values};

use std::io::{self, Write};

use serde::Serialize;

use super::body::Body;

/// The body of every answer that is an error.
#[derive(Debug, Serialize)]
struct ErrorDoc<'a> {
    error: &'a str,
    expected: &'a str,
}

/// What was wrong, and what would be right.
pub(crate) fn error(error: &str, expected: &str) -> Vec<u8> {
    to_bytes(&ErrorDoc { error, expected })
}

/// Any of the shapes, into whatever takes it.
///
/// # Errors
/// What `out` says.
pub(crate) fn write(out: &mut impl Write, document: &(impl Serialize + ?Sized)) -> io::Result<()> {
    serde_json::to_writer(out, document).map_err(io::Error::from)
}

/// Any of the shapes, however large.
pub(crate) fn to_body(document: &impl Serialize) -> Body {
    let mut body = Body::default();
    if let Err(error) = serde_json::to_writer(&mut body, document) {
        log::error!("http: an answer could not be written as JSON: {error}; please report this");
        return Body::from(b"null".to_vec());
    }
    body
}

/// Any of the shapes as bytes.
pub(crate) fn to_bytes(document: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    append(&mut bytes, document);
    bytes
}

/// Any of the shapes behind what is there already.
pub(crate) fn append(bytes: &mut Vec<u8>, document: &impl Serialize) {
    let start = bytes.len();
    if let Err(error) = serde_json::to_writer(&mut *bytes, document) {
        // The shapes have text keys and finite numbers only, so this cannot be reached; if it is,
        // the reader gets valid JSON.
        log::error!("http: an answer could not be written as JSON: {error}; please report this");
        bytes.truncate(start);
        bytes.extend_from_slice(b"null");
    }
}
