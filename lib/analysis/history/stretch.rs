//! The door through which the bench measures what nothing else outside the room has to do with:
//! what a stretch of frames takes as one segment, and a history that is large at once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::restore::OpenError;
use super::segment::{Column, Group, Reader, Segment, encode};
use super::store::{Commit, HostId, HostRow, SegmentKey, Snapshot, Store, StoreError};
use crate::metric::{Frame, SeriesKey, SessionId, Value};

/// Frames of one session as a segment of the finest tier, and a catalogue of their series.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    segment: Segment,
    names: Vec<SeriesKey>,
}

impl Stretch {
    /// Takes frames of one session, in their order, one a second at most; `None` without any.
    #[must_use]
    pub fn of(frames: &[Frame]) -> Option<Self> {
        let session = frames.first()?.session;
        let mut series: BTreeMap<&SeriesKey, (Vec<usize>, Vec<Value>)> = BTreeMap::new();
        for (at, frame) in frames.iter().enumerate() {
            for (key, value) in frame.samples.layout.iter().zip(&frame.samples.values) {
                let (frames, values) = series.entry(key).or_default();
                if frames.last() != Some(&at) {
                    frames.push(at);
                    values.push(*value);
                }
            }
        }
        let mut numbers: HashMap<Vec<usize>, usize> = HashMap::new();
        let mut groups = Vec::new();
        let mut columns = Vec::with_capacity(series.len());
        for (key, (places, values)) in series {
            let group = *numbers.entry(places).or_insert_with_key(|places| {
                groups.push(group(frames, places));
                groups.len() - 1
            });
            columns.push(Column { key: key.clone(), group, values });
        }
        let names = columns.iter().map(|column| column.key.clone()).collect();
        Some(Self { segment: segment(session, groups, columns), names })
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.segment.columns.iter().map(|column| column.values.len()).sum()
    }

    /// The bytes of its segment.
    ///
    /// # Errors
    /// When it has more frames or series than a segment may.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let place = |key: &SeriesKey| self.names.binary_search(key).unwrap_or_default() as u32;
        encode(&self.segment, &mut |key| place(key)).map_err(|error| error.to_string())
    }

    /// Reads such bytes of a stretch with the same series.
    ///
    /// # Errors
    /// When they are no segment.
    pub fn decode(&self, bytes: &[u8]) -> Result<Self, String> {
        let reader = Reader::open(bytes, &mut |id| self.names.get(id as usize).cloned());
        let segment = reader.and_then(|reader| reader.all()).map_err(|error| error.to_string())?;
        Ok(Self { segment, names: self.names.clone() })
    }
}

/// Gives every host of a history `count` others with the same past, named after it: `HOST-1` and
/// so on. `now_ms`: Unix. How many hosts there are then.
///
/// # Errors
/// There is no history, another process uses it; the disk's.
pub fn crowd(dir: &Path, count: u32, now_ms: u64) -> Result<u32, OpenError> {
    let store = Store::open_existing(dir, now_ms)?;
    let snapshot = store.snapshot()?;
    let hosts = snapshot.hosts()?;
    let mut next = hosts.iter().map(|(id, _)| id.0 + 1).max().unwrap_or_default();
    let mut commit = store.write()?;
    for (id, row) in &hosts {
        let past = past_of(&snapshot, *id, row)?;
        for number in 1..=count {
            let name = format!("{}-{number}", row.name);
            past.put(&mut commit, HostId(next), HostRow { name, ..row.clone() })?;
            next += 1;
            if commit.is_large() {
                commit.commit()?;
                commit = store.write()?;
            }
        }
    }
    commit.commit()?;
    Ok(next)
}

/// Everything of a host.
struct Past {
    accounts: Vec<(u128, Vec<u8>)>,
    segments: Vec<(SegmentKey, Vec<u8>)>,
}

fn past_of(snapshot: &Snapshot, host: HostId, row: &HostRow) -> Result<Past, StoreError> {
    let mut segments = Vec::new();
    for (bucket_ms, _) in &row.rolled_through_ms {
        for handle in snapshot.segments(host, *bucket_ms, (0, u64::MAX), 0)? {
            segments.push((handle.key(), handle.read(0..handle.len())?));
        }
    }
    Ok(Past { accounts: snapshot.accounts(host)?, segments })
}

impl Past {
    fn put(&self, commit: &mut Commit<'_>, host: HostId, row: HostRow) -> Result<(), StoreError> {
        commit.put_host(host, &row)?;
        for (session, bytes) in &self.accounts {
            commit.put_account(host, *session, bytes)?;
        }
        for (key, bytes) in &self.segments {
            commit.put_lasting_segment(SegmentKey { host, ..*key }, bytes)?;
        }
        Ok(())
    }
}

