//! The segment files of all sessions: what is in which, where the next frame goes, what must go.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;

use super::disk::{Disk, Whole};
use super::read::Cursor;
use super::record::{HEAD_LEN, State, encode_head, frame_prefix, put, put_state};
use super::recover::{Found, Recovered, recover};
use crate::metric::{Frame, SeqRanges, SessionId};
use crate::wire::frame::FrameEncoder;
use crate::wire::stored::encode_frame;

/// Segments that the limit is divided into. One is given up at a time, so up to this part of the
/// limit is not used.
const SEGMENTS: u64 = 16;

/// An encoder starts afresh after so many bytes, so that a reader finds its place by reading at
/// most this: a full frame of 60 series has 3 KiB, which is a twentieth.
const RESTART_BYTES: u64 = 64 * 1024;

/// Where an encoder began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restart {
    pub(super) seq: u64,
    pub(super) at: u64,
}

/// One file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) session: SessionId,
    /// Bytes up to the end of the last whole record.
    pub(super) len: u64,
    /// Numbers of its frames, which only grow from record to record.
    pub(super) frames: SeqRanges,
    pub(super) restarts: Vec<Restart>,
    /// Something unknown stands behind `len`, or may be lost before it: nothing is appended.
    pub(super) is_torn: bool,
}

/// The directory, and what this program knows of it.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) disk: Box<dyn Disk>,
    /// By number, and so each session's by age.
    pub(super) segments: Vec<Segment>,
    pub(super) cursor: Option<Cursor>,
    own: SessionId,
    bytes_max: u64,
    next_number: u64,
    pub(super) writer: Option<Writer>,
    /// Files, and whether their names, were written to since the last sync began.
    pub(super) unsynced: BTreeSet<u64>,
    pub(super) names_unsynced: bool,
    is_whole: bool,
    /// Earlier sessions that are whole until power is lost, and not longer before they are synced.
    unsealed: Vec<SessionId>,
}

/// What the next frame is encoded with.
#[derive(Debug)]
pub(super) struct Writer {
    number: u64,
    encoder: FrameEncoder,
    /// Where it began; `None` before its first frame.
    restarted_at: Option<u64>,
}

/// What became of frames that were to be written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Written {
    pub(super) frames: SeqRanges,
    /// Those that have no form as bytes.
    pub(super) refused: SeqRanges,
}

/// What opening brought to light.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) sessions: Vec<Recovered>,
    pub(super) torn_bytes: u64,
    pub(super) strange_files: u64,
}

impl Segment {
    pub(super) fn new(number: u64, session: SessionId) -> Self {
        let (frames, restarts) = (SeqRanges::new(), Vec::new());
        Self { number, session, len: 0, frames, restarts, is_torn: false }
    }
}

impl Spool {
    /// Reads what is there. Frames of the session `own` will be written.
    ///
    /// # Errors
    /// When the files cannot be listed.
    pub(super) fn open(
        mut disk: Box<dyn Disk>,
        own: SessionId,
        bytes_max: u64,
    ) -> io::Result<(Self, Opened)> {
        let Found { segments, sessions, torn_bytes, strange_files, next_number } =
            recover(&mut *disk)?;
        let known = sessions.iter().filter(|session| !session.tail_unknown);
        let spool = Self {
            disk,
            cursor: None,
            own,
            bytes_max,
            next_number,
            writer: None,
            // Nobody knows what a run that was killed had synced.
            unsynced: segments.iter().map(|segment| segment.number).collect(),
            names_unsynced: true,
            is_whole: false,
            unsealed: known.map(|session| session.session).collect(),
            segments,
        };
        Ok((spool, Opened { sessions, torn_bytes, strange_files }))
    }

