//! The format of a segment file. Pure: bytes in, bytes out.
//!
//! ```text
//! file   = magic "RTMSPOOL", version u32, session u128, crc u32 of these 28 bytes; records
//! record = length u32 of the body, crc u32 of length and body, body
//! body   = 1, seq u64, frame     the first frame of an encoder: nothing before it is needed
//!        | 2, seq u64, frame     the next frame of the same encoder
//!        | 3, state              what became of the session's frames, as a whole
//! state  = through u64, count u32 x (first u64, last u64),
//!          count u32 x (first u64, last u64, length u16, reason)
//! ```
//!
//! The head stays as it is in every version. Numbers are little-endian; crc is CRC-32 (IEEE); a frame is the protobuf message of the stream.

use crate::metric::{SeqRange, SessionId};
use crate::wire::MESSAGE_BYTES_MAX;

/// Bytes before the first record.
pub(super) const HEAD_LEN: usize = 32;

/// Bytes of a record before its body.
pub(super) const RECORD_HEAD_LEN: usize = 8;

/// Longest body: the largest message, and what stands before it.
pub(super) const BODY_LEN_MAX: usize = MESSAGE_BYTES_MAX + 16;

/// Most ranges of a state, 32 KiB. What is beyond is said again after a restart, or sent again.
const STATE_RANGES_MAX: usize = 2_048;

/// Largest frame number: what every reader of the records on the bus holds exactly (2^53 - 1).
const SEQ_MAX: u64 = (1 << 53) - 1;

/// Longest reason: those of this program have 50 bytes.
const REASON_LEN_MAX: usize = 256;

const MAGIC: [u8; 8] = *b"RTMSPOOL";
const VERSION: u32 = 1;

const FRAME_FRESH: u8 = 1;
const FRAME_NEXT: u8 = 2;
const STATE: u8 = 3;

/// Why a file does not begin as it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHead {
    /// Cut short or damaged.
    Torn,
    /// Another program's version.
    Version(u32),
}

/// What became of a session's frames: every number up to `through` that is neither open nor gone
/// is settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::client) struct State {
    /// Last frame sampled.
    pub(in crate::client) through: u64,
    /// No ack covers these.
    pub(in crate::client) open: Vec<SeqRange>,
    /// Declared gone, which no ack covers yet; with the reason.
    pub(in crate::client) gone: Vec<(SeqRange, String)>,
}

/// What a record says.
#[derive(Debug, PartialEq)]
pub(super) enum Body<'a> {
    Frame { seq: u64, is_fresh: bool, bytes: &'a [u8] },
    State(State),
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// A whole record whose body is so long.
    Whole(usize),
    /// The beginning of a record that takes so many bytes.
    Part(usize),
    /// Nothing that was written by this program and not damaged since.
    Bad,
}

pub(super) fn encode_head(session: SessionId) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..28].copy_from_slice(&session.0.to_le_bytes());
    let crc = crc32fast::hash(&head[..28]);
    head[28..].copy_from_slice(&crc.to_le_bytes());
    head
}

pub(super) fn decode_head(bytes: &[u8]) -> Result<SessionId, BadHead> {
    let mut rest = bytes;
    let magic = take(&mut rest).ok_or(BadHead::Torn)?;
    let version = take(&mut rest).map(u32::from_le_bytes).ok_or(BadHead::Torn)?;
    let session = take(&mut rest).map(u128::from_le_bytes).ok_or(BadHead::Torn)?;
    let crc = take(&mut rest).map(u32::from_le_bytes).ok_or(BadHead::Torn)?;
    if magic != MAGIC || crc != crc32fast::hash(&bytes[..28]) {
        return Err(BadHead::Torn);
    }
    if version != VERSION {
        return Err(BadHead::Version(version));
    }
    Ok(SessionId(session))
}

