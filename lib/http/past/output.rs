//! Bytes on their way to the viewer: held until it is known whether they are few, then passed on
//! in pieces, compressed where that pays.

use std::io::{self, Write};
use std::mem;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::http::gate::{Piece, Refusal};
use crate::http::gzip::{self, Encoder};

/// Bytes of a piece, and of an answer that is sent whole, with its length and not compressed.
pub(super) const PIECE_BYTES: usize = gzip::GZIP_BYTES_MIN;

/// What is held longer than this is sent at the next occasion, so that a long answer is seen to
/// come, and a viewer that has left is noticed.
const HOLD_TIME_MAX: Duration = Duration::from_millis(250);

/// What becomes of the bytes.
#[derive(Debug)]
enum Way {
    /// Nothing was sent yet.
    Undecided,
    Plain,
    Gzip(Encoder),
}

/// The way of one answer.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pieces: &'a Sender<Piece>,
    /// Header lines of the answer, if it is one.
    headers: Vec<u8>,
    may_gzip: bool,
    held: Vec<u8>,
    way: Way,
    sent_at: Instant,
}

impl<'a> Output<'a> {
    pub(super) fn new(pieces: &'a Sender<Piece>, headers: Vec<u8>, may_gzip: bool) -> Self {
        let way = Way::Undecided;
        Self { pieces, headers, may_gzip, held: Vec::new(), way, sent_at: Instant::now() }
    }

    /// Whether the viewer was told already that there is an answer.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.way, Way::Undecided)
    }

    /// A good moment to send what was held for long.
    pub(super) fn tick(&mut self) -> io::Result<()> {
        let is_due = !self.held.is_empty() && self.sent_at.elapsed() >= HOLD_TIME_MAX;
        if is_due { self.pass_on(true) } else { Ok(()) }
    }

    /// Everything was written.
    pub(super) fn end(mut self) -> io::Result<()> {
        if !self.has_begun() {
            let body = mem::take(&mut self.held);
            let headers = mem::take(&mut self.headers);
            self.send(Piece::Begin(200, headers, Some(body.len())))?;
            self.send(Piece::Bytes(body))?;
            return self.send(Piece::End);
        }
        self.pass_on(false)?;
        if let Way::Gzip(encoder) = &mut self.way {
            encoder.try_finish()?;
            let rest = mem::take(encoder.get_mut());
            self.send(Piece::Bytes(rest))?;
        }
        self.send(Piece::End)
    }

    /// Sends everything, but no end: the viewer can see that there should be more.
    pub(super) fn cut_off(mut self) -> io::Result<()> {
        self.pass_on(true)
    }

    /// Only the head is wanted.
    pub(super) fn head_alone(self) -> io::Result<()> {
        self.pieces.send(Piece::Begin(200, self.headers, None)).map_err(gone)?;
        self.pieces.send(Piece::End).map_err(gone)
    }

    /// This instead of an answer; only while [`has_begun`](Self::has_begun) is false.
    pub(super) fn refuse(self, refusal: &Refusal, head_only: bool) -> io::Result<()> {
        let body = refusal.body();
        let begin = Piece::Begin(refusal.status, refusal.headers(), Some(body.len()));
        self.pieces.send(begin).map_err(gone)?;
        if !head_only {
            self.pieces.send(Piece::Bytes(body)).map_err(gone)?;
        }
        self.pieces.send(Piece::End).map_err(gone)
    }

    /// Sends what is held, at once or as the compression finds it worth sending.
    fn pass_on(&mut self, at_once: bool) -> io::Result<()> {
        if !self.has_begun() {
            let mut headers = mem::take(&mut self.headers);
            self.way = if self.may_gzip {
                headers.extend_from_slice(b"Content-Encoding: gzip\r\n");
                Way::Gzip(gzip::encoder())
            } else {
                Way::Plain
            };
            self.send(Piece::Begin(200, headers, None))?;
        }
        let ready = match &mut self.way {
            Way::Gzip(encoder) => {
                encoder.write_all(&self.held)?;
                self.held.clear();
                if at_once {
                    encoder.flush()?;
                }
                let is_enough = at_once || encoder.get_ref().len() >= PIECE_BYTES;
                if is_enough { mem::take(encoder.get_mut()) } else { Vec::new() }
            }
            _ => mem::take(&mut self.held),
        };
        if ready.is_empty() { Ok(()) } else { self.send(Piece::Bytes(ready)) }
    }

    fn send(&mut self, piece: Piece) -> io::Result<()> {
        self.pieces.send(piece).map_err(gone)?;
        self.sent_at = Instant::now();
        Ok(())
    }
}

/// The viewer's side was closed.
fn gone<T>(_: T) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.capacity() == 0 && self.has_begun() {
            self.held.reserve_exact(PIECE_BYTES + 1024);
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() >= PIECE_BYTES {
            self.pass_on(false)?;
        }
        Ok(bytes.len())
    }

    /// When something is sent is not for the writer of a format to say.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
