//! The past as queries see it: on disk, on its way there, open, and live.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::archive::Archive;
use super::open::Taken;
use super::pending::Encoded;
use super::query::past::Past;
use super::query::wanted::Wanted;
use super::segment::{self, Bytes, ReadError, Segment};
use super::store::{HostId, SegmentHandle, StoreError};
use super::tiers::Tier;
use crate::analysis::consume::SteadyClock;
use crate::analysis::hosts::Host;
use crate::analysis::intake::Shared;
use crate::analysis::live::{Row, WINDOW_MS};
use crate::analysis::view::QueryError;
use crate::metric::{HostName, SeriesKey, SessionId};

/// What queries read.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct Reading {
    pub(in crate::analysis) shared: Arc<Shared>,
    pub(in crate::analysis) time: SteadyClock,
}

/// A segment on disk: what is not asked for is not read.
struct OnDisk<'a>(&'a SegmentHandle);

/// A segment that waits for the disk.
struct InMemory<'a>(&'a [u8]);

impl Bytes for OnDisk<'_> {
    type Error = StoreError;

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, StoreError> {
        self.0.read(range).map(Cow::Owned)
    }
}

impl Bytes for InMemory<'_> {
    type Error = StoreError;

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, StoreError> {
        let end = range.end.min(self.0.len());
        Ok(Cow::Borrowed(self.0.get(range.start..end).unwrap_or_default()))
    }
}

/// What of a segment is to be read.
enum Part<'a> {
    Whole,
    /// If it has something of this time.
    Of(&'a Wanted, (u64, u64)),
}

impl Archive {
    /// A segment on disk with everything in it; `None`, counted, when it is not as it was written.
    pub(super) fn whole(&self, handle: &SegmentHandle) -> Result<Option<Segment>, StoreError> {
        self.read(&OnDisk(handle), &Part::Whole)
    }

    fn read<B: Bytes<Error = StoreError>>(
        &self,
        bytes: &B,
        part: &Part<'_>,
    ) -> Result<Option<Segment>, StoreError> {
        let mut name = |id: u32| -> Option<SeriesKey> { self.names.key(id) };
        let read = segment::Reader::open(bytes, &mut name).and_then(|reader| match part {
            Part::Whole => reader.all().map(Some),
            Part::Of(wanted, (from_ms, to_ms)) => match reader.bounds_ms() {
                Some((first_ms, last_ms)) if first_ms < *to_ms && last_ms >= *from_ms => {
                    reader.segment(|key| wanted.raw(key), |key| wanted.derived(key)).map(Some)
                }
                _ => Ok(None),
            },
        });
        match read {
            Ok(segment) => Ok(segment),
            Err(ReadError::Source(error)) => Err(error),
            Err(damage) => {
                self.counts.corrupt.increment();
                log::warn!("history: a segment is not as it was written: {damage}");
                Ok(None)
            }
        }
    }

    fn waiting(
        &self,
        host: &str,
        bucket_ms: u64,
        (from_ms, to_ms): (u64, u64),
        wanted: &Wanted,
    ) -> Result<Vec<Segment>, StoreError> {
        let here = |segment: &&Encoded| {
            u64::from(segment.bucket_ms) == bucket_ms
                && segment.start_ms < to_ms
                && segment.end_ms >= from_ms
        };
        let mut found = Vec::new();
        for closed in self.pending.of(host) {
            for segment in closed.segments.iter().filter(here) {
                found.extend(
                    self.read(&InMemory(&segment.bytes), &Part::Of(wanted, (from_ms, to_ms)))?,
                );
            }
        }
        Ok(found)
    }

    fn on_disk(
        &self,
        host: &str,
        tier: Tier,
        (from_ms, to_ms): (u64, u64),
        wanted: &Wanted,
    ) -> Result<Vec<Segment>, StoreError> {
        let Some(entry) = self.index.get(host).filter(|entry| !entry.deleted) else {
            return Ok(Vec::new());
        };
        let snapshot = self.store.snapshot()?;
        let time = (from_ms, to_ms.saturating_sub(1));
        let handles = snapshot.segments(HostId(entry.id), tier.bucket(), time, tier.span_ms())?;
        let mut found = Vec::new();
        for handle in &handles {
            found.extend(self.read(&OnDisk(handle), &Part::Of(wanted, (from_ms, to_ms)))?);
        }
        Ok(found)
    }
}

