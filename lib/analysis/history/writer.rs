//! The thread that writes the past down: one transaction every few seconds.
//!
//! What one transaction holds: closed chunks, the accounts as they stood when those closed, the
//! offset up to which each of those hosts is accounted for, the offset from which each partition
//! is read again after a crash; and for a bus that keeps nothing, what came since the last one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_channel::select;

use super::archive::Archive;
use super::index::Entry;
use super::lane::Lane;
use super::logged;
use super::names::NameRow;
use super::pending::Closed;
use super::put::{Runs, host_row, put_names, put_segments};
use super::request::Requests;
use super::store::{Commit, DESCRIPTION, HostId, PartitionRow, StoreError};
use super::upkeep::Upkeep;
use crate::analysis::consume::SteadyClock;
use crate::analysis::intake::Shared;
use crate::analysis::live::WINDOW_MS;
use crate::base::stop::Stop;
use crate::base::throttle::Throttle;
use crate::bus::StoredRecord;
use crate::metric::{HostName, SessionId};

/// From one commit to the next: what a client's frame waits for its ack on a bus that keeps
/// nothing. Committing every second would write six times as much.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// A commit writes 128 KB for every GiB of the file (redb's map of what is free): a large one has
/// its commits rarer, up to so many times. 20 GiB cost 130 KB a second then.
const COMMIT_INTERVALS_MAX: u64 = 4;

/// A commit that is waited for begins so long after it was asked for: ten a second at most, and
/// nobody who stops notices it.
const GATHER_TIME: Duration = Duration::from_millis(100);

/// Longest that upkeep holds up the next commit; it goes on after that.
const UPKEEP_TIME_MAX: Duration = Duration::from_secs(2);

/// At most one line about a disk that does not take it in this time.
const LOG_PERIOD: Duration = Duration::from_secs(30);

/// Under this session number stands the host's own row of its accounts.
pub(super) const SUMMARY: SessionId = SessionId(0);

/// The writer's own.
#[derive(Debug)]
pub(in crate::analysis) struct Writer {
    shared: Arc<Shared>,
    archive: Arc<Archive>,
    time: SteadyClock,
    upkeep: Upkeep,
    requests: Requests,
    /// For each partition, when which offset was logged: the log reaches as far back as the live
    /// windows do.
    logged: Vec<VecDeque<(u64, Duration)>>,
    failures: Throttle,
    runs: Runs,
}

/// One transaction's worth.
struct Load {
    closed: Vec<Arc<Closed>>,
    logs: Vec<(u32, Vec<StoredRecord>)>,
    names: Vec<NameRow>,
    hosts: HashMap<HostName, Entry>,
    /// By partition.
    resumes: Vec<u64>,
}

impl Writer {
    pub(in crate::analysis) fn new(
        shared: Arc<Shared>,
        archive: Arc<Archive>,
        time: SteadyClock,
    ) -> Self {
        let logged = archive.lanes.iter().map(|_| VecDeque::new()).collect();
        Self {
            upkeep: Upkeep::new(archive.clone()),
            requests: Requests::new(&archive.dir),
            shared,
            archive,
            time,
            logged,
            failures: Throttle::new(LOG_PERIOD),
            runs: Runs::new(),
        }
    }

    /// Commits until it is time to stop, and once more then.
    pub(in crate::analysis) fn run(mut self, stop: &Stop) {
        loop {
            let intervals =
                (self.archive.counts.file_bytes.get() >> 30).clamp(1, COMMIT_INTERVALS_MAX);
            let interval = COMMIT_INTERVAL * u32::try_from(intervals).unwrap_or(1);
            let interval = interval.min(self.archive.write_after);
            let due = self.time.clock.at(self.time.now() + interval);
            select! {
                recv(due) -> _ => {}
                recv(self.archive.bell()) -> _ => self.gather(stop),
                recv(stop.channel()) -> _ => {}
            }
            self.commit();
            if stop.is_stopped() {
                self.archive.stop();
                return;
            }
            self.requests.look(&self.archive);
            let until = self.time.now() + UPKEEP_TIME_MAX;
            while self.upkeep.turn(self.time.unix_ms(), &self.runs)
                && self.time.now() < until
                && !stop.is_stopped()
            {}
        }
    }

    /// Somebody waits for a commit, and soon others will: they share one.
    fn gather(&self, stop: &Stop) {
        let soon = self.time.clock.at(self.time.now() + GATHER_TIME);
        select! {
            recv(soon) -> _ => {}
            recv(stop.channel()) -> _ => {}
        }
    }

    /// Writes down what waits. Never fails: what the disk does not take goes on waiting.
    fn commit(&mut self) {
        let archive = Arc::clone(&self.archive);
        let _writing = archive.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut load = Load {
            closed: archive.pending.all(),
            logs: (0..).zip(&archive.lanes).map(|(at, lane)| (at, lane.take_unlogged())).collect(),
            names: Vec::new(),
            hosts: HashMap::new(),
            resumes: Vec::new(),
        };
        load.logs.retain(|(_, records)| !records.is_empty());
        if load.closed.is_empty() && load.logs.is_empty() && !archive.is_failing() {
            return;
        }
        if archive.is_failing() && !archive.store.expects_room() {
            return self.put_back(load.logs);
        }
        load.names = archive.names.take_changed();
        let written = self.write(&mut load);
        let now = self.time.now();
        archive.note_health(written.as_ref().map(|_| ()), now);
        match written {
            Ok(bytes) => self.committed(load, bytes, now),
            Err(error) => self.failed(load, &error),
        }
    }

