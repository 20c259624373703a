//! How far one host has been accounted for, and what of it is in no closed chunk yet.
//!
//! Two marks, both offsets of the host's partition. Up to `through` every record is in the host's
//! accounts and in its open or closed chunks; up to `shown` it is in the live window. Reading the
//! partition again, after a restart or because the disk was full, changes nothing below a mark:
//! that is how a record that is read twice is counted once, whatever it holds.

use std::time::Duration;

use super::open::{Open, Taken};
use crate::analysis::live::Row;
use crate::metric::{SeqRanges, SessionId};

/// Sessions of one host whose frames are being read again.
const REPLAYED_SESSIONS_MAX: usize = 16;

/// Ranges remembered of each: a replay is in order but for what clients sent again.
const REPLAYED_RANGES_MAX: usize = 256;

/// What is known of a record before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) struct Seen {
    /// It is in the accounts and in a chunk.
    pub(in crate::analysis) counted: bool,
    /// It is in the live window.
    pub(in crate::analysis) shown: bool,
}

impl Seen {
    /// Never seen.
    pub(in crate::analysis) const NEW: Self = Self { counted: false, shown: false };
}

/// One host's marks and open frames.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Track {
    pub(super) open: Open,
    /// Being made into segments; still to be seen by queries.
    pub(super) closing: Option<Taken>,
    pub(super) through: Option<u64>,
    shown: Option<u64>,
    /// The first record that is in no closed chunk, and when it came (monotonic).
    pub(super) pinned: Option<(u64, Duration)>,
    replayed: Vec<(SessionId, SeqRanges)>,
    /// CRC of the description that is on disk.
    pub(super) described: Option<u32>,
    /// Time of the newest frame, Unix ms.
    pub(super) seen_ms: u64,
    /// Time of the earliest frame that came since the start, Unix ms.
    pub(super) first_ms: Option<u64>,
}

impl Track {
    /// A host that is on disk up to an offset.
    pub(super) fn restored(through: Option<u64>, seen_ms: u64, described: Option<u32>) -> Self {
        Self { through, seen_ms, described, ..Self::default() }
    }

    /// A record is about to be handled.
    pub(in crate::analysis) fn arrives(&mut self, offset: u64, now: Duration) -> Seen {
        let below = |mark: Option<u64>| mark.is_some_and(|mark| offset <= mark);
        let seen = Seen { counted: below(self.through), shown: below(self.shown) };
        if !seen.counted {
            self.through = Some(offset);
            self.pinned.get_or_insert((offset, now));
            self.replayed.clear();
        }
        if !seen.shown {
            self.shown = Some(offset);
        }
        seen
    }

    /// Whether the live window has everything up to the newest record that is accounted for. After
    /// a restart the topic is read again for it from its older end, and until then what it has of
    /// the newest quarter of an hour ends in the middle.
    pub(super) fn is_shown(&self) -> bool {
        self.shown >= self.through
    }

    /// A frame that the accounts call new.
    pub(in crate::analysis) fn keep(
        &mut self,
        session: SessionId,
        row: Row,
        offset: u64,
        now: Duration,
    ) {
        self.seen_ms = self.seen_ms.max(row.time_ms);
        self.first_ms = Some(self.first_ms.unwrap_or(u64::MAX).min(row.time_ms));
        self.open.push(row, session, offset, now);
    }

    /// A frame that was counted before is read again; false when it is read again twice.
    pub(in crate::analysis) fn replays(&mut self, session: SessionId, row: Row) -> bool {
        let at = self.replayed.iter().position(|(known, _)| *known == session);
        let at = at.unwrap_or_else(|| {
            if self.replayed.len() == REPLAYED_SESSIONS_MAX {
                self.replayed.remove(0);
            }
            self.replayed.push((session, SeqRanges::new()));
            self.replayed.len() - 1
        });
        let ranges = &mut self.replayed[at].1;
        if !ranges.insert(row.seq) {
            return false;
        }
        if ranges.as_slice().len() > REPLAYED_RANGES_MAX {
            ranges.remove_first();
        }
        self.open.note_replayed(row, session);
        true
    }

    /// The oldest offset that is read again after a crash, because it is in no closed chunk.
    pub(super) fn first_offset(&self) -> Option<u64> {
        // Session records count too: they are in the accounts of the next chunk.
        self.pinned.map(|(offset, _)| offset)
    }

    /// Offsets mean nothing any more: the topic was made anew.
    pub(super) fn forget_offsets(&mut self) {
        (self.through, self.shown) = (None, None);
        // What is open stands at the beginning of the new topic, until it is on disk.
        self.pinned = self.pinned.map(|(_, at)| (0, at));
        self.replayed.clear();
    }

    /// Back to what is on disk: everything after it will be read again, and not shown again.
    pub(in crate::analysis) fn go_back(&mut self, to: Self) {
        let shown = self.shown;
        *self = Self { shown, ..to };
    }

    /// Notes the description that goes to disk; whether it has to.
    pub(in crate::analysis) fn describes(&mut self, row: &[u8]) -> bool {
        let crc = Some(crc32fast::hash(row));
        std::mem::replace(&mut self.described, crc) != crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_being_read_again_is_not_whole() {
        let now = Duration::ZERO;
        let mut track = Track::default();
        assert!(track.is_shown(), "there is nothing that could be missing");
        track.arrives(7, now);
        assert!(track.is_shown());
        let mut track = Track::restored(Some(9), 0, None);
        assert!(!track.is_shown());
        assert_eq!(track.arrives(3, now), Seen { counted: true, shown: false });
        assert!(!track.is_shown(), "more is on disk than was read again");
        track.arrives(9, now);
        assert!(track.is_shown());
        track.arrives(10, now);
        assert!(track.is_shown());
        // The disk was full: what is read again stands in the window already.
        track.go_back(Track::restored(Some(9), 0, None));
        assert!(track.is_shown());
        track.forget_offsets();
        assert!(track.is_shown());
    }
}