    /// Writes frames of the own session, in the order of their numbers, and the session's state if
    /// that is due or a file begins: one write.
    ///
    /// # Errors
    /// The file system's; nothing is taken for written then.
    pub(super) fn write(
        &mut self,
        frames: &[Frame],
        state: &State,
        is_state_due: bool,
    ) -> io::Result<Written> {
        let full = self.bytes_max / SEGMENTS;
        let active = self.writer.as_ref().map(|writer| writer.number);
        let len = active.and_then(|number| self.segment(number)).map(|segment| segment.len);
        let is_new = len.is_none_or(|len| len >= full);
        if is_new {
            // The old one is done with, also when this does not work.
            self.writer = None;
            let number = self.create(self.own)?;
            let encoder = FrameEncoder::new(self.own);
            self.writer = Some(Writer { number, encoder, restarted_at: None });
        }
        let start = if is_new { 0 } else { len.unwrap_or(0) };
        let Some(writer) = &mut self.writer else { return Ok(Written::default()) };
        let number = writer.number;
        let mut bytes = if is_new { encode_head(self.own).to_vec() } else { Vec::new() };
        if is_new || is_state_due {
            put_whole_state(&mut bytes, state);
        }
        let (mut written, mut restarts) = (Written::default(), Vec::new());
        for frame in frames {
            let at = start + bytes.len() as u64;
            match writer.put(frame, at, &mut bytes) {
                Some(is_fresh) => {
                    restarts.extend(is_fresh.then_some(Restart { seq: frame.seq, at }));
                    written.frames.insert(frame.seq);
                }
                None => {
                    written.refused.insert(frame.seq);
                }
            }
        }
        if let Err(error) = self.append(number, &bytes) {
            // The encoder has gone on, the file has not.
            self.writer = None;
            return Err(error);
        }
        if let Some(segment) = self.segment_mut(number) {
            segment.restarts.extend(restarts);
            segment.frames.extend(written.frames.as_slice().iter().copied());
        }
        Ok(written)
    }

