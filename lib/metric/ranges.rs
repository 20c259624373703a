//! Sets of frame numbers kept as ranges, so that memory follows the holes and not the frames.

/// First and last number, both inclusive; `first <= last`.
pub type SeqRange = (u64, u64);

/// A set of frame numbers: sorted ranges that neither touch nor overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeqRanges {
    ranges: Vec<SeqRange>,
}

impl SeqRanges {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds one number; false when it was there already.
    pub fn insert(&mut self, seq: u64) -> bool {
        self.insert_range((seq, seq)) == 1
    }

    /// Adds a range; returns how many of its numbers are new. An inverted range adds nothing.
    pub fn insert_range(&mut self, (first, last): SeqRange) -> u64 {
        if first > last {
            return 0;
        }
        // The usual case: the next number of an unbroken run.
        if let Some(end) = self.ranges.last_mut().filter(|end| end.1.checked_add(1) == Some(first))
        {
            end.1 = last;
            return (last - first).saturating_add(1);
        }
        // Every range that overlaps or touches melts into the new one.
        let from = self.ranges.partition_point(|range| range.1.saturating_add(1) < first);
        let to = self.ranges.partition_point(|range| range.0 <= last.saturating_add(1));
        let mut merged = (first, last);
        let mut known = 0_u64;
        for range in &self.ranges[from..to] {
            known += overlap_len(*range, (first, last));
            merged = (merged.0.min(range.0), merged.1.max(range.1));
        }
        self.ranges.splice(from..to, [merged]);
        (last - first).saturating_add(1) - known
    }

    /// Takes a range out; returns how many of its numbers were there.
    pub fn remove_range(&mut self, (first, last): SeqRange) -> u64 {
        let from = self.ranges.partition_point(|range| range.1 < first);
        let to = self.ranges.partition_point(|range| range.0 <= last);
        if first > last || from >= to {
            return 0;
        }
        let known = self.ranges[from..to].iter().map(|range| overlap_len(*range, (first, last)));
        let removed = known.sum();
        let (head, tail) = (self.ranges[from].0, self.ranges[to - 1].1);
        let before = (head < first).then(|| (head, first - 1));
        let after = (tail > last).then(|| (last + 1, tail));
        self.ranges.splice(from..to, before.into_iter().chain(after));
        removed
    }

    /// Whether the number is in the set.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < seq);
        self.ranges.get(at).is_some_and(|range| range.0 <= seq)
    }

    /// The numbers of `range` that are not in the set.
    #[must_use]
    pub fn missing_in(&self, (first, last): SeqRange) -> Vec<SeqRange> {
        let mut missing = Vec::new();
        let mut next = first;
        let from = self.ranges.partition_point(|range| range.1 < first);
        for range in self.ranges[from..].iter().take_while(|range| range.0 <= last) {
            if next < range.0 {
                missing.push((next, range.0 - 1));
            }
            let Some(after) = range.1.checked_add(1) else { return missing };
            next = after;
        }
        if next <= last {
            missing.push((next, last));
        }
        missing
    }

    /// The numbers of `range` that are in the set.
    pub fn within(&self, (first, last): SeqRange) -> impl Iterator<Item = SeqRange> {
        let from = self.ranges.partition_point(|known| known.1 < first);
        let known = self.ranges[from..].iter().take_while(move |known| known.0 <= last);
        known.map(move |known| (known.0.max(first), known.1.min(last)))
    }

    /// How many numbers of `range` are in the set.
    #[must_use]
    pub fn count_in(&self, range: SeqRange) -> u64 {
        let from = self.ranges.partition_point(|known| known.1 < range.0);
        let known = self.ranges[from..].iter().take_while(|known| known.0 <= range.1);
        known.map(|known| overlap_len(*known, range)).sum()
    }

    /// How many numbers are in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|range| range.1 - range.0 + 1).sum()
    }

    /// The largest number in the set.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|range| range.1)
    }

    /// The smallest number in the set.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.first().map(|range| range.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, sorted; no two of them touch.
    #[must_use]
    pub fn as_slice(&self) -> &[SeqRange] {
        &self.ranges
    }

    /// Takes the oldest range out, for a bound on how many are kept.
    pub fn remove_first(&mut self) -> Option<SeqRange> {
        (!self.ranges.is_empty()).then(|| self.ranges.remove(0))
    }
}

impl Extend<SeqRange> for SeqRanges {
    fn extend<I: IntoIterator<Item = SeqRange>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert_range(range);
        }
    }
}

impl FromIterator<SeqRange> for SeqRanges {
    fn from_iter<I: IntoIterator<Item = SeqRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

fn overlap_len(a: SeqRange, b: SeqRange) -> u64 {
    let (first, last) = (a.0.max(b.0), a.1.min(b.1));
    if first > last { 0 } else { (last - first).saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::dice::Dice;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_plain_set() {
        for seed in 1..200 {
            let (mut dice, mut ranges, mut model) =
                (Dice::new(seed * 7_919), SeqRanges::new(), BTreeSet::new());
            for _ in 0..60 {
                let first = dice.below(64);
                let last = first + dice.below(8);
                let new = (first..=last).filter(|seq| model.insert(*seq)).count() as u64;
                assert_eq!(ranges.insert_range((first, last)), new, "seed {seed}");
                let first = dice.below(70);
                let last = first + dice.below(4);
                let old = (first..=last).filter(|seq| model.remove(seq)).count() as u64;
                assert_eq!(ranges.remove_range((first, last)), old, "seed {seed}");
                let touch = |pair: &[SeqRange]| pair[0].1 + 1 >= pair[1].0;
                assert!(!ranges.as_slice().windows(2).any(touch), "seed {seed}: {ranges:?}");
            }
            assert_eq!(ranges.count(), model.len() as u64, "seed {seed}");
            assert_eq!(ranges.last(), model.last().copied(), "seed {seed}");
            assert_eq!(ranges.first(), model.first().copied(), "seed {seed}");
            let within: Vec<u64> = ranges.within((9, 40)).flat_map(|(a, b)| a..=b).collect();
            assert!(within.iter().eq(model.range(9..=40)), "seed {seed}");
            for seq in 0..80 {
                assert_eq!(ranges.contains(seq), model.contains(&seq), "seed {seed}, {seq}");
            }
            let missing: Vec<u64> =
                ranges.missing_in((5, 70)).into_iter().flat_map(|(a, b)| a..=b).collect();
            let expected: Vec<u64> = (5..=70).filter(|seq| !model.contains(seq)).collect();
            assert_eq!(missing, expected, "seed {seed}");
            assert_eq!(ranges.count_in((5, 70)) as usize, 66 - missing.len(), "seed {seed}");
        }
    }

    #[test]
    fn the_ends_of_the_number_line_are_no_trap() {
        let mut ranges = SeqRanges::new();
        assert_eq!((ranges.insert_range((9, 3)), ranges.remove_range((9, 3))), (0, 0));
        assert!(ranges.insert(u64::MAX) && ranges.insert(0));
        assert!(!ranges.insert(u64::MAX));
        assert_eq!(ranges.missing_in((u64::MAX - 1, u64::MAX)), [(u64::MAX - 1, u64::MAX - 1)]);
    }
}
