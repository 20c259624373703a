//! One record at a time: who is it from, was it seen, where does it go, who wants to know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::analysis::counts::AnalysisCounts;
use crate::analysis::feed::Feed;
use crate::analysis::history::{Archive, Seen};
use crate::analysis::hosts::{Host, HostState, Hosts};
use crate::analysis::ledger::Verdict;
use crate::analysis::live::Placed;
use crate::analysis::presence::is_backlog;
use crate::analysis::rate::Step;
use crate::analysis::servers::Servers;
use crate::analysis::stages::{Passage, StageRing};
use crate::analysis::view::LiveUpdate;
use crate::base::thread::contain;
use crate::base::throttle::Throttle;
use crate::bus::StoredRecord;
use crate::identity;
use crate::metric::HostName;
use crate::wire::json::{FrameRecord, Record, RecordDecoder, SessionRecord};

/// At most one line about bad records in this time.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// At most one line about a bus that fails in this time.
const BUS_LOG_PERIOD: Duration = Duration::from_secs(30);

/// What all consumers share.
#[derive(Debug)]
pub(in crate::analysis) struct Shared {
    pub(in crate::analysis) hosts: Hosts,
    pub(in crate::analysis) counts: AnalysisCounts,
    pub(in crate::analysis) feed: Feed,
    stages: Mutex<StageRing>,
    servers: Mutex<Servers>,
    live_bytes_max: u64,
    /// Where the past is kept, if it is.
    pub(in crate::analysis) archive: Option<Arc<Archive>>,
    bad_records: Throttle,
    /// One line for all partitions: they fail together.
    pub(in crate::analysis) bus_failures: Throttle,
}

/// When and how a batch was read.
#[derive(Debug, Clone, Copy)]
pub(in crate::analysis) struct Reading {
    /// Monotonic.
    pub(in crate::analysis) now: Duration,
    /// Unix ms, for labels.
    pub(in crate::analysis) wall_ms: u64,
    /// Unix ms that no setting of the clock moves, for ages.
    pub(in crate::analysis) steady_ms: u64,
    /// The reader stands at the end of the topic.
    pub(in crate::analysis) at_end: bool,
    pub(in crate::analysis) partition: u32,
}

/// What one consumer has of its own.
#[derive(Debug)]
pub(in crate::analysis) struct Intake {
    shared: Arc<Shared>,
    decoder: RecordDecoder,
    passages: Vec<Passage>,
    /// When the newest record was written, by its server, Unix ms.
    pub(in crate::analysis) newest_ms: u64,
}

impl Shared {
    pub(in crate::analysis) fn new(
        hosts_max: usize,
        live_bytes_max: u64,
        archive: Option<Arc<Archive>>,
    ) -> Self {
        Self {
            hosts: Hosts::new(hosts_max),
            counts: AnalysisCounts::new(),
            feed: Feed::default(),
            stages: Mutex::default(),
            servers: Mutex::default(),
            live_bytes_max,
            archive,
            bad_records: Throttle::new(LOG_PERIOD),
            bus_failures: Throttle::new(BUS_LOG_PERIOD),
        }
    }

