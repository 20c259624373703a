//! Everything that may happen to a spool, in any order, against a plain account of every frame.

use super::*;

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
        world.last_turn();
        assert_eq!(world.disk.bytes(), 0, "seed {seed}: {:?}", world.disk);
    }
}