    /// Writes what became of an earlier session, or of the own one, where it outlives the file
    /// `going`.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn write_state(
        &mut self,
        session: SessionId,
        state: &State,
        going: Option<u64>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        let newest = self.segments.iter().rev().find(|segment| segment.session == session);
        let fits = |segment: &&Segment| Some(segment.number) != going && !segment.is_torn;
        let number = match newest.filter(fits) {
            Some(segment) => segment.number,
            None => {
                bytes.extend_from_slice(&encode_head(session));
                self.create(session)?
            }
        };
        put_whole_state(&mut bytes, state);
        let appended = self.append(number, &bytes);
        if appended.is_err() && self.writer.as_ref().is_some_and(|own| own.number == number) {
            self.writer = None;
        }
        appended
    }

    /// The file that has to go next so that a whole segment may still be written.
    pub(super) fn overfull(&self) -> Option<u64> {
        let active = self.writer.as_ref().map(|writer| writer.number);
        let limit = self.bytes_max - self.bytes_max / SEGMENTS;
        let oldest = self.segments.iter().find(|segment| Some(segment.number) != active)?;
        (self.bytes() > limit).then_some(oldest.number)
    }

    /// Bytes in all files.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    pub(super) fn segment(&self, number: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.number == number)
    }

    /// Removes the files of which `is_done` says so. Of the session that is written, and of any
    /// that is not `finished`, the newest stays: it says what became of the others.
    ///
    /// # Errors
    /// The file system's; the rest is for the next time.
    pub(super) fn remove_done(
        &mut self,
        is_done: impl Fn(&Segment) -> bool,
        finished: &[SessionId],
    ) -> io::Result<()> {
        let mut newest: Vec<SessionId> = Vec::new();
        let mut done = Vec::new();
        for segment in self.segments.iter().rev() {
            let is_newest = !newest.contains(&segment.session);
            if is_newest {
                newest.push(segment.session);
            }
            let is_finished = finished.contains(&segment.session);
            if is_finished || !is_newest && is_done(segment) {
                done.push(segment.number);
            }
        }
        // Oldest first: should this end half-way, the state of the session is still there.
        done.into_iter().rev().try_for_each(|number| self.remove(number))?;
        self.unsealed.retain(|session| !finished.contains(session));
        finished.iter().try_for_each(|session| self.disk.mark(*session, Whole::Unknown))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn remove(&mut self, number: u64) -> io::Result<()> {
        self.cursor.take_if(|cursor| cursor.number() == number);
        self.writer.take_if(|writer| writer.number == number);
        self.disk.remove(number)?;
        self.segments.retain(|segment| segment.number != number);
        self.unsynced.remove(&number);
        self.names_unsynced = true;
        Ok(())
    }

    /// Every frame of the own session is on disk or settled, or not. A later run tells by it
    /// whether there may have been more than it finds; a disk that cannot be written does not
    /// keep this from being said as long as a name can be removed.
    pub(super) fn set_whole(&mut self, is_whole: bool) {
        let whole = if is_whole { Whole::ThisBoot } else { Whole::Unknown };
        if self.is_whole != is_whole && self.disk.mark(self.own, whole).is_ok() {
            self.is_whole = is_whole;
            self.names_unsynced = true;
        }
    }

    /// Everything is synced, and of earlier sessions nothing more comes: what was whole until
    /// power is lost is so from now on.
    pub(super) fn seal_earlier(&mut self) {
        let disk = &mut self.disk;
        self.unsealed.retain(|session| disk.mark(*session, Whole::Always).is_err());
    }

    /// The same for the own session, of which nothing more comes either.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn seal_own(&mut self) -> io::Result<()> {
        let has_any = self.segments.iter().any(|segment| segment.session == self.own);
        if self.is_whole && has_any { self.disk.mark(self.own, Whole::Always) } else { Ok(()) }
    }

    fn create(&mut self, session: SessionId) -> io::Result<u64> {
        let number = self.next_number;
        self.disk.create(number)?;
        self.next_number += 1;
        self.names_unsynced = true;
        self.segments.push(Segment::new(number, session));
        Ok(number)
    }

    /// Appends to a file; when that fails, leaves it as it was, as well as that goes.
    fn append(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let result = self.disk.append(number, bytes);
        let Some(segment) = self.segment_mut(number) else { return result };
        let len = segment.len;
        if result.is_ok() {
            segment.len += bytes.len() as u64;
            self.unsynced.insert(number);
        } else if len < HEAD_LEN as u64 {
            // A file without a head is nothing, also to whoever finds it.
            self.segments.retain(|segment| segment.number != number);
            let _ = self.disk.remove(number);
        } else {
            // What cannot be cut off now is cut off when it is read the next time.
            let is_torn = self.disk.cut(number, len).is_err();
            if let Some(segment) = self.segment_mut(number) {
                segment.is_torn = is_torn;
            }
        }
        result
    }

    pub(super) fn segment_mut(&mut self, number: u64) -> Option<&mut Segment> {
        self.segments.iter_mut().find(|segment| segment.number == number)
    }
}

impl Writer {
    /// Appends the record of a frame that will begin at `at`; whether its encoder begins with it,
    /// or `None` when it cannot be encoded.
    fn put(&mut self, frame: &Frame, at: u64, bytes: &mut Vec<u8>) -> Option<bool> {
        let is_long = self.restarted_at.is_some_and(|start| at - start >= RESTART_BYTES);
        if !is_long && self.restarted_at.is_some() {
            let encoded = put(bytes, |out| {
                out.extend_from_slice(&frame_prefix(frame.seq, false));
                encode_frame(&mut self.encoder, frame, out)
            });
            if encoded.is_ok() {
                return Some(false);
            }
        }
        // A fresh one has all its ids still to give.
        self.encoder = FrameEncoder::new(frame.session);
        self.restarted_at = None;
        let encoded = put(bytes, |out| {
            out.extend_from_slice(&frame_prefix(frame.seq, true));
            encode_frame(&mut self.encoder, frame, out)
        });
        match encoded {
            Ok(()) => {
                self.restarted_at = Some(at);
                Some(true)
            }
            Err(error) => {
                log::error!("frame {} cannot be written to the spool: {error}", frame.seq);
                None
            }
        }
    }
}

fn put_whole_state(bytes: &mut Vec<u8>, state: &State) {
    let put: Result<(), Infallible> = put(bytes, |out| {
        put_state(out, state);
        Ok(())
    });
    let Ok(()) = put;
}
