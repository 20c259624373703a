//! Buffer and spool together against a plain model, with the faults that disks and people bring.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::clock::{Clock, Scripted, SharedClock};
use crate::base::dice::Dice;
use crate::base::{stop, thread};
use crate::client::buffer::{Buffer, Outgoing};
use crate::client::spool::sync::{self, Job, Syncing};
use crate::client::spool::testing::MemDisk;
use crate::client::testing::frame;
use crate::metric::{Layout, SeqRange, SeriesKey};
use crate::wire::message::EarlierSession;

#[path = "keeper_model_tests.rs"]
mod model;
#[path = "sync_tests.rs"]
mod syncing;

const START_US: u64 = 1_700_000_000_000_000;

fn layout(len: usize) -> Layout {
    (0..len).map(|n| SeriesKey::plain(&format!("series_{n}"))).collect()
}

fn ranges(list: &[SeqRange]) -> SeqRanges {
    list.iter().copied().collect()
}

/// One run of a client, without its threads.
struct Run {
    shared: Arc<Shared>,
    keeper: Keeper,
    /// The thread that syncs, and what it is at: the test does it, and when.
    syncing: Syncing,
    job: Option<(Job, u64)>,
    /// What a server settled on this stream, by session; none when there is no stream.
    stream: Option<BTreeMap<SessionId, SeqRanges>>,
}

/// A machine, its disk, the server, and the truth about every frame.
struct World {
    disk: MemDisk,
    clock: Arc<Scripted>,
    bytes_max: u64,
    buffer_bytes: u64,
    layouts: Vec<Layout>,
    runs: u128,
    run: Run,
    /// A sync goes on until the test says otherwise, instead of ending at once.
    is_slow: bool,
    turns: u64,
    /// Syncs that have begun, and those that have ended well, were handed over by these turns.
    begun: u64,
    covered: u64,
    /// Every frame, and at which turn and when it was first seen on disk.
    sampled: BTreeMap<(SessionId, u64), Option<(u64, Duration)>>,
    received: BTreeSet<(SessionId, u64)>,
    declared: BTreeSet<(SessionId, u64)>,
    /// May be lost without a word: they were in memory alone, or not yet synced.
    excused: BTreeSet<(SessionId, u64)>,
    doubled: u64,
    /// What the server last heard of an earlier run.
    announced: BTreeMap<SessionId, EarlierSession>,
}

impl World {
    fn new(bytes_max: u64, buffer_bytes: u64) -> Self {
        let (disk, clock) = (MemDisk::default(), Scripted::new(START_US));
        clock.advance(Duration::from_secs(3_600));
        let run = Self::start(&disk, &clock, bytes_max, buffer_bytes, 1);
        let layouts = [3, 12, 40].map(layout).to_vec();
        Self {
            disk,
            clock,
            bytes_max,
            buffer_bytes,
            layouts,
            runs: 1,
            run,
            is_slow: false,
            turns: 0,
            begun: 0,
            covered: 0,
            sampled: BTreeMap::new(),
            received: BTreeSet::new(),
            declared: BTreeSet::new(),
            excused: BTreeSet::new(),
            doubled: 0,
            announced: BTreeMap::new(),
        }
    }

    fn start(
        disk: &MemDisk,
        clock: &Arc<Scripted>,
        bytes_max: u64,
        buffer_bytes: u64,
        number: u128,
    ) -> Run {
        let session = SessionId(number);
        let clock: SharedClock = Arc::<Scripted>::clone(clock);
        let buffer = Buffer::new(session, buffer_bytes, 300);
        let shared = Arc::new(Shared::new(session, clock, buffer));
        let config = SpoolConfig { dir: "/test".into(), bytes_max };
        let disk = disk.clone();
        let opener = move || -> Result<Box<dyn Disk>, SpoolError> { Ok(Box::new(disk.clone())) };
        let (syncer, syncing) = sync::pair();
        let opener = Box::new(opener);
        let mut keeper = Keeper::with(Arc::clone(&shared), config, syncer, opener).unwrap();
        keeper.turn();
        Run { shared, keeper, syncing, job: None, stream: None }
    }

    fn session(&self) -> SessionId {
        self.run.shared.session
    }

    fn sample(&mut self, frames: u64, layout: usize) {
        for _ in 0..frames {
            let session = self.session();
            let mut buffer = self.run.shared.buffer();
            let seq = buffer.account().sampled + 1;
            buffer.push(frame(session, seq, &self.layouts[layout]));
            self.sampled.insert((session, seq), None);
        }
    }

    fn turn(&mut self) {
        self.run.keeper.turn();
        self.note_turn();
        if !self.is_slow {
            self.sync(usize::MAX);
        }
    }

