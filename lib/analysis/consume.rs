//! One thread per partition: read, take over, tell the bus.
//!
//! After a restart each reader begins [`WINDOW_MS`] ago, so that the live windows are there again,
//! or where the past on disk ends, if that is earlier; what people see is served from the first
//! record on. A bus that cannot be reached is tried for ever, with growing pauses. A topic that was
//! made anew is told from the one before by a record that is known of it ([`Checkpoint`]).

use std::sync::Arc;
use std::time::Duration;

use crate::analysis::history::{Archive, Checkpoint, Lane};
use crate::analysis::hosts::Host;
use crate::analysis::intake::{Intake, Reading, Shared};
use crate::analysis::live::WINDOW_MS;
use crate::analysis::standing::Standing;
use crate::analysis::view::{BusState, STAGES_WINDOW_S};
use crate::base::backoff::Backoff;
use crate::base::clock::SharedClock;
use crate::base::stop::Stop;
use crate::bus::{Batch, Bus, BusError, Position, Reader, Topic, partition_of};

/// How long one read waits for records; also how long stopping may take.
const READ_WAIT: Duration = Duration::from_millis(250);

/// Pauses between failed reads; a bus that needs longer waits itself.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_CAP: Duration = Duration::from_millis(400);

/// So many records behind the end, a reader that was there before is catching up again: 10 s of
/// 1,000 hosts at 1 Hz.
const BEHIND_RECORDS: u64 = 10_000;

