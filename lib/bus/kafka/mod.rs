//! The bus on a real broker (Kafka 0.10 to 3.9), through the crate `kafka` 0.10, built around
//! that crate's faults.
//!
//! ```text
//! publisher/reader -> link (backoff, next client) -> client (thread, time limit) -> session (crate)
//! ```
//!
//! The rule that contains most faults: a client gets one call at a time on a thread of its own,
//! and a call that fails, panics or takes longer than the limit is its last. The next client has
//! to pass a raw probe first. So nothing is sent again to a broker that merely sleeps, and no
//! late answer can be taken for that of a later request.
//!
//! | no. | fault of the crate | what contains it |
//! |---|---|---|
//! | K01 | timeouts fixed at 120 s, none for connecting | `client`: calls are given up after [`CALL_LIMIT`]; `probe` connects first, with a limit |
//! | K02 | TLS hangs | not reachable: built without its TLS |
//! | K03 | a broken connection is never replaced | `client`: dropped after any fault |
//! | K04 | a response's length is trusted | a panic ends that client's thread alone; whoever has not passed the bounded probe is never asked. A length up to 2 GiB is reserved (not touched) until the call is given up; an array of more elements than memory, from a broker that passed the probe, cannot be contained |
//! | K05 | answers are not matched to requests | one request at a time on a connection, none after a fault; the number is compared where the crate tells it (fetch) |
//! | K06 | `write` instead of `write_all` | sockets block, requests are under 512 KiB, a short write ends in a given-up call |
//! | K07 | lost metadata makes fetch answer Ok and nothing | `session`: a missing partition is an error; metadata is loaded once for each client |
//! | K08 | topic errors dropped, odd partition numbers panic | 0 partitions is an error in words; a panic ends that client alone |
//! | K09 | commit loops for ever | not reachable: offsets are kept by whoever reads |
//! | K10 | one broker's confirmations lost with another's error | one partition, so one broker, a request |
//! | K11 | Ok with an error inside | `session`: exactly one confirmation must be there and be Ok |
//! | K12 | an empty value becomes a tombstone | values are always given as present |
//! | K13 | records carry no time | the topic stamps them (`message.timestamp.type=LogAppendTime`) |
//! | K14 | one request is one batch, refused though each record is small | `publisher`: halves it until the records go or one alone is refused |
//! | K15 | a fetch smaller than a batch brings nothing, for ever | `reader`: asks for 2 MiB, doubles to 16 MiB, then skips one offset and counts it |
//! | K16 | mixed compressed and plain records are lost | built without compression: any compressed record is an error (see K19); first offset and holes are checked |
//! | K17 | `Consumer` loses records | not reachable: not used |
//! | K18 | out of range for ever, or on at the end | `reader`: on at the oldest, the gap is reported |
//! | K19 | one unreadable batch fails the answer | one partition a fetch; after three tries the offset is skipped, reported and counted |
//! | K20 | Kafka 4 looks healthy | `probe`: asks for the versions first |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::backoff::Backoff;
use crate::base::clock::SharedClock;
use crate::base::quantity::format_duration;
use crate::base::stop::{self, Stop, Stopper};

use super::{Bus, BusCounts, BusError, Position, Publisher, Reader, Topic};
use link::Link;
use shared::Shared;

mod client;
mod fault;
mod link;
mod payload;
mod probe;
mod publisher;
mod reader;
mod session;
mod shared;

/// How long a call may take before it is given up with its client. A healthy broker answers in
/// milliseconds, one that elects a leader in seconds.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// How long a topic may be without partitions before that is an operator's business. A broker that
/// creates topics by itself needs two questions and 300 ms.
pub const TOPIC_LIMIT: Duration = Duration::from_secs(10);

/// Partitions of the metrics topic, pinned for the life of the programs.
pub const PARTITIONS: u32 = 4;

/// Partitions of the events topic that are used: its records are few and want one order.
pub const EVENTS_PARTITIONS: u32 = 1;

/// First and longest wait between tries to connect at the start.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_CAP: Duration = Duration::from_secs(3);

/// How often a broker that stays away is mentioned.
const REMIND_EVERY: Duration = Duration::from_secs(30);

/// Where the broker is and what the topics are called.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `host:port` of one or more brokers of the cluster; asked in this order.
    pub brokers: Vec<String>,
    /// Topic of frames and sessions.
    pub metrics_topic: String,
    /// Topic of stage histograms, snapshots and alerts.
    pub events_topic: String,
    /// Partitions of the metrics topic that are used; it must have as many, and may have more.
    pub partitions: u32,
    /// How long a call may take before it is given up with its client.
    pub call_limit: Duration,
    /// How long a topic may be without partitions before that is an error.
    pub topic_limit: Duration,
}

impl KafkaConfig {
    /// These brokers with the usual topics, partitions and limits.
    #[must_use]
    pub fn new(brokers: Vec<String>) -> Self {
        Self {
            brokers,
            metrics_topic: "monitor_metrics".to_owned(),
            events_topic: "monitor_events".to_owned(),
            partitions: PARTITIONS,
            call_limit: CALL_LIMIT,
            topic_limit: TOPIC_LIMIT,
        }
    }

