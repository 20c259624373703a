//! One viewer's connection, from its first byte to its last; runs on a thread of its own.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::head::{self, Head};
use super::refusal::{self, Refusal};
use super::registry::Slot;
use super::relay::{self, PastDoor};
use super::stream::Stream;
use super::upstream::{Answer, Upstream, UpstreamError};
use crate::http::counts::HttpCounts;
use crate::http::methods;
use crate::http::policy::KnownNames;

/// From the first byte of a request to the last of its head, and again for its body.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a viewer may keep a connection without asking for anything. Browsers keep theirs for
/// minutes; opening one anew costs a round trip.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// From the request being complete to the answer being whole in memory.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// For the viewer to take it: 8 MiB at 1.1 Mbit/s.
const WRITE_TIME_MAX: Duration = Duration::from_secs(60);

/// Answers up to this size are sent with their head in one write.
const JOINED_BYTES_MAX: usize = 32 * 1024;

/// A viewer who asks for a live stream leaves the gate with its connection.
pub(crate) trait LiveDoor: std::fmt::Debug + Send + Sync {
    /// Takes the connection over, or gives it back with the reason.
    ///
    /// # Errors
    /// The query is wrong, or there are too many viewers.
    fn join(&self, stream: Stream, slot: Slot, query: &str) -> Result<(), (Stream, Refusal)>;
}

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) upstream: Upstream,
    pub(crate) live: Arc<dyn LiveDoor>,
    pub(crate) past: Arc<dyn PastDoor>,
    pub(crate) names: KnownNames,
    pub(crate) counts: Arc<HttpCounts>,
    pub(crate) stopping: AtomicBool,
}

/// What became of one request.
pub(super) enum Outcome {
    /// Answered; the connection can be used again.
    Again,
    /// Answered, or not worth an answer; the connection ends.
    Close,
    /// Answer this, then end.
    Refuse(Refusal),
}

/// Why reading stopped before there was a request.
enum Unread {
    /// The viewer left, or never asked for anything: nothing to say.
    Gone,
    Refused(Refusal),
}

/// Answers requests until one side has had enough.
pub(crate) fn serve(mut stream: Stream, slot: Slot, shared: &Shared) {
    // What was read beyond the request being answered: the next one.
    let mut input = Vec::new();
    let mut is_first = true;
    loop {
        let outcome = match read_head(&mut stream, &mut input, is_first) {
            Err(Unread::Gone) => Outcome::Close,
            Err(Unread::Refused(refusal)) => Outcome::Refuse(refusal),
            Ok(head) => {
                shared.counts.requests.increment();
                if head.path() == "/api/live" {
                    return go_live(stream, slot, &head, shared);
                }
                request(&mut stream, &slot, &mut input, &head, shared)
            }
        };
        match outcome {
            Outcome::Again => slot.waiting(),
            Outcome::Close => return,
            Outcome::Refuse(refusal) => return refuse(stream, &refusal, shared),
        }
        is_first = false;
    }
}

/// Reads up to the end of a head and parses it; what follows stays in `input`.
fn read_head(stream: &mut Stream, input: &mut Vec<u8>, is_first: bool) -> Result<Head, Unread> {
    let mut seen = 0;
    let idle = if is_first { HEAD_TIME_MAX } else { IDLE_TIME_MAX };
    let mut by = Instant::now() + if input.is_empty() { idle } else { HEAD_TIME_MAX };
    loop {
        if let Some(end) = head::end_of_head(input, seen).map_err(Unread::Refused)? {
            let head = head::parse(&input[..end]).map_err(Unread::Refused)?;
            input.drain(..end);
            return Ok(head);
        }
        // The last byte is looked at again: it may be a CR whose LF is still to come.
        seen = input.len().saturating_sub(1);
        let mut buffer = [0; 4096];
        match stream.read_by(&mut buffer, by) {
            Ok(0) => return Err(Unread::Gone),
            Ok(count) => {
                if input.is_empty() {
                    by = Instant::now() + HEAD_TIME_MAX;
                }
                input.extend_from_slice(&buffer[..count]);
            }
            Err(error) if error.kind() == ErrorKind::TimedOut && !input.is_empty() => {
                let error = "the head of the request did not come within 10 s";
                return Err(Unread::Refused(Refusal::new(408, error, "a whole head at once")));
            }
            Err(_) => return Err(Unread::Gone),
        }
    }
}

