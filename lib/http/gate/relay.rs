//! An answer that is passed on as it is made, because it may be too large to be held whole: one
//! side makes pieces of it, this one hands them to the viewer.
//!
//! It does not go through the inner server. That one would hold one of its four streams, and a
//! thread that nobody can interrupt, for as long as the viewer reads; it learns that the viewer has
//! left only when it has something to write; and what fails in the middle it ends with the same
//! last chunk as what is whole. Here the connection's own thread waits for the next piece *and* for
//! the viewer to leave, and whoever makes the pieces is told by the closing of their channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::budget::Permit;
use super::connection::{Outcome, Shared};
use super::head::Head;
use super::refusal::{self, Refusal};
use super::stream::Stream;
use crate::http::counts::HttpCounts;

/// How long a question waits for its turn. Who looks at a chart waits no longer.
const QUERY_WAIT_TIME_MAX: Duration = Duration::from_secs(5);

/// From its turn to the last byte taken: 16 MiB, which compressed hold 3 million points, at 1.1
/// Mbit/s. As long an answer may keep the store from reusing the space of what it has read.
const QUERY_TIME_MAX: Duration = Duration::from_secs(120);

/// For the viewer to take one piece of some 32 KiB: slower is too slow to ever end in time.
const PIECE_TIME_MAX: Duration = Duration::from_secs(10);

/// How often a waiting thread looks whether its viewer is still there.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// What is asked of the past.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Parameters, still encoded.
    pub(crate) query: &'a str,
    pub(crate) accept_encoding: Option<&'a str>,
    /// The head of the answer is enough.
    pub(crate) head_only: bool,
}

/// Where questions to the past are asked.
pub(crate) trait PastDoor: std::fmt::Debug + Send + Sync {
    /// Puts the question into the line.
    ///
    /// # Errors
    /// It is wrong, or the line is full.
    fn ask(&self, question: &Question<'_>) -> Result<Pieces, Refusal>;
}

/// A part of an answer. In order: `Started`, `Begin`, any number of `Bytes`, `End`; a channel that
/// closes before `End` is an answer that could not be finished.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Its turn has come.
    Started,
    /// Status, header lines each ending with CRLF, and the length if it is known.
    Begin(u16, Vec<u8>, Option<usize>),
    Bytes(Vec<u8>),
    End,
}

/// An answer that is being made. Dropping it ends the making.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) receiver: Receiver<Piece>,
    /// Set when nobody waits for the answer any more: seen where nothing is to be sent for long.
    pub(crate) is_unwanted: Arc<AtomicBool>,
    /// What may wait in the channel, until the viewer has it.
    pub(crate) _permit: Permit,
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }
}

/// Why there is no next piece.
enum Silence {
    /// The viewer left.
    Gone,
    Late,
    /// Nobody makes it any more.
    Broken,
}

/// Answers one question.
pub(super) fn answer(stream: &mut Stream, head: &Head, shared: &Shared) -> Outcome {
    let keep_alive = head.keep_alive && !shared.stopping.load(Ordering::Relaxed);
    let refuse = |stream: &mut Stream, refusal: &Refusal| {
        let bytes = refusal.answer_and(keep_alive, !head.is_head());
        let written = stream.write_all_by(&bytes, Instant::now() + PIECE_TIME_MAX);
        outcome(written.map_err(|_| Silence::Gone), keep_alive, &shared.counts)
    };
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return refuse(stream, &Refusal::method(head.path(), "the past is only read"));
    }
    let question = Question {
        query: head.query(),
        accept_encoding: head.header("accept-encoding"),
        head_only: head.is_head(),
    };
    let pieces = match shared.past.ask(&question) {
        Ok(pieces) => pieces,
        Err(refusal) => return refuse(stream, &refusal),
    };
    let mut by = Instant::now() + QUERY_WAIT_TIME_MAX;
    let mut has_started = false;
    let begun = loop {
        match next(stream, &pieces, by) {
            Ok(Piece::Started) => {
                (has_started, by) = (true, Instant::now() + QUERY_TIME_MAX);
            }
            Ok(Piece::Begin(status, headers, length)) => break Ok((status, headers, length)),
            Ok(_) => break Err(Silence::Broken),
            Err(silence) => break Err(silence),
        }
    };
    let (status, headers, length) = match begun {
        Ok(begun) => begun,
        Err(Silence::Gone) => return outcome(Err(Silence::Gone), false, &shared.counts),
        Err(silence) => return refuse(stream, &unanswered(silence, has_started, &shared.counts)),
    };
    let framing = Framing::of(head, length);
    let keep_alive = keep_alive && framing != Framing::UntilClose;
    let mut bytes = refusal::head(status, length, keep_alive);
    if framing == Framing::Chunked {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    bytes.extend_from_slice(&headers);
    bytes.extend_from_slice(b"\r\n");
    let passed = pass_on(stream, &pieces, bytes, framing, by);
    outcome(passed, keep_alive, &shared.counts)
}

