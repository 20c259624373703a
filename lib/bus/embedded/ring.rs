//! One partition in memory: records in order, who has taken them, and who waits for that.
//!
//! ```text
//! first        floor               end
//! | retained     | held, for readers |
//! ```

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::super::{Batch, Position, Promise, Receipt, Record, StoredRecord, promise};

/// Records that no reader has taken yet, at most, in one partition: 8 s of 1,000 hosts at 1 KiB a
/// second. Publishers wait beyond it.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Taken records that stay, for a reader that starts again.
const RETAINED_BYTES_MAX: usize = 1024 * 1024;

/// The newest events that stay.
const EVENTS_BYTES_MAX: usize = 1024 * 1024;

/// Keys and values that one read gives, at most (and one record at least).
const READ_BYTES_MAX: usize = 1024 * 1024;

/// What a record costs beside its bytes: two vectors, the offset, two allocations.
const RECORD_OVERHEAD_BYTES: usize = 96;

/// What stays in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Everything until every reader has taken it.
    UntilTaken,
    /// The newest, read or not.
    Newest,
}

/// A partition behind its lock.
#[derive(Debug)]
pub(super) struct Rings {
    ring: Mutex<Ring>,
}

impl Rings {
    pub(super) fn new(keep: Keep, first: u64) -> Self {
        Self { ring: Mutex::new(Ring::new(keep, first)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records and bytes that publishers have just been told are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub(super) struct Told {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// A publisher's records, waiting to be taken.
#[derive(Debug)]
struct Waiting {
    /// They end before this offset.
    end: u64,
    size: Told,
    promise: Promise,
}

#[derive(Debug)]
struct ReaderState {
    id: u64,
    /// Everything before it was taken by this reader.
    taken: u64,
    /// Capacity 1: a wake-up that was not noticed yet is enough.
    wake: Option<Sender<()>>,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Ring {
    keep: Keep,
    records: VecDeque<StoredRecord>,
    /// Offset of the oldest record here.
    first: u64,
    /// Everything before it was taken by every reader (or pushed out, for events).
    floor: u64,
    bytes: usize,
    /// Of the records from `floor` on.
    held_bytes: usize,
    readers: Vec<ReaderState>,
    next_reader_id: u64,
    /// In order of their ends.
    for_taken: VecDeque<Waiting>,
    for_room: Vec<Promise>,
    /// What lies before it is to be taken soon.
    awaited: u64,
    closed: bool,
}

impl Ring {
    /// An empty one whose first record will get the offset `first`.
    pub(super) fn new(keep: Keep, first: u64) -> Self {
        Self {
            keep,
            records: VecDeque::new(),
            first,
            floor: first,
            bytes: 0,
            held_bytes: 0,
            readers: Vec::new(),
            next_reader_id: 1,
            for_taken: VecDeque::new(),
            for_room: Vec::new(),
            awaited: 0,
            closed: false,
        }
    }

    /// Offset of the next record.
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Wakes everybody: their channels are closed from now on.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.for_taken.clear();
        self.for_room.clear();
        self.readers.iter_mut().for_each(|reader| reader.wake = None);
    }

    pub(super) fn has_room_for(&self, record: &Record) -> bool {
        let size = cost(&record.key, &record.value);
        // One record always fits, so that no limit can block for ever.
        self.keep == Keep::Newest
            || self.held_bytes == 0
            || self.held_bytes + size <= HELD_BYTES_MAX
    }

    /// Adds a record; gives how many unread events it has pushed out.
    pub(super) fn push(&mut self, record: &Record) -> u64 {
        let size = cost(&record.key, &record.value);
        let (key, value) = (record.key.clone(), record.value.clone());
        self.records.push_back(StoredRecord { offset: self.end(), key, value });
        self.bytes += size;
        self.held_bytes += size;
        self.evict()
    }

    pub(super) fn wake_readers(&self) {
        for wake in self.readers.iter().filter_map(|reader| reader.wake.as_ref()) {
            // Full: it is about to look anyway.
            let _ = wake.try_send(());
        }
    }

    /// Is settled when the last records, `size` of them, are taken; or at once, and then the
    /// publisher has been told of as many as are returned.
    pub(super) fn receipt(&mut self, size: Told) -> (Receipt, Told) {
        if self.keep == Keep::Newest || size.records == 0 {
            return (Receipt::durable(), size);
        }
        let (promise, receipt) = promise();
        self.for_taken.push_back(Waiting { end: self.end(), size, promise });
        (receipt, Told::default())
    }

    /// Is settled when some records were taken, which readers are asked to do soon: what waits for
    /// room is not visible to them yet.
    pub(super) fn room(&mut self) -> Receipt {
        self.hurry();
        let (promise, receipt) = promise();
        self.for_room.push(promise);
        receipt
    }

    /// All records so far are to be taken soon.
    pub(super) fn hurry(&mut self) {
        self.awaited = self.end();
        self.wake_readers();
    }

    /// Whether this reader keeps somebody waiting who cannot wait long.
    pub(super) fn is_awaited(&self, id: u64) -> bool {
        self.readers.iter().any(|reader| reader.id == id && reader.taken < self.awaited)
    }

    /// A reader's id, its first offset, and what wakes it.
    pub(super) fn add_reader(&mut self, from: Position) -> (u64, u64, Receiver<()>) {
        let next = match from {
            Position::Offset(offset) => offset,
            // Records here are minutes old at most, and earlier ones may come first.
            Position::Earliest | Position::SinceMs(_) => self.first,
            Position::OffsetOrSinceMs { offset, .. } => offset.min(self.first),
        };
        let (wake, woken) = bounded(1);
        let (id, taken) = (self.next_reader_id, next.min(self.end()));
        self.next_reader_id += 1;
        let wake = (!self.closed).then_some(wake);
        self.readers.push(ReaderState { id, taken, wake });
        (id, next, woken)
    }

    pub(super) fn remove_reader(&mut self, id: u64) -> Told {
        self.readers.retain(|reader| reader.id != id);
        self.raise_floor()
    }

    /// Records from `next` on, a gap if the first of them are gone, and the offset to go on with.
    pub(super) fn read(&self, next: u64) -> (Batch, u64) {
        let end_offset = self.end();
        let mut batch = Batch { end_offset, ..Batch::default() };
        let start = if next > end_offset {
            // An offset of another run.
            batch.gap = Some((next, next));
            self.first
        } else {
            batch.gap = (next < self.first).then(|| (next, self.first - 1));
            next.max(self.first)
        };
        let mut bytes = 0;
        let from = usize::try_from(start - self.first).unwrap_or(usize::MAX);
        for record in self.records.range(from.min(self.records.len())..) {
            bytes += record.key.len() + record.value.len();
            if bytes > READ_BYTES_MAX && !batch.records.is_empty() {
                break;
            }
            batch.records.push(record.clone());
        }
        let next = start + batch.records.len() as u64;
        (batch, next)
    }

    /// This reader has everything up to and including `offset`.
    pub(super) fn taken(&mut self, id: u64, offset: u64) -> Told {
        let end = self.end();
        if let Some(reader) = self.readers.iter_mut().find(|reader| reader.id == id) {
            reader.taken = reader.taken.max(offset.saturating_add(1).min(end));
        }
        self.raise_floor()
    }

    fn raise_floor(&mut self) -> Told {
        let mut told = Told::default();
        let Some(floor) = self.readers.iter().map(|reader| reader.taken).min() else { return told };
        if floor <= self.floor {
            return told;
        }
        let from = usize::try_from(self.floor.max(self.first) - self.first).unwrap_or(usize::MAX);
        let to = usize::try_from(floor.max(self.first) - self.first).unwrap_or(usize::MAX);
        let taken = self.records.range(from..to).map(|record| cost(&record.key, &record.value));
        self.held_bytes -= taken.sum::<usize>();
        self.floor = floor;
        self.evict();
        let settled = self.for_taken.partition_point(|waiting| waiting.end <= floor);
        for waiting in self.for_taken.drain(..settled) {
            told.records += waiting.size.records;
            told.bytes += waiting.size.bytes;
            waiting.promise.keep();
        }
        self.for_room.drain(..).for_each(Promise::keep);
        told
    }

    fn evict(&mut self) -> u64 {
        let mut unread_count = 0;
        while let Some(oldest) = self.records.front() {
            let is_taken = oldest.offset < self.floor;
            let may_go = match self.keep {
                Keep::UntilTaken => is_taken && self.bytes - self.held_bytes > RETAINED_BYTES_MAX,
                Keep::Newest => self.bytes > EVENTS_BYTES_MAX,
            };
            if !may_go {
                break;
            }
            let size = cost(&oldest.key, &oldest.value);
            self.first = oldest.offset + 1;
            self.bytes -= size;
            if !is_taken {
                unread_count += 1;
                self.held_bytes -= size;
                self.floor = self.first;
            }
            self.records.pop_front();
        }
        unread_count
    }
}

fn cost(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + RECORD_OVERHEAD_BYTES
}

#[cfg(test)]
impl Ring {
    /// What must hold at all times.
    pub(super) fn check(&self, seed: u64) {
        let cost_of = |record: &StoredRecord| cost(&record.key, &record.value);
        let all: usize = self.records.iter().map(cost_of).sum();
        let held = self.records.iter().filter(|record| record.offset >= self.floor);
        assert_eq!(self.bytes, all, "{seed}");
        assert_eq!(self.held_bytes, held.map(cost_of).sum::<usize>(), "{seed}");
        assert!((self.first..=self.end()).contains(&self.floor), "{seed}");
        let offsets = self.records.iter().map(|record| record.offset);
        assert!(offsets.eq(self.first..self.end()), "{seed}");
        match self.keep {
            Keep::UntilTaken => {
                assert!(self.held_bytes <= HELD_BYTES_MAX, "{seed}");
                assert!(self.bytes - self.held_bytes <= RETAINED_BYTES_MAX, "{seed}");
            }
            Keep::Newest => assert!(self.bytes <= EVENTS_BYTES_MAX, "{seed}"),
        }
    }
}
