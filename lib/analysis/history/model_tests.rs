//! A plain model of history: hosts that do what the dice say, and every sample of every frame in
//! a map. What segments say is read from them in the plainest way.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::segment::Segment;
use crate::analysis::live::Row;
use crate::analysis::rate::Deriver;
use crate::base::dice::Dice;
use crate::metric::{Samples, SeriesKey, SessionId, Value};

/// Where the model's time begins, Unix ms: the beginning of an hour.
pub(super) const BASE_MS: u64 = 1_700_002_800_000;

/// How a host is sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// Everything once a second.
    Second,
    /// Everything twenty times a second.
    Fast,
    /// The CPU twenty times a second, everything else once.
    FastCpu,
    /// Every second, every five and every thirty.
    Mixed,
    /// Between one and ten times a second, as it comes.
    Changing,
}

pub(super) const PACES: [Pace; 5] =
    [Pace::Second, Pace::Fast, Pace::FastCpu, Pace::Mixed, Pace::Changing];

/// What may happen to a host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) gaps: bool,
    pub(super) resets: bool,
    pub(super) comings: bool,
    pub(super) clock: bool,
}

/// Everything.
pub(super) const ROUGH: Fate = Fate { gaps: true, resets: true, comings: true, clock: true };

/// Nothing.
pub(super) const CALM: Fate = Fate { gaps: false, resets: false, comings: false, clock: false };

/// A machine.
#[derive(Debug)]
struct Machine {
    elapsed_us: u64,
    /// How far the clock is off.
    offset_ms: u64,
    idle_us: u64,
    busy_us: u64,
    counters: [u64; 4],
    second_disk: bool,
    container: bool,
}

/// The frames of one session, in order.
pub(super) fn rows(dice: &mut Dice, pace: Pace, fate: Fate, count: usize) -> Vec<Row> {
    let mut machine = Machine {
        elapsed_us: dice.below(5_000_000),
        offset_ms: 3_600_000 + dice.below(1_000),
        idle_us: dice.below(1 << 40),
        busy_us: dice.below(1 << 40),
        counters: std::array::from_fn(|_| dice.below(1 << 40)),
        second_disk: dice.one_in(2),
        container: dice.one_in(2),
    };
    let mut tick = dice.below(600);
    let mut rows = Vec::with_capacity(count);
    for seq in 1..=count as u64 {
        let mut interval_us = match pace {
            Pace::Second | Pace::Mixed => 1_000_000,
            Pace::Fast | Pace::FastCpu => 50_000,
            Pace::Changing => 100_000 * (1 + dice.below(10)),
        };
        if fate.gaps && dice.one_in(150) {
            interval_us *= 2 + dice.below(200);
        }
        machine.run(interval_us + dice.below(2_000), dice);
        machine.happen(fate, dice);
        tick += 1;
        let others = pace != Pace::FastCpu || tick.is_multiple_of(20);
        let seldom = |every: u64| others && (pace != Pace::Mixed || tick.is_multiple_of(every));
        rows.push(machine.row(seq, [others, seldom(5), seldom(30)]));
    }
    rows
}

impl Machine {
    fn run(&mut self, time_us: u64, dice: &mut Dice) {
        self.elapsed_us += time_us;
        // Two CPUs, whose time is all told.
        let busy_us = dice.below(2 * time_us);
        self.busy_us += busy_us;
        self.idle_us += 2 * time_us - busy_us;
        for counter in &mut self.counters {
            *counter += if dice.one_in(3) { 0 } else { 512 * dice.below(2_000) };
        }
    }

    fn happen(&mut self, fate: Fate, dice: &mut Dice) {
        if fate.resets && dice.one_in(80) {
            self.counters[dice.below(4) as usize] = dice.below(1_000);
        }
        // A step back of less than three seconds of idle time would be none.
        if fate.resets && dice.one_in(100) && self.idle_us > 10_000_000 {
            (self.idle_us, self.busy_us) = (dice.below(1_000), dice.below(1_000));
        }
        if fate.comings && dice.one_in(60) {
            self.second_disk ^= true;
        }
        if fate.comings && dice.one_in(60) {
            self.container ^= true;
        }
        if fate.clock && dice.one_in(100) {
            self.offset_ms = (self.offset_ms + dice.below(8_000)).saturating_sub(dice.below(8_000));
        }
    }

