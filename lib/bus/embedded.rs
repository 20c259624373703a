//! The bus inside one process: records stay in memory until every reader has taken them over.
//!
//! ```text
//! begin -> [partition: bounded in bytes] -> read -> ... -> taken
//!   |                                                        |
//! receipt ................................................ settled
//! ```
//!
//! - Metrics: readers have the records as soon as there is room for them, and the receipt is
//!   settled when every reader of the partition has taken them; without a reader that waits for
//!   one. "Durable" means here what taking means to whoever reads: with a history, committed.
//! - Events: a ring of the newest; they are settled at once, whether anybody reads or not.
//!
//! Records that were taken stay for a while, so that a reader can start again a little earlier.
//! What a reader wanted and was gone is reported as a gap. The offsets of a partition may go on
//! from an earlier run ([`EmbeddedBus::starting_at`]).

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Receiver, select};

use crate::base::clock::SharedClock;

use super::{
    Batch, Bus, BusCounts, BusError, Position, Publisher, Reader, Receipt, Record, Topic,
    VALUE_BYTES_MAX,
};
use ring::{Keep, Ring, Rings, Told};

mod ring;
#[cfg(test)]
mod tests;

/// A bus inside this process.
#[derive(Debug)]
pub struct EmbeddedBus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: SharedClock,
    counts: BusCounts,
    metrics: Vec<Rings>,
    events: Rings,
}

impl EmbeddedBus {
    /// A bus whose metrics topic has this many partitions (at least 1); events have one. All
    /// offsets begin at 0.
    #[must_use]
    pub fn new(partitions: u32, clock: SharedClock) -> Arc<Self> {
        Self::starting_at(&vec![0; partitions.max(1) as usize], clock)
    }

    /// A bus with a metrics partition for each of `firsts` (at least 1), whose next record gets
    /// that offset: where the last run of whoever keeps the offsets ended. Events begin at 0.
    #[must_use]
    pub fn starting_at(firsts: &[u64], clock: SharedClock) -> Arc<Self> {
        let firsts = if firsts.is_empty() { &[0] } else { firsts };
        let metrics = firsts.iter().map(|first| Rings::new(Keep::UntilTaken, *first)).collect();
        let events = Rings::new(Keep::Newest, 0);
        let counts = BusCounts::new();
        Arc::new(Self { shared: Arc::new(Shared { clock, counts, metrics, events }) })
    }

    /// Ends what waits: publishers answer `Stopped` at once and from then on; readers give what is
    /// left, then `Stopped`.
    pub fn shutdown(&self) {
        for partition in self.shared.metrics.iter().chain([&self.shared.events]) {
            partition.lock().close();
        }
    }

    /// What this bus has counted since it was made.
    #[must_use]
    pub fn counts(&self) -> &BusCounts {
        &self.shared.counts
    }
}

impl Bus for EmbeddedBus {
    fn partitions(&self, topic: Topic) -> u32 {
        match topic {
            Topic::Metrics => u32::try_from(self.shared.metrics.len()).unwrap_or(u32::MAX),
            Topic::Events => 1,
        }
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(EmbeddedPublisher { shared: Arc::clone(&self.shared) })
    }

    fn reader(&self, topic: Topic, partition: u32, from: Position) -> Box<dyn Reader> {
        let shared = Arc::clone(&self.shared);
        let opened = shared.ring(topic, partition).map(|mut ring| ring.add_reader(from));
        let (id, next, wake) = opened.unwrap_or_else(|| (0, 0, crossbeam_channel::never()));
        Box::new(EmbeddedReader { shared, topic, partition, id, next, wake })
    }
}

impl Shared {
    fn ring(&self, topic: Topic, partition: u32) -> Option<MutexGuard<'_, Ring>> {
        let rings = match topic {
            Topic::Metrics => self.metrics.get(usize::try_from(partition).ok()?)?,
            Topic::Events if partition == 0 => &self.events,
            Topic::Events => return None,
        };
        Some(rings.lock())
    }

    /// Publishers were told that these are durable.
    fn count(&self, told: Told) {
        self.counts.published_records.add(told.records);
        self.counts.published_bytes.add(told.bytes);
    }
}

fn no_such_partition(topic: Topic, partition: u32) -> BusError {
    BusError::Unusable { what: format!("topic {topic:?} has no partition {partition}") }
}

