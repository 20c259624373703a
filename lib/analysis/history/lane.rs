//! What is known of each partition of the metrics: how far it was read, and what is on disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bus::StoredRecord;

/// One partition.
#[derive(Debug)]
pub(in crate::analysis) struct Lane {
    /// An earlier run has read it.
    pub(in crate::analysis) is_known: bool,
    /// Everything before it has been handled.
    next: AtomicU64,
    /// As it is on disk: from where it is read again after a crash.
    resume: AtomicU64,
    /// The record read last: its offset and a CRC of its bytes, by which it is known again.
    checkpoint: Mutex<Option<Checkpoint>>,
    /// Goes up when the topic was made anew: offsets of an earlier epoch mean nothing.
    epoch: AtomicU64,
    /// Too much waits for the disk: frames go to the live windows only, and will be read again.
    suspended: AtomicBool,
    /// For a bus that keeps nothing: records that are not in the store's log yet.
    unlogged: Option<Mutex<Vec<StoredRecord>>>,
    /// Everything before it is in `unlogged`, or in the log.
    log_next: AtomicU64,
    /// Everything before it is in the log.
    logged: AtomicU64,
}

/// By what a record is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) struct Checkpoint {
    pub(in crate::analysis) offset: u64,
    pub(in crate::analysis) crc: u32,
}

impl Checkpoint {
    pub(in crate::analysis) fn of(record: &StoredRecord) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&record.key);
        hasher.update(&record.value);
        Self { offset: record.offset, crc: hasher.finalize() }
    }
}

impl Lane {
    /// A partition that goes on where an earlier run left it, if one did. `log_end`: the end of its log, for a
    /// bus that keeps nothing.
    pub(in crate::analysis) fn new(
        resume: Option<u64>,
        checkpoint: Option<Checkpoint>,
        epoch: u64,
        log_end: Option<u64>,
    ) -> Self {
        let next = resume.unwrap_or_default();
        Self {
            is_known: resume.is_some(),
            next: AtomicU64::new(next),
            resume: AtomicU64::new(next),
            checkpoint: Mutex::new(checkpoint),
            epoch: AtomicU64::new(epoch),
            suspended: AtomicBool::new(false),
            unlogged: log_end.map(|_| Mutex::default()),
            log_next: AtomicU64::new(log_end.unwrap_or_default()),
            logged: AtomicU64::new(log_end.unwrap_or_default()),
        }
    }

    /// Records were handled, in order.
    pub(in crate::analysis) fn handled(&self, records: &[StoredRecord]) {
        let Some(last) = records.last() else { return };
        if let Some(unlogged) = &self.unlogged {
            let from = self.log_next.fetch_max(last.offset + 1, Ordering::AcqRel);
            let fresh = records.iter().filter(|record| record.offset >= from).cloned();
            unlogged.lock().unwrap_or_else(PoisonError::into_inner).extend(fresh);
        }
        if last.offset >= self.next.load(Ordering::Acquire) {
            *self.lock_checkpoint() = Some(Checkpoint::of(last));
            self.next.store(last.offset + 1, Ordering::Release);
        }
    }

    pub(in crate::analysis) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    pub(in crate::analysis) fn resume(&self) -> u64 {
        self.resume.load(Ordering::Acquire)
    }

    pub(in crate::analysis) fn set_resume(&self, resume: u64) {
        self.resume.store(resume, Ordering::Release);
    }

    /// The end of its log.
    pub(in crate::analysis) fn logged(&self) -> u64 {
        self.logged.load(Ordering::Acquire)
    }

    pub(in crate::analysis) fn checkpoint(&self) -> Option<Checkpoint> {
        *self.lock_checkpoint()
    }

    pub(in crate::analysis) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The topic was made anew: nothing of it was read.
    pub(in crate::analysis) fn begin_anew(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        *self.lock_checkpoint() = None;
        self.next.store(0, Ordering::Release);
        self.set_resume(0);
    }

    /// It is to be read again from where it is on disk.
    pub(in crate::analysis) fn go_back(&self) {
        self.next.store(self.resume(), Ordering::Release);
        self.suspend(false);
    }

    /// Whether its bus keeps nothing, so that the store has its log.
    pub(in crate::analysis) fn is_logged(&self) -> bool {
        self.unlogged.is_some()
    }

    pub(in crate::analysis) fn suspend(&self, suspended: bool) {
        self.suspended.store(suspended, Ordering::Release);
    }

    pub(in crate::analysis) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Acquire)
    }

    /// What the log has to be given; it is given once.
    pub(in crate::analysis) fn take_unlogged(&self) -> Vec<StoredRecord> {
        let Some(unlogged) = &self.unlogged else { return Vec::new() };
        std::mem::take(&mut *unlogged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The log did not take it.
    pub(in crate::analysis) fn put_back(&self, mut records: Vec<StoredRecord>) {
        let Some(unlogged) = &self.unlogged else { return };
        let mut later = unlogged.lock().unwrap_or_else(PoisonError::into_inner);
        records.append(&mut later);
        *later = records;
    }

    pub(in crate::analysis) fn note_logged(&self, through: u64) {
        self.logged.fetch_max(through + 1, Ordering::AcqRel);
    }

    /// What may be told to the bus as taken: everything before this offset.
    pub(in crate::analysis) fn safe(&self) -> u64 {
        if self.unlogged.is_some() { self.logged.load(Ordering::Acquire) } else { self.next() }
    }

    fn lock_checkpoint(&self) -> MutexGuard<'_, Option<Checkpoint>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_made_anew_while_the_disk_was_full_is_read_from_its_beginning() {
        let lane = Lane::new(Some(50), None, 3, None);
        lane.suspend(true);
        lane.begin_anew();
        lane.go_back();
        assert_eq!((lane.resume(), lane.next(), lane.epoch()), (0, 0, 4));
    }
}