    pub(in crate::analysis) fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::analysis) fn stages(&self) -> MutexGuard<'_, StageRing> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake {
    pub(in crate::analysis) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, decoder: RecordDecoder::new(), passages: Vec::new(), newest_ms: 0 }
    }

    /// Takes the records of one batch over. Never fails: what cannot be used is counted.
    pub(in crate::analysis) fn take(&mut self, records: &[StoredRecord], reading: Reading) {
        for record in records {
            self.shared.counts.records.increment();
            if contain("a record", || self.take_one(record, reading)).is_none() {
                self.shared.counts.panicked.increment();
                // It may have been left half changed.
                self.decoder = RecordDecoder::new();
            }
        }
        if !self.passages.is_empty() {
            self.shared.stages().consumed(reading.now, &self.passages);
            self.passages.clear();
        }
    }

    fn take_one(&mut self, record: &StoredRecord, reading: Reading) {
        let counts = &self.shared.counts;
        match self.decoder.decode(&record.value) {
            Ok(Record::Frame(frame)) if self.is_right(record, &frame.host, reading) => {
                self.frame(&frame, record.offset, reading);
            }
            Ok(Record::Session(session)) if self.is_right(record, &session.host, reading) => {
                self.session(*session, record.offset, reading);
            }
            // The refusal was counted when it was asked for.
            Ok(Record::Frame(_) | Record::Session(_)) => {}
            Ok(Record::Stages(stages)) => {
                counts.stages.increment();
                if reading.at_end {
                    self.shared.stages().durable(reading.now, &stages.durable);
                }
                self.shared.servers().told(stages, reading.now);
            }
            Ok(Record::Unknown { .. }) => counts.skipped.increment(),
            Err(error) => {
                counts.undecodable.increment();
                self.complain(record, reading, &format!("cannot be read: {error}"));
            }
        }
    }

    /// Whether it is of a host that was forgotten since; counted if so.
    fn is_forgotten(&self, record: &StoredRecord, host: &HostName, reading: Reading) -> bool {
        let Some(archive) = &self.shared.archive else { return false };
        let forgotten = self.shared.hosts.get(host).is_none()
            && archive.is_forgotten(host, reading.partition, record.offset);
        self.shared.counts.replayed.add(u64::from(forgotten));
        forgotten
    }

    /// Whether a record's key is its host, and the host has a name and is not forgotten; counted if
    /// not.
    fn is_right(&self, record: &StoredRecord, host: &HostName, reading: Reading) -> bool {
        let named = identity::host_name(host).is_ok_and(|name| name == *host);
        if named && record.key == host.as_bytes() {
            return !self.is_forgotten(record, host, reading);
        }
        self.shared.counts.refused.increment();
        let host: String = host.chars().take(64).collect();
        let why = format!("is refused: its host '{}' is not its key", host.escape_debug());
        self.complain(record, reading, &why);
        false
    }

    fn complain(&self, record: &StoredRecord, reading: Reading, what: &str) {
        if let Some(left_out) = self.shared.bad_records.pass() {
            let (partition, offset) = (reading.partition, record.offset);
            log::warn!(
                "the record at offset {offset} of partition {partition} {what} \
                 ({left_out} more since the last such line)"
            );
        }
    }

    /// Does something with a host, under its lock; the host is made if need be.
    fn with_host<T>(
        &self,
        name: &HostName,
        reading: Reading,
        act: impl FnOnce(&mut HostState) -> T,
    ) -> T {
        loop {
            let host = self.host(name, reading);
            let mut state = host.lock();
            // Dropped for another host since it was found: it must be made anew.
            if state.departed {
                drop(state);
                std::thread::yield_now();
                continue;
            }
            state.touch(reading.now);
            let folded = state.ledger.folded_sessions();
            let done = act(&mut state);
            self.shared.counts.sessions_folded.add(state.ledger.folded_sessions() - folded);
            return done;
        }
    }

    /// The host of a name: as it is known, as it was on disk, or new.
    fn host(&self, name: &HostName, reading: Reading) -> Arc<Host> {
        let Shared { hosts, archive, counts, .. } = &*self.shared;
        if let Some(host) = hosts.get(name) {
            return host;
        }
        while let Some(oldest) = hosts.make_room() {
            if let Some(archive) = archive {
                archive.close(&oldest, archive.partition_of(&oldest.name), reading.steady_ms);
            }
            hosts.remove(&oldest, false, reading.now);
            counts.hosts_dropped.increment();
        }
        let recalled = archive
            .as_ref()
            .and_then(|archive| archive.recall(name, reading.partition, reading.now));
        let recalled = recalled.map(|recalled| {
            let age_ms = reading.steady_ms.saturating_sub(recalled.seen_ms);
            (recalled, age_ms)
        });
        hosts.add(name, recalled, reading.now)
    }

    fn frame(&mut self, record: &FrameRecord, offset: u64, reading: Reading) {
        self.newest_ms = self.newest_ms.max(record.received_ms);
        let account = |state: &mut HostState| self.account(state, record, offset, reading);
        let Some(step) = self.with_host(&record.host, reading, account) else { return };
        if let Some(step) = step
            && self.shared.feed.is_wanted()
        {
            let update = update(record, &step, reading);
            self.shared.counts.updates_dropped.add(self.shared.feed.send(Arc::new(update)));
        }
        if reading.at_end && !is_backlog(&record.frame) {
            self.passages.push(Passage::of(record, reading.wall_ms));
        } else {
            self.shared.counts.backlog_frames.increment();
        }
    }

    /// Under the host's lock: the ledger, the open chunk, then the live window. `None` when the
    /// frame is not news.
    fn account(
        &self,
        state: &mut HostState,
        record: &FrameRecord,
        offset: u64,
        reading: Reading,
    ) -> Option<Option<Step>> {
        let (counts, frame) = (&self.shared.counts, &record.frame);
        let seen = self.seen(state, offset, reading);
        if seen.counted {
            counts.replayed.increment();
            if !state.track.replays(frame.session, frame.into()) {
                return None;
            }
        } else {
            let live = !is_backlog(frame) && !record.overtaken;
            match state.ledger.frame(frame.session, frame.seq, live, reading.now) {
                Verdict::New => counts.frames_stored.increment(),
                Verdict::Doubled => {
                    counts.frames_doubled.increment();
                    return None;
                }
                Verdict::TooLate => {
                    counts.frames_too_late.increment();
                    return None;
                }
            }
            if self.keeps(reading.partition) {
                state.track.keep(frame.session, frame.into(), offset, reading.now);
            }
        }
        if seen.shown { None } else { Some(self.show(state, record, reading)) }
    }

    /// What is known of a record by its offset alone.
    fn seen(&self, state: &mut HostState, offset: u64, reading: Reading) -> Seen {
        match self.shared.archive {
            Some(_) => state.track.arrives(offset, reading.now),
            None => Seen::NEW,
        }
    }

    /// Whether frames are kept now, beyond the live window.
    fn keeps(&self, partition: u32) -> bool {
        let lane = self.shared.archive.as_ref().and_then(|archive| archive.lane(partition));
        lane.is_some_and(|lane| !lane.is_suspended())
    }

    /// Puts a frame into the live window; `None` when it is too old for it.
    fn show(&self, state: &mut HostState, record: &FrameRecord, reading: Reading) -> Option<Step> {
        let (counts, frame) = (&self.shared.counts, &record.frame);
        let behind_ms =
            if reading.at_end { 0 } else { reading.steady_ms.saturating_sub(record.received_ms) };
        if state.presence.frame(record, behind_ms, reading.now) {
            state.forget_values();
        }
        let before = state.live.bytes();
        let (put, mut crowded_out) = state.live.put(frame);
        let all = self.shared.hosts.resized(before, state.live.bytes());
        if all > self.shared.live_bytes_max {
            let before = state.live.bytes();
            crowded_out += state.live.drop_oldest();
            self.shared.hosts.resized(before, state.live.bytes());
        }
        counts.live_crowded_out.add(crowded_out);
        let Some(Placed { step, newest }) = put else {
            counts.frames_too_old.increment();
            return None;
        };
        counts.samples_refused.add(step.refused);
        counts.counter_resets.add(step.resets);
        counts.idle_steps_back.add(step.idle_steps_back);
        if newest && state.presence.session() == frame.session {
            state.note_newest(frame.time_ms, &step.summary);
        }
        Some(step)
    }

    fn session(&mut self, record: SessionRecord, offset: u64, reading: Reading) {
        self.newest_ms = self.newest_ms.max(record.time_ms);
        let host = record.host.clone();
        let taken = self.with_host(&host, reading, |state| {
            let seen = self.seen(state, offset, reading);
            if seen.counted {
                self.shared.counts.replayed.increment();
            } else {
                state.ledger.record(&record, reading.now)?;
                self.shared.counts.sessions.increment();
            }
            if seen.shown {
                return Ok(());
            }
            if state.presence.record(&record, reading.now) {
                state.forget_values();
            }
            if state.presence.session() == record.session {
                state.describe(record);
            }
            Ok::<(), String>(())
        });
        if let Err(why) = taken {
            self.shared.counts.sessions_refused.increment();
            log::debug!("a session record of {host} is refused: {why}");
        }
    }
}

fn update(record: &FrameRecord, step: &Step, reading: Reading) -> LiveUpdate {
    let frame = &record.frame;
    LiveUpdate {
        host: record.host.clone(),
        session: frame.session,
        seq: frame.seq,
        interval_ms: frame.interval_ms,
        time_ms: frame.time_ms,
        sent_ms: frame.sent_ms,
        received_ms: record.received_ms,
        consumed_ms: reading.wall_ms,
        summary: step.summary,
        values: step.named(),
    }
}
