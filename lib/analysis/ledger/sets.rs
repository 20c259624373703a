//! Sets of frame numbers, cut and taken apart.

use crate::metric::{SeqRange, SeqRanges};

/// What is left of a range of numbers after some sets were taken out.
#[derive(Debug, Clone)]
pub(super) struct Rest(Vec<SeqRange>);

impl Rest {
    /// All numbers of a range; nothing when it is inverted.
    pub(super) fn new(range: SeqRange) -> Self {
        Self(if range.0 <= range.1 { vec![range] } else { Vec::new() })
    }

    /// All numbers of a set.
    pub(super) fn of(set: &SeqRanges) -> Self {
        Self(set.as_slice().to_vec())
    }

    /// What is not in `set`, and how many were.
    pub(super) fn without(self, set: &SeqRanges) -> (Self, u64) {
        let before = self.count();
        let rest = Self(self.0.iter().flat_map(|range| set.missing_in(*range)).collect());
        let taken = before - rest.count();
        (rest, taken)
    }

    /// What is not in `set`, and what is.
    pub(super) fn split(self, set: &SeqRanges) -> (Self, Self) {
        let inside = self.0.iter().flat_map(|range| common(set, *range)).collect();
        (self.without(set).0, Self(inside))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(super) fn ranges(&self) -> &[SeqRange] {
        &self.0
    }
}

/// The numbers of `range` that are in `set`.
fn common(set: &SeqRanges, (first, last): SeqRange) -> Vec<SeqRange> {
    let ranges = set.as_slice();
    let from = ranges.partition_point(|range| range.1 < first);
    let touching = ranges[from..].iter().take_while(|range| range.0 <= last);
    touching.map(|range| (range.0.max(first), range.1.min(last))).collect()
}

/// The numbers of `set` below `limit`.
pub(super) fn below(set: &SeqRanges, limit: u64) -> SeqRanges {
    let Some(last) = limit.checked_sub(1) else { return SeqRanges::new() };
    collect(&common(set, (0, last)))
}

/// The numbers of `set` from `first` on.
pub(super) fn from(set: &SeqRanges, first: u64) -> SeqRanges {
    collect(&common(set, (first, u64::MAX)))
}

/// The part of a range from `first` on; inverted, and so nothing, when there is none.
pub(super) fn at_least(range: SeqRange, first: u64) -> SeqRange {
    (range.0.max(first), range.1)
}

/// One range; nothing when it is inverted.
pub(super) fn single(range: SeqRange) -> SeqRanges {
    collect(&[range])
}

/// Some ranges as a set; inverted ones add nothing.
pub(super) fn collect(ranges: &[SeqRange]) -> SeqRanges {
    let mut set = SeqRanges::new();
    for range in ranges {
        set.insert_range(*range);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_apart_without_losing_a_number() {
        let set = collect(&[(3, 5), (9, 12)]);
        let (outside, inside) = Rest::new((4, 10)).split(&set);
        assert_eq!((outside.ranges(), inside.ranges()), (&[(6, 8)][..], &[(4, 5), (9, 10)][..]));
        assert_eq!(Rest::new((4, 10)).without(&set).1, 4);
        assert_eq!(Rest::new((5, 4)).count(), 0);
        assert_eq!(below(&set, 10).as_slice(), [(3, 5), (9, 9)]);
        assert_eq!(below(&set, 0).as_slice(), []);
        assert_eq!(from(&set, 10).as_slice(), [(10, 12)]);
        assert_eq!(single((1, 0)).as_slice(), []);
    }
}