/// Writes the head and every piece that follows.
fn pass_on(
    stream: &mut Stream,
    pieces: &Pieces,
    head: Vec<u8>,
    framing: Framing,
    by: Instant,
) -> Result<(), Silence> {
    let mut bytes = head;
    loop {
        let is_end = match next(stream, pieces, by)? {
            Piece::Bytes(piece) => {
                framing.append(&mut bytes, &piece);
                false
            }
            Piece::End => {
                bytes.extend_from_slice(framing.end());
                true
            }
            Piece::Started | Piece::Begin(..) => return Err(Silence::Broken),
        };
        let soon = Instant::now() + PIECE_TIME_MAX;
        stream.write_all_by(&bytes, by.min(soon)).map_err(|_| Silence::Gone)?;
        if is_end {
            return Ok(());
        }
        bytes.clear();
    }
}

/// The next piece, unless the viewer leaves before it comes.
fn next(stream: &Stream, pieces: &Pieces, by: Instant) -> Result<Piece, Silence> {
    loop {
        let left = by.saturating_duration_since(Instant::now());
        match pieces.receiver.recv_timeout(left.min(PROBE_INTERVAL)) {
            Ok(piece) => return Ok(piece),
            Err(RecvTimeoutError::Disconnected) => return Err(Silence::Broken),
            Err(RecvTimeoutError::Timeout) if stream.has_left() => return Err(Silence::Gone),
            Err(RecvTimeoutError::Timeout) if left <= PROBE_INTERVAL => return Err(Silence::Late),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// What is said when nothing was said yet.
fn unanswered(silence: Silence, has_started: bool, counts: &HttpCounts) -> Refusal {
    match silence {
        Silence::Broken => {
            counts.answers_failed.increment();
            let error = "a fault of this program; it was logged";
            Refusal::new(500, error, "please report it")
        }
        _ if has_started => {
            counts.answers_failed.increment();
            let error = format!("no answer could be had within {} s", QUERY_TIME_MAX.as_secs());
            Refusal::new(504, error, "a shorter range, fewer hosts or fewer metrics")
        }
        _ => {
            counts.queries_refused.increment();
            let seconds = QUERY_WAIT_TIME_MAX.as_secs();
            let error = format!("other queries took longer than {seconds} s");
            Refusal::new(503, error, "the same again in some seconds")
        }
    }
}

/// Counts what became of an answer.
fn outcome(written: Result<(), Silence>, keep_alive: bool, counts: &HttpCounts) -> Outcome {
    match written {
        Ok(()) => counts.answers.increment(),
        Err(Silence::Gone) => counts.answers_abandoned.increment(),
        Err(Silence::Late) => counts.answers_failed.increment(),
        // Counted and logged where it was to be made.
        Err(Silence::Broken) => {}
    }
    if written.is_ok() && keep_alive { Outcome::Again } else { Outcome::Close }
}

/// How a viewer knows where an answer ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// It has a length, or no body.
    Length,
    Chunked,
    /// HTTP/1.0 knows nothing better.
    UntilClose,
}

impl Framing {
    fn of(head: &Head, length: Option<usize>) -> Self {
        if length.is_some() || head.is_head() {
            Self::Length
        } else if head.is_1_1 {
            Self::Chunked
        } else {
            Self::UntilClose
        }
    }

    fn append(self, bytes: &mut Vec<u8>, piece: &[u8]) {
        // A chunk without anything in it would be the last one.
        if self == Self::Chunked && !piece.is_empty() {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        } else {
            bytes.extend_from_slice(piece);
        }
    }

    fn end(self) -> &'static [u8] {
        if self == Self::Chunked { b"0\r\n\r\n" } else { b"" }
    }
}
