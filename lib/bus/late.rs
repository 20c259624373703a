//! A bus that has not been reached yet.
//!
//! Programs serve before their broker answers. A server welcomes clients and holds them back, and
//! their frames flow the moment the broker is there, instead of when each client happens to try
//! again; the page says in words why it is still empty.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::{Batch, Bus, BusError, Position, Publisher, Reader, Receipt, Record, Topic};

/// What a call is told before the bus has arrived.
const NOT_YET: &str = "the bus has not been reached yet";

/// Stands in for a bus until it arrives. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LateBus {
    metrics_partitions: u32,
    events_partitions: u32,
    arrived: Arc<OnceLock<Arc<dyn Bus>>>,
    failure: Arc<Mutex<Option<String>>>,
}

#[derive(Debug)]
struct LatePublisher {
    bus: LateBus,
    real: Option<Box<dyn Publisher>>,
}

#[derive(Debug)]
struct LateReader {
    bus: LateBus,
    topic: Topic,
    partition: u32,
    from: Position,
    real: Option<Box<dyn Reader>>,
}

impl LateBus {
    /// For a bus that will have as many partitions of its topics.
    #[must_use]
    pub fn new(metrics_partitions: u32, events_partitions: u32) -> Self {
        Self {
            metrics_partitions,
            events_partitions,
            arrived: Arc::default(),
            failure: Arc::default(),
        }
    }

    /// Why the bus has not been reached yet, for whoever asks in the meantime.
    pub fn fail(&self, words: &str) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.to_owned());
    }

    fn not_yet(&self) -> BusError {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        BusError::NotYet { what: failure.unwrap_or_else(|| NOT_YET.to_owned()) }
    }

    /// The bus is there; the first one counts.
    pub fn arrive(&self, bus: Arc<dyn Bus>) {
        let _ = self.arrived.set(bus);
    }
}

impl Bus for LateBus {
    fn partitions(&self, topic: Topic) -> u32 {
        match topic {
            Topic::Metrics => self.metrics_partitions,
            Topic::Events => self.events_partitions,
        }
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(LatePublisher { bus: self.clone(), real: None })
    }

    fn reader(&self, topic: Topic, partition: u32, from: Position) -> Box<dyn Reader> {
        Box::new(LateReader { bus: self.clone(), topic, partition, from, real: None })
    }
}

impl Publisher for LatePublisher {
    fn begin(
        &mut self,
        topic: Topic,
        partition: u32,
        records: &[Record],
    ) -> Result<Receipt, BusError> {
        if self.real.is_none() {
            self.real = self.bus.arrived.get().map(|bus| bus.publisher());
        }
        match &mut self.real {
            Some(real) => real.begin(topic, partition, records),
            None => Err(self.bus.not_yet()),
        }
    }

    fn hurry(&mut self, topic: Topic, partition: u32) {
        if let Some(real) = &mut self.real {
            real.hurry(topic, partition);
        }
    }
}

impl Reader for LateReader {
    fn read(&mut self, wait: Duration) -> Result<Batch, BusError> {
        if self.real.is_none() {
            let (topic, partition, from) = (self.topic, self.partition, self.from);
            self.real = self.bus.arrived.get().map(|bus| bus.reader(topic, partition, from));
        }
        match &mut self.real {
            Some(real) => real.read(wait),
            None => Err(self.bus.not_yet()),
        }
    }

    fn taken(&mut self, offset: u64) {
        if let Some(real) = &mut self.real {
            real.taken(offset);
        }
    }
    fn is_awaited(&self) -> bool {
        self.real.as_ref().is_some_and(|real| real.is_awaited())
    }
}