    /// What a turn has written, and handed over to be synced.
    fn note_turn(&mut self) {
        self.turns += 1;
        let (now, session) = ((self.turns, self.clock.monotonic()), self.session());
        let buffer = self.run.shared.buffer();
        let alone = buffer.in_memory_alone();
        // The word of what memory has no room for goes to the disk with the next frame.
        let may_declare = buffer.writes() != Some(Writes::Failing);
        let own = self.sampled.range_mut((session, 0)..=(session, u64::MAX));
        for ((_, seq), written) in own {
            let is_written = || may_declare || buffer.needs(session, &ranges(&[(*seq, *seq)]));
            if !alone.contains(*seq) && is_written() {
                written.get_or_insert(now);
            }
        }
        drop(buffer);
        if let Ok(job) = self.run.syncing.jobs.try_recv() {
            assert!(self.run.job.is_none(), "two at a time");
            (self.run.job, self.begun) = (Some((job, self.turns)), self.turns);
        }
        assert!(self.disk.bytes() <= self.bytes_max, "{} bytes on disk", self.disk.bytes());
    }

    /// So many parts of the sync that is under way are done; the keeper hears of its end.
    fn sync(&mut self, parts: usize) {
        let Some((mut job, turn)) = self.run.job.take() else { return };
        for _ in 0..parts {
            if !job.step() {
                let failures = job.end();
                self.covered = if failures.is_empty() { turn } else { self.covered };
                self.run.syncing.ended.try_send(failures).unwrap();
                return self.turn();
            }
        }
        self.run.job = Some((job, turn));
    }

    /// The keeper's last turn, with a thread that syncs at once.
    fn last_turn(&mut self) {
        let failures = self.run.shared.counts.spool_failures.get();
        let (stopper, stop) = stop::pair();
        let (jobs, ended) = (self.run.syncing.jobs.clone(), self.run.syncing.ended.clone());
        let job = self.run.job.take();
        let syncing = thread::spawn("test-sync", move || {
            if let Some((mut job, _)) = job {
                while job.step() {}
                ended.send(job.end()).unwrap();
            }
            Syncing { jobs, ended }.run(&stop);
        });
        self.run.keeper.last_turn();
        drop((stopper, syncing.unwrap()));
        self.note_turn();
        if self.run.shared.counts.spool_failures.get() == failures {
            self.covered = self.turns;
        }
    }

    /// Time passes; the keeper wakes when it wants to.
    fn pass(&mut self, by: Duration) {
        self.clock.advance(by);
        if self.run.keeper.wake_at().is_some_and(|at| at <= self.clock.monotonic()) {
            self.turn();
        }
    }

    fn connect(&mut self) {
        let mut buffer = self.run.shared.buffer();
        let first = buffer.first_seq();
        let mut stream = BTreeMap::from([(self.run.shared.session, ranges(&[(1, first - 1)]))]);
        for word in buffer.announce() {
            let EarlierSession { session, range: (first, last), .. } = word;
            assert!(1 <= first && first <= last, "{session}: {first} to {last}");
            stream.insert(session, ranges(&[(1, first - 1)]));
            self.announced.insert(session, word);
        }
        buffer.start_stream();
        self.run.stream = Some(stream);
    }

    /// One message to the server; false when there is none.
    fn send(&mut self) -> bool {
        let Some(stream) = &mut self.run.stream else { return false };
        let now_us = crate::client::shared::micros(self.clock.monotonic());
        let outgoing = self.run.shared.buffer().next(now_us);
        let (session, range) = match outgoing {
            None => return false,
            Some(Outgoing::Frame { frame, .. }) => {
                let (session, seq) = (frame.session, frame.seq);
                assert!(self.sampled.contains_key(&(session, seq)), "{session} {seq}: invented");
                let layout = frame.samples.layout.clone();
                let mut expected = crate::client::testing::frame(session, seq, &layout);
                expected.sent_ms = frame.sent_ms;
                assert_eq!(*frame, expected, "another frame than was sampled");
                assert!(self.layouts.iter().any(|known| **known == *layout));
                self.doubled += u64::from(!self.received.insert((session, seq)));
                (session, (seq, seq))
            }
            Some(Outgoing::Dropped(gone)) => {
                let numbers = gone.range.0..=gone.range.1;
                self.declared.extend(numbers.map(|seq| (gone.session, seq)));
                (gone.session, gone.range)
            }
        };
        let settled = stream.get_mut(&session).expect("only what Hello named is sent");
        settled.insert_range(range);
        true
    }

    /// An ack of what the server has of one session, or of a part of it.
    fn acknowledge(&mut self, at: u64, part: Option<SeqRange>) {
        let Some(stream) = &self.run.stream else { return };
        let Some((session, settled)) = stream.iter().nth(at as usize % stream.len()) else {
            return;
        };
        let through = settled.as_slice().first().filter(|range| range.0 <= 1);
        let through = through.map_or(0, |range| range.1);
        let (through, list) = match part {
            None => (through, settled.as_slice().to_vec()),
            Some(part) => (0, settled.within(part).collect()),
        };
        let mut buffer = self.run.shared.buffer();
        if *session == self.run.shared.session {
            assert!(!buffer.acknowledge(through, &list, 0).beyond);
        } else if let Some(acked) = buffer.acknowledge_earlier(*session, through, &list) {
            assert!(!acked.beyond);
        }
    }

