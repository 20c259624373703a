//! A past in memory: sessions made up frame by frame, cut into segments, thinned into tiers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::analysis::history::Tier;
use crate::analysis::history::query::past::Past;
use crate::analysis::history::query::wanted::Wanted;
use crate::analysis::history::segment::{Column, Extremes, Group, Segment, Spans};
use crate::analysis::live::Row;
use crate::analysis::rate::Deriver;
use crate::analysis::view::QueryError;
use crate::metric::{HostName, Samples, SeriesKey, SessionId, Value};

/// A derived value where it was taken.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) row: usize,
    pub(super) time_ms: u64,
    pub(super) key: SeriesKey,
    pub(super) over_us: u32,
    pub(super) value: f64,
}

/// One run of a client.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) session: SessionId,
    pub(super) rows: Vec<Row>,
    /// Segment of each row.
    pub(super) chunks: Vec<usize>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) now_ms: u64,
    pub(super) tiers: Vec<Tier>,
    pub(super) hosts: BTreeMap<HostName, Vec<Run>>,
    pub(super) complete_ms: HashMap<u64, u64>,
    pub(super) segments: HashMap<(HostName, u64), Vec<Segment>>,
    /// Also gives what is not wanted.
    pub(super) gives_more: bool,
    /// Finds some segments twice, as where they are moved meanwhile.
    pub(super) gives_twice: bool,
    pub(super) live_from_ms: Option<u64>,
    /// Words of a store that cannot be read.
    pub(super) broken: Option<String>,
    pub(super) stopping: AtomicBool,
}

pub(super) fn row(seq: u64, time_ms: u64, elapsed_us: u64, samples: Samples) -> Row {
    Row { seq, elapsed_us, time_ms, interval_ms: 1_000, samples }
}

/// Every derived value of a run, from every frame.
pub(super) fn derive(rows: &[Row]) -> Vec<Seen> {
    let mut deriver = Deriver::new(Arc::default());
    let mut seen = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let step = deriver.derive(row.elapsed_us, &row.samples);
        for got in &step.values {
            seen.push(Seen {
                row: at,
                time_ms: row.time_ms,
                key: step.plan.outputs[got.output as usize].clone(),
                over_us: got.over_us,
                value: got.value,
            });
        }
    }
    seen
}

impl World {
    /// Cuts and thins; everything else must be there already.
    pub(super) fn build(&mut self) {
        self.segments.clear();
        for (host, runs) in &self.hosts {
            for tier in &self.tiers {
                let finest = tier.bucket_ms == self.tiers[0].bucket_ms;
                let complete = self.complete_ms.get(&tier.bucket_ms);
                let until_ms = if finest { u64::MAX } else { *complete.unwrap_or(&0) };
                let since_ms = self.now_ms.saturating_sub(tier.keep_ms + 200_000);
                let mut of_tier = Vec::new();
                for run in runs {
                    let seen = derive(&run.rows);
                    let kept = kept(&run.rows, &run.chunks, tier.bucket_ms, finest);
                    // A frame in a late segment may be the only one of its bucket there; what the
                    // tier keeps in front of it is another then.
                    let mut sampled: HashMap<(&SeriesKey, u64), usize> = HashMap::new();
                    let mut by_chunk: BTreeMap<usize, Vec<Seen>> = BTreeMap::new();
                    for seen in &seen {
                        let start_ms = seen.time_ms / tier.bucket_ms * tier.bucket_ms;
                        *sampled.entry((&seen.key, start_ms)).or_default() += 1;
                        by_chunk.entry(run.chunks[seen.row]).or_default().push(seen.clone());
                    }
                    for (chunk, seen) in by_chunk {
                        let inside = |at: usize| {
                            let time_ms = run.rows[at].time_ms;
                            run.chunks[at] == chunk && since_ms <= time_ms && time_ms < until_ms
                        };
                        of_tier.extend(segment(
                            run,
                            tier.bucket_ms,
                            (&seen, &sampled),
                            &kept,
                            inside,
                        ));
                    }
                }
                self.segments.insert((host.clone(), tier.bucket_ms), of_tier);
            }
        }
    }
}

/// Which frames a tier keeps.
fn kept(rows: &[Row], chunks: &[usize], bucket_ms: u64, finest: bool) -> BTreeSet<usize> {
    let mut kept = BTreeSet::new();
    let mut last: BTreeMap<(usize, u64, SeriesKey), usize> = BTreeMap::new();
    let mut before: HashMap<SeriesKey, (usize, f64)> = HashMap::new();
    let mut seconds = BTreeSet::new();
    for (at, row) in rows.iter().enumerate() {
        if finest {
            if seconds.insert((chunks[at], row.time_ms / 1_000)) {
                kept.insert(at);
            }
            continue;
        }
        for (key, value) in row.samples.iter() {
            last.insert((chunks[at], row.time_ms / bucket_ms, key.clone()), at);
            match before.insert(key.clone(), (at, value.as_f64())) {
                None => kept.extend([at]),
                Some((at_before, value_before)) if value_before > value.as_f64() => {
                    if key.name().ends_with("_total") {
                        kept.extend([at_before, at]);
                    }
                }
                Some(_) => {}
            }
        }
    }
    kept.extend(last.into_values());
    kept
}

