//! From the queues to the bus, and back to the streams what has become durable.
//!
//! One thread per partition takes whatever has queued up, so batches grow with the load. A batch
//! that the bus cannot take now is offered again, unchanged, until it is durable or the server
//! gives up; one that it refuses is halved until the refused record stands alone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, never, select};

use super::encode::{Sent, encode};
use super::queue::{Item, Queue};
use super::stages::Stages;
use super::stream::Stream;
use super::streams::Streams;
use crate::base::backoff::Backoff;
use crate::base::counter::CountSources;
use crate::base::stop::{self, Stop, Stopper};
use crate::base::thread::{self, Joined, contain};
use crate::base::throttle::Throttle;
use crate::bus::{BATCH_BYTES_MAX, Bus, BusError, Publisher, Record, Topic, partition_of};
use crate::metric::SessionId;
use crate::wire::json;

/// First and longest wait before a batch is offered again. Short, because the batch holds up every
/// host of its partition; a bus that needs longer waits itself.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_secs(2);

/// At most one line about an unavailable bus in this time.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// The running threads. Field order is stop order.
#[derive(Debug)]
pub(super) struct Forward {
    /// Dropped: nothing more comes; each thread ends once its queue is empty.
    pub close: Stopper,
    /// Dropped: each thread ends now; what is left is abandoned.
    pub give_up: Stopper,
    pub threads: Vec<Joined>,
}

/// What the threads of all partitions share.
#[derive(Debug, Clone)]
struct Shared {
    streams: Arc<Streams>,
    bus: Arc<dyn Bus>,
    stages: Arc<Stages>,
    others: CountSources,
    unusable: Sender<String>,
    close: Stop,
    give_up: Stop,
}

/// Starts one thread per queue. `unusable` is told when the bus cannot be used until an operator
/// acts.
pub(super) fn start(
    streams: &Arc<Streams>,
    queues: &[Arc<Queue>],
    bus: Arc<dyn Bus>,
    others: CountSources,
    unusable: Sender<String>,
) -> io::Result<Forward> {
    let ((closer, close), (quitter, give_up)) = (stop::pair(), stop::pair());
    let mut forward = Forward { close: closer, give_up: quitter, threads: Vec::new() };
    let (streams, stages) = (Arc::clone(streams), Arc::default());
    let shared = Shared { streams, bus, stages, others, unusable, close, give_up };
    for (partition, queue) in (0_u32..).zip(queues) {
        let mut lane = Lane {
            partition,
            queue: Arc::clone(queue),
            publisher: shared.bus.publisher(),
            shared: shared.clone(),
            carried: None,
            throttle: Throttle::new(LOG_PERIOD),
        };
        let name = format!("forward-{partition}");
        forward.threads.push(thread::spawn(&name, move || lane.run())?);
    }
    Ok(forward)
}

/// Records and what is to be done when they are durable.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<Record>,
    sent: Vec<Sent>,
    bytes: usize,
}

/// What the next batch begins with.
#[derive(Debug)]
enum Carried {
    Record(Record, Sent),
    Item(Item),
}

/// One partition.
#[derive(Debug)]
struct Lane {
    partition: u32,
    queue: Arc<Queue>,
    publisher: Box<dyn Publisher>,
    shared: Shared,
    /// Did not fit into the last batch.
    carried: Option<Carried>,
    throttle: Throttle,
}

impl Lane {
    fn run(&mut self) {
        let (close, give_up) = (self.shared.close.clone(), self.shared.give_up.clone());
        loop {
            while let Some(batch) = self.gather() {
                if !self.deliver(batch) {
                    return self.abandon_rest();
                }
                self.tell_stages();
            }
            self.tell_stages();
            if close.is_stopped() || give_up.is_stopped() {
                return;
            }
            let clock = &self.shared.streams.clock;
            let due = self.shared.stages.due_at().map_or_else(never, |when| clock.at(when));
            select! {
                recv(self.queue.bell()) -> _ => {}
                recv(due) -> _ => {}
                recv(close.channel()) -> _ => {}
                recv(give_up.channel()) -> _ => {}
            }
        }
    }

