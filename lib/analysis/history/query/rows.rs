//! Frames of one session out of its segments: in order, each once, with all that is kept of it.
//!
//! A frame may stand in several groups of a segment, and in several segments. Groups are merged
//! by (`elapsed_us`, `seq`); which of them a frame stands in is its mix, and there are few of
//! those, so that names are put together once a mix and not once a frame.

use super::wanted::Wanted;
use crate::analysis::history::segment::{Group, Segment};
use crate::metric::{Layout, Samples, SeriesKey, Value};

/// Layouts of a session that are remembered, so that equal ones have one address.
const LAYOUTS_MAX: usize = 64;

/// One frame.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) seq: u64,
    pub(super) time_ms: u64,
    pub(super) elapsed_us: u64,
    pub(super) samples: &'a Samples,
    /// Places of the segments that it stands in.
    pub(super) segments: &'a [usize],
}

/// Layouts of a session.
#[derive(Debug, Default)]
pub(super) struct Layouts(Vec<Layout>);

/// The frames, one after the other.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    segments: &'a [Segment],
    wanted: &'a Wanted,
    layouts: &'a mut Layouts,
    /// Groups that are not reached yet, the next one last.
    waiting: Vec<Head<'a>>,
    /// Groups with a frame to come, by `id`.
    active: Vec<Head<'a>>,
    mixes: Vec<Mix<'a>>,
    /// Of the frame before.
    mix: usize,
}

/// The next frame of a group.
#[derive(Debug)]
struct Head<'a> {
    /// Places of its segment, and in that.
    id: (usize, usize),
    group: &'a Group,
    at: usize,
}

/// Groups that share frames.
#[derive(Debug)]
struct Mix<'a> {
    ids: Vec<(usize, usize)>,
    segments: Vec<usize>,
    /// For each series which of the groups it is in, and all its values.
    columns: Vec<(usize, &'a [Value])>,
    samples: Samples,
}

impl Layouts {
    /// The layout of these series, the same for the same.
    pub(super) fn share<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k SeriesKey> + Clone,
    ) -> Layout {
        if let Some(known) = self.0.iter().find(|known| known.iter().eq(keys.clone())) {
            return known.clone();
        }
        let layout: Layout = keys.cloned().collect();
        if self.0.len() < LAYOUTS_MAX {
            self.0.push(layout.clone());
        }
        layout
    }
}

impl Head<'_> {
    fn key(&self) -> (u64, u64) {
        (self.group.elapsed_us[self.at], self.group.seq[self.at])
    }
}

impl<'a> Rows<'a> {
    /// Over segments of one session.
    pub(super) fn new(
        segments: &'a [Segment],
        wanted: &'a Wanted,
        layouts: &'a mut Layouts,
    ) -> Self {
        let mut waiting = Vec::new();
        for (place, segment) in segments.iter().enumerate() {
            for (number, group) in segment.groups.iter().enumerate() {
                let needed = segment.columns.iter().any(|column| column.group == number);
                if needed && !group.seq.is_empty() {
                    waiting.push(Head { id: (place, number), group, at: 0 });
                }
            }
        }
        waiting.sort_by_key(|head| std::cmp::Reverse(head.key()));
        Self { segments, wanted, layouts, waiting, active: Vec::new(), mixes: Vec::new(), mix: 0 }
    }

    /// The next frame with a time in `from_ms..to_ms`.
    pub(super) fn next(&mut self, from_ms: u64, to_ms: u64) -> Option<Row<'_>> {
        loop {
            let key = self.reach()?;
            let inside = |head: &&Head<'_>| head.key() == key;
            let head = self.active.iter().find(inside)?;
            let time_ms = head.group.time_ms[head.at];
            if from_ms <= time_ms && time_ms < to_ms {
                self.mix = self.mix_at(key);
                self.fill(key);
                let Mix { samples, segments, .. } = &self.mixes[self.mix];
                let (elapsed_us, seq) = key;
                return Some(Row { seq, time_ms, elapsed_us, samples, segments });
            }
            self.pass(key);
        }
    }

    /// Where the next frame is: every group that has it is active then.
    fn reach(&mut self) -> Option<(u64, u64)> {
        let mut next = self.active.iter().map(Head::key).min();
        while let Some(waits) = self.waiting.last().map(Head::key) {
            if next.is_some_and(|next| next < waits) {
                break;
            }
            next = Some(waits);
            self.active.extend(self.waiting.pop());
            self.active.sort_by_key(|head| head.id);
        }
        next
    }

    /// The groups that have this frame, as a mix.
    fn mix_at(&mut self, key: (u64, u64)) -> usize {
        let ids = || self.active.iter().filter(|head| head.key() == key).map(|head| head.id);
        let is_it = |mix: &Mix<'_>| mix.ids.iter().copied().eq(ids());
        if self.mixes.get(self.mix).is_some_and(is_it) {
            return self.mix;
        }
        if let Some(known) = self.mixes.iter().position(is_it) {
            return known;
        }
        let ids: Vec<_> = ids().collect();
        let mut columns = Vec::new();
        for (member, (place, number)) in ids.iter().enumerate() {
            let of_group = self.segments[*place].columns.iter().filter(|c| c.group == *number);
            let needed = of_group.filter(|column| self.wanted.raw(&column.key));
            columns.extend(needed.map(|column| (&column.key, member, column.values.as_slice())));
        }
        columns.sort_by_key(|column| column.0);
        columns.dedup_by_key(|column| column.0);
        let layout = self.layouts.share(columns.iter().map(|column| column.0));
        let mut segments: Vec<usize> = ids.iter().map(|id| id.0).collect();
        segments.dedup();
        let samples = Samples { layout, values: Vec::with_capacity(columns.len()) };
        let columns = columns.into_iter().map(|(_, member, values)| (member, values)).collect();
        self.mixes.push(Mix { ids, segments, columns, samples });
        self.mixes.len() - 1
    }

    /// Puts the frame's values into its mix and moves on.
    fn fill(&mut self, key: (u64, u64)) {
        let Mix { columns, samples, ids, .. } = &mut self.mixes[self.mix];
        samples.values.clear();
        if let ([_], [head]) = (ids.as_slice(), self.active.as_slice()) {
            samples.values.extend(columns.iter().map(|(_, values)| values[head.at]));
        } else {
            let places: Vec<usize> =
                self.active.iter().filter(|head| head.key() == key).map(|head| head.at).collect();
            let value = |(member, values): &(usize, &[Value])| values[places[*member]];
            samples.values.extend(columns.iter().map(value));
        }
        self.pass(key);
    }

    fn pass(&mut self, key: (u64, u64)) {
        self.active.iter_mut().filter(|head| head.key() == key).for_each(|head| head.at += 1);
        self.active.retain(|head| head.at < head.group.seq.len());
    }
}