#[derive(Debug)]
struct EmbeddedPublisher {
    shared: Arc<Shared>,
}

impl EmbeddedPublisher {
    /// Adds all records that may be, waiting for room where there is none.
    fn add(&self, topic: Topic, partition: u32, records: &[Record]) -> Result<Receipt, BusError> {
        let mut size = Told::default();
        let mut rest = records.iter().filter(|record| fits(record)).peekable();
        loop {
            let mut ring = self
                .shared
                .ring(topic, partition)
                .ok_or_else(|| no_such_partition(topic, partition))?;
            if ring.is_closed() {
                return Err(BusError::Stopped);
            }
            while let Some(record) = rest.next_if(|record| ring.has_room_for(record)) {
                size.records += 1;
                size.bytes += (record.key.len() + record.value.len()) as u64;
                self.shared.counts.evicted_events.add(ring.push(record));
            }
            ring.wake_readers();
            if rest.peek().is_none() {
                let (receipt, told) = ring.receipt(size);
                self.shared.count(told);
                return Ok(receipt);
            }
            let room = ring.room();
            drop(ring);
            room.wait()?;
        }
    }
}

fn fits(record: &Record) -> bool {
    record.key.len() + record.value.len() <= VALUE_BYTES_MAX
}

impl Publisher for EmbeddedPublisher {
    fn begin(
        &mut self,
        topic: Topic,
        partition: u32,
        records: &[Record],
    ) -> Result<Receipt, BusError> {
        let receipt = self.add(topic, partition, records)?;
        let refused_count = records.iter().filter(|record| !fits(record)).count();
        if refused_count == 0 {
            return Ok(receipt);
        }
        // Whoever hears of a refusal may rely on all others.
        receipt.wait()?;
        self.shared.counts.refused_records.add(refused_count as u64);
        let what = format!(
            "{refused_count} of {} records refused: a record may have {VALUE_BYTES_MAX} bytes",
            records.len()
        );
        Err(BusError::Refused { what })
    }

    fn hurry(&mut self, topic: Topic, partition: u32) {
        if let Some(mut ring) = self.shared.ring(topic, partition) {
            ring.hurry();
        }
    }
}

#[derive(Debug)]
struct EmbeddedReader {
    shared: Arc<Shared>,
    topic: Topic,
    partition: u32,
    id: u64,
    next: u64,
    wake: Receiver<()>,
}

impl Reader for EmbeddedReader {
    fn read(&mut self, wait: Duration) -> Result<Batch, BusError> {
        let clock = &self.shared.clock;
        let deadline = clock.monotonic().saturating_add(wait);
        loop {
            let ring = self
                .shared
                .ring(self.topic, self.partition)
                .ok_or_else(|| no_such_partition(self.topic, self.partition))?;
            let (batch, next) = ring.read(self.next);
            if !batch.records.is_empty() || batch.gap.is_some() {
                drop(ring);
                self.next = next;
                self.count(&batch);
                return Ok(batch);
            }
            if ring.is_closed() {
                return Err(BusError::Stopped);
            }
            drop(ring);
            if clock.monotonic() >= deadline {
                return Ok(batch);
            }
            let due = clock.at(deadline);
            select! {
                // Closed: the ring says so.
                recv(self.wake) -> _ => {}
                recv(due) -> _ => {}
            }
        }
    }

    fn taken(&mut self, offset: u64) {
        if let Some(mut ring) = self.shared.ring(self.topic, self.partition) {
            self.shared.count(ring.taken(self.id, offset));
        }
    }

    fn is_awaited(&self) -> bool {
        let ring = self.shared.ring(self.topic, self.partition);
        ring.is_some_and(|ring| ring.is_awaited(self.id))
    }
}

impl EmbeddedReader {
    fn count(&self, batch: &Batch) {
        let counts = &self.shared.counts;
        if let Some((first, last)) = batch.gap {
            counts.gap_offsets.add(last - first + 1);
        }
        counts.read_records.add(batch.records.len() as u64);
        let bytes = batch.records.iter().map(|record| record.key.len() + record.value.len());
        counts.read_bytes.add(bytes.sum::<usize>() as u64);
    }
}

impl Drop for EmbeddedReader {
    fn drop(&mut self) {
        if let Some(mut ring) = self.shared.ring(self.topic, self.partition) {
            self.shared.count(ring.remove_reader(self.id));
        }
    }
}