    fn write(&self, load: &mut Load) -> Result<u64, StoreError> {
        let archive = &self.archive;
        let mut commit = archive.store.write()?;
        put_names(&mut commit, &load.names)?;
        let mut bytes = 0;
        for closed in &load.closed {
            bytes += self.put_closed(&mut commit, closed, &mut load.hosts)?;
        }
        for (partition, lane) in (0..).zip(&archive.lanes) {
            let resume = self.resume(partition, lane, &load.closed);
            load.resumes.push(resume);
            let log_end = self.put_log(&mut commit, partition, resume, &load.logs)?;
            let checkpoint = lane.checkpoint().map(|mark| (mark.offset, mark.crc));
            let row = PartitionRow { resume, checkpoint, epoch: lane.epoch(), log_end };
            commit.put_partition(partition, row)?;
        }
        commit.commit()?;
        Ok(bytes)
    }

    fn put_closed(
        &self,
        commit: &mut Commit<'_>,
        closed: &Closed,
        hosts: &mut HashMap<HostName, Entry>,
    ) -> Result<u64, StoreError> {
        let archive = &self.archive;
        let mut entry = match hosts.remove(&closed.host) {
            Some(entry) => entry,
            None => archive.index.get_or_number(&closed.host),
        };
        let id = HostId(entry.id);
        let bytes = put_segments(archive, commit, &mut entry, &closed.segments, &self.runs)?;
        for (session, row) in &closed.ledger.accounts {
            commit.put_account(id, session.0, row)?;
        }
        for session in &closed.ledger.closed {
            commit.delete_account(id, session.0)?;
        }
        commit.put_account(id, SUMMARY.0, &closed.ledger.summary)?;
        (entry.through, entry.epoch, entry.deleted) = (closed.through, closed.epoch, false);
        entry.seen_ms = entry.seen_ms.max(closed.seen_ms);
        if let Some(description) = &closed.description {
            commit.put_account(id, DESCRIPTION, description)?;
        }
        commit.put_host(id, &host_row(&closed.host, &entry, &archive.tiers))?;
        hosts.insert(closed.host.clone(), entry);
        Ok(bytes)
    }

    /// From where a partition is read again after a crash.
    fn resume(&self, partition: u32, lane: &Lane, committing: &[Arc<Closed>]) -> u64 {
        if lane.is_suspended() {
            return lane.resume();
        }
        // In this order: what is handled meanwhile comes after `next`, and what is closed
        // meanwhile is found among what is pending.
        let next = lane.next();
        let hosts = self.shared.hosts.all();
        let of_lane =
            hosts.iter().filter(|host| self.archive.partition_of(&host.name) == partition);
        let open = of_lane.filter_map(|host| host.lock().track.first_offset()).min();
        let closed = self.archive.pending.first_offset_besides(partition, committing);
        next.min(open.unwrap_or(u64::MAX)).min(closed.unwrap_or(u64::MAX))
    }

    /// Logs what came, and lets go of what is neither needed nor shown live; the log's end.
    fn put_log(
        &self,
        commit: &mut Commit<'_>,
        partition: u32,
        resume: u64,
        logs: &[(u32, Vec<StoredRecord>)],
    ) -> Result<u64, StoreError> {
        let Some(lane) = self.archive.lane(partition) else { return Ok(0) };
        let records = logs.iter().find(|(of, _)| *of == partition).map(|(_, records)| records);
        let Some(records) = records else { return Ok(lane.logged()) };
        let Some((first, last)) = records.first().zip(records.last()) else {
            return Ok(lane.logged());
        };
        let bytes = logged::encode(records);
        self.archive.counts.logged_bytes.add(bytes.len() as u64);
        commit.log_append(partition, first.offset, &bytes)?;
        let window = Duration::from_millis(WINDOW_MS);
        let since = self.time.now().saturating_sub(window);
        let shown = self.logged.get(partition as usize);
        let shown = shown.and_then(|rows| rows.iter().find(|(_, at)| *at >= since));
        let below = resume.min(shown.map_or(first.offset, |(offset, _)| *offset));
        commit.log_trim(partition, below)?;
        Ok(last.offset + 1)
    }

    fn committed(&mut self, load: Load, bytes: u64, now: Duration) {
        let archive = &self.archive;
        for (host, entry) in load.hosts {
            archive.index.set(host, entry);
        }
        for (lane, resume) in archive.lanes.iter().zip(load.resumes) {
            lane.set_resume(resume);
        }
        archive.pending.remove(&load.closed);
        archive.counts.pending_bytes.set(archive.pending.bytes() as u64);
        archive.counts.commits.increment();
        archive.counts.committed_bytes.add(bytes);
        let window = Duration::from_millis(WINDOW_MS);
        for (partition, records) in load.logs {
            let (Some(first), Some(last)) = (records.first(), records.last()) else { continue };
            let Some(lane) = archive.lane(partition) else { continue };
            lane.note_logged(last.offset);
            let Some(rows) = self.logged.get_mut(partition as usize) else { continue };
            rows.push_back((first.offset, now));
            while rows.front().is_some_and(|(_, at)| *at + window < now) {
                rows.pop_front();
            }
        }
    }

    fn put_back(&self, logs: Vec<(u32, Vec<StoredRecord>)>) {
        for (partition, records) in logs {
            if let Some(lane) = self.archive.lane(partition) {
                lane.put_back(records);
            }
        }
    }

    fn failed(&self, load: Load, error: &StoreError) {
        let archive = &self.archive;
        archive.counts.commit_failures.increment();
        archive.names.put_back(&load.names);
        self.put_back(load.logs);
        if error.is_corrupt() {
            archive.begin_again(error, self.time.unix_ms());
            return;
        }
        if let Some(left_out) = self.failures.pass() {
            log::warn!(
                "history: {error}; live goes on, what it shows is kept in memory and written when \
                 the disk takes it ({left_out} failures more since the last such line)"
            );
        }
    }
}
