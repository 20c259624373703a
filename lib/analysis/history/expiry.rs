//! What goes: what is older than its tier is kept, what belongs to a resolution that is not
//! configured any more, and more of the oldest while the file is too large.

use std::sync::{Arc, PoisonError};

use super::archive::Archive;
use super::index::Entry;
use super::store::{Commit, HostId, SegmentHandle, Snapshot, StoreError, Usage};
use super::tiers::Tier;
use crate::metric::HostName;

/// How often it is looked for what is old enough to go, and for the size of the file.
const EXPIRY_INTERVAL_MS: u64 = 60 * 1_000;

/// Segments deleted in one transaction, at most.
const EXPIRED_PER_TURN: usize = 1_000;

/// Longest span of a tier (`Tier::span_ms`).
const LONGEST_SPAN_MS: u64 = 60 * 86_400_000;

/// A task of upkeep.
#[derive(Debug)]
pub(super) struct Expiry {
    archive: Arc<Archive>,
    /// When everything was looked through, Unix ms.
    expired_ms: u64,
}

impl Expiry {
    pub(super) fn new(archive: Arc<Archive>) -> Self {
        Self { archive, expired_ms: 0 }
    }

    /// Lets go of what is older than its tier is kept, and of more when the file is too large.
    pub(super) fn turn(&mut self, now_ms: u64) -> Result<(), StoreError> {
        if now_ms.saturating_sub(self.expired_ms) < EXPIRY_INTERVAL_MS {
            return Ok(());
        }
        let usage = self.archive.store.snapshot()?.usage()?;
        self.archive.counts.file_bytes.set(usage.file_bytes);
        self.archive.counts.used_bytes.set(usage.used_bytes);
        let (bytes, bytes_max) = (usage.used_bytes, self.archive.bytes_max);
        let is_too_large = bytes_max > 0 && bytes > bytes_max;
        if is_too_large {
            self.shorten(bytes, now_ms);
        }
        let archive = Arc::clone(&self.archive);
        let _writing = archive.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = archive.store.snapshot()?;
        let mut commit = archive.store.write()?;
        // Of a resolution that is not configured any more everything may go that is older than
        // anything is kept, and all of it where room is wanted.
        let reach_ms = if is_too_large { 0 } else { archive.tiers.reach_ms() };
        let retired_ms = now_ms.saturating_sub(reach_ms);
        let retired = retired(&usage, archive.tiers.as_slice());
        let mut gone = 0;
        for host in archive.index.all().keys() {
            let of = (&snapshot, host);
            gone += self.expire_host(&mut commit, of, now_ms, EXPIRED_PER_TURN - gone)?;
            for bucket_ms in &retired {
                let Some(id) = archive.index.get(host).map(|entry| HostId(entry.id)) else { break };
                let old = snapshot.segments(id, *bucket_ms, (0, retired_ms), 0)?;
                gone += delete(&mut commit, &old, EXPIRED_PER_TURN - gone)?;
            }
            if gone == EXPIRED_PER_TURN || commit.is_large() {
                break;
            }
        }
        let unused = archive.names.forget_unused(now_ms, archive.tiers.reach_ms());
        for id in &unused {
            commit.delete_series(*id)?;
        }
        if gone == 0 && unused.is_empty() {
            drop(commit);
        } else {
            commit.commit()?;
        }
        let counts = &archive.counts;
        (if is_too_large { &counts.shortened } else { &counts.expired }).add(gone as u64);
        // What is left of it goes in the next turns; so does what is too much.
        if gone < EXPIRED_PER_TURN && !is_too_large {
            self.expired_ms = now_ms;
        }
        Ok(())
    }

    fn expire_host(
        &self,
        commit: &mut Commit<'_>,
        (snapshot, host): (&Snapshot, &HostName),
        now_ms: u64,
        count_max: usize,
    ) -> Result<usize, StoreError> {
        let archive = &self.archive;
        let Some(entry) = archive.index.get(host) else { return Ok(0) };
        let id = HostId(entry.id);
        let tiers = archive.tiers.as_slice();
        let mut gone = 0;
        for (at, (tier, kept_ms)) in tiers.iter().zip(archive.kept_ms()).enumerate() {
            let next_done_ms = entry.done_ms.get(at + 1).copied().unwrap_or(u64::MAX);
            let before_ms = now_ms.saturating_sub(kept_ms).min(next_done_ms);
            // Whole spans only: their end must be before it.
            let before_ms = before_ms.saturating_sub(tier.span_ms());
            if entry.first_ms >= before_ms {
                continue;
            }
            let old = snapshot.segments(id, tier.bucket(), (0, before_ms - 1), 0)?;
            gone += delete(commit, &old, count_max - gone)?;
        }
        // Nothing of it is older than the tier that reaches back farthest.
        let reach_ms = archive.kept_ms().into_iter().max().unwrap_or_default();
        let first_ms = entry.first_ms.max(now_ms.saturating_sub(reach_ms + 2 * LONGEST_SPAN_MS));
        if gone < count_max && first_ms > entry.first_ms {
            archive.index.set(host.clone(), Entry { first_ms, ..entry });
        }
        Ok(gone)
    }

    /// The file is too large: the tier that reaches back farthest reaches a span less.
    fn shorten(&self, bytes: u64, now_ms: u64) {
        let archive = &self.archive;
        let kept_ms = archive.kept_ms();
        let farthest = (0..kept_ms.len()).max_by_key(|at| kept_ms[*at]);
        let Some(at) = farthest else { return };
        let tier = archive.tiers.as_slice()[at];
        let hosts = archive.index.all();
        let Some(oldest_ms) = hosts.values().map(|entry| entry.first_ms).min() else { return };
        // What was never kept so long need not be given up step by step.
        let kept = kept_ms[at].min(now_ms.saturating_sub(oldest_ms));
        let shorter = kept.saturating_sub(tier.span_ms()).max(2 * tier.span_ms());
        if shorter < kept_ms[at] {
            let days = shorter as f64 / 86_400_000.0;
            log::warn!(
                "history: {bytes} bytes are more than --history-max {}: points of {} s are kept \
                 for {days:.1} days only",
                archive.bytes_max,
                tier.bucket_ms / 1_000,
            );
            archive.set_kept_ms(at, shorter);
        }
    }
}

/// Resolutions that are on disk and not configured.
fn retired(usage: &Usage, tiers: &[Tier]) -> Vec<u32> {
    let buckets = usage.tiers.iter().map(|(bucket_ms, _)| *bucket_ms);
    buckets.filter(|bucket_ms| !tiers.iter().any(|tier| tier.bucket() == *bucket_ms)).collect()
}

/// Deletes so many segments at most; how many it were.
fn delete(
    commit: &mut Commit<'_>,
    segments: &[SegmentHandle],
    count_max: usize,
) -> Result<usize, StoreError> {
    let going = &segments[..segments.len().min(count_max)];
    for handle in going {
        commit.delete_segment(handle.key())?;
    }
    Ok(going.len())
}
