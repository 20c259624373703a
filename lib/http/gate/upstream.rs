//! The way to the inner server: four Unix streams, opened once and kept.
//!
//! `tiny_http` has four threads for connections and starves whatever comes on top; it also dies of
//! an accept that fails. With four streams that are opened at start and kept, neither happens: it
//! never holds more than four, and never accepts again unless one of them went wrong.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::budget::{Budget, Permit};
use super::head::Head;
use crate::http::body::Body;

/// As many as the inner server has threads for connections.
pub(crate) const STREAMS: usize = 4;

/// Largest answer. `/` and `/api/metrics` of a thousand hosts are 2 and 6 MiB.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Largest head of an answer; ours are under 1 KiB.
const ANSWER_HEAD_BYTES_MAX: usize = 8 * 1024;

/// Read at a time.
const READ_BYTES: usize = 32 * 1024;

/// Where the inner server listens now; it changes when the server is built anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) socket: PathBuf,
    pub(crate) generation: u64,
}

/// The kept streams.
#[derive(Debug)]
pub(crate) struct Upstream {
    place: Mutex<Place>,
    slots: (Sender<Option<Kept>>, Receiver<Option<Kept>>),
    budget: Arc<Budget>,
    /// Asks for the inner server to be built anew.
    rebuild: Sender<u64>,
}

#[derive(Debug)]
struct Kept {
    stream: UnixStream,
    generation: u64,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Header lines to pass on, each ending with CRLF.
    pub(crate) headers: Vec<u8>,
    /// The announced length; an answer to HEAD has one and no body.
    pub(crate) content_length: usize,
    pub(crate) body: Body,
    /// Held until the viewer has taken the answer.
    pub(crate) _permit: Permit,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    /// No stream became free, or the answer did not come, in time.
    Late,
    /// Too many large answers wait for their viewers.
    OverBudget,
    /// The inner server does not answer as it should.
    Broken(String),
}

impl Upstream {
    /// Opens the streams.
    ///
    /// # Errors
    /// The kernel's refusal to connect.
    pub(crate) fn open(
        place: Place,
        budget: Arc<Budget>,
        rebuild: Sender<u64>,
    ) -> io::Result<Self> {
        let slots = bounded(STREAMS);
        for _ in 0..STREAMS {
            let stream = UnixStream::connect(&place.socket)?;
            // There is room for exactly these.
            let _ = slots.0.try_send(Some(Kept { stream, generation: place.generation }));
        }
        Ok(Self { place: Mutex::new(place), slots, budget, rebuild })
    }

    /// The inner server was built anew; streams to the old one are not used again.
    pub(crate) fn move_to(&self, place: Place) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Sends a request and reads its whole answer. The stream is free again when this returns,
    /// however slowly the viewer takes the answer.
    pub(crate) fn exchange(
        &self,
        head: &Head,
        body: &[u8],
        by: Instant,
    ) -> Result<Answer, UpstreamError> {
        let left = by.saturating_duration_since(Instant::now());
        let slot = self.slots.1.recv_timeout(left).map_err(|_| UpstreamError::Late)?;
        let mut returned = Returned { slots: &self.slots.0, kept: None };
        let mut kept = self.usable(slot)?;
        let mut request = head.forwarded();
        request.extend_from_slice(body);
        let answer = self.talk(&mut kept.stream, &request, head.is_head(), by)?;
        // Only a stream that is in step goes back; after any error a new one is opened.
        returned.kept = Some(kept);
        Ok(answer)
    }

