//! A topic of the metrics that is made up as fast as it is read, and keeps nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use realtime_monitor::bus::{
    Batch, Bus, BusError, Position, Publisher, Reader, Receipt, Record, StoredRecord, Topic,
};

use super::support::wait;

/// As many as `make kafka` creates.
pub const PARTITIONS: u32 = 4;

/// Records in one read; a fetch of Kafka brings about as many of 2 KB.
pub const BATCH_RECORDS: usize = 400;

/// Batches that wait for their reader.
const BATCHES_WAITING: usize = 4;

/// Where makers put their records.
pub type Makers = Vec<Sender<Vec<StoredRecord>>>;

/// The topic.
#[derive(Debug)]
pub struct TopicMadeUp {
    partitions: Vec<Receiver<Vec<StoredRecord>>>,
    /// Records that were handled.
    pub read: Arc<AtomicU64>,
    /// About what each partition will hold.
    end_offset: u64,
}

impl TopicMadeUp {
    /// A topic, and what fills its partitions.
    pub fn new(end_offset: u64) -> (Self, Makers) {
        let (makers, partitions) = (0..PARTITIONS).map(|_| bounded(BATCHES_WAITING)).unzip();
        (Self { partitions, read: Arc::default(), end_offset }, makers)
    }
}

impl Bus for TopicMadeUp {
    fn partitions(&self, topic: Topic) -> u32 {
        if topic == Topic::Metrics { PARTITIONS } else { 1 }
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(Refusing)
    }

    fn reader(&self, topic: Topic, partition: u32, _from: Position) -> Box<dyn Reader> {
        let records = match topic {
            Topic::Metrics => self.partitions[partition as usize].clone(),
            Topic::Events => crossbeam_channel::never(),
        };
        Box::new(MadeUpReader {
            records,
            read: Arc::clone(&self.read),
            end_offset: self.end_offset,
            waiting: VecDeque::new(),
        })
    }
}

#[derive(Debug)]
struct Refusing;

impl Publisher for Refusing {
    fn begin(&mut self, _: Topic, _: u32, _: &[Record]) -> Result<Receipt, BusError> {
        Err(BusError::Unusable { what: "this topic is only read".into() })
    }
}

#[derive(Debug)]
struct MadeUpReader {
    records: Receiver<Vec<StoredRecord>>,
    read: Arc<AtomicU64>,
    end_offset: u64,
    /// Sizes of the batches that were given and not yet taken: last offset and records.
    waiting: VecDeque<(u64, u64)>,
}

impl Reader for MadeUpReader {
    fn read(&mut self, wait: Duration) -> Result<Batch, BusError> {
        match self.records.recv_timeout(wait) {
            Ok(records) => {
                let last = records.last().map_or(0, |record| record.offset);
                self.waiting.push_back((last, records.len() as u64));
                let end_offset = self.end_offset.max(last + 1);
                Ok(Batch { records, end_offset, gap: None })
            }
            Err(RecvTimeoutError::Timeout) => Ok(Batch::default()),
            Err(RecvTimeoutError::Disconnected) => {
                wait::pause(wait);
                Ok(Batch::default())
            }
        }
    }

    fn taken(&mut self, offset: u64) {
        while self.waiting.front().is_some_and(|(last, _)| *last <= offset) {
            let records = self.waiting.pop_front().map_or(0, |(_, records)| records);
            self.read.fetch_add(records, Relaxed);
        }
    }
}