    fn row(&self, seq: u64, [others, disks, slow]: [bool; 3]) -> Row {
        let mut pairs: Vec<(&str, Value)> = vec![
            ("cpu_seconds_total{mode=\"idle\"}", Value::Float(self.idle_us as f64 / 1e6)),
            ("cpu_seconds_total{mode=\"user\"}", Value::Float(self.busy_us as f64 / 1e6)),
        ];
        if others {
            let used = self.counters[0] / 512 % 1_000;
            pairs.push(("memory_total_bytes", Value::Unsigned(2_000)));
            pairs.push(("memory_available_bytes", Value::Unsigned(used)));
            pairs.push(("load1", Value::Float(used as f64 / 8.0)));
            let eth0 = "network_receive_bytes_total{interface=\"eth0\"}";
            pairs.push((eth0, Value::Unsigned(self.counters[1])));
        }
        let disk = |name, counter: usize| (name, Value::Unsigned(self.counters[counter]));
        if disks {
            pairs.push(disk("disk_read_bytes_total{device=\"sda\"}", 2));
        }
        if disks && self.second_disk {
            pairs.push(disk("disk_read_bytes_total{device=\"sdb\"}", 3));
        }
        if slow {
            pairs.push(("processes", Value::Unsigned(self.counters[3] / 512 % 700)));
        }
        if others && self.container {
            pairs.push(("container_memory_bytes", Value::Unsigned(self.counters[3] % 10_000)));
            pairs.push(("container_reads_total", Value::Unsigned(self.counters[2] / 3)));
        }
        Row {
            seq,
            elapsed_us: self.elapsed_us,
            time_ms: BASE_MS - 3_600_000 + self.offset_ms + self.elapsed_us / 1_000,
            interval_ms: 1_000,
            samples: pairs
                .into_iter()
                .map(|(key, value)| (SeriesKey::parse(key).unwrap(), value))
                .collect(),
        }
    }
}

/// Every sample: by session, series and frame; with the frame's time and elapsed.
pub(super) type Readings = BTreeMap<(SessionId, SeriesKey, u64), (u64, u64, Value)>;

