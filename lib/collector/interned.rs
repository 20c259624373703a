//! Series and layouts that are made once and then shared by every frame.

use std::collections::HashMap;
use std::sync::Arc;

use crate::metric::{Layout, SeriesKey};

/// Most series kept. A machine whose interfaces come and go makes new ones for ever; when the
/// table is full it is emptied, and the series in use are made anew. Twice what one reading may
/// hold.
const SERIES_MAX: usize = 2 * super::SAMPLES_PER_READING_MAX;

/// Most layouts kept: one for each mix of metrics that falls due together. Five intervals give at
/// most 2^5 mixes; past that the least recently used is made anew.
const LAYOUTS_MAX: usize = 32;

/// Number of a series in the table; valid for one generation.
pub(super) type SeriesId = u32;

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Interned {
    ids: HashMap<SeriesKey, SeriesId>,
    keys: Vec<SeriesKey>,
    /// The reading in which each series was last pushed.
    pushed_in: Vec<u64>,
    /// Most recently used last.
    layouts: Vec<(Box<[SeriesId]>, Layout)>,
    generation: u64,
}

impl Interned {
    /// Changes whenever all ids have become invalid.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// To be called between readings: starts a new generation when the table is full.
    pub(super) fn make_room(&mut self) {
        if self.keys.len() > SERIES_MAX {
            *self = Self { generation: self.generation + 1, ..Self::default() };
        }
    }

    /// The number of a series, new or known.
    pub(super) fn id(&mut self, key: SeriesKey) -> SeriesId {
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        // `make_room` and the limit of a reading keep the table below 3 x 10,000.
        let id = SeriesId::try_from(self.keys.len()).unwrap_or(SeriesId::MAX);
        self.keys.push(key.clone());
        self.pushed_in.push(0);
        self.ids.insert(key, id);
        id
    }

    /// The text of a series.
    pub(super) fn key(&self, id: SeriesId) -> &SeriesKey {
        &self.keys[id as usize]
    }

    /// Marks a series as part of this reading; false when it already is.
    pub(super) fn mark(&mut self, id: SeriesId, reading: u64) -> bool {
        std::mem::replace(&mut self.pushed_in[id as usize], reading) != reading
    }

    /// The layout of these series: the same `Arc` as long as they stay the same.
    pub(super) fn layout(&mut self, ids: &[SeriesId]) -> Layout {
        // Newest first: the usual reading is like the one before it.
        let known = self.layouts.iter().rposition(|(known, _)| **known == *ids);
        if let Some(position) = known {
            let last = self.layouts.len() - 1;
            self.layouts[position..=last].rotate_left(1);
            return Arc::clone(&self.layouts[last].1);
        }
        if self.layouts.len() >= LAYOUTS_MAX {
            self.layouts.remove(0);
        }
        let layout: Layout = ids.iter().map(|id| self.key(*id).clone()).collect();
        self.layouts.push((ids.into(), Arc::clone(&layout)));
        layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_series_give_the_same_layout() {
        let mut interned = Interned::default();
        let (a, b) = (interned.id(SeriesKey::plain("a")), interned.id(SeriesKey::plain("b")));
        assert_eq!(interned.id(SeriesKey::plain("a")), a);
        let (both, one) = (interned.layout(&[a, b]), interned.layout(&[b]));
        assert!(Arc::ptr_eq(&both, &interned.layout(&[a, b])));
        assert!(Arc::ptr_eq(&one, &interned.layout(&[b])));
        assert_eq!(both[1].as_str(), "b");
    }

    #[test]
    fn series_that_come_and_go_take_bounded_memory() {
        let mut interned = Interned::default();
        for number in 0..(3 * SERIES_MAX) {
            interned.make_room();
            let id = interned.id(SeriesKey::plain(&format!("s{number}")));
            interned.layout(&[id]);
            assert!(interned.keys.len() <= SERIES_MAX + 1);
            assert!(interned.layouts.len() <= LAYOUTS_MAX);
            assert_eq!(interned.key(id).as_str(), format!("s{number}"));
        }
        assert_eq!(interned.generation(), 2);
    }
}
