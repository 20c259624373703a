//! Analysis on a topic that is made up, at the pace of a clock that is set forward: hours in
//! minutes, and everything that goes by time happens when it would have happened.
//!
//! Each step lets some seconds pass, waits until the history has written down what was due and
//! put its segments in order, and gives the frames of those seconds to read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use realtime_monitor::analysis::history::{self, HistoryConfig, Tiers, WRITE_AFTER};
use realtime_monitor::analysis::{self, Config, HOSTS_MAX, LIVE_BYTES_MAX};
use realtime_monitor::base::clock::Scripted;
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::base::thread::{self, Joined};
use realtime_monitor::bus::{Bus, StoredRecord, partition_of};

use super::course::{Course, Recorded, stored};
use super::made_up::{BATCH_RECORDS, Makers, PARTITIONS, TopicMadeUp};
use super::support::wait;

/// Steps that are made before they are needed.
const STEPS_WAITING: usize = 1;

/// How long a step may take: upkeep of a day of many hosts may be due at once.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked whether everything was read.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each sends one frame a second.
    pub hosts: u64,
    pub seconds: u64,
    /// Unix time of the end.
    pub end_ms: u64,
    /// Seconds that pass at once: 5 at least, as many as there are between two commits.
    pub step_s: u64,
    /// Directory of the history; without it nothing is kept.
    pub history: Option<PathBuf>,
}

/// Records of one step, by partition, in batches.
type Step = Vec<Vec<Vec<StoredRecord>>>;

/// It runs.
pub struct Paced {
    clock: Arc<Scripted>,
    step: Duration,
    steps: Receiver<Step>,
    makers: Makers,
    given: u64,
    read: Arc<AtomicU64>,
    keeps: bool,
    pub analysis: analysis::Handle,
    maker: Joined,
}

impl Paced {
    pub fn start(plan: &Plan) -> Result<Self, String> {
        let recorded = Recorded::read()?;
        let start_ms = plan.end_ms - plan.seconds * 1_000;
        let clock = Scripted::new(start_ms * 1_000);
        let open = |dir: &PathBuf| {
            std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
            let config = HistoryConfig {
                dir: dir.clone(),
                tiers: Tiers::default(),
                bytes_max: 0,
                write_after: WRITE_AFTER,
                // As with Kafka, which keeps the records itself.
                logs_bus: false,
            };
            history::open(config, start_ms).map_err(|error| error.to_string())
        };
        let config = Config {
            history: plan.history.as_ref().map(open).transpose()?,
            hosts_max: HOSTS_MAX,
            live_bytes_max: LIVE_BYTES_MAX,
            counts: CountSources::default(),
        };
        let (bus, makers) = TopicMadeUp::new(plan.hosts * plan.seconds / u64::from(PARTITIONS));
        let read = Arc::clone(&bus.read);
        let bus: Arc<dyn Bus> = Arc::new(bus);
        let analysis =
            analysis::start(config, &bus, clock.clone()).map_err(|error| error.to_string())?;
        let (out, steps) = bounded(STEPS_WAITING);
        let of_maker = plan.clone();
        let make = move || {
            let mut maker = Maker::new(&of_maker, &recorded, start_ms);
            for _ in 0..of_maker.seconds / of_maker.step_s {
                if out.send(maker.step(of_maker.step_s)).is_err() {
                    return;
                }
            }
        };
        let maker = thread::spawn("maker", make).map_err(|error| error.to_string())?;
        let keeps = plan.history.is_some();
        let step = Duration::from_secs(plan.step_s);
        Ok(Self { clock, step, steps, makers, given: 0, read, keeps, analysis, maker })
    }

    /// Plays the next step; false after the last one.
    pub fn step(&mut self) -> bool {
        let Ok(step) = self.steps.recv() else { return false };
        self.pass(self.step);
        for (maker, batches) in self.makers.iter().zip(step) {
            for batch in batches {
                self.given += batch.len() as u64;
                let _ = maker.send(batch);
            }
        }
        let start = Instant::now();
        while self.read.load(Relaxed) < self.given && start.elapsed() < PATIENCE {
            wait::pause(LOOK_EVERY);
        }
        true
    }

    /// Frames given and read so far.
    pub fn frames(&self) -> u64 {
        self.given
    }

    /// Lets time pass, and waits until what was due by then is on disk.
    fn pass(&self, time: Duration) {
        let timers = self.clock.timers_registered();
        self.clock.advance(time);
        // The writer is done when it asks for the time of its next commit.
        if self.keeps && !self.clock.wait_for_timers(timers + 1, PATIENCE) {
            eprintln!("   the history has not come to rest within {PATIENCE:?}");
        }
    }

    /// Ends analysis; what is open is written down.
    pub fn finish(self) {
        drop(self.steps);
        drop(self.makers);
        drop(self.analysis);
        drop(self.maker);
    }
}

/// Makes the records in the order in which a topic would have them.
struct Maker {
    courses: Vec<Course>,
    offsets: Vec<u64>,
}

impl Maker {
    fn new(plan: &Plan, recorded: &Arc<Recorded>, start_ms: u64) -> Self {
        let course = |number| Course::new(recorded, (number, plan.hosts), start_ms);
        let courses = (0..plan.hosts).map(course).collect();
        Self { courses, offsets: vec![0; PARTITIONS as usize] }
    }

    fn step(&mut self, seconds: u64) -> Step {
        let mut step: Step = vec![Vec::new(); self.offsets.len()];
        for _ in 0..seconds {
            for course in &mut self.courses {
                let record = course.next_record();
                let partition = partition_of(&record.key, PARTITIONS) as usize;
                let batches = &mut step[partition];
                if batches.last().is_none_or(|batch| batch.len() == BATCH_RECORDS) {
                    batches.push(Vec::with_capacity(BATCH_RECORDS));
                }
                if let Some(batch) = batches.last_mut() {
                    batch.push(stored(record, self.offsets[partition]));
                    self.offsets[partition] += 1;
                }
            }
        }
        step
    }
}