/// Appends a record whose body `fill` appends. When that fails nothing is appended.
pub(super) fn put<E>(
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEAD_LEN]);
    if let Err(error) = fill(out) {
        out.truncate(start);
        return Err(error);
    }
    let len = ((out.len() - start - RECORD_HEAD_LEN) as u32).to_le_bytes();
    let crc = checksum(len, &out[start + RECORD_HEAD_LEN..]).to_le_bytes();
    out[start..start + 4].copy_from_slice(&len);
    out[start + 4..start + RECORD_HEAD_LEN].copy_from_slice(&crc);
    Ok(())
}

/// What stands before a frame in its record's body.
pub(super) fn frame_prefix(seq: u64, is_fresh: bool) -> [u8; 9] {
    let mut prefix = [if is_fresh { FRAME_FRESH } else { FRAME_NEXT }; 9];
    prefix[1..].copy_from_slice(&seq.to_le_bytes());
    prefix
}

/// Appends a state's body.
pub(super) fn put_state(out: &mut Vec<u8>, state: &State) {
    let range = |out: &mut Vec<u8>, range: &SeqRange| {
        out.extend_from_slice(&range.0.to_le_bytes());
        out.extend_from_slice(&range.1.to_le_bytes());
    };
    out.push(STATE);
    out.extend_from_slice(&state.through.to_le_bytes());
    let open = &state.open[..state.open.len().min(STATE_RANGES_MAX)];
    out.extend_from_slice(&(open.len() as u32).to_le_bytes());
    open.iter().for_each(|open| range(out, open));
    let gone = &state.gone[..state.gone.len().min(STATE_RANGES_MAX)];
    out.extend_from_slice(&(gone.len() as u32).to_le_bytes());
    for (gone, reason) in gone {
        range(out, gone);
        let reason = &reason.as_bytes()[..reason.len().min(REASON_LEN_MAX)];
        out.extend_from_slice(&(reason.len() as u16).to_le_bytes());
        out.extend_from_slice(reason);
    }
}

/// Looks at what the bytes begin with.
pub(super) fn front(bytes: &[u8]) -> Front {
    let mut rest = bytes;
    let (Some(len), Some(crc)) = (take::<4>(&mut rest), take::<4>(&mut rest)) else {
        return Front::Part(RECORD_HEAD_LEN);
    };
    let body = u32::from_le_bytes(len) as usize;
    // A file that was made longer and never written is full of zeros.
    if body == 0 || body > BODY_LEN_MAX {
        return Front::Bad;
    }
    match rest.get(..body) {
        Some(body) if checksum(len, body) != u32::from_le_bytes(crc) => Front::Bad,
        Some(_) => Front::Whole(body),
        None => Front::Part(RECORD_HEAD_LEN + body),
    }
}

/// Reads a body; `None` when it is none.
pub(super) fn decode_body(body: &[u8]) -> Option<Body<'_>> {
    let (kind, mut rest) = body.split_first()?;
    match *kind {
        FRAME_FRESH | FRAME_NEXT => {
            let seq = take(&mut rest)
                .map(u64::from_le_bytes)
                .filter(|seq| (1..=SEQ_MAX).contains(seq))?;
            Some(Body::Frame { seq, is_fresh: *kind == FRAME_FRESH, bytes: rest })
        }
        STATE => decode_state(rest).map(Body::State),
        _ => None,
    }
}

fn decode_state(mut rest: &[u8]) -> Option<State> {
    let range = |rest: &mut &[u8]| -> Option<SeqRange> {
        let first = u64::from_le_bytes(take(rest)?);
        let last = u64::from_le_bytes(take(rest)?);
        (0 < first && first <= last && last <= SEQ_MAX).then_some((first, last))
    };
    let through = u64::from_le_bytes(take(&mut rest)?);
    if through > SEQ_MAX {
        return None;
    }
    let mut state = State { through, ..State::default() };
    let count = u32::from_le_bytes(take(&mut rest)?) as usize;
    for _ in 0..Some(count).filter(|count| *count <= STATE_RANGES_MAX)? {
        state.open.push(range(&mut rest)?);
    }
    let count = u32::from_le_bytes(take(&mut rest)?) as usize;
    for _ in 0..Some(count).filter(|count| *count <= STATE_RANGES_MAX)? {
        let gone = range(&mut rest)?;
        let len = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let (reason, after) = rest.split_at_checked(len)?;
        rest = after;
        state.gone.push((gone, String::from_utf8_lossy(reason).into_owned()));
    }
    rest.is_empty().then_some(state)
}

