//! What commits write of hosts: segments, names of series, the row of a host.

use std::sync::atomic::{AtomicU64, Ordering};

use super::archive::Archive;
use super::index::Entry;
use super::names::NameRow;
use super::pending::Encoded;
use super::store::{Commit, HostId, HostRow, SegmentKey, StoreError};
use super::tiers::Tiers;
use crate::base::random;
use crate::metric::HostName;

/// Numbers that tell segments with the same beginning apart, never given twice.
#[derive(Debug)]
pub(super) struct Runs(AtomicU64);

impl Runs {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(random::u128() as u64))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Segments of a host, and that what is made of their tiers is to be made anew; their bytes.
pub(super) fn put_segments(
    archive: &Archive,
    commit: &mut Commit<'_>,
    entry: &mut Entry,
    segments: &[Encoded],
    runs: &Runs,
) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for Encoded { bucket_ms, start_ms, bytes: segment, .. } in segments {
        let tiers = archive.tiers.as_slice().iter();
        let tier = tiers.take_while(|tier| tier.bucket() < *bucket_ms).count();
        entry.reopen(&archive.tiers, (tier, *start_ms));
        entry.first_ms = entry.first_ms.min(*start_ms);
        let host = HostId(entry.id);
        let key = SegmentKey { host, bucket_ms: *bucket_ms, start_ms: *start_ms, run: runs.next() };
        commit.put_segment(key, segment)?;
        bytes += segment.len() as u64;
    }
    Ok(bytes)
}

/// Names that segments of this transaction use.
pub(super) fn put_names(commit: &mut Commit<'_>, names: &[NameRow]) -> Result<(), StoreError> {
    for (id, text, used_day) in names {
        commit.put_series(*id, text, *used_day)?;
    }
    Ok(())
}

/// A host's row.
pub(super) fn host_row(host: &HostName, entry: &Entry, tiers: &Tiers) -> HostRow {
    let tiers = tiers.as_slice().iter().zip(&entry.done_ms);
    HostRow {
        name: host.to_string(),
        through: entry.through,
        epoch: entry.epoch,
        deleted: entry.deleted,
        rolled_through_ms: tiers.map(|(tier, done_ms)| (tier.bucket(), *done_ms)).collect(),
        seen_ms: entry.seen_ms,
        first_ms: entry.first_ms,
    }
}