    /// Everything that waits, up to the size of a batch.
    fn gather(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        loop {
            let next = match self.carried.take() {
                Some(Carried::Record(record, sent)) => Some((record, sent)),
                Some(Carried::Item(item)) => self.encode(item),
                None => match self.queue.pop() {
                    // A record says what is durable: frames of its own stream go before it.
                    Some(Item::Session { stream, session }) if batch.has_frames_of(&stream) => {
                        self.carried = Some(Carried::Item(Item::Session { stream, session }));
                        break;
                    }
                    Some(item) => self.encode(item),
                    None => break,
                },
            };
            let Some((record, sent)) = next else { continue };
            let bytes = record.key.len() + record.value.len();
            if batch.bytes + bytes > BATCH_BYTES_MAX && !batch.records.is_empty() {
                self.carried = Some(Carried::Record(record, sent));
                break;
            }
            batch.push(record, sent);
        }
        (!batch.records.is_empty()).then_some(batch)
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

    /// Sees a batch through; false when the server gives up.
    fn deliver(&mut self, batch: Batch) -> bool {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.publish(&part.records) {
                Ok(()) => self.durable(part),
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
                    parts
                        .into_iter()
                        .flat_map(|part| part.sent)
                        .for_each(|sent| self.abandon(sent));
                    return false;
                }
            }
        }
        true
    }

    /// Offers records until they are durable or refused; any other error means giving up.
    fn publish(&mut self, records: &[Record]) -> Result<(), BusError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
        loop {
            let (topic, partition) = (Topic::Metrics, self.partition);
            let result =
                contain("publishing", || self.publisher.publish(topic, partition, records));
            let error = match result {
                Some(Ok(())) => return Ok(()),
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

    fn durable(&mut self, batch: Batch) {
        let streams = &self.shared.streams;
        let (counts, now) = (&streams.counts, streams.clock.monotonic());
        counts.batches_published.increment();
        counts.bytes_published.add(batch.bytes as u64);
        let received = |sent: &Sent| match sent {
            Sent::Frame { received_at, .. } => Some(now.saturating_sub(*received_at)),
            Sent::Session { .. } => None,
        };
        self.shared.stages.record(batch.sent.iter().filter_map(received));
        let mut frames = 0;
        for sent in batch.sent {
            match sent {
                Sent::Frame { stream, session, seq, received_us, .. } => {
                    frames += 1;
                    let mut state = stream.lock();
                    let known = state.session.as_mut();
                    let due = known
                        .is_some_and(|known| known.frame_durable(session, seq, received_us, now));
                    drop(state);
                    if due {
                        stream.wake();
                    }
                }
                Sent::Session { stream, session } => self.record_durable(&stream, session, now),
            }
        }
        counts.frames_published.add(frames);
        self.queue.frames_done(frames);
    }

    fn record_durable(&self, stream: &Arc<Stream>, session: SessionId, now: Duration) {
        let streams = &self.shared.streams;
        streams.counts.records_published.increment();
        let mut state = stream.lock();
        let Some(known) = &mut state.session else { return };
        let (again, forgotten) = known.record_durable(session, now);
        drop(state);
        streams.counts.declarations_forgotten.add(forgotten as u64);
        if again {
            streams.publish_record(stream, session);
        }
        // Its declarations are to be told, and there is room for more of them.
        stream.wake();
    }

    /// The bus will never take it. A frame is declared dropped, so that the hole has a name.
    fn refused(&self, sent: Sent, reason: &str) {
        let streams = &self.shared.streams;
        match sent {
            Sent::Frame { stream, session, seq, .. } => {
                streams.counts.frames_refused.increment();
                if self.throttle.pass().is_some() {
                    log::error!("session {session}: frame {seq} cannot be stored: {reason}");
                }
                if let Some(known) = &mut stream.lock().session {
                    known.frame_refused(session, seq, reason);
                }
                self.queue.frames_done(1);
                streams.publish_record(&stream, session);
            }
            Sent::Session { stream, session } => {
                streams.counts.records_refused.increment();
                log::error!("session {session}: its record cannot be stored: {reason}");
                if let Some(known) = &mut stream.lock().session {
                    known.record_refused(session);
                }
                stream.wake();
            }
        }
    }

    fn abandon(&self, sent: Sent) {
        if let Sent::Frame { stream, session, .. } = sent {
            self.shared.streams.counts.frames_abandoned.increment();
            self.queue.frames_done(1);
            if let Some(known) = &mut stream.lock().session {
                known.frame_abandoned(session);
            }
        }
    }

    fn abandon_rest(&mut self) {
        match self.carried.take() {
            Some(Carried::Record(_, sent)) => self.abandon(sent),
            Some(Carried::Item(item)) => self.abandon(Sent::of(&item)),
            None => {}
        }
        while let Some(item) = self.queue.pop() {
            self.abandon(Sent::of(&item));
        }
    }

    /// Publishes the latencies of the last second and what has gone wrong since the start; a lost record is counted and not tried again.
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

impl Batch {
    fn push(&mut self, record: Record, sent: Sent) {
        self.bytes += record.key.len() + record.value.len();
        self.records.push(record);
        self.sent.push(sent);
    }

    fn has_frames_of(&self, stream: &Arc<Stream>) -> bool {
        self.sent.iter().any(|sent| match sent {
            Sent::Frame { stream: other, .. } => Arc::ptr_eq(other, stream),
            Sent::Session { .. } => false,
        })
    }

    /// The second half, taken off; `None` when there is but one record.
    fn split(&mut self) -> Option<Self> {
        if self.records.len() < 2 {
            return None;
        }
        let half = self.records.len() / 2;
        let records = self.records.split_off(half);
        let sent = self.sent.split_off(half);
        let bytes = records.iter().map(|record| record.key.len() + record.value.len()).sum();
        self.bytes -= bytes;
        Some(Self { records, sent, bytes })
    }
}