/// The samples of frames.
pub(super) fn readings_of_rows(session: SessionId, rows: &[Row]) -> Readings {
    let of_row = |row: &Row| {
        let at = (row.seq, row.time_ms, row.elapsed_us);
        let samples: Vec<_> = row.samples.iter().map(|(key, value)| (key.clone(), value)).collect();
        samples
            .into_iter()
            .map(move |(key, value)| ((session, key, at.0), (at.1, at.2, value)))
            .collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}

/// The samples of segments; a frame may be in several.
pub(super) fn readings(segments: &[Segment]) -> Readings {
    let mut all = Readings::new();
    for segment in segments {
        check_shape(segment);
        for column in &segment.columns {
            let group = &segment.groups[column.group];
            for (at, value) in column.values.iter().enumerate() {
                let key = (segment.session, column.key.clone(), group.seq[at]);
                let reading = (group.time_ms[at], group.elapsed_us[at], *value);
                assert_eq!(*all.entry(key).or_insert(reading), reading);
            }
        }
    }
    all
}

/// What a segment promises.
fn check_shape(segment: &Segment) {
    let used = |group: usize| segment.columns.iter().any(|column| column.group == group);
    for (number, group) in segment.groups.iter().enumerate() {
        assert!(group.len() > 0 && used(number));
        assert!((1..group.len()).all(|at| group.order(at - 1) < group.order(at)));
        assert!(!segment.groups[..number].contains(group), "two groups have the same frames");
    }
    let ascending = |keys: Vec<&SeriesKey>| keys.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(ascending(segment.columns.iter().map(|column| &column.key).collect()));
    assert!(ascending(segment.extremes.iter().map(|extremes| &extremes.key).collect()));
    for column in &segment.columns {
        assert_eq!(column.values.len(), segment.groups[column.group].len());
    }
    for (number, spans) in segment.spans.iter().enumerate() {
        let multiple = |start: &u64| start.is_multiple_of(u64::from(segment.bucket_ms));
        assert!(spans.start_ms.iter().all(multiple));
        assert!(spans.start_ms.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(!segment.spans[..number].contains(spans), "two spans are the same");
        assert!(segment.extremes.iter().any(|extremes| extremes.spans == number));
    }
    for extremes in &segment.extremes {
        let len = segment.spans[extremes.spans].start_ms.len();
        assert!(extremes.min.len() == len && extremes.max.len() == len && len > 0);
        assert!(extremes.mean.is_empty() || extremes.mean.len() == len);
        let bounded = |at: usize| {
            let (min, max) = (extremes.min[at], extremes.max[at]);
            min <= max && extremes.mean.get(at).is_none_or(|mean| (min..=max).contains(mean))
        };
        assert!((0..len).all(bounded), "{extremes:?}");
    }
}

/// The values of a bucket, however they are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) sum: f64,
    pub(super) count: u64,
    /// Value times the time it was taken over, and that time; of rates and shares.
    pub(super) grown: f64,
    pub(super) over_us: u64,
}

/// By session, derived output and beginning of the bucket.
pub(super) type Cells = BTreeMap<(SessionId, SeriesKey, u64), Cell>;

impl Cell {
    pub(super) const EMPTY: Self = Self {
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        sum: 0.0,
        count: 0,
        grown: 0.0,
        over_us: 0,
    };

    pub(super) fn add(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count += other.count;
        self.grown += other.grown;
        self.over_us += other.over_us;
    }
}

/// Derives every value of some samples and puts them into buckets.
pub(super) fn derived(readings: &Readings, bucket_ms: u64) -> Cells {
    let mut frames: BTreeMap<_, (u64, Vec<(SeriesKey, Value)>)> = BTreeMap::new();
    for ((session, key, seq), (time_ms, elapsed_us, value)) in readings {
        let frame = frames.entry((*session, *elapsed_us, *seq)).or_default();
        frame.0 = *time_ms;
        frame.1.push((key.clone(), *value));
    }
    let mut derivers: BTreeMap<SessionId, Deriver> = BTreeMap::new();
    let mut cells = Cells::new();
    for ((session, elapsed_us, _), (time_ms, pairs)) in frames {
        let deriver = derivers.entry(session).or_insert_with(|| Deriver::new(Arc::default()));
        let samples: Samples = pairs.into_iter().collect();
        let step = deriver.derive(elapsed_us, &samples);
        for got in &step.values {
            let output = step.plan.outputs[got.output as usize].clone();
            let start_ms = time_ms / bucket_ms * bucket_ms;
            cells.entry((session, output, start_ms)).or_insert(Cell::EMPTY).add(&Cell {
                min: got.value,
                max: got.value,
                sum: got.value,
                count: 1,
                grown: got.value * f64::from(got.over_us),
                over_us: u64::from(got.over_us),
            });
        }
    }
    cells
}

/// The extremes of segments, each bucket united; sums of rates are not known.
pub(super) fn extremes(segments: &[Segment], bucket_ms: u64) -> Cells {
    let mut cells = Cells::new();
    for segment in segments {
        for extremes in &segment.extremes {
            let spans = &segment.spans[extremes.spans];
            for (at, start_ms) in spans.start_ms.iter().enumerate() {
                let key = (segment.session, extremes.key.clone(), start_ms / bucket_ms * bucket_ms);
                let count = u64::from(spans.counts[at]);
                cells.entry(key).or_insert(Cell::EMPTY).add(&Cell {
                    min: extremes.min[at],
                    max: extremes.max[at],
                    sum: extremes.mean.get(at).map_or(f64::NAN, |mean| mean * count as f64),
                    count,
                    grown: 0.0,
                    over_us: 0,
                });
            }
        }
    }
    cells
}

/// What segments say of each bucket of theirs: the extremes, or else what their frames give.
pub(super) fn told(segments: &[Segment]) -> Cells {
    let Some(first) = segments.first() else { return Cells::new() };
    let bucket_ms = u64::from(first.bucket_ms);
    let mut cells = derived(&readings(segments), bucket_ms);
    cells.extend(extremes(segments, bucket_ms));
    cells
}

pub(super) fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6 * (1.0 + one.abs().max(other.abs()))
}

/// Same buckets, bounds and counts; and the same means where both are known.
#[track_caller]
pub(super) fn assert_same(told: &Cells, model: &Cells, what: &str) {
    for (key, cell) in model {
        let Some(found) = told.get(key) else { panic!("{what}: {key:?} is missing: {cell:?}") };
        let means = found.sum.is_nan() || cell.sum.is_nan() || close(found.sum, cell.sum);
        let same = close(found.min, cell.min) && close(found.max, cell.max) && means;
        let text = format!("{what}: {key:?} is {found:?}, should be {cell:?}");
        assert!(same && found.count == cell.count, "{text}");
    }
    let more = told.keys().find(|key| !model.contains_key(*key));
    assert!(more.is_none(), "{what}: {more:?} is made up: {:?}", told[more.unwrap()]);
}
