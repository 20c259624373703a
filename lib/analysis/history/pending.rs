//! Closed chunks on their way to the disk.
//!
//! A chunk is *reserved* while it is being made: the partition is read again from the oldest
//! offset that anything reserved, waiting or open still needs. It stays visible to queries until
//! it is on disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::analysis::ledger::LedgerRows;
use crate::metric::HostName;

/// Closed chunks that wait for the disk, at most. At 0.75 bytes a sample this is a minute and a
/// half of a million samples a second, or 23 minutes of a thousand hosts at 1 Hz. Beyond it what
/// waits is let go, and read from the bus again when the disk takes it.
pub(super) const PENDING_BYTES_MAX: usize = 64 << 20;

/// A segment as it will be on disk.
#[derive(Debug, PartialEq)]
pub(super) struct Encoded {
    pub(super) bucket_ms: u32,
    /// Its place among the host's: time of its earliest frame or bucket, Unix ms.
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    pub(super) bytes: Vec<u8>,
}

/// What is committed of one host at once.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) host: HostName,
    pub(super) partition: u32,
    /// Offset of the first record that is in it.
    pub(super) first_offset: u64,
    /// Every record of the host up to and including this offset is accounted for with it.
    pub(super) through: Option<u64>,
    pub(super) epoch: u64,
    pub(super) segments: Vec<Encoded>,
    pub(super) ledger: LedgerRows,
    /// The host's words about itself, if they are not on disk yet.
    pub(super) description: Option<Vec<u8>>,
    /// Time of the host's newest frame.
    pub(super) seen_ms: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Arc<Closed>>,
    bytes: usize,
    reserved: BTreeMap<u64, (u32, u64)>,
    next_ticket: u64,
}

/// A place that is kept for a chunk.
#[derive(Debug)]
#[must_use]
pub(super) struct Ticket(u64);

impl Closed {
    fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes.len()).sum()
    }
}

impl Pending {
    /// Keeps a place for a chunk that begins at an offset of a partition.
    pub(super) fn reserve(&self, partition: u32, first_offset: u64) -> Ticket {
        let mut queue = self.lock();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.reserved.insert(ticket, (partition, first_offset));
        Ticket(ticket)
    }

    /// The place is not needed.
    pub(super) fn cancel(&self, ticket: &Ticket) {
        self.lock().reserved.remove(&ticket.0);
    }

    /// The chunk is made; returns the bytes that wait now. If its partition was dropped meanwhile it
    /// goes too: its accounts count what went before it.
    pub(super) fn push(&self, ticket: &Ticket, closed: Closed) -> usize {
        let mut queue = self.lock();
        if queue.reserved.remove(&ticket.0).is_none() {
            return queue.bytes;
        }
        queue.bytes += closed.bytes();
        queue.waiting.push(Arc::new(closed));
        queue.bytes
    }

    /// Everything that waits, in order.
    pub(super) fn all(&self) -> Vec<Arc<Closed>> {
        self.lock().waiting.clone()
    }

    /// What waits of one host, in order.
    pub(super) fn of(&self, host: &str) -> Vec<Arc<Closed>> {
        self.lock().waiting.iter().filter(|closed| &*closed.host == host).cloned().collect()
    }

    /// They are on disk, or not wanted any more.
    pub(super) fn remove(&self, gone: &[Arc<Closed>]) {
        self.retain(|closed| !gone.iter().any(|gone| Arc::ptr_eq(gone, closed)));
    }

    /// Lets go of what waits of one host.
    pub(super) fn drop_host(&self, host: &str) {
        self.retain(|closed| &*closed.host != host);
    }

    /// Lets go of what waits of one partition, and of what is being made.
    pub(super) fn drop_partition(&self, partition: u32) {
        self.lock().reserved.retain(|_, (of, _)| *of != partition);
        self.retain(|closed| closed.partition != partition);
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The oldest offset of a partition that something in here needs, but for what is being
    /// committed.
    pub(super) fn first_offset_besides(
        &self,
        partition: u32,
        committing: &[Arc<Closed>],
    ) -> Option<u64> {
        let queue = self.lock();
        let stays =
            |closed: &&Arc<Closed>| !committing.iter().any(|other| Arc::ptr_eq(other, closed));
        let waiting = queue.waiting.iter().filter(stays);
        let waiting = waiting.map(|closed| (closed.partition, closed.first_offset));
        let all = waiting.chain(queue.reserved.values().copied());
        all.filter(|(of, _)| *of == partition).map(|(_, offset)| offset).min()
    }

    fn retain(&self, keep: impl Fn(&Arc<Closed>) -> bool) {
        let mut queue = self.lock();
        queue.waiting.retain(keep);
        queue.bytes = queue.waiting.iter().map(|closed| closed.bytes()).sum();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(host: &str, partition: u32, first_offset: u64) -> Closed {
        let bytes = vec![0; 10];
        Closed {
            host: host.into(),
            partition,
            first_offset,
            through: Some(first_offset),
            epoch: 0,
            segments: vec![Encoded { bucket_ms: 1_000, start_ms: 0, end_ms: 0, bytes }],
            ledger: LedgerRows::default(),
            description: None,
            seen_ms: 0,
        }
    }

    #[test]
    fn the_oldest_offset_is_held_from_the_reservation_to_the_disk() {
        let pending = Pending::default();
        let (first, second) = (pending.reserve(0, 5), pending.reserve(0, 9));
        assert_eq!(pending.first_offset_besides(0, &[]), Some(5));
        assert_eq!((pending.push(&first, closed("a", 0, 5)), pending.bytes()), (10, 10));
        assert_eq!(pending.first_offset_besides(0, &[]), Some(5));
        assert_eq!(pending.first_offset_besides(1, &[]), None);
        let all = pending.all();
        assert_eq!(pending.first_offset_besides(0, &all), Some(9));
        assert_eq!(pending.push(&second, closed("b", 0, 9)), 20);
        pending.remove(&all);
        assert_eq!((pending.first_offset_besides(0, &[]), pending.bytes()), (Some(9), 10));
        assert_eq!((pending.of("a").len(), pending.of("b").len()), (0, 1));
        pending.drop_host("b");
        assert_eq!((pending.first_offset_besides(0, &[]), pending.bytes()), (None, 0));
    }

    #[test]
    fn what_was_being_made_goes_with_its_partition() {
        let pending = Pending::default();
        let (gone, stays) = (pending.reserve(0, 5), pending.reserve(1, 5));
        pending.drop_partition(0);
        assert_eq!(pending.push(&gone, closed("a", 0, 5)), 0);
        assert_eq!((pending.first_offset_besides(0, &[]), pending.of("a").len()), (None, 0));
        assert_eq!(pending.push(&stays, closed("b", 1, 5)), 10);
    }
}