    fn partitions_of(&self, topic: Topic) -> u32 {
        match topic {
            Topic::Metrics => self.partitions,
            Topic::Events => EVENTS_PARTITIONS,
        }
    }

    fn check(&self) -> Result<(), BusError> {
        let unusable = |what: String| Err(BusError::Unusable { what });
        if self.brokers.is_empty() {
            return unusable(
                "no broker given; expected host:port, as in localhost:9094".to_owned(),
            );
        }
        for broker in &self.brokers {
            let port = broker.rsplit_once(':').and_then(|(host, port)| {
                (!host.is_empty()).then(|| port.parse::<u16>().ok()).flatten()
            });
            if port.is_none() {
                return unusable(format!("'{broker}' is not host:port, as in localhost:9094"));
            }
        }
        if self.partitions == 0 || self.partitions > i32::MAX as u32 {
            return unusable(format!("{} partitions; expected 1 or more", self.partitions));
        }
        Ok(())
    }
}

/// A bus on a Kafka cluster.
#[derive(Debug)]
pub struct KafkaBus {
    shared: Arc<Shared>,
    stopper: Mutex<Option<Stopper>>,
}

impl KafkaBus {
    /// Makes sure that the broker answers, speaks our protocol, and has both topics with leaders
    /// that can be reached. `stop` ends this start-up, not the bus: that is
    /// [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// `Unavailable`: trying again may help. `Unusable`: an operator has to act. `Stopped`.
    pub fn connect(
        config: KafkaConfig,
        clock: SharedClock,
        stop: &Stop,
    ) -> Result<Arc<Self>, BusError> {
        config.check()?;
        let start = Arc::new(Shared::new(config.clone(), Arc::clone(&clock), stop.clone()));
        for topic in [Topic::Metrics, Topic::Events] {
            check_topic(&start, topic)?;
        }
        let (stopper, stop) = stop::pair();
        let shared = Arc::new(Shared::new(config, clock, stop));
        Ok(Arc::new(Self { shared, stopper: Mutex::new(Some(stopper)) }))
    }

    /// As [`connect`](Self::connect), trying again while the broker is not there; each reason is
    /// logged once, and again every 30 s, and given to `failing` each time.
    ///
    /// # Errors
    /// `Unusable`: an operator has to act. `Stopped`: `stop` came first.
    pub fn connect_with_retry(
        config: &KafkaConfig,
        clock: &SharedClock,
        stop: &Stop,
        failing: &dyn Fn(&str),
    ) -> Result<Arc<Self>, BusError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
        let mut said: Option<(BusError, Duration)> = None;
        loop {
            match Self::connect(config.clone(), Arc::clone(clock), stop) {
                Ok(bus) => {
                    let (at, topic) = (config.brokers.join(", "), &config.metrics_topic);
                    log::info!("Kafka at {at}: topic {topic}, {} partitions", config.partitions);
                    return Ok(bus);
                }
                Err(error @ BusError::Unavailable { .. }) => {
                    failing(&error.to_string());
                    let now = clock.monotonic();
                    let is_news = said
                        .as_ref()
                        .is_none_or(|(last, at)| *last != error || now - *at >= REMIND_EVERY);
                    if is_news {
                        log::warn!("{error}; trying again");
                        said = Some((error, now));
                    }
                }
                Err(error) => return Err(error),
            }
            if stop.wait(backoff.next_wait()) {
                return Err(BusError::Stopped);
            }
        }
    }

    /// Ends what waits: publishers and readers answer `Stopped` at once and from then on.
    pub fn shutdown(&self) {
        drop(self.stopper.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// What this bus has counted since it was made.
    #[must_use]
    pub fn counts(&self) -> &BusCounts {
        &self.shared.counts
    }
}

impl Bus for KafkaBus {
    fn partitions(&self, topic: Topic) -> u32 {
        self.shared.config.partitions_of(topic)
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(publisher::KafkaPublisher::new(Arc::clone(&self.shared)))
    }

    fn reader(&self, topic: Topic, partition: u32, from: Position) -> Box<dyn Reader> {
        Box::new(reader::KafkaReader::new(Arc::clone(&self.shared), topic, partition, from))
    }
}

/// Waits for the topic to come into being, then for nothing.
fn check_topic(start: &Arc<Shared>, topic: Topic) -> Result<(), BusError> {
    let mut link = Link::new(Arc::clone(start), topic);
    let partitions = start.config.partitions_of(topic);
    let mut waiting_logged = false;
    loop {
        let error = match link.client(Duration::MAX) {
            Ok(client) => {
                let checked = client.call("metadata", Duration::ZERO, move |session| {
                    (0..partitions).try_for_each(|partition| session.check_leader(partition))
                });
                return checked.map_err(|fault| link.failed(fault));
            }
            Err(error) => error,
        };
        if !matches!(error, BusError::Unavailable { .. }) || !link.is_waiting_for_topic() {
            return Err(error);
        }
        if !waiting_logged {
            waiting_logged = true;
            let limit = format_duration(start.config.topic_limit);
            log::info!("{error}; waiting up to {limit} for it");
        }
    }
}