fn group(frames: &[Frame], places: &[usize]) -> Group {
    let all = |field: fn(&Frame) -> u64| places.iter().map(|at| field(&frames[*at])).collect();
    Group {
        seq: all(|frame| frame.seq),
        time_ms: all(|frame| frame.time_ms),
        elapsed_us: all(|frame| frame.elapsed_us),
    }
}

fn segment(session: SessionId, groups: Vec<Group>, columns: Vec<Column>) -> Segment {
    Segment { session, bucket_ms: 1_000, groups, columns, spans: Vec::new(), extremes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Samples;

    fn frame(seq: u64) -> Frame {
        let key = |name| SeriesKey::plain(name);
        let mut samples = vec![(key("b"), Value::Unsigned(seq)), (key("a"), Value::Float(0.5))];
        samples.truncate(1 + seq as usize % 2);
        let samples: Samples = samples.into_iter().collect();
        Frame {
            session: SessionId(7),
            seq,
            elapsed_us: seq * 1_000_000,
            time_ms: 1_700_000_000_000 + seq * 1_000,
            uncertainty_ms: 0,
            host_time_ms: 0,
            interval_ms: 1_000,
            sent_ms: 0,
            samples,
        }
    }

    #[test]
    fn frames_come_back_and_are_counted() {
        assert!(Stretch::of(&[]).is_none());
        let stretch = Stretch::of(&(1..=9).map(frame).collect::<Vec<_>>()).unwrap();
        assert_eq!((stretch.samples(), stretch.segment.groups.len()), (9 + 5, 2));
        let bytes = stretch.encode().unwrap();
        assert_eq!(stretch.decode(&bytes), Ok(stretch.clone()));
        assert!(stretch.decode(&bytes[1..]).is_err());
    }

    /// One host with one segment of seven frames, on disk.
    fn seeded(dir: &Path) -> Vec<u8> {
        let stretch = Stretch::of(&(1..=7).map(frame).collect::<Vec<_>>()).unwrap();
        let segment = stretch.encode().unwrap();
        let store = Store::open(dir, 0).unwrap().store;
        let mut commit = store.write().unwrap();
        for (id, key) in (0..).zip(&stretch.names) {
            commit.put_series(id, key.as_str(), 0).unwrap();
        }
        let rolled_through_ms = vec![(1_000, 0), (10_000, 0)];
        let row = HostRow { name: "web".to_owned(), rolled_through_ms, ..HostRow::default() };
        commit.put_host(HostId(3), &row).unwrap();
        commit.put_account(HostId(3), 9, b"account").unwrap();
        let key = |bucket_ms| SegmentKey { host: HostId(3), bucket_ms, start_ms: 5, run: 1 };
        commit.put_segment(key(1_000), &segment).unwrap();
        commit.commit().unwrap();
        segment
    }

    #[test]
    fn a_crowd_has_the_same_past_under_other_names() {
        let dir = std::env::temp_dir().join(format!("rm-crowd-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        assert!(crowd(&dir, 2, 0).is_err(), "there is no history");
        let segment = seeded(&dir);
        assert_eq!(crowd(&dir, 2, 0).unwrap(), 6);

        let store = Store::open_existing(&dir, 0).unwrap();
        let snapshot = store.snapshot().unwrap();
        let hosts = snapshot.hosts().unwrap();
        let names: Vec<(u32, &str)> =
            hosts.iter().map(|(id, row)| (id.0, row.name.as_str())).collect();
        assert_eq!(names, [(3, "web"), (4, "web-1"), (5, "web-2")]);
        for (id, _) in &hosts {
            assert_eq!(snapshot.accounts(*id).unwrap(), [(9, b"account".to_vec())]);
            let found = snapshot.segments(*id, 1_000, (0, 9), 0).unwrap();
            let bytes: Vec<Vec<u8>> =
                found.iter().map(|handle| handle.read(0..handle.len()).unwrap()).collect();
            assert_eq!(bytes, std::slice::from_ref(&segment));
        }
        drop((snapshot, store));
        let report = super::super::check(&dir, &mut |_| {}).unwrap();
        assert_eq!((report.hosts, report.segments, &report.problems[..]), (3, 3, &[][..]));
        let tier = super::super::TierReport {
            segments: 3,
            frames: report.frames,
            bytes: 3 * segment.len() as u64,
        };
        assert_eq!(report.tiers, BTreeMap::from([(1_000, tier)]));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
