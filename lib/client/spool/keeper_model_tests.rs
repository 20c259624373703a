//! Everything that may happen to a spool, in any order, against a plain account of every frame.

use super::*;

/// Longest step of time in the property test.
const TICK_MAX: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn check(&self) {
        let buffer = self.run.shared.buffer();
        let account = buffer.account();
        assert_eq!(account.sampled, account.acked + account.waiting + account.dropped);
        assert!(account.bytes <= self.buffer_bytes, "{account:?}");
        let (now, session) = (self.clock.monotonic(), self.run.shared.session);
        let own = self.sampled.range((session, 0)..=(session, u64::MAX));
        for ((_, seq), (turn, at)) in own.filter_map(|(frame, at)| Some((frame, at.as_ref()?))) {
            // The test's steps of time are that long.
            let is_young = now - *at <= SYNC_INTERVAL + TICK_MAX;
            let is_begun = *turn <= self.begun || self.run.job.is_some();
            let needs = || buffer.needs(session, &ranges(&[(*seq, *seq)]));
            assert!(is_young || is_begun || !needs(), "{session} {seq}: no sync has begun");
        }
    }

    /// A server that takes and acknowledges everything ends up knowing all there is.
    pub(super) fn settle(&mut self) {
        {
            let mut image = self.disk.image();
            (image.room, image.is_frozen, image.is_unreadable) = (None, false, false);
            image.is_unsyncable = false;
        }
        for _ in 0..10_000 {
            self.pass(RETRY_INTERVAL);
            self.turn();
            self.sync(usize::MAX);
            if self.run.stream.is_none() || self.run.shared.buffer().is_hello_outdated() {
                self.connect();
            }
            while self.send() {}
            for at in 0..self.run.stream.as_ref().map_or(0, BTreeMap::len) as u64 {
                self.acknowledge(at, None);
            }
            let buffer = self.run.shared.buffer();
            if buffer.is_settled() && buffer.earlier_waiting() == 0 && !buffer.needs_any() {
                return;
            }
        }
        panic!("never settled: {:?}", self.run.shared.buffer().account());
    }

    /// Every frame ever sampled is with the server, declared, or excused.
    pub(super) fn check_nothing_lost(&self) {
        for frame in self.sampled.keys() {
            let is_known = self.received.contains(frame) || self.declared.contains(frame);
            assert!(is_known || self.excused.contains(frame), "{frame:?} is lost");
        }
    }

    /// No run is said to have ended with a frame that was not its last on disk. What a kill takes
    /// before it is written is the exception: that nobody can know.
    fn check_ends(&self) {
        for (frame, written) in &self.sampled {
            let is_known = self.received.contains(frame) || self.declared.contains(frame);
            let Some(word) = self.announced.get(&frame.0) else { continue };
            let is_hidden = frame.1 > word.range.1 && !word.tail_unknown;
            assert!(is_known || written.is_none() || !is_hidden, "{frame:?} is beyond {word:?}");
        }
    }
}

fn one_turn(world: &mut World, dice: &mut Dice, is_rough: bool) {
    match dice.below(if is_rough { 29 } else { 22 }) {
        0..=5 => world.sample(1 + dice.below(12), dice.below(3) as usize),
        6..=8 => world.turn(),
        9..=12 => (0..dice.below(40)).for_each(|_| {
            world.send();
        }),
        13..=14 => world.acknowledge(dice.next() >> 8, None),
        15 => {
            let first = 1 + dice.below(400);
            world.acknowledge(dice.next() >> 8, Some((first, first + dice.below(60))));
        }
        16 => world.connect(),
        17 => world.run.stream = None,
        18..=19 => world.pass(Duration::from_millis(dice.below(1_000))),
        20..=21 => world.sync(dice.below(4) as usize),
        22 => world.disk.image().room = Some(dice.below(3_000) as usize),
        23 => world.disk.image().is_frozen = dice.one_in(2),
        24 => {
            let mut image = world.disk.image();
            (image.room, image.is_frozen) = (None, false);
        }
        25 => world.disk.image().is_unreadable = dice.one_in(3),
        26 => world.disk.image().is_unsyncable = dice.one_in(3),
        27 if world.runs > 30 || dice.one_in(3) => {}
        27 => {
            world.disk.image().is_unreadable = false;
            let is_frozen = world.disk.image().is_frozen;
            match dice.below(3) {
                0 => world.stop((!is_frozen && dice.one_in(2)).then_some(dice)),
                1 if !is_frozen => world.restart(Some(dice)),
                _ => world.restart(None),
            }
        }
        _ => world.pass(TICK_MAX),
    }
}

#[test]
fn every_frame_is_acknowledged_waiting_or_declared() {
    for seed in 1..=300 {
        let mut dice = Dice::new(seed);
        eprintln_seed(seed);
        let mut world =
            World::new(128 * 1024 + dice.below(256 * 1024), 20_000 + dice.below(90_000));
        let is_rough = !seed.is_multiple_of(3);
        world.is_slow = dice.below(3) > 0;
        for _ in 0..700 {
            one_turn(&mut world, &mut dice, is_rough);
            world.check();
        }
        world.settle();
        world.check_nothing_lost();
        world.check_ends();
        world.last_turn();
        assert_eq!(world.disk.bytes(), 0, "seed {seed}: {:?}", world.disk);
    }
}
