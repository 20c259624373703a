//! Frames back from the files, in the order of their numbers.

use std::io;

use super::record::Body;
use super::records::{Next, Records};
use super::store::Spool;
use crate::metric::{Frame, SeqRange, SeqRanges, SessionId, Value};
use crate::wire::frame::FrameDecoder;
use crate::wire::stored::decode_frame;

/// Most that one reading gives, as it lies in memory: a hundred frames of an ordinary host.
pub(super) const READ_BYTES_MAX: usize = 128 * 1024;

/// Where the reading goes on.
#[derive(Debug)]
pub(super) struct Cursor {
    records: Records,
    decoder: FrameDecoder,
    /// Number of the frame read last; 0 for none.
    last: u64,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct ReadBack {
    pub(super) frames: Vec<Frame>,
    /// These were asked for and are not to be had any more: damaged since they were written.
    pub(super) damaged: SeqRanges,
}

impl Cursor {
    pub(super) fn number(&self) -> u64 {
        self.records.number()
    }
}

impl Spool {
    /// Reads frames of `range` of a session, from its first on; at most [`READ_BYTES_MAX`] and
    /// from one file.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn read(&mut self, session: SessionId, range: SeqRange) -> io::Result<ReadBack> {
        let mut back = ReadBack::default();
        let holds = |segment: &&super::store::Segment| {
            segment.session == session && segment.frames.count_in(range) > 0
        };
        let Some(segment) = self.segments.iter().find(holds) else {
            back.damaged.insert_range(range);
            return Ok(back);
        };
        // What no file has before what this one has.
        let held = segment.frames.within(range).next().unwrap_or(range);
        if range.0 < held.0 {
            back.damaged.insert_range((range.0, held.0 - 1));
        }
        let goes_on = self
            .cursor
            .take()
            .filter(|cursor| cursor.number() == segment.number && cursor.last < held.0);
        let restart = segment.restarts.iter().rev().find(|restart| restart.seq <= held.0);
        let fresh = || {
            let at = restart.map_or(segment.len, |restart| restart.at);
            let decoder = FrameDecoder::new(session, &[]);
            Cursor { records: Records::new(segment.number, at), decoder, last: 0 }
        };
        let mut cursor = goes_on
            // Not all the way through what lies between.
            .filter(|cursor| restart.is_none_or(|restart| cursor.records.at() >= restart.at))
            .unwrap_or_else(fresh);
        let mut bytes = 0;
        while cursor.last < held.1 && bytes < READ_BYTES_MAX {
            let frame = match cursor.records.next(&mut *self.disk, segment.len)? {
                Next::Record(Body::State(_), _) => continue,
                Next::Record(Body::Frame { seq, is_fresh, bytes }, _) => {
                    if is_fresh {
                        cursor.decoder = FrameDecoder::new(session, &[]);
                    }
                    decode_frame(&mut cursor.decoder, bytes).ok().filter(|frame| frame.seq == seq)
                }
                Next::End | Next::Bad => None,
            };
            let Some(frame) = frame else {
                // The rest of this encoder's frames cannot be read either.
                let next = segment.restarts.iter().find(|restart| restart.at > cursor.records.at());
                let from = held.0.max(cursor.last + 1);
                let until = next.map_or(held.1, |restart| (restart.seq - 1).min(held.1));
                back.damaged.insert_range((from, until.max(from)));
                return Ok(back);
            };
            cursor.last = frame.seq;
            if frame.seq >= held.0 && frame.seq <= held.1 {
                bytes += frame.samples.len() * size_of::<Value>() + size_of::<Frame>();
                back.frames.push(frame);
            }
        }
        self.cursor = Some(cursor);
        Ok(back)
    }

    /// Nothing more is asked for now: its memory is given back.
    pub(super) fn rest(&mut self) {
        self.cursor = None;
    }
}
