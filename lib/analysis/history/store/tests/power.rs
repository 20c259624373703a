//! The power goes in the middle of a commit, of growing, of opening: what was committed is there.

use super::disks::{Disk, Fault, change, store_on};
use super::*;

/// What opening may read: the head, the allocator's state and a few rows; not the file.
const OPEN_BYTES_MAX: u64 = 256 << 10;

/// How often the power goes, per seed, and most changes of the disk until it does.
const LOSSES: u64 = 8;
const CHANGES_MAX: u64 = 400;

#[track_caller]
fn assert_same(shown: &[(String, Vec<u8>)], expected: &[(String, Vec<u8>)], what: &str) {
    let names = |all: &[(String, Vec<u8>)]| -> Vec<String> {
        all.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(shown), names(expected), "{what}");
    assert!(shown == expected, "{what}: the bytes of a row differ");
}

/// Opens after the power has gone, which may go again meanwhile.
fn open_again(disk: &Disk, dice: &mut Dice, what: &str) -> Store {
    disk.lose_power(dice);
    while dice.one_in(3) {
        disk.fails_after(Fault::Power, dice.below(12), true);
        drop(store_on(disk));
        disk.lose_power(dice);
    }
    let before = disk.read_bytes();
    let store = store_on(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let read = disk.read_bytes() - before;
    assert!(read <= OPEN_BYTES_MAX, "{what}: opening read {read} of {} bytes", disk.len());
    store
}

#[test]
fn what_was_committed_is_there_and_nothing_is_there_in_part() {
    for seed in 0..25 {
        let mut dice = Dice::new(seed);
        let (disk, twin_disk) = (Disk::default(), Disk::default());
        let mut store = store_on(&disk).unwrap();
        // What should be there is what a store on a disk that never fails shows.
        let twin = store_on(&twin_disk).unwrap();
        let mut number = seed * 10_000;
        for both in [&store, &twin] {
            let mut commit = both.write().unwrap();
            for host in 0..20 {
                commit.put_segment(key(host, 10_000, 0, 0), &[3; 130_000]).unwrap();
            }
            commit.commit().unwrap();
        }
        assert!(disk.len() as u64 > 8 * OPEN_BYTES_MAX);
        for loss in 0..LOSSES {
            disk.fails_after(Fault::Power, dice.below(CHANGES_MAX), true);
            let what = loop {
                number += 1;
                let what = format!("seed {seed}, loss {loss}, transaction {number}");
                if change(&store, number).is_err() {
                    break what;
                }
                change(&twin, number).unwrap();
            };
            drop(store);
            store = open_again(&disk, &mut dice, &what);
            let shown = dump(&store.snapshot().unwrap()).unwrap();
            let before = dump(&twin.snapshot().unwrap()).unwrap();
            change(&twin, number).unwrap();
            let after = dump(&twin.snapshot().unwrap()).unwrap();
            if shown != after {
                assert_same(&shown, &before, &what);
            }
            // Put again it is there once, whether it was there already or not.
            change(&store, number).unwrap();
            let shown = dump(&store.snapshot().unwrap()).unwrap();
            assert_same(&shown, &after, &what);
        }
        drop(store);
        let mut engine = Engine::glance(&disk).unwrap();
        assert!(engine.verify().unwrap(), "seed {seed}");
    }
}
