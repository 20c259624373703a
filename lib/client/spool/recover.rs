//! What earlier runs left: every file is read once, a block at a time; torn ends are cut off.

use std::collections::BTreeMap;
use std::io;

use super::disk::{Disk, Whole};
use super::record::{BadHead, Body, HEAD_LEN, State, decode_head};
use super::records::{Next, Records};
use super::store::{Restart, Segment};
use crate::metric::{SeqRange, SeqRanges, SessionId};

/// Why frames that nothing accounts for are gone: they were in memory alone.
const LOST: &str = "not on disk when the client ended";

/// An earlier session whose frames or declarations wait.
#[derive(Debug, PartialEq)]
pub(in crate::client) struct Recovered {
    pub(in crate::client) session: SessionId,
    /// Last frame that is known to have been sampled.
    pub(in crate::client) last: u64,
    /// There may have been more: in memory alone, or lost with the power before it was synced.
    pub(in crate::client) tail_unknown: bool,
    /// Frames that no ack covered.
    pub(in crate::client) waiting: SeqRanges,
    /// Frames that are gone, as far as no ack covered the word of it.
    pub(in crate::client) gone: Vec<(SeqRange, String)>,
}

/// What was found in the directory.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) segments: Vec<Segment>,
    /// Oldest first.
    pub(super) sessions: Vec<Recovered>,
    /// Bytes cut off behind the last whole record of a file.
    pub(super) torn_bytes: u64,
    /// Files of a later version, or that cannot be read: left alone.
    pub(super) strange_files: u64,
    /// Larger than any file's number.
    pub(super) next_number: u64,
}

/// Reads everything.
///
/// # Errors
/// The file system's, when the files cannot be listed.
pub(super) fn recover(disk: &mut dyn Disk) -> io::Result<Found> {
    let mut numbers = disk.numbers()?;
    numbers.sort_unstable();
    let next_number = numbers.last().map_or(1, |last| last.saturating_add(1));
    let mut found = Found { next_number, ..Found::default() };
    let mut states: BTreeMap<SessionId, State> = BTreeMap::new();
    let mut order: Vec<SessionId> = Vec::new();
    for number in numbers {
        let mut tail = 0;
        match read_segment(disk, number, &mut tail) {
            Ok(Read::Segment(segment, state)) => {
                if !order.contains(&segment.session) {
                    order.push(segment.session);
                }
                // A later state says all that an earlier one said.
                states.extend(state.map(|state| (segment.session, state)));
                found.segments.push(segment);
            }
            Ok(Read::Empty) => {
                // Nothing is in it; it is met again the next time if it cannot be removed.
                let _ = disk.remove(number);
            }
            Ok(Read::Strange(version)) => {
                log::warn!(
                    "spool file {number} has version {version}, of a later program: left alone"
                );
                found.strange_files += 1;
            }
            Err(error) => {
                log::warn!("spool file {number} cannot be read: {error}; left alone");
                found.strange_files += 1;
            }
        }
        found.torn_bytes += tail;
    }
    let marks: BTreeMap<SessionId, Whole> = disk.marks()?.into_iter().collect();
    for session in marks.keys().filter(|session| !order.contains(session)) {
        // Its files are gone.
        let _ = disk.mark(*session, Whole::Unknown);
    }
    for session in order {
        let own = found.segments.iter().filter(|segment| segment.session == session);
        let state = states.remove(&session).unwrap_or_default();
        let recovered = account(session, own.map(|segment| &segment.frames), &state);
        if let Some(recovered) = recovered {
            let whole = marks.get(&session).copied().unwrap_or(Whole::Unknown);
            let tail_unknown = whole == Whole::Unknown;
            found.sessions.push(Recovered { tail_unknown, ..recovered });
        } else {
            for segment in found.segments.extract_if(.., |segment| segment.session == session) {
                let _ = disk.remove(segment.number);
            }
        }
    }
    Ok(found)
}

enum Read {
    Segment(Segment, Option<State>),
    Empty,
    Strange(u32),
}