    /// The kept stream, or a new one when it is missing or belongs to an earlier server.
    fn usable(&self, slot: Option<Kept>) -> Result<Kept, UpstreamError> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = slot.filter(|kept| kept.generation == place.generation) {
            return Ok(kept);
        }
        match UnixStream::connect(&place.socket) {
            Ok(stream) => Ok(Kept { stream, generation: place.generation }),
            Err(error) => {
                if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) {
                    // Asked once is enough: the channel holds one request.
                    let _ = self.rebuild.try_send(place.generation);
                }
                Err(UpstreamError::Broken(format!("the inner server cannot be reached: {error}")))
            }
        }
    }

    fn talk(
        &self,
        stream: &mut UnixStream,
        request: &[u8],
        is_head: bool,
        by: Instant,
    ) -> Result<Answer, UpstreamError> {
        let mut deadline = Deadline { stream, by };
        deadline.write_all(request)?;
        let mut bytes = Vec::with_capacity(2048);
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if bytes.len() > ANSWER_HEAD_BYTES_MAX {
                return Err(broken("its head is too large"));
            }
            deadline.read_more(&mut bytes)?;
        };
        let (status, headers, content_length) = parse_head(&bytes[..end])?;
        // These never have a body, whatever their length says (RFC 9112 section 6.3).
        let bodiless = is_head || matches!(status, 100..=199 | 204 | 304);
        let body_length = if bodiless { 0 } else { content_length };
        let permit = self.budget.take(body_length).ok_or(UpstreamError::OverBudget)?;
        let mut body = Body::default();
        body.append(&bytes[end..]);
        deadline.read_body(&mut body, body_length)?;
        Ok(Answer { status, headers, content_length, body, _permit: permit })
    }
}

/// Puts the slot back, whatever happens between taking and returning it.
struct Returned<'a> {
    slots: &'a Sender<Option<Kept>>,
    kept: Option<Kept>,
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        // There is room: this slot was taken out of it.
        let _ = self.slots.try_send(self.kept.take());
    }
}

/// A stream whose every call gets what is left until a moment.
struct Deadline<'a> {
    stream: &'a mut UnixStream,
    by: Instant,
}

impl Deadline<'_> {
    fn left(&self) -> Result<Duration, UpstreamError> {
        let left = self.by.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(UpstreamError::Late)
        } else {
            Ok(left.max(Duration::from_millis(1)))
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), UpstreamError> {
        while !bytes.is_empty() {
            let left = self.left()?;
            self.stream.set_write_timeout(Some(left)).map_err(broken)?;
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => retry(error)?,
            }
        }
        Ok(())
    }

    fn read_more(&mut self, bytes: &mut Vec<u8>) -> Result<(), UpstreamError> {
        let mut buffer = [0; 8192];
        let count = self.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    fn read_body(&mut self, body: &mut Body, length: usize) -> Result<(), UpstreamError> {
        let mut missing = length.checked_sub(body.len());
        // On the heap: a connection's stack is small.
        let mut buffer = vec![0; missing.unwrap_or(0).min(READ_BYTES)];
        while let Some(left @ 1..) = missing {
            let count = self.read(&mut buffer)?;
            body.append(&buffer[..count]);
            missing = left.checked_sub(count);
        }
        missing.map(|_| ()).ok_or_else(|| broken("it sent more than it had announced"))
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, UpstreamError> {
        loop {
            let left = self.left()?;
            self.stream.set_read_timeout(Some(left)).map_err(broken)?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(broken("it ended the stream in the middle of an answer")),
                Ok(count) => return Ok(count),
                Err(error) => retry(error)?,
            }
        }
    }
}

fn retry(error: io::Error) -> Result<(), UpstreamError> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        _ => Err(broken(error)),
    }
}

fn broken(words: impl std::fmt::Display) -> UpstreamError {
    UpstreamError::Broken(format!("the inner server failed: {words}"))
}

/// Status, header lines to pass on, announced length.
fn parse_head(bytes: &[u8]) -> Result<(u16, Vec<u8>, usize), UpstreamError> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(bytes).map_err(broken)?;
    let status = response.code.unwrap_or(0);
    let (mut kept, mut content_length) = (Vec::new(), None);
    for header in response.headers.iter() {
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let text = std::str::from_utf8(header.value).unwrap_or_default();
                content_length = text.parse().ok();
            }
            // Ours to say; the inner server's name is nobody's business.
            "connection" | "server" | "transfer-encoding" => {}
            _ => {
                kept.extend_from_slice(header.name.as_bytes());
                kept.extend_from_slice(b": ");
                kept.extend_from_slice(header.value);
                kept.extend_from_slice(b"\r\n");
            }
        }
    }
    match content_length.or(matches!(status, 204 | 304).then_some(0)) {
        Some(length) if length <= ANSWER_BYTES_MAX => Ok((status, kept, length)),
        Some(_) => Err(broken("its answer is larger than 8 MiB")),
        None => Err(broken("its answer has no length")),
    }
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
