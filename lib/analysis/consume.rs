//! One thread per partition: read, take over, tell the bus.
//!
//! After a restart each reader begins [`WINDOW_MS`] ago, so that the live windows and accounts
//! are there again; what people see is served from the first record on. A bus that cannot be
//! reached is tried for ever, with growing pauses.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::analysis::intake::{Intake, Reading, Shared};
use crate::analysis::live::WINDOW_MS;
use crate::analysis::view::{BusState, STAGES_WINDOW_S};
use crate::base::backoff::Backoff;
use crate::base::clock::SharedClock;
use crate::base::stop::Stop;
use crate::bus::{Batch, Bus, BusError, Position, Reader, Topic, partition_of};

/// How long one read waits for records; also how long stopping may take.
const READ_WAIT: Duration = Duration::from_millis(250);

/// Pauses between failed reads.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_CAP: Duration = Duration::from_secs(5);

/// So many records behind the end, a reader that was there before is catching up again: 10 s of
/// 1,000 hosts at 1 Hz.
const BEHIND_RECORDS: u64 = 10_000;

/// How the readers stand with the bus, by partition of the metrics.
#[derive(Debug)]
pub(in crate::analysis) struct Standing(Mutex<Vec<BusState>>);

/// A clock whose Unix time is not moved by anybody who sets it.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct SteadyClock {
    pub(in crate::analysis) clock: SharedClock,
    /// Unix time less monotonic time at the start.
    offset_ms: u64,
}

/// One thread's work.
#[derive(Debug)]
pub(in crate::analysis) struct Consumer {
    topic: Topic,
    partition: u32,
    reader: Box<dyn Reader>,
    intake: Intake,
    shared: Arc<Shared>,
    standing: Arc<Standing>,
    time: SteadyClock,
    /// Until this offset, what is read was written before the start or before a failure.
    catch_up_to: Option<u64>,
    at_end: bool,
    partitions: u32,
}

impl Standing {
    /// Nothing was read yet.
    pub(in crate::analysis) fn new(partitions: u32) -> Self {
        let start = BusState::CatchingUp { behind_s: 0 };
        Self(Mutex::new(vec![start; partitions as usize]))
    }

    /// The worst of all partitions.
    pub(in crate::analysis) fn worst(&self) -> BusState {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let down = states.iter().find(|state| matches!(state, BusState::Down { .. }));
        let behind = states.iter().filter_map(|state| match state {
            BusState::CatchingUp { behind_s } => Some(*behind_s),
            _ => None,
        });
        match (down, behind.max()) {
            (Some(down), _) => down.clone(),
            (None, Some(behind_s)) => BusState::CatchingUp { behind_s },
            (None, None) => BusState::Ok,
        }
    }

    fn set(&self, partition: u32, state: BusState) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = states.get_mut(partition as usize) {
            *place = state;
        }
    }
}

impl SteadyClock {
    pub(in crate::analysis) fn new(clock: SharedClock) -> Self {
        let offset_ms = clock.wall_ms().saturating_sub(millis(clock.monotonic()));
        Self { clock, offset_ms }
    }

    pub(in crate::analysis) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(in crate::analysis) fn unix_ms(&self) -> u64 {
        self.offset_ms + millis(self.clock.monotonic())
    }
}

impl Consumer {
    pub(in crate::analysis) fn new(
        (topic, partition): (Topic, u32),
        bus: &dyn Bus,
        shared: Arc<Shared>,
        standing: Arc<Standing>,
        time: SteadyClock,
    ) -> Self {
        let reach_ms = match topic {
            Topic::Metrics => WINDOW_MS,
            Topic::Events => STAGES_WINDOW_S * 1_000,
        };
        let from = Position::SinceMs(time.unix_ms().saturating_sub(reach_ms));
        Self {
            topic,
            partition,
            reader: bus.reader(topic, partition, from),
            intake: Intake::new(shared.clone()),
            shared,
            standing,
            time,
            catch_up_to: None,
            at_end: false,
            partitions: bus.partitions(topic),
        }
    }

    /// Reads until it is time to stop.
    pub(in crate::analysis) fn run(mut self, stop: &Stop) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_CAP);
        while !stop.is_stopped() {
            match self.reader.read(READ_WAIT) {
                Ok(batch) => {
                    backoff.reset();
                    self.took(&batch);
                }
                Err(error) => {
                    self.failed(&error);
                    if stop.wait(backoff.next_wait()) {
                        return;
                    }
                }
            }
        }
    }

    fn took(&mut self, batch: &Batch) {
        if let Some(gap) = batch.gap {
            self.gap(gap);
        }
        self.take_position(batch);
        let reading = Reading {
            now: self.time.now(),
            wall_ms: self.time.clock.wall_ms(),
            steady_ms: self.time.unix_ms(),
            at_end: self.at_end,
            partition: self.partition,
        };
        self.intake.take(&batch.records, reading);
        if let Some(last) = batch.records.last() {
            self.reader.taken(last.offset);
        }
        if self.topic == Topic::Metrics {
            let state = if self.at_end {
                BusState::Ok
            } else {
                let behind_ms = reading.steady_ms.saturating_sub(self.intake.newest_ms);
                let known = self.intake.newest_ms > 0;
                BusState::CatchingUp { behind_s: if known { behind_ms / 1_000 } else { 0 } }
            };
            self.standing.set(self.partition, state);
        }
    }

    /// Is this batch of now, or was it written while nobody read?
    fn take_position(&mut self, batch: &Batch) {
        let (Some(first), Some(last)) = (batch.records.first(), batch.records.last()) else {
            // A read that waited and got nothing stands at the end.
            self.catch_up_to = None;
            self.at_end = true;
            return;
        };
        let behind = batch.end_offset.saturating_sub(last.offset + 1);
        if !self.at_end && self.catch_up_to.is_none() || behind > BEHIND_RECORDS {
            self.catch_up_to = Some(batch.end_offset);
        }
        // What was written after this reader began is of now, even if the batch began before.
        self.at_end = self.catch_up_to.is_none_or(|until| first.offset >= until);
        if self.at_end {
            self.catch_up_to = None;
        }
    }

    fn failed(&mut self, error: &BusError) {
        if matches!(error, BusError::Stopped) {
            return;
        }
        // Before the first connection nothing has failed that was there.
        let is_failure = !matches!(error, BusError::NotYet { .. });
        self.shared.counts.bus_errors.add(u64::from(is_failure));
        self.catch_up_to = None;
        self.at_end = false;
        if self.topic != Topic::Metrics {
            // Latencies of the servers are beside the path; without them everything else goes on.
            log::debug!("reading {:?}: {error}", self.topic);
            return;
        }
        self.standing.set(self.partition, BusState::Down { detail: error.to_string() });
        if is_failure && let Some(left_out) = self.shared.bus_failures.pass() {
            let partition = self.partition;
            log::warn!(
                "reading partition {partition}: {error}; trying again \
                 ({left_out} failures more since the last such line)"
            );
        }
    }

    fn gap(&self, (first, last): (u64, u64)) {
        self.shared.counts.gap_offsets.add(last.saturating_sub(first).saturating_add(1));
        let (topic, partition) = (self.topic, self.partition);
        log::warn!(
            "offsets {first} to {last} of partition {partition} of {topic:?} were gone before \
             they were read; the ledger says which frames that were"
        );
        for host in self.shared.hosts.all() {
            if partition_of(host.name.as_bytes(), self.partitions) == self.partition {
                host.lock().ledger.note_gap();
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
