//! From open to closed: the frames of a host become segments, with the accounts as they stand.

use std::time::Duration;

use super::archive::Archive;
use super::open::Taken;
use super::pending::{Closed, Encoded};
use super::segment::{self, Segment};
use super::{merge, roll, thin};
use crate::analysis::hosts::Host;
use crate::base::thread::contain;
use crate::metric::{SeriesKey, SessionId};

/// What became of a chunk's frames.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) segments: Vec<Encoded>,
    thinned: Vec<(SessionId, u64)>,
    points: u64,
    pub(super) too_old: u64,
    unnamed: u64,
}

impl Archive {
    /// Whether a host's chunk is to be closed.
    pub(in crate::analysis) fn is_due(&self, host: &Host, now: Duration) -> bool {
        let track = &host.lock().track;
        let old = track.pinned.is_some_and(|(_, at)| now.saturating_sub(at) >= self.write_after);
        old || track.open.is_due(now)
    }

    /// Closes a host's chunk. Whoever calls it must be the only one that handles records of this
    /// host: its partition's consumer, or whoever has dropped the host.
    pub(in crate::analysis) fn close(&self, host: &Host, partition: u32, wall_ms: u64) {
        let Some(lane) = self.lanes.get(partition as usize) else { return };
        let mut state = host.lock();
        let Some((first_offset, _)) = state.track.pinned else { return };
        // From here on the reservation says that the offset is needed.
        let ticket = self.pending.reserve(partition, first_offset);
        if lane.is_suspended() {
            // What came since is in the accounts and nowhere else: it will be read again.
            return self.pending.cancel(&ticket);
        }
        state.track.pinned = None;
        let taken = state.track.open.take();
        state.track.closing = Some(taken.clone());
        let (through, epoch) = (state.track.through, lane.epoch());
        drop(state);

        let made = contain("closing a chunk", || self.make(&taken, wall_ms)).unwrap_or_default();
        self.counts.chunks.increment();
        self.counts.points.add(made.points);
        self.counts.too_old.add(made.too_old);
        self.counts.unnamed.add(made.unnamed);

        let mut state = host.lock();
        for (session, count) in made.thinned {
            self.counts.thinned.add(count);
            state.ledger.note_thinned(session, count);
        }
        let closed = Closed {
            host: host.name.clone(),
            partition,
            first_offset,
            through,
            epoch,
            segments: made.segments,
            ledger: state.ledger.export(),
            description: state.description_row(&host.name),
            seen_ms: state.track.seen_ms,
        };
        let waiting = self.pending.push(&ticket, closed);
        state.track.closing = None;
        drop(state);
        self.waits(waiting);
    }

    fn make(&self, taken: &Taken, wall_ms: u64) -> Made {
        let mut made = Made::default();
        for rows in taken.clone().rows() {
            let session = rows.session;
            let thinned = thin::thin(vec![rows], &self.pool);
            made.thinned.push((session, thinned.thinned));
            for segment in thinned.segments {
                self.place(segment, wall_ms, &mut made);
            }
        }
        made
    }

    /// Puts a segment into the finest tier that still keeps its time, span by span.
    pub(super) fn place(&self, segment: Segment, wall_ms: u64, made: &mut Made) {
        let tiers = self.tiers.as_slice();
        for (_, part) in merge::cut(segment, tiers[0].span_ms()) {
            let Some((start_ms, _)) = part.bounds_ms() else { continue };
            let frames = part.frames() as u64;
            let keeps = |kept_ms: &u64| start_ms >= wall_ms.saturating_sub(*kept_ms);
            match self.kept_ms().iter().position(keeps) {
                Some(0) => {
                    made.points += frames;
                    self.encode(part, wall_ms, made);
                }
                Some(at) => {
                    made.points += frames;
                    let bucket_ms = tiers[at].bucket_ms;
                    let bucket_ms = u32::try_from(bucket_ms).unwrap_or(u32::MAX);
                    for rolled in roll::roll(&[&part], &[], bucket_ms, &self.pool) {
                        for (_, part) in merge::cut(rolled, tiers[at].span_ms()) {
                            self.encode(part, wall_ms, made);
                        }
                    }
                }
                None => made.too_old += frames,
            }
        }
    }

