//! Segments in pieces, so that the pages of the file are full.
//!
//! redb rounds a value that is longer than a page up to a power of two, and splits a leaf in the
//! middle when it overflows. A piece that fills a leaf to the last byte avoids both: redb leaves
//! such a leaf alone when a neighbour comes. What remains of a segment is one shorter piece.
//!
//! A segment that is merged into another within the hour is cut *plain*: whole pieces, and the
//! rest last. Storing it touches no leaf but its own, for the newest segment of its tier begins
//! with a whole piece (later ones sort first, see [`SegmentKey`](super::tables::SegmentKey)).
//!
//! One that lasts is cut *packed*: the rest first, and the last piece just so long that it fills
//! up the leaf that the next older segment begins:
//!
//! ```text
//! newer: first  |  newer: whole  |  newer: last, older: first  |  older: whole  |  older: ...
//! ```
//!
//! It costs a page written anew and leaves part of a page empty for the newest one only.

use std::ops::Range;

/// Page of redb.
const PAGE_BYTES: usize = 4_096;
/// Head of a leaf, and what it keeps of each value besides: where that ends.
const LEAF_HEAD_BYTES: usize = 4;
const VALUE_END_BYTES: usize = 4;

/// Bytes before a segment's own: its length.
pub(super) const LEN_BYTES: usize = 4;

/// A shorter piece is not worth its key.
const PIECE_BYTES_MIN: usize = 128;

/// Pieces are numbered with two bytes.
const PIECES_MAX: usize = 1 << 16;

/// What is kept in pieces: how long its keys are says how long a piece may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces {
    key_bytes: usize,
}

/// Of segments.
pub(super) const OF_SEGMENTS: Pieces = Pieces::new(size_of::<super::tables::SegmentBytes>());
/// Of the log.
pub(super) const OF_LOG: Pieces = Pieces::new(size_of::<super::tables::LogBytes>());

impl Pieces {
    const fn new(key_bytes: usize) -> Self {
        Self { key_bytes }
    }

    /// A piece that fills a leaf.
    pub(super) const fn whole(self) -> usize {
        PAGE_BYTES - LEAF_HEAD_BYTES - self.pair(0)
    }

    /// Most bytes that pieces may hold.
    pub(super) const fn bytes_max(self) -> usize {
        // One less, for a last piece that fills up another's leaf.
        self.whole() * (PIECES_MAX - 1)
    }

    /// Bytes of a leaf that a piece takes with its key.
    const fn pair(self, len: usize) -> usize {
        VALUE_END_BYTES + self.key_bytes + len
    }

    /// How long a piece may be that shares a leaf with those of these lengths; 0 when none may.
    pub(super) fn room(self, others: &[usize]) -> usize {
        let taken = LEAF_HEAD_BYTES + others.iter().map(|len| self.pair(*len)).sum::<usize>();
        PAGE_BYTES.saturating_sub(taken + self.pair(0))
    }

    /// Whether pieces of these lengths fit one leaf.
    pub(super) fn share_a_leaf(self, lens: &[usize]) -> bool {
        LEAF_HEAD_BYTES + lens.iter().map(|len| self.pair(*len)).sum::<usize>() <= PAGE_BYTES
    }

    /// How long the last piece of something new may be that lands before `next`, so as to fill up
    /// that one's leaf: 0 when it is full, or when `before` (in front of the new one) or `after`
    /// (behind `next`) may be in there already.
    pub(super) fn room_before(
        self,
        before: Option<usize>,
        next: Option<usize>,
        after: Option<usize>,
    ) -> usize {
        let Some(next) = next else { return 0 };
        let shares =
            |other: Option<usize>| other.is_some_and(|other| self.share_a_leaf(&[other, next]));
        if shares(before) || shares(after) { 0 } else { self.room(&[next]) }
    }

    /// Cuts `len` bytes into whole pieces and the rest.
    pub(super) fn cut_plain(self, len: usize) -> Vec<Range<usize>> {
        let whole = self.whole();
        let starts = (0..len.max(1)).step_by(whole);
        starts.map(|start| start..len.min(start + whole)).collect()
    }

    /// Cuts `len` bytes into the rest and whole pieces, and a last piece of `room` bytes if it
    /// can be: a whole piece must stand between it and the first, or the first would land in the
    /// same leaf and split it.
    pub(super) fn cut_packed(self, len: usize, room: usize) -> Vec<Range<usize>> {
        let whole = self.whole();
        if len <= whole {
            return self.cut_plain(len);
        }
        let fills = (PIECE_BYTES_MIN..whole).contains(&room) && len > room + whole;
        let mut last = if fills { room } else { 0 };
        let mut first = (len - last) % whole;
        if first == 0 {
            first = whole;
        } else if first < PIECE_BYTES_MIN {
            // At the cost of the last one: the first has what readers ask for first.
            let missing = PIECE_BYTES_MIN - first;
            last = if fills { last - missing } else { whole - missing };
            first = PIECE_BYTES_MIN;
        }
        let mut pieces = Vec::with_capacity(len.div_ceil(whole) + 1);
        pieces.push(0..first);
        let mut at = first;
        while len - at > last {
            pieces.push(at..at + whole);
            at += whole;
        }
        if last > 0 {
            pieces.push(at..len);
        }
        pieces
    }

