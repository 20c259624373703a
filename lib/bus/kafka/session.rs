//! The door to the kafka crate: one `KafkaClient` and the calls we make on it. Nothing outside
//! this file names the crate.
//!
//! A session lives on the thread that made it and answers one call at a time, so at most one
//! request is ever under way on a connection. It never repairs itself: whoever gets a fault that
//! does not say otherwise drops it.

use std::io;
use std::ops::Range;
use std::time::Duration;

use ::kafka::client::fetch::Response;
use ::kafka::client::{
    FetchOffset, FetchPartition, KafkaClient, ProduceConfirm, ProduceMessage, RequiredAcks,
};
use ::kafka::error::{Error, KafkaCode};

use super::super::StoredRecord;
use super::fault::Fault;
use super::payload::Payload;
use super::probe::{ProbeError, ProbeLimits, io_words, probe};

/// Shown in the broker's request log.
const CLIENT_ID: &str = "realtime-monitor";

/// Which end of a partition is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edge {
    /// The oldest offset that is still there.
    Earliest,
    /// The offset that the next record gets.
    Latest,
    /// The start of the newest segment last written at or before this Unix time in ms.
    Before(u64),
}

/// What one fetch brought.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Without a hole: it ends before the first one.
    pub(super) records: Vec<StoredRecord>,
    /// The offset that the next record gets.
    pub(super) end_offset: u64,
}

/// What a fetch asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) partition: u32,
    pub(super) offset: u64,
    /// More than the largest batch, or the broker has nothing to send (K15).
    pub(super) bytes_max: u32,
    /// How long the broker waits for a first record.
    pub(super) wait: Duration,
}

/// A client with metadata for one topic.
pub(super) struct Session {
    client: KafkaClient,
    topic: String,
    /// Answered the probe.
    probed: Vec<String>,
    limits: ProbeLimits,
    /// Requests so far; the crate numbers them from 1 and tells the number in a fetch.
    requests: i32,
}

impl Session {
    /// Probes the brokers in turn and loads the topic's metadata from the first that answers.
    /// Also gives the number of partitions, which may be 0.
    pub(super) fn open(
        brokers: &[String],
        topic: &str,
        limits: ProbeLimits,
    ) -> Result<(Self, u32), Fault> {
        let broker = first_that_answers(brokers, limits)?;
        let mut client = KafkaClient::new(vec![broker.clone()]);
        client.set_client_id(CLIENT_ID.to_owned());
        client.set_fetch_min_bytes(1);
        client.set_fetch_crc_validation(true);
        let (topic, probed) = (topic.to_owned(), vec![broker]);
        let mut session = Self { client, topic, probed, limits, requests: 0 };
        session.requests += 1;
        let loaded = session.client.load_metadata(&[session.topic.as_str()]);
        loaded.map_err(|error| session.crate_fault("metadata", &error))?;
        let partitions = session.client.topics().partitions(&session.topic).map_or(0, |p| p.len());
        Ok((session, u32::try_from(partitions).unwrap_or(u32::MAX)))
    }

    /// Makes sure that a partition has a leader and that the leader can be reached.
    pub(super) fn check_leader(&mut self, partition: u32) -> Result<(), Fault> {
        let (topic, id) = (&self.topic, i32::try_from(partition).unwrap_or(i32::MAX));
        let leader = self
            .client
            .topics()
            .partitions(topic)
            .and_then(|partitions| partitions.partition(id))
            .and_then(|partition| partition.leader().map(|broker| broker.host().to_owned()));
        let Some(leader) = leader else {
            let what = format!("partition {partition} of topic {topic} has no leader now");
            return Err(Fault::Broken { what });
        };
        if self.probed.contains(&leader) {
            return Ok(());
        }
        probe(&leader, self.limits).map_err(|error| {
            let from = &self.probed[0];
            let what = format!(
                "{from} says that partition {partition} of topic {topic} is at {leader}: {error}; \
                 check advertised.listeners of the broker"
            );
            if matches!(error, ProbeError::Unreachable(_)) {
                Fault::Broken { what }
            } else {
                Fault::Unusable { what }
            }
        })?;
        self.probed.push(leader);
        Ok(())
    }

