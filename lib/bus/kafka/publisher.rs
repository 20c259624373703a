//! Publishing: one batch at a time, sent again until every replica in sync has it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::super::{BusError, Publisher, Receipt, Record, Topic};
use super::fault::Fault;
use super::link::Link;
use super::payload::Payload;
use super::shared::Shared;

/// How often a request is sent before the caller hears that it failed: a new leader, a restarted
/// connection and a lost race with it are normal; a fourth fault in a row is news.
const TRIES_MAX: u32 = 3;

/// How often a single record is rejected before it is refused: once may be a flipped bit.
const REJECTIONS_MAX: u32 = 2;

/// A client for each topic, made when it is first used, so that trouble with one topic does not
/// hold up the other.
#[derive(Debug)]
pub(super) struct KafkaPublisher {
    shared: Arc<Shared>,
    metrics: Link,
    events: Link,
}

/// What the broker would not take of one call.
#[derive(Debug, Default)]
struct Refusal {
    count: usize,
    words: String,
}

impl KafkaPublisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let metrics = Link::new(Arc::clone(&shared), Topic::Metrics);
        let events = Link::new(Arc::clone(&shared), Topic::Events);
        Self { shared, metrics, events }
    }

    fn link(&mut self, topic: Topic) -> &mut Link {
        match topic {
            Topic::Metrics => &mut self.metrics,
            Topic::Events => &mut self.events,
        }
    }

    /// Sends a range; halves it when the broker rejects it as a whole, because the broker makes
    /// one batch of it, which can be too large although no record is (K14).
    fn send(
        &mut self,
        to: (Topic, u32),
        payload: &Arc<Payload>,
        range: Range<usize>,
        refusal: &mut Refusal,
    ) -> Result<(), BusError> {
        let mut todo = vec![range];
        let mut rejections = 0;
        while let Some(range) = todo.pop() {
            match self.try_request(to, payload, &range)? {
                None => rejections = 0,
                Some(_) if range.len() > 1 => {
                    self.shared.counts.split_batches.increment();
                    let middle = range.start + range.len() / 2;
                    todo.push(middle..range.end);
                    todo.push(range.start..middle);
                }
                Some(_) if rejections + 1 < REJECTIONS_MAX => {
                    rejections += 1;
                    todo.push(range);
                }
                Some(words) => {
                    rejections = 0;
                    refusal.count += 1;
                    let (key, value) = payload.record(range.start);
                    let (key, size) = (String::from_utf8_lossy(key), value.len());
                    refusal.words = format!("{words} (key {key}, {size} bytes)");
                }
            }
        }
        Ok(())
    }

    /// Sends a range until it is stored (`None`) or rejected (`Some` words).
    fn try_request(
        &mut self,
        (topic, partition): (Topic, u32),
        payload: &Arc<Payload>,
        range: &Range<usize>,
    ) -> Result<Option<String>, BusError> {
        let ack_timeout = self.shared.ack_timeout();
        let mut tries = 0;
        loop {
            let link = self.link(topic);
            let client = link.client(Duration::MAX)?;
            let (bytes, part) = (Arc::clone(payload), range.clone());
            let result = client.call("produce", Duration::ZERO, move |session| {
                session.produce(partition, &bytes, part, ack_timeout)
            });
            let counts = &link.shared.counts;
            counts.publish_requests.increment();
            match result {
                Ok(()) => {
                    counts.published_records.add(range.len() as u64);
                    counts.published_bytes.add(payload.bytes_in(range) as u64);
                    link.succeeded();
                    return Ok(None);
                }
                Err(Fault::Rejected { what }) => return Ok(Some(what)),
                Err(fault) => {
                    counts.publish_failures.increment();
                    let error = link.failed(fault);
                    tries += 1;
                    if tries == TRIES_MAX || !matches!(error, BusError::Unavailable { .. }) {
                        return Err(error);
                    }
                    log::debug!("{error}; sending the same bytes again");
                }
            }
        }
    }
}

impl Publisher for KafkaPublisher {
    fn begin(
        &mut self,
        topic: Topic,
        partition: u32,
        records: &[Record],
    ) -> Result<Receipt, BusError> {
        let payload = Arc::new(Payload::new(records));
        let mut refusal = Refusal { count: payload.oversized_count, words: String::new() };
        if refusal.count > 0 {
            let max = super::super::VALUE_BYTES_MAX;
            refusal.words = format!("a record may have {max} bytes");
        }
        for range in payload.requests() {
            self.send((topic, partition), &payload, range, &mut refusal)?;
        }
        if refusal.count == 0 {
            return Ok(Receipt::durable());
        }
        self.shared.counts.refused_records.add(refusal.count as u64);
        let (refused, all) = (refusal.count, records.len());
        let what = format!("{refused} of {all} records refused: {}", refusal.words);
        Err(BusError::Refused { what })
    }
}