    /// Which pieces hold these bytes, when the first is `first` long, and how many bytes of the
    /// first of those come before them.
    pub(super) fn holding(self, first: usize, bytes: &Range<usize>) -> (Range<usize>, usize) {
        let place = |at: usize| match at.checked_sub(first) {
            None => (0, at),
            Some(behind) => (1 + behind / self.whole(), behind % self.whole()),
        };
        if bytes.is_empty() {
            return (0..0, 0);
        }
        let ((from, skip), (to, _)) = (place(bytes.start), place(bytes.end - 1));
        (from..to + 1, skip)
    }
}

/// What a segment of `len` bytes takes in the file: its pieces with their keys, and its part of
/// the branches above them (50 bytes a leaf, in pages that are two thirds full).
pub(super) fn used_bytes(len: usize) -> u64 {
    let stream = len + LEN_BYTES;
    let pieces = stream.div_ceil(OF_SEGMENTS.whole()) + 1;
    let leaf_bytes = stream + pieces * OF_SEGMENTS.pair(0);
    (leaf_bytes + leaf_bytes / 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::dice::Dice;

    #[test]
    fn a_whole_piece_fills_a_leaf_to_the_byte() {
        assert_eq!(OF_SEGMENTS.whole() + 26 + 4 + 4, 4_096);
        assert!(OF_SEGMENTS.share_a_leaf(&[OF_SEGMENTS.whole()]));
        assert!(!OF_SEGMENTS.share_a_leaf(&[OF_SEGMENTS.whole() + 1]));
        let room = OF_SEGMENTS.room(&[1_000]);
        assert!(OF_SEGMENTS.share_a_leaf(&[1_000, room]));
        assert!(!OF_SEGMENTS.share_a_leaf(&[1_000, room + 1]));
        assert_eq!(OF_SEGMENTS.room(&[OF_SEGMENTS.whole()]), 0);
    }

    #[test]
    fn a_leaf_is_filled_up_only_when_nothing_else_is_in_it() {
        let whole = OF_SEGMENTS.whole();
        let room = |before, next, after| OF_SEGMENTS.room_before(before, next, after);
        assert_eq!(room(None, None, None), 0);
        assert_eq!(room(Some(whole), Some(whole), Some(whole)), 0);
        let free = room(Some(whole), Some(1_000), Some(whole));
        assert_eq!(free, OF_SEGMENTS.room(&[1_000]));
        assert_eq!(room(None, Some(1_000), None), free);
        assert_eq!(room(Some(free), Some(1_000), None), 0);
        assert_eq!(room(None, Some(1_000), Some(free)), 0);
    }

    #[test]
    fn pieces_are_all_of_it_and_only_the_first_and_last_are_short() {
        for seed in 0..4 {
            let mut dice = Dice::new(seed);
            for _ in 0..20_000 {
                let of = if dice.one_in(3) { OF_LOG } else { OF_SEGMENTS };
                let whole = of.whole();
                let near = |dice: &mut Dice, at: usize| at + dice.below(300) as usize;
                let len = match dice.below(3) {
                    0 => dice.below(20_000) as usize,
                    1 => dice.below(400_000) as usize,
                    _ => near(&mut dice, whole * 3 - 150),
                };
                let room = dice.below(whole as u64 + 10) as usize;
                let plain = dice.one_in(3);
                let pieces = if plain { of.cut_plain(len) } else { of.cut_packed(len, room) };
                let what = format!("seed {seed}: {len} bytes, room {room}: {pieces:?}");
                assert_eq!(pieces[0].start, 0, "{what}");
                assert_eq!(pieces[pieces.len() - 1].end, len, "{what}");
                assert!(pieces.windows(2).all(|two| two[0].end == two[1].start), "{what}");
                if len > 0 {
                    check_holding(of, &pieces, &mut dice, &what);
                }
                let [first, middle @ .., last] = &pieces[..] else {
                    assert!(len <= whole, "{what}");
                    continue;
                };
                assert!((PIECE_BYTES_MIN..=whole).contains(&first.len()), "{what}");
                assert!(middle.iter().all(|piece| piece.len() == whole), "{what}");
                if plain {
                    assert_eq!(first.len(), whole, "{what}");
                    continue;
                }
                let filled = last.len() <= room && last.len() + PIECE_BYTES_MIN >= room;
                let loose = whole - last.len() <= PIECE_BYTES_MIN;
                assert!(filled && !middle.is_empty() || loose, "{what}");
            }
        }
    }

    fn check_holding(of: Pieces, pieces: &[Range<usize>], dice: &mut Dice, what: &str) {
        let len = pieces[pieces.len() - 1].end;
        let start = dice.below(len as u64) as usize;
        let end = start + 1 + dice.below((len - start) as u64) as usize;
        let (places, skip) = of.holding(pieces[0].len(), &(start..end));
        let held = pieces[places.start].start..pieces[places.end - 1].end;
        assert_eq!(held.start + skip, start, "{what}: {start}..{end}");
        assert!(pieces[places.start].contains(&start), "{what}: {start}..{end}");
        assert!(pieces[places.end - 1].contains(&(end - 1)), "{what}: {start}..{end}");
    }
}