/// Reads the body, gets the answer and writes it.
fn request(
    stream: &mut Stream,
    slot: &Slot,
    input: &mut Vec<u8>,
    head: &Head,
    shared: &Shared,
) -> Outcome {
    if !shared.names.contains(&head.host) {
        return Outcome::Refuse(misdirected(&head.host, &shared.names));
    }
    if let Some(refusal) = forbidden(head, &shared.names) {
        return Outcome::Refuse(refusal);
    }
    let body = match read_body(stream, input, head) {
        Ok(body) => body,
        Err(Unread::Gone) => return Outcome::Close,
        Err(Unread::Refused(refusal)) => return Outcome::Refuse(refusal),
    };
    slot.answering();
    if head.path() == "/api/query" {
        return relay::answer(stream, head, shared);
    }
    match shared.upstream.exchange(head, &body, Instant::now() + ANSWER_TIME_MAX) {
        Ok(answer) => {
            let keep_alive = head.keep_alive && !shared.stopping.load(Ordering::Relaxed);
            if write_answer(stream, &answer, keep_alive).is_err() {
                shared.counts.answers_abandoned.increment();
                return Outcome::Close;
            }
            shared.counts.answers.increment();
            if keep_alive { Outcome::Again } else { Outcome::Close }
        }
        Err(error) => {
            shared.counts.answers_failed.increment();
            Outcome::Refuse(failed(error))
        }
    }
}

fn read_body(stream: &mut Stream, input: &mut Vec<u8>, head: &Head) -> Result<Vec<u8>, Unread> {
    let by = Instant::now() + BODY_TIME_MAX;
    let length = head.content_length;
    if head.expects_continue && input.len() < length {
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        stream.write_all_by(go_on, by).map_err(|_| Unread::Gone)?;
    }
    let mut buffer = [0; 4096];
    while input.len() < length {
        match stream.read_by(&mut buffer, by) {
            Ok(0) => return Err(Unread::Gone),
            Ok(count) => input.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                let error = "the body of the request did not come within 10 s";
                return Err(Unread::Refused(Refusal::new(408, error, "a whole body at once")));
            }
            Err(_) => return Err(Unread::Gone),
        }
    }
    let rest = input.split_off(length);
    Ok(std::mem::replace(input, rest))
}

fn write_answer(stream: &mut Stream, answer: &Answer, keep_alive: bool) -> std::io::Result<()> {
    let by = Instant::now() + WRITE_TIME_MAX;
    // A 204 has no length, and that of a 304 says nothing here.
    let length = (!matches!(answer.status, 204 | 304)).then_some(answer.content_length);
    let mut bytes = refusal::head(answer.status, length, keep_alive);
    bytes.extend_from_slice(&answer.headers);
    bytes.extend_from_slice(b"\r\n");
    let joined = answer.body.len() <= JOINED_BYTES_MAX;
    for piece in answer.body.pieces().filter(|_| joined) {
        bytes.extend_from_slice(piece);
    }
    stream.write_all_by(&bytes, by)?;
    for piece in answer.body.pieces().filter(|_| !joined) {
        stream.write_all_by(piece, by)?;
    }
    Ok(())
}

/// Hands the connection to the live streams.
fn go_live(stream: Stream, slot: Slot, head: &Head, shared: &Shared) {
    let checked = if !shared.names.contains(&head.host) {
        Err(misdirected(&head.host, &shared.names))
    } else if head.method != "GET" || head.content_length > 0 {
        Err(Refusal::method(head.path(), "a live stream is only read, with a GET without a body"))
    } else {
        Ok(())
    };
    slot.answering();
    let joined = match checked {
        Ok(()) => shared.live.join(stream, slot, head.query()),
        Err(refusal) => Err((stream, refusal)),
    };
    if let Err((stream, refusal)) = joined {
        refuse(stream, &refusal, shared);
    }
}

fn refuse(mut stream: Stream, refusal: &Refusal, shared: &Shared) {
    match refusal.status {
        408 => shared.counts.requests_late.increment(),
        400..=499 => shared.counts.requests_refused.increment(),
        _ => {}
    }
    log::debug!("http: {} {}", refusal.status, refusal.error.escape_debug());
    if stream.write_all_by(&refusal.answer(), Instant::now() + HEAD_TIME_MAX).is_ok() {
        stream.close_gently();
    }
}

/// What must not even be asked for: a change on behalf of another site's page.
fn forbidden(head: &Head, names: &KnownNames) -> Option<Refusal> {
    if methods::is_safe(&head.method) {
        return None;
    }
    if let Some(origin) = head.origin.as_ref().filter(|it| !names.allows_origin(it, &head.host)) {
        let error = format!("a page of '{origin:.64}' may not change anything here");
        return Some(Refusal::new(403, error, "the page of this server, or a program"));
    }
    (head.method == "DELETE" && head.content_length > 0)
        .then(|| Refusal::new(400, "a DELETE with a body", "the path alone says what is deleted"))
}

fn misdirected(host: &str, names: &KnownNames) -> Refusal {
    let shown: String = host.chars().take(64).collect();
    Refusal::new(421, format!("'{shown}' is not a name of this server"), names.expected())
}

fn failed(error: UpstreamError) -> Refusal {
    match error {
        UpstreamError::Late => {
            let words = "no answer could be had within 10 s";
            Refusal::new(504, words, "the same again later")
        }
        UpstreamError::OverBudget => {
            let words = "too many large answers wait for slow viewers";
            Refusal::new(
                503,
                words,
                "the same again in some seconds, or a smaller part with ?host=",
            )
        }
        UpstreamError::Broken(words) => Refusal::new(502, words, "the same again in a second"),
    }
}