impl Reading {
    fn host(&self, host: &str) -> Option<Arc<Host>> {
        self.shared.hosts.get(host)
    }

    fn tier(&self, bucket_ms: u64) -> Option<(&Archive, usize, Tier)> {
        let archive = self.shared.archive.as_deref()?;
        let tiers = archive.tiers.as_slice();
        let at = tiers.iter().position(|tier| tier.bucket_ms == bucket_ms)?;
        Some((archive, at, tiers[at]))
    }

    /// What is in no closed chunk yet.
    fn open(&self, host: &str, times_ms: (u64, u64)) -> Vec<Segment> {
        let Some(host) = self.host(host) else { return Vec::new() };
        // Two steps: the lock is free again before anything is decoded.
        let state = host.lock();
        let open = state.track.open.overlaps(times_ms).then(|| state.track.open.copy());
        let closing = state.track.closing.as_ref().filter(|taken| taken.overlaps(times_ms));
        let parts = [open, closing.cloned()];
        drop(state);
        let pool = &self.shared.hosts.pool;
        let thinned = |taken: Taken| taken.thin(pool).segments;
        parts.into_iter().flatten().flat_map(thinned).collect()
    }
}

impl Past for Reading {
    fn hosts(&self) -> Vec<HostName> {
        self.shared.hosts.all().iter().map(|host| host.name.clone()).collect()
    }

    fn tiers(&self) -> Vec<Tier> {
        let Some(archive) = self.shared.archive.as_deref() else { return Vec::new() };
        let kept = archive.kept_ms();
        let tiers = archive.tiers.as_slice().iter().zip(kept);
        tiers.map(|(tier, keep_ms)| Tier { keep_ms, ..*tier }).collect()
    }

    fn now_ms(&self) -> u64 {
        self.time.unix_ms()
    }

    fn first_ms(&self, host: &str) -> Option<u64> {
        let known = self.host(host).is_some();
        let Some(archive) = self.shared.archive.as_deref() else {
            return known.then(|| self.now_ms().saturating_sub(WINDOW_MS));
        };
        let entry = archive.index.get(host).filter(|entry| !entry.deleted);
        if !known && entry.is_none() {
            return None;
        }
        let on_disk = entry.map(|entry| entry.first_ms);
        let waiting = archive.pending.of(host);
        let waiting = waiting.iter().flat_map(|closed| &closed.segments);
        let waiting = waiting.map(|segment| segment.start_ms).min();
        let open = self.host(host).and_then(|host| host.lock().track.first_ms);
        on_disk.into_iter().chain(waiting).chain(open).min()
    }

    fn complete_through_ms(&self, host: &str, bucket_ms: u64) -> u64 {
        let done = || {
            let (archive, at, _) = self.tier(bucket_ms)?;
            archive.index.get(host)?.done_ms.get(at).copied()
        };
        done().unwrap_or_default()
    }

    fn segments(
        &self,
        host: &str,
        bucket_ms: u64,
        from_ms: u64,
        to_ms: u64,
        wanted: &Wanted,
    ) -> Result<Vec<Segment>, QueryError> {
        let Some((archive, at, tier)) = self.tier(bucket_ms) else { return Ok(Vec::new()) };
        // In this order: what moves on meanwhile is found twice, and counted once.
        let time = (from_ms, to_ms);
        let mut found = if at == 0 { self.open(host, time) } else { Vec::new() };
        let stored = archive.waiting(host, bucket_ms, time, wanted).and_then(|waiting| {
            found.extend(waiting);
            match archive.on_disk(host, tier, time, wanted) {
                // The file was opened anew under it.
                Err(error) if error.is_stale() => archive.on_disk(host, tier, time, wanted),
                read => read,
            }
        });
        found.extend(stored.map_err(|error| QueryError::Store(error.to_string()))?);
        Ok(found)
    }

    fn live(&self, host: &str, from_ms: u64, to_ms: u64) -> Vec<(SessionId, Vec<Row>)> {
        let Some(host) = self.host(host) else { return Vec::new() };
        let state = host.lock();
        // The disk is asked up to where the window begins: a part of it would hide what follows.
        let parts = state.track.is_shown().then(|| state.live.parts());
        drop(state);
        parts.map_or_else(Vec::new, |parts| parts.rows(from_ms, to_ms))
    }

    fn is_stopping(&self) -> bool {
        self.shared.archive.as_ref().is_some_and(|archive| archive.is_stopping())
    }
}
