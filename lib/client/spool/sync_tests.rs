//! Syncs that take long, fail, hang or find their file gone, beside the writing.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::base::clock::Real;
use crate::client::spool::disk::Task;
use crate::client::spool::sync::{Part, SYNC_LIMIT};

const BYTES_MAX: u64 = 128 * 1024;

/// A world whose first sync is under way, over five frames.
fn world_in_sync() -> World {
    let mut world = World::new(BYTES_MAX, 90_000);
    world.is_slow = true;
    world.sample(5, 0);
    world.turn();
    world.pass(SYNC_INTERVAL - Duration::from_millis(1));
    assert!(world.run.job.is_none());
    world.pass(Duration::from_millis(1));
    assert!(world.run.job.is_some());
    world
}

/// How many frames a server gets now.
fn send_all(world: &mut World) -> usize {
    let before = world.received.len();
    while world.send() {}
    world.received.len() - before
}

#[test]
fn a_sync_that_hangs_holds_nothing_up() {
    let mut world = world_in_sync();
    world.connect();
    send_all(&mut world);
    for second in 1..=60 {
        world.sample(1, 0);
        world.turn();
        assert!(world.run.shared.buffer().in_memory_alone().is_empty(), "second {second}");
        assert_eq!(send_all(&mut world), 1, "second {second}");
        if second % 25 == 0 {
            world.acknowledge(0, None);
        }
        world.pass(Duration::from_secs(1));
        // No second one is begun (the world checks that), and it is told once that this one hangs.
        let late = world.run.shared.counts.spool_syncs_late.get();
        assert_eq!(late, u64::from(second >= SYNC_LIMIT.as_secs()), "second {second}");
    }
    assert_eq!(world.run.keeper.wake_at(), None, "nothing to do until it ends");
    world.sync(usize::MAX);
    assert!(world.run.job.is_some(), "the next one was due long ago");
    world.sync(usize::MAX);
    assert_eq!(world.covered, world.turns - 1);
    assert_eq!(world.run.shared.counts.spool_syncs.get(), 2);
    assert_eq!(world.run.shared.counts.spool_failures.get(), 0);
    world.settle();
}

#[test]
fn what_is_written_during_a_sync_is_synced_by_the_next_one() {
    for seed in 1..=40 {
        eprintln_seed(seed);
        let mut world = world_in_sync();
        world.sample(3, 0);
        world.turn();
        world.sync(usize::MAX);
        assert!(world.run.job.is_none(), "not due yet");
        // Not a frame more: what was written is due by itself.
        world.pass(SYNC_INTERVAL);
        world.sync(usize::MAX);
        world.restart(Some(&mut Dice::new(seed)));
        assert!(world.excused.is_empty());
        assert_eq!(world.run.shared.buffer().earlier_waiting(), 8);
        world.settle();
        world.check_nothing_lost();
    }
}

#[test]
fn the_power_may_go_at_any_moment_of_a_sync() {
    for seed in 1..=300 {
        eprintln_seed(seed);
        let mut dice = Dice::new(seed);
        let mut world = World::new(BYTES_MAX, 90_000);
        world.is_slow = true;
        for _ in 0..60 {
            for _ in 0..dice.below(4) {
                world.sample(dice.below(20), dice.below(3) as usize);
                world.turn();
            }
            world.pass(Duration::from_millis(dice.below(1_000)));
            world.disk.image().is_unsyncable = dice.one_in(10);
            world.sync(dice.below(3) as usize);
            world.disk.image().is_unsyncable = false;
            world.check();
        }
        world.restart(Some(&mut dice));
        world.settle();
        world.check_nothing_lost();
    }
}

