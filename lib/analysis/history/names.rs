//! Series have numbers on disk: the same sixty names would else stand in every segment.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::metric::SeriesKey;

/// Most names, of all hosts together: ten thousand hosts share some hundred, and every container's
/// interface adds eight of its own. 100 bytes each, so 100 MB at worst.
const NAMES_MAX: usize = 1_000_000;

const DAY_MS: u64 = 86_400_000;

/// Both ways, and what the store has not been told yet.
#[derive(Debug, Default)]
pub(super) struct Names {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<SeriesKey, u32>,
    by_id: HashMap<u32, Name>,
    next: u32,
    changed: Vec<u32>,
}

#[derive(Debug)]
struct Name {
    key: SeriesKey,
    used_day: u32,
}

/// A row of the store: number, text, and the day (of Unix time) it was last written.
pub(super) type NameRow = (u32, String, u32);

impl Names {
    /// As they were stored; texts that are no series are left out.
    pub(super) fn restore(rows: Vec<NameRow>) -> Self {
        let mut table = Table::default();
        for (id, text, used_day) in rows {
            table.next = table.next.max(id.saturating_add(1));
            let Ok(key) = SeriesKey::parse(&text) else { continue };
            table.by_key.insert(key.clone(), id);
            table.by_id.insert(id, Name { key, used_day });
        }
        Self { table: RwLock::new(table) }
    }

    /// The number of a series that is written now; `None` when there are too many.
    pub(super) fn id(&self, key: &SeriesKey, now_ms: u64) -> Option<u32> {
        let day = day(now_ms);
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = table.by_key.get(key)
            && table.by_id.get(id).is_some_and(|name| name.used_day >= day)
        {
            return Some(*id);
        }
        drop(table);
        self.table.write().unwrap_or_else(PoisonError::into_inner).use_now(key, day)
    }

    /// The series of a number.
    pub(super) fn key(&self, id: u32) -> Option<SeriesKey> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_id.get(&id).map(|name| name.key.clone())
    }

    /// What the store has to be told before the segments that use it.
    pub(super) fn take_changed(&self) -> Vec<NameRow> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let changed = std::mem::take(&mut table.changed);
        let row = |id: u32| {
            let name = table.by_id.get(&id)?;
            Some((id, name.key.as_str().to_owned(), name.used_day))
        };
        changed.into_iter().filter_map(row).collect()
    }

    /// The store did not take them: they have to be told again.
    pub(super) fn put_back(&self, rows: &[NameRow]) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.changed.extend(rows.iter().map(|row| row.0));
    }

    /// The store has forgotten them: all have to be told again.
    pub(super) fn tell_all(&self) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.changed = table.by_id.keys().copied().collect();
    }

    /// Forgets what nothing on disk can name any more; returns the numbers.
    pub(super) fn forget_unused(&self, now_ms: u64, reach_ms: u64) -> Vec<u32> {
        // Two days more: a day is counted when it begins, and segments go as a whole.
        let oldest = day(now_ms.saturating_sub(reach_ms)).saturating_sub(2);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let table = &mut *table;
        let old: Vec<u32> = table
            .by_id
            .iter()
            .filter(|(_, name)| name.used_day < oldest)
            .map(|(id, _)| *id)
            .collect();
        for name in old.iter().filter_map(|id| table.by_id.remove(id)) {
            table.by_key.remove(&name.key);
        }
        old
    }
}

impl Table {
    fn use_now(&mut self, key: &SeriesKey, day: u32) -> Option<u32> {
        let known = self.by_key.get(key).copied();
        let id = match known {
            Some(id) => id,
            None if self.by_key.len() >= NAMES_MAX => return None,
            None => {
                let id = self.next;
                self.next = self.next.checked_add(1)?;
                self.by_key.insert(key.clone(), id);
                self.by_id.insert(id, Name { key: key.clone(), used_day: 0 });
                id
            }
        };
        let name = self.by_id.get_mut(&id)?;
        if name.used_day < day {
            name.used_day = day;
            self.changed.push(id);
        }
        Some(id)
    }
}

fn day(time_ms: u64) -> u32 {
    u32::try_from(time_ms / DAY_MS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_is_told_once_a_day_and_goes_when_nothing_uses_it() {
        let names = Names::restore(vec![(7, "load1".to_owned(), 10), (9, "no series".into(), 10)]);
        let (load, other) = (SeriesKey::plain("load1"), SeriesKey::plain("load5"));
        assert_eq!(names.id(&load, 10 * DAY_MS), Some(7));
        assert_eq!(names.take_changed(), []);
        assert_eq!(
            (names.id(&load, 11 * DAY_MS), names.id(&other, 11 * DAY_MS)),
            (Some(7), Some(10))
        );
        let rows = names.take_changed();
        assert_eq!(rows, [(7, "load1".to_owned(), 11), (10, "load5".to_owned(), 11)]);
        assert_eq!(names.id(&other, 11 * DAY_MS + 5), Some(10));
        assert_eq!(names.take_changed(), []);
        names.put_back(&rows);
        assert_eq!(names.take_changed(), rows);
        names.tell_all();
        assert_eq!(names.take_changed().len(), 2);
        assert_eq!((names.key(10), names.key(9)), (Some(other.clone()), None));
        names.id(&load, 40 * DAY_MS);
        assert_eq!(names.forget_unused(40 * DAY_MS, 20 * DAY_MS), [10]);
        assert_eq!((names.key(10), names.key(7)), (None, Some(load)));
        assert_eq!(names.id(&other, 40 * DAY_MS), Some(11), "a number is never used again");
    }
}
