//! What columns stand on: groups and spans, and the bytes that were read.

use std::borrow::Cow;

use super::layout::Place;
use super::{Group, Spans};
use crate::analysis::history::column::{Corrupt, Unpacker, integers, part};
use crate::analysis::live::bits::Source;

/// Blocks that have been read and verified.
#[derive(Debug)]
pub(super) struct Body<'a> {
    directory: &'a [u8],
    /// Where each begins, counted from the head; ascending.
    runs: Vec<(usize, Cow<'a, [u8]>)>,
}

/// The groups or spans that are wanted, which get new numbers.
#[derive(Debug)]
pub(super) struct Uses<'a> {
    parts: &'a [(usize, Place)],
    used: Vec<usize>,
}

impl<'a> Body<'a> {
    pub(super) fn new(directory: &'a [u8], runs: Vec<(usize, Cow<'a, [u8]>)>) -> Self {
        Self { directory, runs }
    }

    /// The bytes of a place whose block was read; nothing of any other.
    pub(super) fn get(&self, place: &Place) -> &[u8] {
        match place {
            Place::Inline(range) => self.directory.get(range.clone()),
            Place::Body { range, .. } => {
                let after = self.runs.partition_point(|(start, _)| *start <= range.start);
                after.checked_sub(1).and_then(|at| {
                    let (start, run) = &self.runs[at];
                    run.get(range.start - start..range.end - start)
                })
            }
        }
        .unwrap_or_default()
    }
}

impl<'a> Uses<'a> {
    pub(super) fn new(
        parts: &'a [(usize, Place)],
        wanted: impl Iterator<Item = usize>,
        everything: bool,
    ) -> Self {
        let mut used: Vec<usize> =
            if everything { (0..parts.len()).collect() } else { wanted.collect() };
        used.sort_unstable();
        used.dedup();
        Self { parts, used }
    }

    /// How long each is, and where.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'a (usize, Place)> {
        self.used.iter().map(|at| &self.parts[*at])
    }

    /// The new number of one that is wanted.
    pub(super) fn place(&self, old: usize) -> usize {
        self.used.binary_search(&old).unwrap_or_default()
    }
}

/// The frames of a group, which are some of all.
pub(super) fn group_of(
    bytes: &[u8],
    count: usize,
    all: &Group,
    unpacker: &mut Unpacker,
) -> Result<Group, Corrupt> {
    let mut group = Group::default();
    for place in integers(bytes, count, unpacker)? {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let seq = all.seq.get(place).ok_or(Corrupt("a group has a frame that is not there"))?;
        group.seq.push(*seq);
        group.time_ms.push(all.time_ms[place]);
        group.elapsed_us.push(all.elapsed_us[place]);
    }
    Ok(group)
}

/// Buckets and how many values each stands for.
pub(super) fn spans_of(
    bytes: &[u8],
    count: usize,
    unpacker: &mut Unpacker,
) -> Result<Spans, Corrupt> {
    let mut source = Source::new(bytes);
    let start_ms = integers(part(&mut source)?, count, unpacker)?;
    let counts = integers(source.rest(), count, unpacker)?;
    let counts: Result<Vec<u32>, _> = counts.into_iter().map(u32::try_from).collect();
    let counts = counts.map_err(|_| Corrupt("a bucket stands for more values than there are"))?;
    Ok(Spans { start_ms, counts })
}