#[test]
fn a_sync_that_failed_is_told_and_tried_again_and_its_file_is_left_alone() {
    let mut world = world_in_sync();
    world.disk.image().is_unsyncable = true;
    world.sync(usize::MAX);
    assert_eq!(world.run.shared.buffer().writes(), Some(Writes::Failing));
    assert_eq!(world.run.shared.counts.spool_failures.get(), 1);
    assert_eq!(world.run.shared.counts.spool_syncs.get(), 0);
    let len = |world: &World| world.disk.image().files[&1].len();
    let before = len(&world);
    // Not a frame more, and it is tried again.
    world.disk.image().is_unsyncable = false;
    world.pass(RETRY_INTERVAL);
    assert!(world.run.job.is_some());
    world.sync(usize::MAX);
    assert_eq!(world.run.shared.buffer().writes(), Some(Writes::Good));
    assert_eq!(world.run.shared.counts.spool_syncs.get(), 1);
    world.sample(5, 0);
    world.turn();
    assert_eq!((len(&world), world.disk.image().files.len()), (before, 2));
    assert!(world.run.shared.buffer().in_memory_alone().is_empty());
    world.restart(None);
    assert!(torn(&world).is_empty());
}

#[test]
fn a_file_that_could_not_be_synced_is_in_the_next_sync() {
    for seed in 1..=40 {
        eprintln_seed(seed);
        let mut world = world_in_sync();
        world.disk.image().is_unsyncable = true;
        world.sync(1);
        world.disk.image().is_unsyncable = false;
        world.sync(usize::MAX);
        world.pass(RETRY_INTERVAL);
        world.sync(usize::MAX);
        assert_eq!(world.run.shared.counts.spool_syncs.get(), 1);
        world.restart(Some(&mut Dice::new(seed)));
        assert!(world.excused.is_empty());
        assert_eq!(world.run.shared.buffer().earlier_waiting(), 5);
    }
}

#[test]
fn killed_after_a_sync_that_failed_it_says_that_there_may_have_been_more() {
    let mut world = world_in_sync();
    world.disk.image().is_unsyncable = true;
    world.sync(usize::MAX);
    world.restart(None);
    assert_eq!(torn(&world), [1]);
}

#[test]
fn a_file_that_is_removed_while_it_is_synced_is_no_failure() {
    let mut world = World::new(BYTES_MAX, 90_000);
    world.is_slow = true;
    while world.disk.image().files.len() < 3 {
        world.sample(20, 2);
        world.turn();
    }
    world.pass(SYNC_INTERVAL);
    world.connect();
    // What memory had no room for is read back turn by turn.
    while world.disk.image().files.len() > 1 {
        send_all(&mut world);
        world.acknowledge(0, None);
        world.turn();
        // Backlog is paced.
        world.clock.advance(Duration::from_millis(100));
    }
    assert!(world.disk.image().files.contains_key(&3), "the newest stays");
    world.disk.image().is_unsyncable = true;
    world.sync(2);
    world.disk.image().is_unsyncable = false;
    world.sync(usize::MAX);
    assert_eq!(world.run.shared.counts.spool_failures.get(), 0);
    assert_eq!(world.run.shared.counts.spool_syncs.get(), 1);
    assert_eq!(world.run.shared.buffer().writes(), Some(Writes::Good));
}

/// Real time that anything in here may take.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_sync_that_hangs_does_not_keep_it_from_stopping() {
    let mut world = world_in_sync();
    world.sample(5, 0);
    let World { run: Run { shared, keeper, syncing, job, .. }, disk, clock, .. } = world;
    let (stopper, stop) = stop::pair();
    let timers = clock.timers_registered();
    let (end, ended) = crossbeam_channel::bounded::<()>(0);
    let thread = thread::spawn("test-keeper", move || {
        keeper.run(&stop);
        drop(end);
    });
    // Should it wait for ever, this test does not.
    thread.unwrap().abandon();
    // It waits until the job is late.
    assert!(clock.wait_for_timers(timers + 1, SOON));
    let before = disk.bytes();
    drop(stopper);
    // And now for the last sync.
    assert!(clock.wait_for_timers(timers + 2, SOON));
    assert!(shared.buffer().in_memory_alone().is_empty(), "written all the same");
    assert!(disk.bytes() >= before);
    clock.advance(LAST_SYNC_LIMIT - Duration::from_millis(1));
    assert!(ended.recv_timeout(Duration::from_millis(20)).is_err(), "waits for its limit");
    clock.advance(Duration::from_millis(1));
    assert!(ended.recv_timeout(SOON).is_err_and(|error| error.is_disconnected()), "still waits");
    assert_eq!(shared.counts.spool_syncs_late.get(), 1);
    assert_eq!(shared.counts.spool_failures.get(), 0);
    drop((syncing, job));
}

