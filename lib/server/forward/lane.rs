//! One partition: gathers batches, keeps several in flight, settles them in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{never, select};

use super::batch::{Batch, InFlight};
use super::{LOG_PERIOD, Shared};
use crate::base::backoff::Backoff;
use crate::base::thread::contain;
use crate::base::throttle::Throttle;
use crate::bus::{BATCH_BYTES_MAX, BusError, Publisher, Receipt, Record, Topic, partition_of};
use crate::server::encode::{Sent, encode};
use crate::server::queue::{Item, Queue};
use crate::wire::json;

/// First and longest wait before a batch is offered again. Short, because the batch holds up every
/// host of its partition; a bus that needs longer waits itself.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_millis(200);

/// Batches that the bus has and that are not durable yet. A bus that keeps them in memory has its
/// own, narrower bound (the embedded one 8 MiB a partition: 16,000 records of 500 bytes with what
/// they cost beside, each alone in its batch); this one is for a bus that has none. At 0.7 KB a
/// batch, its receipt included, these are 12 MB.
const IN_FLIGHT_MAX: usize = 16_384;

/// One partition.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) queue: Arc<Queue>,
    pub(super) shared: Shared,
    pub(super) throttle: Throttle,
    partition: u32,
    publisher: Box<dyn Publisher>,
    /// Number of the last batch that was gathered.
    gathered: u64,
    /// Oldest first, as the bus settles them.
    in_flight: VecDeque<InFlight>,
    /// Did not fit into the last batch.
    carried: Option<(Record, Sent)>,
    /// Records of sessions that wait until this batch and all before it are durable.
    parked: VecDeque<(u64, Item)>,
    /// The bus was asked to hurry with this batch and all before it.
    hurried: u64,
}

impl Lane {
    pub(super) fn new(partition: u32, queue: Arc<Queue>, shared: Shared) -> Self {
        Self {
            queue,
            throttle: Throttle::new(LOG_PERIOD),
            partition,
            publisher: shared.bus.publisher(),
            shared,
            gathered: 0,
            in_flight: VecDeque::new(),
            carried: None,
            parked: VecDeque::new(),
            hurried: 0,
        }
    }

    /// Forwards until it is time to stop and everything is durable, or to give up.
    pub(super) fn run(&mut self) {
        loop {
            // Before the queue is looked at: what came in before the closing is taken along.
            let is_closing = self.shared.close.is_stopped();
            if !self.turn() || self.shared.give_up.is_stopped() {
                return self.abandon_rest();
            }
            if is_closing && self.in_flight.is_empty() {
                return;
            }
            if (self.queue.take_hurry() || is_closing) && self.hurried < self.gathered {
                self.hurried = self.gathered;
                self.publisher.hurry(Topic::Metrics, self.partition);
            }
            self.wait(is_closing);
        }
    }

    /// Does everything that can be done now; false when the bus or the server gives up.
    fn turn(&mut self) -> bool {
        loop {
            if !self.settle() {
                return false;
            }
            self.tell_stages();
            let Some(batch) = self.gather() else { return true };
            if !self.hand_over(batch) {
                return false;
            }
        }
    }

    fn wait(&self, is_closing: bool) {
        let clock = &self.shared.streams.clock;
        let due = self.shared.stages.due_at().map_or_else(never, |when| clock.at(when));
        let nothing = never();
        let settled = self.in_flight.front().map_or(&nothing, |first| first.receipt.channel());
        // A channel that has closed is ready for ever.
        let close = if is_closing { &nothing } else { self.shared.close.channel() };
        select! {
            recv(self.queue.bell()) -> _ => {}
            recv(settled) -> _ => {}
            recv(due) -> _ => {}
            recv(close) -> _ => {}
            recv(self.shared.give_up.channel()) -> _ => {}
        }
    }