    /// kill -9, or the loss of power; then the next run.
    fn restart(&mut self, power: Option<&mut Dice>) {
        let session = self.session();
        let alone = self.run.shared.buffer().in_memory_alone();
        let numbers = alone.as_slice().iter().flat_map(|range| range.0..=range.1);
        self.excused.extend(numbers.map(|seq| (session, seq)));
        // Nor had what memory had no room for before it was written left a word.
        let own = self.sampled.range((session, 0)..=(session, u64::MAX));
        let unwritten = own.filter(|(_, written)| written.is_none());
        self.excused.extend(unwritten.map(|(frame, _)| *frame));
        if self.run.shared.buffer().writes() == Some(Writes::Failing) {
            // Nor could the word of what memory had no room for be written down.
            let gone = self.run.shared.buffer().take_state(session).unwrap().gone;
            let numbers = gone.into_iter().flat_map(|(range, _)| range.0..=range.1);
            self.excused.extend(numbers.map(|seq| (session, seq)));
        }
        if let Some(dice) = power {
            let late = |written: &Option<(u64, _)>| written.is_none_or(|at| at.0 > self.covered);
            let late = self.sampled.iter().filter(|(_, written)| late(written));
            self.excused.extend(late.map(|(frame, _)| *frame));
            self.disk.image().lose_power(dice);
        }
        self.next_run();
    }

    fn stop(&mut self, power: Option<&mut Dice>) {
        self.last_turn();
        let alone = self.run.shared.buffer().in_memory_alone();
        assert!(alone.is_empty() || self.run.shared.buffer().writes() == Some(Writes::Failing));
        self.restart(power);
    }

    fn next_run(&mut self) {
        self.runs += 1;
        let (disk, clock) = (&self.disk, &self.clock);
        self.run = Self::start(disk, clock, self.bytes_max, self.buffer_bytes, self.runs);
        self.note_turn();
    }
}

/// Runs whose last frames may be unknown, as the next run announces them.
fn torn(world: &World) -> Vec<u128> {
    let announced = world.run.shared.buffer().announce();
    announced.iter().filter(|it| it.tail_unknown).map(|it| it.session.0).collect()
}

#[test]
fn a_run_that_was_killed_while_its_disk_was_full_says_that_there_may_have_been_more() {
    let mut world = World::new(128 * 1024, 90_000);
    let sample = |world: &mut World| {
        world.sample(5, 0);
        world.turn();
    };
    sample(&mut world);
    world.disk.image().room = Some(1);
    sample(&mut world);
    world.disk.image().room = None;
    // There is room again, but what waits in memory has not been written.
    world.restart(None);
    assert_eq!(torn(&world), [1]);
    sample(&mut world);
    world.disk.image().room = Some(0);
    sample(&mut world);
    world.disk.image().room = None;
    world.pass(RETRY_INTERVAL);
    // Everything is written, so this run has nothing to hide; the word of the first one stays.
    world.restart(None);
    assert_eq!(torn(&world), [1]);
    sample(&mut world);
    world.disk.image().is_unsyncable = true;
    world.pass(SYNC_INTERVAL);
    world.disk.image().is_unsyncable = false;
    world.restart(None);
    assert_eq!(torn(&world), [1, 3]);
    world.settle();
    assert!(torn(&world).is_empty());
}

#[test]
fn a_run_whose_machine_lost_power_says_that_there_may_have_been_more() {
    let mut dice = Dice::new(5);
    let mut world = World::new(128 * 1024, 90_000);
    let sample = |world: &mut World| {
        world.sample(5, 0);
        world.turn();
    };
    sample(&mut world);
    world.pass(SYNC_INTERVAL);
    sample(&mut world);
    world.restart(Some(&mut dice));
    assert_eq!(torn(&world), [1], "frames were written, and not synced");
    sample(&mut world);
    world.stop(Some(&mut dice));
    assert_eq!(torn(&world), [1], "it had stopped in order");
    sample(&mut world);
    world.restart(None);
    assert_eq!(torn(&world), [1], "it was killed alone, and the next run has synced what it left");
    world.restart(Some(&mut dice));
    assert_eq!(torn(&world), [1]);
    world.settle();
    assert!(torn(&world).is_empty());
}

#[test]
fn a_run_whose_spool_panicked_says_that_there_may_have_been_more() {
    let mut world = World::new(128 * 1024, 90_000);
    world.sample(5, 0);
    world.turn();
    world.disk.image().is_panicking = true;
    world.sample(5, 0);
    world.run.keeper.contained(Keeper::turn);
    assert_eq!(world.run.shared.buffer().writes(), Some(Writes::Failing));
    world.disk.image().is_panicking = false;
    world.restart(None);
    assert_eq!(torn(&world), [1]);
}

/// The harness shows it with a test that fails.
#[allow(clippy::print_stderr, reason = "a test that fails says with which seed")]
fn eprintln_seed(seed: u64) {
    eprintln!("seed {seed}");
}