#[test]
fn at_a_stop_what_is_under_way_and_what_was_written_since_is_synced() {
    for seed in 1..=40 {
        eprintln_seed(seed);
        let mut world = world_in_sync();
        world.sample(5, 0);
        world.stop(Some(&mut Dice::new(seed)));
        assert!(world.excused.is_empty());
        assert_eq!(world.run.shared.buffer().earlier_waiting(), 10);
    }
}

#[test]
fn a_thread_that_is_gone_is_a_failure_and_no_endless_loop() {
    let mut world = World::new(BYTES_MAX, 90_000);
    let (syncing, _) = (sync::pair().1, world.run.job.take());
    world.run.syncing = syncing;
    world.sample(5, 0);
    world.turn();
    world.pass(SYNC_INTERVAL);
    assert!(world.run.shared.keeper_woken().try_recv().is_ok(), "it looks again at once");
    world.turn();
    assert_eq!(world.run.shared.counts.spool_failures.get(), 1);
    let now = world.clock.monotonic();
    assert_eq!(world.run.keeper.wake_at(), Some(now + RETRY_INTERVAL));
    world.run.keeper.last_turn();
    assert_eq!(world.run.shared.counts.spool_failures.get(), 2);
}

#[test]
fn one_part_that_panics_keeps_the_others_from_nothing() {
    let (mut syncer, syncing) = sync::pair();
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&done);
    let parts: Vec<(Part, Task)> = vec![
        (Part::File(1), Box::new(|| panic!("expected by this test"))),
        (
            Part::Names,
            Box::new(move || {
                seen.store(true, Ordering::SeqCst);
                Ok(())
            }),
        ),
    ];
    assert!(syncer.start(Job::new(parts.into()), Duration::ZERO));
    let (stopper, stop) = stop::pair();
    let thread = thread::spawn("test-sync", move || syncing.run(&stop)).unwrap();
    let failures = syncer.ended().recv_timeout(SOON).unwrap();
    assert!(matches!(failures[..], [(Part::File(1), _)]), "{failures:?}");
    assert!(done.load(Ordering::SeqCst));
    drop((stopper, thread));
}

#[test]
fn both_threads_on_a_real_disk() {
    let dir = std::env::temp_dir().join(format!("spool-sync-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let session = SessionId(1);
    let shared = Arc::new(Shared::new(session, Real::shared(), Buffer::new(session, 90_000, 300)));
    let (syncer, syncing) = sync::pair();
    let config = SpoolConfig { dir: dir.clone(), bytes_max: BYTES_MAX };
    let keeper = Keeper::new(Arc::clone(&shared), config, "b00t", syncer).unwrap();
    let ((stop_sync, sync_stop), (stopper, stop)) = (stop::pair(), stop::pair());
    let sync_thread = thread::spawn("test-sync", move || syncing.run(&sync_stop)).unwrap();
    let thread = thread::spawn("test-keeper", move || keeper.run(&stop)).unwrap();
    for seq in 1..=50 {
        shared.buffer().push(frame(session, seq, &layout(12)));
        shared.frames_ready();
    }
    drop(stopper);
    thread.join();
    // Its channel has closed.
    sync_thread.join();
    drop(stop_sync);
    assert_eq!(shared.counts.frames_spooled.get(), 50);
    assert_eq!(shared.counts.spool_syncs.get(), 1);
    assert_eq!(shared.counts.spool_failures.get() + shared.counts.spool_syncs_late.get(), 0);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_run_on_a_full_disk_leaves_the_word_of_an_earlier_one_as_it_was() {
    let mut world = World::new(128 * 1024, 90_000);
    world.sample(5, 0);
    world.turn();
    world.disk.image().room = Some(0);
    world.restart(None);
    world.turn();
    assert!(world.covered > 0, "it has synced what the run before left");
    world.disk.image().room = None;
    world.restart(None);
    assert_eq!(torn(&world), [0_u128; 0]);
}