    /// Sends a range of the payload as one batch and returns when every replica in sync has it.
    pub(super) fn produce(
        &mut self,
        partition: u32,
        payload: &Payload,
        range: Range<usize>,
        ack_timeout: Duration,
    ) -> Result<(), Fault> {
        self.check_leader(partition)?;
        let id = i32::try_from(partition).unwrap_or(i32::MAX);
        let topic = self.topic.as_str();
        let messages = range.map(|index| {
            let (key, value) = payload.record(index);
            // Some(..) even when empty: None would be a tombstone (K12).
            ProduceMessage::new(topic, id, Some(key), Some(value))
        });
        let messages: Vec<_> = messages.collect();
        self.requests += 1;
        let confirms = self.client.produce_messages(RequiredAcks::All, ack_timeout, &messages);
        let confirms = confirms.map_err(|error| self.crate_fault("produce", &error))?;
        match only_confirm(&confirms, topic, id) {
            Some(Ok(_)) => Ok(()),
            // Inside an Ok (K11).
            Some(Err(code)) => Err(produce_fault(code, topic, partition)),
            None => {
                let what =
                    format!("produce: no confirmation for {topic}/{partition} in the answer");
                Err(Fault::Broken { what })
            }
        }
    }

    /// Reads from one partition.
    pub(super) fn fetch(&mut self, wanted: Wanted) -> Result<Fetched, Fault> {
        self.check_leader(wanted.partition)?;
        let id = i32::try_from(wanted.partition).unwrap_or(i32::MAX);
        let offset = i64::try_from(wanted.offset).unwrap_or(i64::MAX);
        let bytes_max = i32::try_from(wanted.bytes_max).unwrap_or(i32::MAX);
        let set = self.client.set_fetch_max_wait_time(wanted.wait);
        set.map_err(|error| self.crate_fault("fetch", &error))?;
        let request = FetchPartition::new(&self.topic, id, offset).with_max_bytes(bytes_max);
        self.requests += 1;
        let responses = self.client.fetch_messages_for_partition(&request);
        let responses = responses.map_err(|error| self.crate_fault("fetch", &error))?;
        let late = responses.iter().any(|response| response.correlation_id() != self.requests);
        if late {
            let what = "fetch: the answer belongs to another request".to_owned();
            return Err(Fault::Broken { what });
        }
        take_records(&responses, &self.topic, wanted)
    }

    /// Asks for an offset; `None` when nothing is that old.
    pub(super) fn offset(&mut self, partition: u32, edge: Edge) -> Result<Option<u64>, Fault> {
        self.check_leader(partition)?;
        let edge = match edge {
            Edge::Earliest => FetchOffset::Earliest,
            Edge::Latest => FetchOffset::Latest,
            Edge::Before(ms) => FetchOffset::ByTime(i64::try_from(ms).unwrap_or(i64::MAX)),
        };
        self.requests += 1;
        let offsets = self.client.fetch_topic_offsets(self.topic.as_str(), edge);
        let offsets = offsets.map_err(|error| self.crate_fault("offsets", &error))?;
        let found = offsets.iter().find(|found| i64::from(found.partition) == i64::from(partition));
        let Some(found) = found else {
            let what = format!("offsets: {}/{partition} is not in the answer", self.topic);
            return Err(Fault::Broken { what });
        };
        Ok(u64::try_from(found.offset).ok())
    }

    fn crate_fault(&self, call: &str, error: &Error) -> Fault {
        let at = &self.probed[0];
        match error {
            Error::Io(error) => Fault::Broken {
                what: format!("Kafka at {at}: {call}: {}", io_words(error, self.limits.answer)),
            },
            Error::UnsupportedCompression
            | Error::UnsupportedProtocol
            | Error::Kafka(KafkaCode::CorruptMessage) => {
                Fault::Unreadable { what: format!("Kafka at {at}: {call}: {error}") }
            }
            _ => Fault::Broken { what: format!("Kafka at {at}: {call}: {error}") },
        }
    }
}