    /// Everything that waits, up to the size of a batch.
    fn gather(&mut self) -> Option<Batch> {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return None;
        }
        let now = self.shared.streams.clock.monotonic();
        let mut batch = Batch { number: self.gathered + 1, ..Batch::default() };
        loop {
            let next = match self.carried.take() {
                Some(carried) => Some(carried),
                None => match self.next_item(now) {
                    Some(item) => self.encode(item),
                    None => break,
                },
            };
            let Some((record, sent)) = next else { continue };
            let bytes = record.key.len() + record.value.len();
            if batch.bytes + bytes > BATCH_BYTES_MAX && !batch.records.is_empty() {
                self.carried = Some((record, sent));
                break;
            }
            if let Sent::Frame { stream, .. } = &sent {
                stream.set_last_batch(batch.number);
            }
            batch.push(record, sent);
        }
        if batch.records.is_empty() {
            return None;
        }
        self.gathered = batch.number;
        Some(batch)
    }

    /// The next item that may go now. A record says what is durable: frames of its own stream
    /// that came before it have to be durable before it is made, and nobody else waits for that.
    fn next_item(&mut self, now: Duration) -> Option<Item> {
        let settled = self.in_flight.front().map_or(self.gathered, |first| first.number - 1);
        if self.parked.front().is_some_and(|(after, _)| *after <= settled) {
            return self.parked.pop_front().map(|(_, item)| item);
        }
        loop {
            match self.queue.pop(now)? {
                Item::Session { stream, session } if stream.last_batch() > settled => {
                    let after = stream.last_batch();
                    self.parked.push_back((after, Item::Session { stream, session }));
                }
                item => return Some(item),
            }
        }
    }

    /// The record of an item; one that cannot be made is refused here.
    fn encode(&mut self, item: Item) -> Option<(Record, Sent)> {
        let sent = Sent::of(&item);
        let made = contain("a record", || encode(item, &self.shared.streams));
        match made.unwrap_or_else(|| Err("this server failed to write it".to_owned())) {
            Ok(Some(record)) => return Some((record, sent)),
            // The stream was never welcome: there is nothing to tell.
            Ok(None) => {}
            Err(reason) => self.refused(sent, &reason),
        }
        None
    }

    /// Gives a batch to the bus; false when the server gives up.
    fn hand_over(&mut self, batch: Batch) -> bool {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.begin(&part.records) {
                Ok(receipt) => self.in_flight.push_back(part.handed_over(receipt)),
                Err(BusError::Refused { what }) => {
                    if let Some(second) = part.split() {
                        parts.push(second);
                        parts.push(part);
                    } else {
                        part.sent.into_iter().for_each(|sent| self.refused(sent, &what));
                    }
                }
                Err(_) => {
                    parts.push(part);
                    let left = parts.into_iter().flat_map(|part| part.sent);
                    left.for_each(|sent| self.abandon(sent));
                    return false;
                }
            }
        }
        true
    }

    /// Offers records until the bus has or refuses them; any other error means giving up.
    fn begin(&mut self, records: &[Record]) -> Result<Receipt, BusError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
        loop {
            let (topic, partition) = (Topic::Metrics, self.partition);
            let result = contain("publishing", || self.publisher.begin(topic, partition, records));
            let error = match result {
                Some(Ok(receipt)) => return Ok(receipt),
                Some(Err(error @ (BusError::Refused { .. } | BusError::Stopped))) => {
                    return Err(error);
                }
                Some(Err(error)) => error,
                None => {
                    self.publisher = self.shared.bus.publisher();
                    BusError::Unavailable { what: "the bus failed".to_owned() }
                }
            };
            if let BusError::Unusable { what } = &error {
                // Full means that it has been told already.
                let _ = self.shared.unusable.try_send(what.clone());
            }
            // Before the first connection nothing has failed that was there.
            let is_failure = !matches!(error, BusError::NotYet { .. });
            self.shared.streams.counts.publish_retries.add(u64::from(is_failure));
            if is_failure && let Some(left_out) = self.throttle.pass() {
                let (partition, count) = (self.partition, records.len());
                log::warn!(
                    "partition {partition}: {count} records wait for the bus: {error} \
                     ({left_out} such messages left out)"
                );
            }
            let clock = &self.shared.streams.clock;
            let wait = clock.at(clock.monotonic() + backoff.next_wait());
            select! {
                recv(wait) -> _ => {}
                recv(self.shared.give_up.channel()) -> _ => return Err(BusError::Stopped),
            }
        }
    }

    /// Tells what has become durable, oldest first; false when the bus has stopped. Streams are
    /// woken at the end, so that one ack covers all that became durable together.
    fn settle(&mut self) -> bool {
        let mut due = Vec::new();
        let mut outcome = None;
        while let Some(first) = self.in_flight.front() {
            outcome = first.receipt.poll();
            if outcome != Some(Ok(())) {
                break;
            }
            if let Some(batch) = self.in_flight.pop_front() {
                self.durable(batch, &mut due);
            }
        }
        due.iter().for_each(|stream| stream.wake());
        !matches!(outcome, Some(Err(_)))
    }

    fn abandon_rest(&mut self) {
        // What has become durable in the meantime is not abandoned.
        self.settle();
        let in_flight: Vec<_> = self.in_flight.drain(..).flat_map(|batch| batch.sent).collect();
        in_flight.into_iter().for_each(|sent| self.abandon(sent));
        if let Some((_, sent)) = self.carried.take() {
            self.abandon(sent);
        }
        while let Some(item) = self.queue.pop(Duration::MAX) {
            self.abandon(Sent::of(&item));
        }
    }

    /// Publishes the latencies of the last second and what has gone wrong since the start; a lost
    /// record is counted and not tried again.
    fn tell_stages(&mut self) {
        let Shared { streams, bus, stages, others, .. } = &self.shared;
        let (now, time_ms) = (streams.clock.monotonic(), streams.clock.wall_ms());
        let counts = || {
            let mut counts = streams.counts.read();
            counts.extend(others.read());
            counts
        };
        let Some(record) = stages.take(&streams.name, now, time_ms, counts) else { return };
        let key = record.server.as_bytes().to_vec();
        let partition = partition_of(&key, bus.partitions(Topic::Events));
        let mut value = Vec::new();
        json::encode_stages(&record, &mut value);
        let records = [Record { key, value }];
        let result = contain("publishing stages", || {
            self.publisher.publish(Topic::Events, partition, &records)
        });
        match result {
            Some(Ok(())) => streams.counts.stages_published.increment(),
            Some(Err(error)) => {
                streams.counts.stages_lost.increment();
                log::debug!("a stages record was lost: {error}");
            }
            None => {
                streams.counts.stages_lost.increment();
                self.publisher = bus.publisher();
            }
        }
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
