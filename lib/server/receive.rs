//! What one stream's messages do: checks, the server's time, and a place in the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::queue::{Queue, Waiting};
use super::session::{SEQ_MAX, Session};
use super::stream::{End, EndKind, Stream};
use super::streams::Streams;
use crate::metric::{Declaration, Frame, HostName};
use crate::wire::frame::FrameDecoder;
use crate::wire::json::FrameRecord;
use crate::wire::message::FromClient;
use crate::wire::{proto, stream};

/// How far ahead of this server's clock a frame may say it is.
const AHEAD_MS_MAX: u64 = 5 * 60 * 1_000;

/// The receiving side of one stream; lives in its future.
#[derive(Debug)]
pub(super) struct Receiver {
    streams: Arc<Streams>,
    stream: Arc<Stream>,
    /// From Hello on.
    speaker: Option<Speaker>,
    /// A frame for which there was no room yet. Nothing is read while it waits.
    held: Option<Box<Waiting>>,
}

#[derive(Debug)]
struct Speaker {
    host: HostName,
    queue: Arc<Queue>,
    decoder: FrameDecoder,
}

impl Receiver {
    pub(super) fn new(streams: Arc<Streams>, stream: Arc<Stream>) -> Self {
        Self { streams, stream, speaker: None, held: None }
    }

    /// Whether the next message may be read: there is room for what it may bring.
    pub(super) fn is_ready(&mut self) -> bool {
        if self.stream.lock().stopping {
            self.abandon_held();
            return false;
        }
        if let Some(waiting) = self.held.take() {
            if !self.queue(waiting) {
                return false;
            }
            self.streams.frames_held.fetch_sub(1, Ordering::Relaxed);
        }
        !self.stream.lock().session.as_ref().is_some_and(Session::is_full)
    }

    /// Takes one message.
    pub(super) fn take(&mut self, message: proto::CommandResponse) -> Result<(), End> {
        // Hello is the first message, and no other.
        let in_order = message.has_hello() == self.speaker.is_none();
        let decoder = self.speaker.as_mut().map(|speaker| &mut speaker.decoder);
        let message = stream::decode_from_client(message, decoder).map_err(|error| {
            let kind = if in_order { EndKind::Garbage } else { EndKind::OutOfOrder };
            End { kind, words: error.0 }
        })?;
        let welcomed = self.stream.lock().welcomed;
        match message {
            FromClient::Hello(hello) => {
                self.streams.hello(&self.stream, &hello)?;
                let earlier: Vec<_> = hello.earlier_sessions.iter().map(|it| it.session).collect();
                let state = self.stream.lock();
                let Some(session) = &state.session else { return Ok(()) };
                let host = session.described.host.clone();
                self.speaker = Some(Speaker {
                    queue: Arc::clone(self.streams.queue_of(&host)),
                    host,
                    decoder: FrameDecoder::new(hello.session, &earlier),
                });
            }
            FromClient::Unknown => self.streams.counts.messages_unknown.increment(),
            FromClient::Bye { last_seq, reason } => self.bye(last_seq, &reason)?,
            _ if !welcomed => {
                let words = "nothing but Hello may be sent before Welcome".to_owned();
                return Err(End { kind: EndKind::OutOfOrder, words });
            }
            FromClient::Frame(frame) => self.frame(*frame)?,
            FromClient::Dropped(declaration) => self.dropped(declaration)?,
            FromClient::Status(status) => self.streams.answered(&self.stream, status),
        }
        Ok(())
    }

    fn frame(&mut self, mut frame: Frame) -> Result<(), End> {
        check_seq(frame.seq)?;
        let Some(speaker) = &self.speaker else { return Ok(()) };
        let streams = &self.streams;
        let received_us = streams.clock.wall_us();
        let received_ms = received_us / 1_000;
        let clock_wrong = frame.time_ms > received_ms.saturating_add(AHEAD_MS_MAX);
        if clock_wrong {
            frame.time_ms = received_ms;
            streams.counts.clocks_wrong.increment();
        }
        if let Some(session) = &mut self.stream.lock().session {
            if session.is_torn() {
                let words = "too many holes in the frame numbers: fill them or declare them";
                return Err(End { kind: EndKind::Garbage, words: words.into() });
            }
            session.frame_received(frame.session, frame.seq);
        }
        streams.counts.frames_in.increment();
        let waiting = Box::new(Waiting {
            stream: Arc::clone(&self.stream),
            record: FrameRecord {
                host: speaker.host.clone(),
                server: streams.name.clone(),
                received_ms,
                clock_wrong,
                overtaken: false,
                frame,
            },
            received_us,
            received_at: streams.clock.monotonic(),
        });
        if !self.queue(waiting) {
            self.streams.frames_held.fetch_add(1, Ordering::Relaxed);
            self.streams.counts.streams_held.increment();
        }
        Ok(())
    }

    /// Puts a frame in the queue; false when it has to be held.
    fn queue(&mut self, waiting: Box<Waiting>) -> bool {
        let Some(speaker) = &self.speaker else { return true };
        match speaker.queue.push_frame(waiting) {
            Ok(()) => true,
            Err(waiting) => {
                self.held = Some(waiting);
                false
            }
        }
    }

    fn dropped(&mut self, declaration: Declaration) -> Result<(), End> {
        check_seq(declaration.range.1)?;
        self.streams.counts.declarations_in.increment();
        let session = declaration.session;
        if let Some(known) = &mut self.stream.lock().session {
            known.declare(declaration);
        }
        // Published at once; it counts as acknowledged after that.
        self.streams.publish_record(&self.stream, session);
        Ok(())
    }

    fn bye(&mut self, last_seq: u64, reason: &str) -> Result<(), End> {
        check_seq(last_seq.max(1))?;
        let mut state = self.stream.lock();
        let welcomed = state.welcomed;
        let Some(session) = &mut state.session else { return Ok(()) };
        session.bye(last_seq, reason);
        let id = session.described.id;
        drop(state);
        if welcomed {
            self.streams.publish_record(&self.stream, id);
        }
        self.hurry();
        Ok(())
    }

    /// The client sends nothing more; it waits for what there is to say.
    pub(super) fn close(&self) {
        self.stream.lock().close_reading();
        self.hurry();
    }

    fn hurry(&self) {
        if let Some(speaker) = &self.speaker {
            speaker.queue.hurry();
        }
    }

    fn abandon_held(&mut self) {
        if let Some(waiting) = self.held.take() {
            self.streams.frames_held.fetch_sub(1, Ordering::Relaxed);
            self.streams.counts.frames_abandoned.increment();
            if let Some(session) = &mut self.stream.lock().session {
                session.frame_abandoned(waiting.record.frame.session);
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.abandon_held();
    }
}

/// Frame numbers are what every reader of the records can hold exactly.
fn check_seq(seq: u64) -> Result<(), End> {
    if (1..=SEQ_MAX).contains(&seq) {
        return Ok(());
    }
    let words = format!("frame number {seq}: expected 1 to {SEQ_MAX}");
    Err(End { kind: EndKind::Garbage, words })
}
