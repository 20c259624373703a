//! What is done to the past between commits: small segments become whole ones, whole spans are
//! rolled up into the next tier; what is old enough goes ([`super::expiry`]).
//!
//! A host's tier is *done* up to a time: the finest one is merged that far, every other one is
//! made that far from the one before it. Queries ask a coarse tier up to there and the finer one
//! from there on. Frames that come late for a span that was done set the mark back, and the span
//! is done again: what it has that the finer tier has not stays. Nothing is deleted that the next
//! tier has not been made from.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::archive::Archive;
use super::expiry::Expiry;
use super::index::Entry;
use super::put::{Runs, host_row, put_names};
use super::segment::Segment;
use super::store::{Commit, HostId, SegmentHandle, SegmentKey, Snapshot, StoreError};
use super::tiers::Tier;
use super::{merge, roll};
use crate::base::thread::contain;
use crate::base::throttle::Throttle;
use crate::metric::{HostName, SessionId};

/// A span is done so long after its end: by then every chunk with frames of it has closed, but
/// for those of clients that were away.
const GRACE_MS: u64 = 10 * 60 * 1_000;

/// Spans done in one turn, at most: the commit in five seconds must not wait for them. Merging an
/// hour of 60 series takes some 15 ms; a thousand hosts have one an hour each.
const SPANS_PER_TURN: usize = 16;

/// At most one line about what fails in this time.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// The writer's second task.
#[derive(Debug)]
pub(super) struct Upkeep {
    archive: Arc<Archive>,
    /// Host to go on with: each gets its turn.
    next_host: Option<HostName>,
    expiry: Expiry,
    failures: Throttle,
}

/// A span of one tier of one host that is to be done.
#[derive(Debug, Clone)]
struct Task {
    host: HostName,
    tier: usize,
    start_ms: u64,
}

/// What becomes of a span.
#[derive(Debug, Default)]
struct Work {
    made: Vec<Segment>,
    gone: Vec<SegmentKey>,
}

impl Upkeep {
    pub(super) fn new(archive: Arc<Archive>) -> Self {
        Self {
            expiry: Expiry::new(archive.clone()),
            archive,
            next_host: None,
            failures: Throttle::new(LOG_PERIOD),
        }
    }

    /// Does some of what is to be done; whether there may be more.
    pub(super) fn turn(&mut self, now_ms: u64, runs: &Runs) -> bool {
        if self.archive.is_failing() {
            return false;
        }
        let done = self.do_spans(now_ms, runs).and_then(|more| {
            self.expiry.turn(now_ms)?;
            Ok(more)
        });
        done.unwrap_or_else(|error| {
            if let Some(left_out) = self.failures.pass() {
                log::warn!("history: upkeep: {error} ({left_out} more since the last such line)");
            }
            false
        })
    }

    /// Does the next spans in one transaction; whether there may be more.
    fn do_spans(&mut self, now_ms: u64, runs: &Runs) -> Result<bool, StoreError> {
        let tasks = self.tasks(now_ms);
        let archive = Arc::clone(&self.archive);
        let _writing = archive.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = archive.store.snapshot()?;
        let mut entries: BTreeMap<HostName, Entry> = BTreeMap::new();
        let mut works = Vec::new();
        for task in &tasks {
            let Some(entry) = archive.index.get(&task.host).filter(|entry| !entry.deleted) else {
                continue;
            };
            // A span that cannot be done must not hold up those after it.
            let work = contain("upkeep of a span", || self.work(&snapshot, &entry, task));
            works.push((task, entry.id, work.transpose()?.unwrap_or_default()));
            let entry = entries.entry(task.host.clone()).or_insert(entry);
            if let Some(done) = entry.done_ms.get_mut(task.tier) {
                *done = task.start_ms + archive.tiers.as_slice()[task.tier].span_ms();
            }
        }
        if works.is_empty() {
            return Ok(false);
        }
        let mut commit = archive.store.write()?;
        for (task, id, work) in works {
            self.put(&mut commit, task, HostId(id), work, now_ms, runs)?;
        }
        for (host, entry) in &entries {
            commit.put_host(HostId(entry.id), &host_row(host, entry, &archive.tiers))?;
        }
        let names = archive.names.take_changed();
        let committed = put_names(&mut commit, &names).and_then(|()| commit.commit());
        if committed.is_err() {
            archive.names.put_back(&names);
        }
        committed?;
        entries.into_iter().for_each(|(host, entry)| archive.index.set(host, entry));
        // What was done may be what the next tier waited for.
        Ok(true)
    }

    /// The next spans, host after host.
    fn tasks(&mut self, now_ms: u64) -> Vec<Task> {
        let hosts = self.archive.index.all();
        let from = self.next_host.take();
        let mut order: Vec<_> = hosts.iter().collect();
        if let Some(from) = from {
            let at = order.partition_point(|(host, _)| **host < from);
            let count = order.len().max(1);
            order.rotate_left(at % count);
        }
        let mut tasks = Vec::new();
        for (host, entry) in order {
            for (tier, start_ms) in self.due(entry, now_ms) {
                tasks.push(Task { host: host.clone(), tier, start_ms });
            }
            if tasks.len() >= SPANS_PER_TURN {
                self.next_host = Some(host.clone());
                break;
            }
        }
        tasks
    }