/// Reads one file and cuts off its torn end, whose length goes to `tail`.
fn read_segment(disk: &mut dyn Disk, number: u64, tail: &mut u64) -> io::Result<Read> {
    let mut head = [0; HEAD_LEN];
    let mut len = 0;
    while len < HEAD_LEN {
        match disk.read(number, len as u64, &mut head[len..])? {
            0 => break,
            read => len += read,
        }
    }
    let session = match decode_head(&head[..len]) {
        Ok(session) => session,
        Err(BadHead::Version(version)) => return Ok(Read::Strange(version)),
        Err(BadHead::Torn) => {
            *tail = len as u64;
            return Ok(Read::Empty);
        }
    };
    let mut segment = Segment::new(number, session);
    let mut state = None;
    let mut records = Records::new(number, HEAD_LEN as u64);
    let mut has_encoder = false;
    while let Next::Record(body, at) = records.next(disk, u64::MAX)? {
        match body {
            Body::State(newer) => state = Some(newer),
            Body::Frame { seq, is_fresh, .. } => {
                // Numbers only grow, and the first frame needs an encoder's beginning.
                if segment.frames.last().is_some_and(|last| seq <= last)
                    || !(is_fresh || has_encoder)
                {
                    break;
                }
                has_encoder = true;
                segment.frames.insert(seq);
                if is_fresh {
                    segment.restarts.push(Restart { seq, at });
                }
            }
        }
        segment.len = records.at();
    }
    segment.len = segment.len.max(HEAD_LEN as u64);
    *tail = cut(disk, &mut segment);
    Ok(Read::Segment(segment, state))
}

/// Cuts off what follows the last whole record; how much that was.
fn cut(disk: &mut dyn Disk, segment: &mut Segment) -> u64 {
    let mut tail = 0;
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = disk.read(segment.number, segment.len + tail, &mut buffer) {
        tail += read as u64;
    }
    if tail > 0
        && let Err(error) = disk.cut(segment.number, segment.len)
    {
        // Whatever stands there is bad the next time too, and nothing is written behind it.
        segment.is_torn = true;
        log::debug!("the torn end of spool file {} stays: {error}", segment.number);
    }
    tail
}

/// What is left of a session; `None` when nothing has to be said of it any more.
fn account<'a>(
    session: SessionId,
    segments: impl Iterator<Item = &'a SeqRanges>,
    state: &State,
) -> Option<Recovered> {
    let kept: SeqRanges = segments.flat_map(SeqRanges::as_slice).copied().collect();
    let gone_last = state.gone.iter().map(|(range, _)| range.1).max().unwrap_or(0);
    let last = kept.last().unwrap_or(0).max(state.through).max(gone_last);
    // Not settled: what the state calls open, and all that was sampled after it was written.
    let mut open: SeqRanges = state.open.iter().map(|open| (open.0, open.1.min(last))).collect();
    open.insert_range((state.through + 1, last));
    for (range, _) in &state.gone {
        open.remove_range(*range);
    }
    let mut waiting = SeqRanges::new();
    let mut gone = state.gone.clone();
    for range in open.as_slice() {
        waiting.extend(kept.within(*range));
        gone.extend(kept.missing_in(*range).into_iter().map(|range| (range, LOST.to_owned())));
    }
    if waiting.is_empty()
        && gone.is_empty()
        && let Some(newest) = kept.last()
    {
        // Sent again, so that the server hears where the session ended.
        waiting.insert(newest);
    }
    (!waiting.is_empty() || !gone.is_empty()).then_some(Recovered {
        session,
        last,
        tail_unknown: false,
        waiting,
        gone,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::spool::store::Spool;
    use crate::client::spool::testing::MemDisk;
    use crate::client::testing::frame;
    use crate::metric::{Frame, SeriesKey};

    #[test]
    fn what_is_written_where_a_torn_end_was_is_found_again() {
        let disk = MemDisk::default();
        let open = |own| Spool::open(Box::new(disk.clone()), SessionId(own), 1 << 20).unwrap();
        let layout = [SeriesKey::plain("load1")].into_iter().collect();
        let frames: Vec<Frame> = (1..=9).map(|seq| frame(SessionId(1), seq, &layout)).collect();
        open(1).0.write(&frames, &State::default(), true).unwrap();
        // Killed in the middle of a write.
        disk.image().files.get_mut(&1).unwrap().extend_from_slice(&[7; 40]);
        let (mut spool, opened) = open(2);
        assert_eq!((opened.torn_bytes, opened.sessions[0].waiting.count()), (40, 9));
        let state = State { through: 9, open: vec![(7, 9)], gone: Vec::new() };
        spool.write_state(SessionId(1), &state, None).unwrap();
        let opened = open(3).1;
        assert_eq!((opened.torn_bytes, opened.sessions[0].waiting.as_slice()), (0, &[(7, 9)][..]));
    }
}