fn first_that_answers(brokers: &[String], limits: ProbeLimits) -> Result<String, Fault> {
    let mut silent = Vec::new();
    for broker in brokers {
        match probe(broker, limits) {
            Ok(()) => return Ok(broker.clone()),
            Err(ProbeError::Unreachable(what)) => silent.push(format!("{broker}: {what}")),
            Err(error) => {
                return Err(Fault::Unusable { what: format!("Kafka at {broker}: {error}") });
            }
        }
    }
    let what =
        format!("cannot reach Kafka at {}; is it running? (make kafka)", silent.join(", nor at "));
    Err(Fault::Broken { what })
}

/// The one confirmation that must be there, and no other.
fn only_confirm(
    confirms: &[ProduceConfirm],
    topic: &str,
    partition: i32,
) -> Option<Result<i64, KafkaCode>> {
    match confirms {
        [confirm] if confirm.topic == topic => match confirm.partition_confirms.as_slice() {
            [one] if one.partition == partition => Some(one.offset),
            _ => None,
        },
        _ => None,
    }
}

fn produce_fault(code: KafkaCode, topic: &str, partition: u32) -> Fault {
    let what = format!("Kafka says {code:?} to a produce to {topic}/{partition}");
    match code {
        KafkaCode::MessageSizeTooLarge
        | KafkaCode::RecordListTooLarge
        | KafkaCode::CorruptMessage
        | KafkaCode::InvalidMessageSize => Fault::Rejected { what },
        KafkaCode::InvalidTopic
        | KafkaCode::TopicAuthorizationFailed
        | KafkaCode::ClusterAuthorizationFailed
        | KafkaCode::UnsupportedVersion => Fault::Unusable { what },
        _ => Fault::Broken { what },
    }
}

fn fetch_fault(error: &Error, topic: &str, partition: u32) -> Fault {
    let what = format!("Kafka says {error} to a fetch from {topic}/{partition}");
    match error {
        Error::Kafka(KafkaCode::OffsetOutOfRange) => Fault::OffsetOutOfRange,
        Error::Kafka(KafkaCode::CorruptMessage | KafkaCode::InvalidMessageSize) => {
            Fault::Unreadable { what }
        }
        Error::Kafka(KafkaCode::UnsupportedVersion) => Fault::Unusable {
            what: format!("{what}; the topic needs message.downconversion.enable=true"),
        },
        Error::Kafka(KafkaCode::TopicAuthorizationFailed) => Fault::Unusable { what },
        _ => Fault::Broken { what },
    }
}

/// Copies the wanted partition's records out of the answer, up to the first hole.
fn take_records(responses: &[Response], topic: &str, wanted: Wanted) -> Result<Fetched, Fault> {
    let partition = responses
        .iter()
        .flat_map(|response| response.topics())
        .filter(|answered| answered.topic() == topic)
        .flat_map(|answered| answered.partitions())
        .find(|answered| i64::from(answered.partition()) == i64::from(wanted.partition));
    let Some(partition) = partition else {
        // With unknown leaders the crate answers Ok and nothing (K07).
        let what = format!("fetch: {topic}/{} is not in the answer", wanted.partition);
        return Err(Fault::Broken { what });
    };
    let data =
        partition.data().map_err(|error| fetch_fault(error.as_ref(), topic, wanted.partition))?;
    let mut records: Vec<StoredRecord> = Vec::with_capacity(data.messages().len());
    for message in data.messages() {
        let offset = u64::try_from(message.offset).unwrap_or(0);
        if records.last().is_some_and(|last| last.offset + 1 != offset) {
            break;
        }
        let (key, value) = (message.key.to_vec(), message.value.to_vec());
        records.push(StoredRecord { offset, key, value });
    }
    let end_offset = u64::try_from(data.highwatermark_offset()).unwrap_or(0);
    Ok(Fetched { records, end_offset })
}

/// Kept here so that the crate's error type stays inside this file.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Broken { what: format!("cannot start a thread for a Kafka client: {error}") }
    }
}