fn checksum(len: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(body);
    hasher.finalize()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::dice::Dice;

    fn state() -> State {
        let gone = vec![((3, 4), "spool full".to_owned()), ((9, 9), String::new())];
        State { through: 77, open: vec![(1, 2), (50, SEQ_MAX)], gone }
    }

    fn file() -> Vec<u8> {
        let mut bytes = encode_head(SessionId(5)).to_vec();
        let filled: Result<(), ()> = put(&mut bytes, |out| {
            out.extend_from_slice(&frame_prefix(8, true));
            out.extend_from_slice(b"frame");
            Ok(())
        });
        filled.unwrap();
        let filled: Result<(), ()> = put(&mut bytes, |out| {
            put_state(out, &state());
            Ok(())
        });
        filled.unwrap();
        bytes
    }

    /// Reads like the reader of files does.
    fn bodies(bytes: &[u8]) -> Option<Vec<Body<'_>>> {
        decode_head(bytes).ok()?;
        let (mut rest, mut bodies) = (&bytes[HEAD_LEN..], Vec::new());
        while let Front::Whole(len) = front(rest) {
            let (record, after) = rest.split_at(RECORD_HEAD_LEN + len);
            bodies.push(decode_body(&record[RECORD_HEAD_LEN..])?);
            rest = after;
        }
        Some(bodies)
    }

    #[test]
    fn what_is_written_is_read() {
        let frame = Body::Frame { seq: 8, is_fresh: true, bytes: b"frame" };
        assert_eq!(bodies(&file()), Some(vec![frame, Body::State(state())]));
        assert_eq!(decode_head(&file()), Ok(SessionId(5)));
    }

    #[test]
    fn a_record_that_fails_leaves_nothing_behind() {
        let mut out = vec![1, 2];
        let failed = put(&mut out, |out| {
            out.push(9);
            Err("no")
        });
        assert_eq!((failed, &*out), (Err("no"), &[1, 2][..]));
    }

    #[test]
    fn cut_anywhere_it_gives_what_is_whole() {
        let whole = file();
        for len in 0..whole.len() {
            let bodies = bodies(&whole[..len]).map(|bodies| bodies.len());
            let frame_end = HEAD_LEN + RECORD_HEAD_LEN + 14;
            let expected = (len >= HEAD_LEN).then_some(usize::from(len >= frame_end));
            assert_eq!(bodies, expected, "{len} bytes");
        }
        assert_eq!(front(&[0; 64]), Front::Bad, "a hole in a file is no record");
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut later = encode_head(SessionId(5));
        later[8] = 2;
        let crc = crc32fast::hash(&later[..28]);
        later[28..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode_head(&later), Err(BadHead::Version(2)));
        let mut damaged = encode_head(SessionId(5));
        damaged[20] ^= 1;
        assert_eq!(decode_head(&damaged), Err(BadHead::Torn));
    }

    #[test]
    fn mutated_bytes_never_pass_and_never_panic() {
        let whole = file();
        let mut dice = Dice::new(11);
        for _ in 0..20_000 {
            let mut broken = whole.clone();
            let at = dice.below(broken.len() as u64) as usize;
            let flip = 1 + dice.below(255) as u8;
            broken[at] ^= flip;
            let read = bodies(&broken).map_or(0, |bodies| bodies.len());
            assert!(read < 2, "byte {at} ^ {flip}: damage passed for whole");
            // Behind a checksum that somebody else made.
            let body = &mut broken[HEAD_LEN + RECORD_HEAD_LEN + 14 + RECORD_HEAD_LEN..];
            body[dice.below(20) as usize] = dice.next() as u8;
            let _ = decode_body(body);
        }
    }
}
