//! Every host on disk: its number, how far it is committed, and how far it is rolled up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::tiers::Tiers;
use crate::metric::HostName;

/// What is on disk of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: u32,
    /// Everything up to this offset of its partition, in this epoch of the partition.
    pub(super) through: Option<u64>,
    pub(super) epoch: u64,
    /// For each tier: merged (the finest) or made from the one before (the others) up to this
    /// time, Unix ms. 0: nothing is there yet.
    pub(super) done_ms: Vec<u64>,
    /// Time of its newest frame, Unix ms.
    pub(super) seen_ms: u64,
    /// Time before which there is nothing of it, Unix ms.
    pub(super) first_ms: u64,
    /// It was forgotten on request; its mark stays, so that it does not come back from the topic.
    pub(super) deleted: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Index(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    hosts: HashMap<HostName, Entry>,
    next_id: u32,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            id: 0,
            through: None,
            epoch: 0,
            done_ms: Vec::new(),
            seen_ms: 0,
            first_ms: u64::MAX,
            deleted: false,
        }
    }
}

impl Index {
    pub(super) fn new(hosts: HashMap<HostName, Entry>) -> Self {
        let next_id = hosts.values().map(|entry| entry.id + 1).max().unwrap_or(0);
        Self(Mutex::new(Table { hosts, next_id }))
    }

    /// A host as it is on disk.
    pub(super) fn get(&self, host: &str) -> Option<Entry> {
        self.lock().hosts.get(host).cloned()
    }

    /// A host as it is to be on disk: with a number of its own.
    pub(super) fn get_or_number(&self, host: &HostName) -> Entry {
        let mut table = self.lock();
        if let Some(entry) = table.hosts.get(host) {
            return entry.clone();
        }
        let id = table.next_id;
        table.next_id += 1;
        Entry { id, ..Entry::default() }
    }

    /// Nothing is on disk any more.
    pub(super) fn clear(&self) {
        *self.lock() = Table::default();
    }

    /// A host is on disk like this.
    pub(super) fn set(&self, host: HostName, entry: Entry) {
        self.lock().hosts.insert(host, entry);
    }

    /// Every host that is not deleted, by name.
    pub(super) fn all(&self) -> BTreeMap<HostName, Entry> {
        let table = self.lock();
        let here = table.hosts.iter().filter(|(_, entry)| !entry.deleted);
        here.map(|(host, entry)| (host.clone(), entry.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// A segment of a tier comes that begins at this time: spans that were done already have to
    /// be done anew.
    pub(super) fn reopen(&mut self, tiers: &Tiers, (tier, start_ms): (usize, u64)) {
        self.done_ms.resize(tiers.as_slice().len(), 0);
        // What is merged is the finest tier; what is made from others are all but that.
        let from = if tier == 0 { 0 } else { tier + 1 };
        for (at, tier) in tiers.as_slice().iter().enumerate().skip(from) {
            let span_ms = tier.span_ms();
            let span_start_ms = start_ms - start_ms % span_ms;
            let done = &mut self.done_ms[at];
            if *done == 0 || span_start_ms < *done {
                *done = span_start_ms;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_frames_reopen_what_is_made_of_them() {
        let (tiers, hour) = (Tiers::default(), 3_600_000);
        let day = 24 * hour;
        let mut entry = Entry::default();
        entry.reopen(&tiers, (0, 100 * day + 5 * hour + 1));
        assert_eq!(entry.done_ms, [100 * day + 5 * hour, 100 * day + 4 * hour, 100 * day]);
        entry.done_ms = vec![100 * day + 12 * hour, 100 * day + 10 * hour, 100 * day];
        let before = entry.clone();
        entry.reopen(&tiers, (0, 100 * day + 13 * hour));
        assert_eq!(entry, before, "what comes in time reopens nothing");
        entry.reopen(&tiers, (0, 100 * day + 7 * hour + 9));
        assert_eq!(entry.done_ms, [100 * day + 7 * hour, 100 * day + 6 * hour, 100 * day]);
        entry.reopen(&tiers, (1, 99 * day + hour));
        assert_eq!(entry.done_ms, [100 * day + 7 * hour, 100 * day + 6 * hour, 99 * day]);
    }

    #[test]
    fn numbers_are_given_once() {
        let index = Index::default();
        let first = index.get_or_number(&"a".into());
        index.set("a".into(), first.clone());
        assert_eq!((first.id, index.get_or_number(&"b".into()).id), (0, 1));
        assert_eq!(index.get("a"), Some(first.clone()));
        index.set("a".into(), Entry { deleted: true, ..first });
        assert!(index.all().is_empty() && index.get("a").is_some());
    }
}