    /// The next span of each tier of a host, if it is whole.
    fn due(&self, entry: &Entry, now_ms: u64) -> Vec<(usize, u64)> {
        let mut due = Vec::new();
        let tiers = self.archive.tiers.as_slice();
        let mut source_ms = now_ms.saturating_sub(GRACE_MS);
        for (at, (tier, done_ms)) in tiers.iter().zip(&entry.done_ms).enumerate() {
            // Nothing newer than the newest frame is there to be done.
            if *done_ms > 0 && done_ms + tier.span_ms() <= source_ms && *done_ms <= entry.seen_ms {
                due.push((at, *done_ms));
            }
            source_ms = *done_ms;
            if *done_ms > entry.seen_ms {
                source_ms = now_ms.saturating_sub(GRACE_MS);
            }
        }
        due
    }

    /// Reads a span and makes of it what it is to become.
    fn work(&self, snapshot: &Snapshot, entry: &Entry, task: &Task) -> Result<Work, StoreError> {
        let archive = &self.archive;
        let tiers = archive.tiers.as_slice();
        let (id, tier) = (HostId(entry.id), tiers[task.tier]);
        let (start_ms, end_ms) = (task.start_ms, task.start_ms + tier.span_ms());
        let here = in_span(snapshot, id, tier, start_ms, end_ms)?;
        if task.tier == 0 {
            return self.merged(&here);
        }
        let source = tiers[task.tier - 1];
        let finer = self.decode(&in_span(snapshot, id, source, start_ms, end_ms)?)?;
        let before_ms = start_ms.saturating_sub(source.span_ms());
        let around = self.decode(&in_span(snapshot, id, source, before_ms, start_ms)?)?;
        let old = self.decode(&here)?;
        let finer: Vec<&Segment> = finer.iter().collect();
        let around: Vec<&Segment> = around.iter().chain(&old).collect();
        let made = roll::roll(&finer, &around, tier.bucket(), &archive.pool);
        let made = roll::with_remainder(made, &old, &finer, &archive.pool);
        archive.counts.rolled.add(made.len() as u64);
        Ok(Work { made, gone: here.iter().map(SegmentHandle::key).collect() })
    }

    /// The segments of a span as one for each session.
    fn merged(&self, here: &[SegmentHandle]) -> Result<Work, StoreError> {
        let mut sessions: BTreeMap<SessionId, Vec<(SegmentKey, Segment)>> = BTreeMap::new();
        for handle in here {
            if let Some(segment) = self.archive.whole(handle)? {
                sessions.entry(segment.session).or_default().push((handle.key(), segment));
            }
        }
        let mut work = Work::default();
        // One that is alone stays as it is.
        for segments in sessions.values().filter(|segments| segments.len() > 1) {
            let parts: Vec<&Segment> = segments.iter().map(|(_, segment)| segment).collect();
            let Some((merged, thinned)) = merge::merge(&parts, &self.archive.pool) else {
                continue;
            };
            self.archive.counts.thinned.add(thinned);
            self.archive.counts.merged.add(segments.len() as u64);
            work.made.push(merged);
            work.gone.extend(segments.iter().map(|(key, _)| *key));
        }
        Ok(work)
    }

    /// The segments of some rows; one that is not as it was written is left out and counted.
    fn decode(&self, handles: &[SegmentHandle]) -> Result<Vec<Segment>, StoreError> {
        let mut segments = Vec::new();
        for handle in handles {
            segments.extend(self.archive.whole(handle)?);
        }
        Ok(segments)
    }

    fn put(
        &self,
        commit: &mut Commit<'_>,
        task: &Task,
        id: HostId,
        work: Work,
        now_ms: u64,
        runs: &Runs,
    ) -> Result<(), StoreError> {
        let archive = &self.archive;
        let span_ms = archive.tiers.as_slice()[task.tier].span_ms();
        for key in &work.gone {
            commit.delete_segment(*key)?;
        }
        for (_, part) in work.made.into_iter().flat_map(|segment| merge::cut(segment, span_ms)) {
            let Some((encoded, unnamed)) = archive.encoded(part, now_ms) else { continue };
            archive.counts.unnamed.add(unnamed);
            let (bucket_ms, start_ms) = (encoded.bucket_ms, encoded.start_ms);
            let key = SegmentKey { host: id, bucket_ms, start_ms, run: runs.next() };
            commit.put_lasting_segment(key, &encoded.bytes)?;
        }
        Ok(())
    }
}

/// The segments of a tier that begin in a span.
fn in_span(
    snapshot: &Snapshot,
    host: HostId,
    tier: Tier,
    start_ms: u64,
    end_ms: u64,
) -> Result<Vec<SegmentHandle>, StoreError> {
    snapshot.segments(host, tier.bucket(), (start_ms, end_ms.saturating_sub(1)), 0)
}

#[cfg(test)]
#[path = "upkeep_tests.rs"]
mod tests;