/// How often chunks of the past are looked at, whether they are to be closed.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// Or when one batch brought so many records.
const SWEEP_RECORDS: usize = 1_000;

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
    bus: Arc<dyn Bus>,
    reader: Box<dyn Reader>,
    /// Of the metrics, if the past is kept.
    archive: Option<Arc<Archive>>,
    /// It is to be seen whether the topic is still the one that was read before.
    is_doubtful: bool,
    /// Offset of the record read last by this reader.
    last: Option<u64>,
    swept: Duration,
    /// What the bus was told: everything before it is safe.
    told: u64,
    intake: Intake,
    shared: Arc<Shared>,
    standing: Arc<Standing>,
    time: SteadyClock,
    /// Until this offset, what is read was written before the start or before a failure.
    catch_up_to: Option<u64>,
    at_end: bool,
    partitions: u32,
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
        bus: &Arc<dyn Bus>,
        shared: Arc<Shared>,
        standing: Arc<Standing>,
        time: SteadyClock,
    ) -> Self {
        let archive = shared.archive.clone().filter(|_| topic == Topic::Metrics);
        let from = first_position(topic, partition, archive.as_deref(), &time);
        let reader = bus.reader(topic, partition, from);
        let reader = match &archive {
            Some(archive) => archive.reader(partition, reader),
            None => reader,
        };
        Self {
            topic,
            partition,
            bus: bus.clone(),
            reader,
            is_doubtful: archive.is_some(),
            archive,
            last: None,
            swept: Duration::ZERO,
            told: 0,
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
            match self.turn() {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    self.failed(&error);
                    if stop.wait(backoff.next_wait()) {
                        return;
                    }
                }
            }
        }
    }

    fn turn(&mut self) -> Result<(), BusError> {
        if self.is_doubtful {
            self.verify()?;
            self.is_doubtful = false;
        }
        let behind = |archive: &Archive, lane: &Lane| lane.is_suspended() && !archive.is_failing();
        if let Some((archive, lane)) = self.lane()
            && behind(archive, lane)
        {
            self.rewind();
        }
        let batch = self.reader.read(READ_WAIT)?;
        self.took(&batch);
        self.sweep(batch.records.len());
        Ok(())
    }

    fn lane(&self) -> Option<(&Arc<Archive>, &Lane)> {
        let archive = self.archive.as_ref()?;
        Some((archive, archive.lane(self.partition)?))
    }

    /// Is the topic still the one that was read before? A broker that lost its disk, or somebody
    /// who deleted the topic, leaves another one with the same offsets.
    fn verify(&mut self) -> Result<(), BusError> {
        let Some((_, lane)) = self.lane() else { return Ok(()) };
        let Some(mark) = lane.checkpoint().filter(|_| !lane.is_logged()) else { return Ok(()) };
        let mut reader = self.bus.reader(self.topic, self.partition, Position::Offset(mark.offset));
        let batch = reader.read(READ_WAIT)?;
        let is_other = match batch.records.first() {
            Some(record) if record.offset == mark.offset => Checkpoint::of(record) != mark,
            // Later: the topic has let go of it by age.
            Some(record) => record.offset < mark.offset,
            None => batch.end_offset <= mark.offset,
        };
        if is_other {
            self.begin_anew();
            self.reader = self.bus.reader(self.topic, self.partition, Position::Earliest);
        }
        Ok(())
    }

    /// Offsets of before mean nothing any more; frames are told apart by their numbers.
    fn begin_anew(&mut self) {
        let Some((archive, lane)) = self.lane() else { return };
        log::warn!(
            "partition {}: the topic was made anew; reading it from its beginning. What was not \
             read of the former one is gone; the ledger says which frames that were",
            self.partition
        );
        archive.counts.topics_anew.increment();
        lane.begin_anew();
        for host in self.hosts() {
            host.lock().ledger.note_gap();
            archive.begin_anew(&host, self.partition, self.time.unix_ms());
        }
        self.last = None;
    }

    /// The disk takes it again: back to what is on it, and what came since is read once more.
    fn rewind(&mut self) {
        let Some((archive, lane)) = self.lane() else { return };
        log::info!("partition {}: reading again what the disk had not taken", self.partition);
        archive.counts.rewinds.increment();
        let now = self.time.now();
        for host in self.hosts() {
            let recalled = archive.recall(&host.name, self.partition, now);
            let (ledger, track) =
                recalled.map(|recalled| (recalled.ledger, recalled.track)).unwrap_or_default();
            host.lock().go_back(ledger, track);
        }
        lane.go_back();
        let from = match lane.resume().max(lane.logged()) {
            0 => Position::Earliest,
            resume => Position::Offset(resume),
        };
        let reader = self.bus.reader(self.topic, self.partition, from);
        self.reader = archive.reader(self.partition, reader);
        (self.last, self.catch_up_to, self.at_end) = (None, None, false);
    }

    /// Closes the chunks that are due.
    fn sweep(&mut self, records: usize) {
        let now = self.time.now();
        if now.saturating_sub(self.swept) < SWEEP_INTERVAL && records < SWEEP_RECORDS {
            return;
        }
        self.swept = now;
        let Some((archive, lane)) = self.lane() else { return };
        if lane.is_suspended() {
            return;
        }
        for host in self.hosts() {
            if archive.is_due(&host, now) {
                archive.close(&host, self.partition, self.time.unix_ms());
            }
        }
    }

    /// Those of this partition.
    fn hosts(&self) -> Vec<Arc<Host>> {
        let mut hosts = self.shared.hosts.all();
        let partitions = self.partitions;
        hosts.retain(|host| partition_of(host.name.as_bytes(), partitions) == self.partition);
        hosts
    }

    /// Tells the bus what need not be kept for us any longer.
    fn tell(&mut self, batch: &Batch) {
        let safe = match self.lane() {
            Some((_, lane)) => lane.safe(),
            None => match batch.records.last() {
                Some(last) => last.offset + 1,
                None => return,
            },
        };
        if safe > self.told {
            self.told = safe;
            self.reader.taken(safe - 1);
        }
        if let Some((archive, _)) = self.lane()
            && self.reader.is_awaited()
        {
            archive.ring();
        }
    }

    fn took(&mut self, batch: &Batch) {
        if let Some(gap) = batch.gap {
            self.gap(gap);
        }
        if let (Some(first), Some(last)) = (batch.records.first(), self.last)
            && first.offset <= last
        {
            self.begin_anew();
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
            self.last = Some(last.offset);
        }
        if let Some((_, lane)) = self.lane() {
            lane.handled(&batch.records);
        }
        self.tell(batch);
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
        // Whoever answers next may be another.
        self.is_doubtful = self.archive.is_some();
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
        for host in self.hosts() {
            host.lock().ledger.note_gap();
        }
    }
}

/// Where a reader begins when the program starts.
fn first_position(
    topic: Topic,
    partition: u32,
    archive: Option<&Archive>,
    time: &SteadyClock,
) -> Position {
    let since = |reach_ms| time.unix_ms().saturating_sub(reach_ms);
    let lane = archive.and_then(|archive| archive.lane(partition));
    match (topic, lane) {
        (Topic::Events, _) => Position::SinceMs(since(STAGES_WINDOW_S * 1_000)),
        (Topic::Metrics, None) => Position::SinceMs(since(WINDOW_MS)),
        (Topic::Metrics, Some(lane)) if lane.is_logged() => Position::Offset(lane.logged()),
        (Topic::Metrics, Some(lane)) if lane.is_known => {
            Position::OffsetOrSinceMs { offset: lane.resume(), since_ms: since(WINDOW_MS) }
        }
        // The past is made from as far as the topic reaches.
        (Topic::Metrics, Some(_)) => Position::Earliest,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
