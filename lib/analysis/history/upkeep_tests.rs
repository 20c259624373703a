//! Days of a host on a real file: what is kept is there, however late and in whatever order it
//! came, and what is not kept goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;
use crate::analysis::history::closing::Made;
use crate::analysis::history::put::put_segments;
use crate::analysis::history::restore::{HistoryConfig, open};
use crate::analysis::history::thin::{SessionRows, thin};
use crate::analysis::history::tiers::Tiers;
use crate::analysis::live::Row;
use crate::base::dice::Dice;
use crate::metric::{Samples, SeriesKey, Value};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The beginning of a day.
const BASE_MS: u64 = 20_000 * DAY_MS;

/// How often the host is sampled here.
const STEP_MS: u64 = 20_000;

struct World {
    dir: PathBuf,
    archive: Arc<Archive>,
    upkeep: Upkeep,
    runs: Runs,
    now_ms: u64,
    /// Time of every frame that was taken, and of those that came too late for anything.
    taken: BTreeSet<u64>,
}

impl World {
    fn new(name: &str, keep: &str, bytes_max: u64) -> Self {
        let dir = std::env::temp_dir().join(format!("upkeep-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let archive = begin(&dir, keep, bytes_max);
        let upkeep = Upkeep::new(archive.clone());
        let (runs, taken) = (Runs::new(), BTreeSet::new());
        Self { dir, archive, upkeep, runs, now_ms: BASE_MS, taken }
    }

    /// The same directory with other resolutions.
    fn begin_anew(&mut self, keep: &str) {
        // The directory is locked while it is used.
        self.upkeep.archive = elsewhere(&self.dir);
        self.upkeep.expiry = Expiry::new(self.upkeep.archive.clone());
        self.archive = self.upkeep.archive.clone();
        self.archive = begin(&self.dir, keep, 0);
        self.upkeep = Upkeep::new(self.archive.clone());
    }

    /// A chunk of frames arrives now.
    fn arrive(&mut self, session: SessionId, times_ms: impl Iterator<Item = u64>) {
        let rows: Vec<Row> = times_ms.map(row).collect();
        self.taken.extend(rows.iter().map(|row| row.time_ms));
        let sessions = vec![SessionRows { session, before: Vec::new(), rows }];
        let mut made = Made::default();
        for segment in thin(sessions, &self.archive.pool).segments {
            self.archive.place(segment, self.now_ms, &mut made);
        }
        let host: HostName = "a".into();
        let mut entry = self.archive.index.get_or_number(&host);
        let mut commit = self.archive.store.write().unwrap();
        put_names(&mut commit, &self.archive.names.take_changed()).unwrap();
        put_segments(&self.archive, &mut commit, &mut entry, &made.segments, &self.runs).unwrap();
        entry.seen_ms = entry.seen_ms.max(*self.taken.last().unwrap());
        let row = host_row(&host, &entry, &self.archive.tiers);
        commit.put_host(HostId(entry.id), &row).unwrap();
        commit.commit().unwrap();
        self.archive.index.set(host, entry);
    }

    /// Everything is done, and then looked at for what may go.
    fn settle(&mut self) {
        while self.upkeep.turn(self.now_ms, &self.runs) {}
        self.now_ms += MINUTE_MS;
        while self.upkeep.turn(self.now_ms, &self.runs) {}
    }

    /// For each tier the beginnings of the buckets that have a frame.
    fn buckets(&self) -> BTreeMap<u64, BTreeSet<u64>> {
        let snapshot = self.archive.store.snapshot().unwrap();
        let mut found = BTreeMap::new();
        for tier in self.archive.tiers.as_slice() {
            let all = snapshot.segments(HostId(0), tier.bucket(), (0, u64::MAX), 0).unwrap();
            let buckets: &mut BTreeSet<u64> = found.entry(tier.bucket_ms).or_default();
            for handle in all {
                let segment = self.archive.whole(&handle).unwrap().unwrap();
                let times = segment.groups.iter().flat_map(|group| group.time_ms.clone());
                buckets.extend(times.map(|time| time / tier.bucket_ms * tier.bucket_ms));
            }
        }
        found
    }

    /// Queries find every bucket with a frame in the tier that serves its time, for as long as the
    /// tier is kept; and nothing is there that was not sampled, or has long expired.
    fn check(&self, what: &str) {
        let (found, entry) = (self.buckets(), self.archive.index.get("a").unwrap());
        let tiers = self.archive.tiers.as_slice();
        for (at, tier) in tiers.iter().enumerate() {
            let here = &found[&tier.bucket_ms];
            let bucket = |time: &u64| time / tier.bucket_ms * tier.bucket_ms;
            let sampled: BTreeSet<u64> = self.taken.iter().map(bucket).collect();
            // A chunk that begins before its time is up goes into the next tier as a whole.
            let since_ms = self.now_ms.saturating_sub(tier.keep_ms) + 30 * STEP_MS;
            let made_ms = if at == 0 { u64::MAX } else { entry.done_ms[at] };
            let serves = sampled.range(since_ms..).filter(|time| **time < made_ms);
            let missing: Vec<_> = serves.filter(|time| !here.contains(*time)).collect();
            assert!(missing.is_empty(), "{what}: {} ms: {missing:?}", tier.bucket_ms);
            let strange: Vec<_> = here.difference(&sampled).collect();
            assert!(strange.is_empty(), "{what}: {} ms: {strange:?}", tier.bucket_ms);
            let oldest_ms = self.now_ms.saturating_sub(tier.keep_ms + 2 * tier.span_ms());
            let old: Vec<_> = here.range(..oldest_ms).collect();
            assert!(old.is_empty(), "{what}: {} ms: {old:?}", tier.bucket_ms);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn begin(dir: &std::path::Path, keep: &str, bytes_max: u64) -> Arc<Archive> {
    let config = HistoryConfig {
        dir: dir.to_owned(),
        tiers: Tiers::parse(keep).unwrap(),
        bytes_max,
        write_after: Duration::from_secs(300),
        logs_bus: false,
    };
    Arc::new(open(config, BASE_MS).unwrap().begin(4))
}

/// An archive that stands in for one that is to be let go of.
fn elsewhere(dir: &std::path::Path) -> Arc<Archive> {
    let other = dir.join("other");
    std::fs::create_dir_all(&other).unwrap();
    begin(&other, "1s:1d", 0)
}

fn row(time_ms: u64) -> Row {
    let samples: Samples = [
        (SeriesKey::plain("load1"), Value::Float((time_ms / 1_000 % 97) as f64)),
        (SeriesKey::plain("forks_total"), Value::Unsigned(time_ms / 7)),
    ]
    .into_iter()
    .collect();
    let since_ms = time_ms - (BASE_MS - 100 * DAY_MS);
    let (seq, elapsed_us) = (since_ms / STEP_MS, since_ms * 1_000);
    Row { seq, elapsed_us, time_ms, interval_ms: STEP_MS as u32, samples }
}

/// Ten minutes of frames.
fn chunk(first_ms: u64) -> impl Iterator<Item = u64> {
    (0..30).map(move |frame| first_ms + frame * STEP_MS)
}

#[test]
fn whatever_comes_late_is_kept_as_long_as_its_time_is() {
    for seed in 1..=6 {
        let dice = &mut Dice::new(seed);
        let mut world = World::new(&format!("late-{seed}"), "1s:6h,10s:2d,1m:20d", 0);
        // First frames of chunks that were sampled and have not arrived.
        let mut away: Vec<u64> = Vec::new();
        let mut at_ms = BASE_MS + dice.below(HOUR_MS);
        for turn in 0..240 {
            let first_ms = at_ms / STEP_MS * STEP_MS;
            at_ms += 30 * STEP_MS + dice.below(2) * dice.below(HOUR_MS);
            world.now_ms = at_ms;
            if dice.one_in(3) {
                away.push(first_ms);
            } else {
                world.arrive(SessionId(1), chunk(first_ms));
            }
            if dice.one_in(4) && !away.is_empty() {
                let late = away.swap_remove(dice.below(away.len() as u64) as usize);
                world.arrive(SessionId(1), chunk(late));
            }
            if dice.one_in(4) {
                world.settle();
            }
            if turn % 20 == 19 {
                world.settle();
                world.check(&format!("seed {seed}, turn {turn}"));
            }
        }
    }
}

#[test]
fn a_day_that_comes_at_once_has_no_seam_where_the_seconds_end() {
    let mut world = World::new("seam", "1s:6h,10s:2d,1m:20d", 0);
    world.now_ms = BASE_MS + 24 * HOUR_MS + 37 * MINUTE_MS;
    for first_ms in (BASE_MS..world.now_ms - 30 * STEP_MS).step_by(30 * STEP_MS as usize) {
        world.arrive(SessionId(1), chunk(first_ms));
        if first_ms % HOUR_MS == 0 {
            world.settle();
        }
    }
    for hours in 0..12 {
        world.settle();
        world.check(&format!("{hours} hours later"));
        world.now_ms += HOUR_MS;
    }
}

#[test]
fn a_file_that_is_too_large_gives_up_the_oldest_first() {
    let mut world = World::new("large", "1s:6h,10s:2d,1m:20d", 16_000);
    let mut first_ms = BASE_MS;
    for _ in 0..600 {
        world.now_ms = first_ms + 30 * STEP_MS;
        world.arrive(SessionId(1), chunk(first_ms));
        world.settle();
        first_ms += 30 * STEP_MS;
    }
    world.now_ms += 20 * MINUTE_MS;
    for _ in 0..50 {
        world.settle();
        world.now_ms += 2 * MINUTE_MS;
    }
    let used = world.archive.store.snapshot().unwrap().usage().unwrap().used_bytes;
    assert!(used <= 16_000, "{used} bytes");
    let kept_ms = world.archive.kept_ms();
    assert!(kept_ms[2] < 20 * DAY_MS, "{kept_ms:?}, {used} bytes");
    let found = world.buckets();
    let newest = world.taken.last().unwrap() / 1_000 * 1_000;
    assert!(found[&1_000].contains(&newest), "the newest stays");
    assert!(world.archive.counts.shortened.get() > 0);
}

#[test]
fn a_resolution_that_is_not_configured_any_more_goes_with_its_time() {
    let mut world = World::new("retired", "1s:6h,10s:2d", 0);
    for first_ms in (BASE_MS..BASE_MS + DAY_MS).step_by(30 * STEP_MS as usize) {
        world.now_ms = first_ms + 30 * STEP_MS;
        world.arrive(SessionId(1), chunk(first_ms));
    }
    world.now_ms += HOUR_MS;
    world.settle();
    let tens = |world: &World| {
        let snapshot = world.archive.store.snapshot().unwrap();
        snapshot.segments(HostId(0), 10_000, (0, u64::MAX), 0).unwrap().len()
    };
    assert!(tens(&world) > 5);
    world.begin_anew("1s:6h,1m:3d");
    world.settle();
    assert!(tens(&world) > 5, "whoever sets it back has it again");
    world.now_ms += 3 * DAY_MS;
    world.settle();
    assert_eq!(tens(&world), 0);
}