    fn encode(&self, segment: Segment, wall_ms: u64, made: &mut Made) {
        let Some((encoded, unnamed)) = self.encoded(segment, wall_ms) else { return };
        made.unnamed += unnamed;
        made.segments.push(encoded);
    }

    /// A segment as bytes, and how many samples had to be left out; `None` when it is empty.
    pub(super) fn encoded(&self, mut segment: Segment, wall_ms: u64) -> Option<(Encoded, u64)> {
        let (start_ms, end_ms) = segment.bounds_ms()?;
        let mut unnamed = 0;
        segment.columns.retain(|column| {
            let named = self.names.id(&column.key, wall_ms).is_some();
            unnamed += if named { 0 } else { column.values.len() as u64 };
            named
        });
        segment.extremes.retain(|extremes| self.names.id(&extremes.key, wall_ms).is_some());
        // Every name has a number now.
        let mut id = |key: &SeriesKey| self.names.id(key, wall_ms).unwrap_or_default();
        match segment::encode(&segment, &mut id) {
            Ok(bytes) => {
                let bucket_ms = segment.bucket_ms;
                Some((Encoded { bucket_ms, start_ms, end_ms, bytes }, unnamed))
            }
            Err(error) => {
                self.counts.refused.increment();
                log::error!("history: a segment cannot be written: {error}");
                None
            }
        }
    }

    /// The topic was made anew: what is open is closed as it is, and its offsets are forgotten.
    pub(in crate::analysis) fn begin_anew(&self, host: &Host, partition: u32, wall_ms: u64) {
        let mut state = host.lock();
        state.track.forget_offsets();
        drop(state);
        self.close(host, partition, wall_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::history::restore::{HistoryConfig, WRITE_AFTER, open};
    use crate::analysis::history::tiers::Tiers;
    use crate::analysis::hosts::Hosts;
    use crate::analysis::testing::{BASE_MS, frame};

    const NOW: Duration = Duration::from_secs(1);

    fn archive(dir: &std::path::Path) -> Archive {
        let config = HistoryConfig {
            dir: dir.to_owned(),
            tiers: Tiers::parse("1s:1d").unwrap(),
            bytes_max: 0,
            write_after: WRITE_AFTER,
            logs_bus: false,
        };
        open(config, BASE_MS).unwrap().begin(1)
    }

    /// A frame arrives as the consumer has it.
    fn arrive(host: &Host, seq: u64) {
        let (mut state, record) = (host.lock(), frame("a", 1, seq));
        state.track.arrives(seq, NOW);
        state.ledger.frame(record.frame.session, seq, true, NOW);
        state.track.keep(record.frame.session, (&record.frame).into(), seq, NOW);
    }

    /// The disk is full, and what waited for it is let go of, to be read again: nothing may be
    /// written then that calls those frames stored.
    #[test]
    fn nothing_is_closed_on_top_of_what_was_let_go() {
        let dir = std::env::temp_dir().join(format!("closing-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let archive = archive(&dir);
        let host = Hosts::new(1).add(&"a".into(), None, NOW);
        let (lane, waiting) = (archive.lane(0).unwrap(), || archive.pending.all().len());
        arrive(&host, 1);
        archive.close(&host, 0, BASE_MS);
        assert_eq!(waiting(), 1);
        lane.suspend(true);
        archive.pending.drop_partition(0);
        // The host has to make room for another one.
        arrive(&host, 2);
        archive.close(&host, 0, BASE_MS);
        assert_eq!(waiting(), 0);
        lane.go_back();
        host.lock().go_back(Default::default(), Default::default());
        (1..=2).for_each(|seq| arrive(&host, seq));
        archive.close(&host, 0, BASE_MS);
        assert_eq!(waiting(), 1, "and all of it once it is read again");
        drop(archive);
        let _ = std::fs::remove_dir_all(&dir);
    }
}
