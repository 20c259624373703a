//! The client that a publisher or reader has right now, and the way to the next one: after any
//! fault the old one is dropped, the wait before the next grows, and it has to pass the probe.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;

use crate::base::backoff::Backoff;
use crate::base::quantity::format_duration;

use super::super::{BusError, Topic};
use super::client::Client;
use super::fault::Fault;
use super::shared::Shared;

/// A broker that restarts after a kill needs 5 s; asking it every half second at most, each time
/// one connection, keeps the gap short and costs nothing.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_CAP: Duration = Duration::from_millis(500);

/// One topic's client.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    topic: Topic,
    client: Option<Client>,
    backoff: Backoff,
    /// No new client before this monotonic time.
    not_before: Duration,
    /// Why the last client was dropped.
    last: Option<BusError>,
    /// Since when the topic has had no partitions (monotonic).
    missing_since: Option<Duration>,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, topic: Topic) -> Self {
        Self {
            shared,
            topic,
            client: None,
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_CAP),
            not_before: Duration::ZERO,
            last: None,
            missing_since: None,
        }
    }

    /// The client; a new one if there is none, for which at most `patience` is spent on waiting
    /// out the backoff.
    ///
    /// # Errors
    /// The last fault when the wait was longer than `patience`, otherwise why no client could be
    /// made.
    pub(super) fn client(&mut self, patience: Duration) -> Result<&mut Client, BusError> {
        if self.client.is_none() {
            self.wait_backoff(patience)?;
            let client = self.open().map_err(|fault| self.failed(fault))?;
            self.client = Some(client);
        }
        self.client.as_mut().ok_or(BusError::Stopped)
    }

    /// A call has worked: the next fault starts with a short wait.
    pub(super) fn succeeded(&mut self) {
        if self.last.take().is_some() {
            self.backoff.reset();
        }
    }

    /// Drops the client and sets the wait before the next.
    pub(super) fn failed(&mut self, fault: Fault) -> BusError {
        self.client = None;
        let error = match fault {
            Fault::TopicMissing => self.topic_missing(),
            other => other.into_error(),
        };
        if error != BusError::Stopped {
            self.not_before = self.shared.clock.monotonic() + self.backoff.next_wait();
            self.last = Some(error.clone());
        }
        error
    }

    /// Drops the client; the next one is made at once.
    pub(super) fn renew(&mut self) {
        self.client = None;
    }

    fn wait_backoff(&mut self, patience: Duration) -> Result<(), BusError> {
        let clock = &self.shared.clock;
        let now = clock.monotonic();
        let until = self.not_before.min(now.saturating_add(patience));
        let due = clock.at(until);
        // A stop comes first even when the wait is over.
        if self.shared.stop.is_stopped() {
            return Err(BusError::Stopped);
        }
        select! {
            recv(due) -> _ => {}
            recv(self.shared.stop.channel()) -> _ => return Err(BusError::Stopped),
        }
        match &self.last {
            Some(last) if until < self.not_before => Err(last.clone()),
            _ => Ok(()),
        }
    }

    fn open(&mut self) -> Result<Client, Fault> {
        if !self.shared.has_room() {
            let what = "too many calls to Kafka have not come back; waiting for some to end";
            return Err(Fault::Broken { what: what.to_owned() });
        }
        let (client, partitions) = Client::open(&self.shared, self.topic)?;
        let wanted = self.shared.config.partitions_of(self.topic);
        if partitions == 0 {
            return Err(Fault::TopicMissing);
        }
        self.missing_since = None;
        if partitions < wanted {
            let what = format!(
                "topic {} has {partitions} partitions, {wanted} were expected: create it anew \
                 or start every program with the number it has",
                self.shared.topic_name(self.topic)
            );
            return Err(Fault::Unusable { what });
        }
        Ok(client)
    }

    /// A broker that creates topics by itself answers "none" to the first question and creates it
    /// meanwhile; one that has just started does not know its topics yet.
    fn topic_missing(&mut self) -> BusError {
        let config = &self.shared.config;
        let now = self.shared.clock.monotonic();
        let since = *self.missing_since.get_or_insert(now);
        let topic = self.shared.topic_name(self.topic);
        if now.saturating_sub(since) < config.topic_limit {
            let what = format!("topic {topic} has no partitions yet");
            return BusError::Unavailable { what };
        }
        let (broker, waited) = (&config.brokers[0], format_duration(config.topic_limit));
        let partitions = config.partitions_of(self.topic);
        BusError::Unusable {
            what: format!(
                "Kafka at {broker} has no topic {topic}, and does not create it by itself within \
                 {waited}; create it with: kafka-topics.sh --bootstrap-server {broker} --create \
                 --topic {topic} --partitions {partitions} \
                 --config message.timestamp.type=LogAppendTime --config segment.bytes=67108864"
            ),
        }
    }

    /// Whether the last fault was a topic that may still come into being.
    pub(super) fn is_waiting_for_topic(&self) -> bool {
        self.missing_since.is_some()
    }
}