/// A segment of the frames that are `inside`.
fn segment(
    run: &Run,
    bucket_ms: u64,
    (seen, sampled): (&[Seen], &HashMap<(&SeriesKey, u64), usize>),
    kept: &BTreeSet<usize>,
    inside: impl Fn(usize) -> bool,
) -> Option<Segment> {
    let mut columns: BTreeMap<SeriesKey, (Vec<usize>, Vec<Value>)> = BTreeMap::new();
    for at in kept.iter().copied().filter(|at| inside(*at)) {
        for (key, value) in run.rows[at].samples.iter() {
            let column = columns.entry(key.clone()).or_default();
            column.0.push(at);
            column.1.push(value);
        }
    }
    let mut places: Vec<Vec<usize>> = Vec::new();
    let columns: Vec<Column> = columns
        .into_iter()
        .map(|(key, (frames, values))| {
            let group = places.iter().position(|known| *known == frames).unwrap_or_else(|| {
                places.push(frames);
                places.len() - 1
            });
            Column { key, group, values }
        })
        .collect();
    let group = |frames: &Vec<usize>| Group {
        seq: frames.iter().map(|at| run.rows[*at].seq).collect(),
        time_ms: frames.iter().map(|at| run.rows[*at].time_ms).collect(),
        elapsed_us: frames.iter().map(|at| run.rows[*at].elapsed_us).collect(),
    };
    let mut buckets: BTreeMap<SeriesKey, BTreeMap<u64, Vec<(f64, u32)>>> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| inside(seen.row)) {
        let of_key = buckets.entry(seen.key.clone()).or_default();
        let start_ms = seen.time_ms / bucket_ms * bucket_ms;
        of_key.entry(start_ms).or_default().push((seen.value, seen.over_us));
    }
    let (mut spans, mut extremes) = (Vec::<Spans>::new(), Vec::new());
    for (key, of_key) in buckets {
        let several = |start_ms: u64| sampled[&(&key, start_ms)] > 1;
        let many: Vec<_> = of_key.into_iter().filter(|(start_ms, _)| several(*start_ms)).collect();
        if many.is_empty() {
            continue;
        }
        let of_buckets = Spans {
            start_ms: many.iter().map(|bucket| bucket.0).collect(),
            counts: many.iter().map(|bucket| bucket.1.len() as u32).collect(),
        };
        let place = spans.iter().position(|known| *known == of_buckets).unwrap_or(spans.len());
        if place == spans.len() {
            spans.push(of_buckets);
        }
        let fold = |from: f64, with: fn(f64, f64) -> f64| -> Vec<f64> {
            many.iter().map(|b| b.1.iter().map(|v| v.0).fold(from, with)).collect()
        };
        let mean = |values: &Vec<(f64, u32)>| {
            values.iter().map(|v| v.0).sum::<f64>() / values.len() as f64
        };
        let instant = many[0].1[0].1 == 0;
        extremes.push(Extremes {
            key,
            spans: place,
            min: fold(f64::INFINITY, f64::min),
            max: fold(f64::NEG_INFINITY, f64::max),
            mean: if instant { many.iter().map(|b| mean(&b.1)).collect() } else { Vec::new() },
        });
    }
    let groups: Vec<Group> = places.iter().map(group).collect();
    let bucket_ms = bucket_ms as u32;
    let segment = Segment { session: run.session, bucket_ms, groups, columns, spans, extremes };
    segment.bounds_ms().is_some().then_some(segment)
}

impl Past for World {
    fn hosts(&self) -> Vec<HostName> {
        self.hosts.keys().rev().cloned().collect()
    }

    fn tiers(&self) -> Vec<Tier> {
        self.tiers.clone()
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn first_ms(&self, host: &str) -> Option<u64> {
        self.hosts.get(host)?.iter().flat_map(|run| &run.rows).map(|row| row.time_ms).min()
    }

    fn complete_through_ms(&self, _host: &str, bucket_ms: u64) -> u64 {
        self.complete_ms.get(&bucket_ms).copied().unwrap_or(0)
    }

    fn segments(
        &self,
        host: &str,
        bucket_ms: u64,
        from_ms: u64,
        to_ms: u64,
        wanted: &Wanted,
    ) -> Result<Vec<Segment>, QueryError> {
        if let Some(words) = &self.broken {
            return Err(QueryError::Store(words.clone()));
        }
        let Some(segments) = self.segments.get(&(HostName::from(host), bucket_ms)) else {
            return Ok(Vec::new());
        };
        let overlaps = |segment: &&Segment| {
            segment.bounds_ms().is_some_and(|(first, last)| {
                first < to_ms && from_ms < last + u64::from(segment.bucket_ms)
            })
        };
        let mut found: Vec<Segment> = segments.iter().filter(overlaps).cloned().collect();
        if !self.gives_more {
            for segment in &mut found {
                segment.columns.retain(|column| wanted.raw(&column.key));
                segment.extremes.retain(|extremes| wanted.derived(&extremes.key));
            }
        }
        if self.gives_twice {
            let again: Vec<Segment> = found.iter().step_by(2).cloned().collect();
            found.extend(again);
        }
        found.reverse();
        Ok(found)
    }

    fn live(&self, host: &str, from_ms: u64, to_ms: u64) -> Vec<(SessionId, Vec<Row>)> {
        let Some(runs) = self.hosts.get(host) else { return Vec::new() };
        let from_ms = from_ms.max(self.live_from_ms.unwrap_or(0));
        let inside = |row: &&Row| from_ms <= row.time_ms && row.time_ms < to_ms;
        let rows = |run: &Run| run.rows.iter().filter(inside).cloned().collect();
        runs.iter().map(|run| (run.session, rows(run))).collect()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
