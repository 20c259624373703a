//! There is no room at any step, and then there is again.

use std::os::unix::fs::MetadataExt;

use super::disks::{Disk, Fault, change, store_on};
use super::*;

/// Transactions of each run; among them some that grow the file.
const TRANSACTIONS: u64 = 7;

/// Runs the transactions with a fault after so many changes of the disk; `false` when it did not
/// come to that.
fn run(fault: Fault, changes: u64, tells: bool) -> bool {
    let (disk, twin_disk) = (Disk::default(), Disk::default());
    let twin = store_on(&twin_disk).unwrap();
    change(&twin, 100).unwrap();
    change(&store_on(&disk).unwrap(), 100).unwrap();
    // Opened anew, so that nothing is in memory that must be read.
    let store = store_on(&disk).unwrap();
    let early = store.snapshot().unwrap();
    let seen = dump(&twin.snapshot().unwrap()).unwrap();
    disk.fails_after(fault, changes, tells);
    let mut failed = false;
    for number in 101..=100 + TRANSACTIONS {
        let what = format!("{fault:?} after {changes}, transaction {number}");
        let before = dump(&twin.snapshot().unwrap()).unwrap();
        change(&twin, number).unwrap();
        let after = dump(&twin.snapshot().unwrap()).unwrap();
        if let Err(error) = change(&store, number) {
            failed = true;
            assert!(error.is_full(), "{what}: {error}");
            // While there is no room what is there can be read, if only the head of the file can
            // be written.
            match store.snapshot().and_then(|snapshot| dump(&snapshot)) {
                Ok(shown) => assert!(shown == before || shown == after, "{what}"),
                Err(error) => {
                    assert!(error.is_full() && fault == Fault::FullForAll, "{what}: {error}");
                }
            }
            if let Err(error) = change(&store, number) {
                assert!(error.is_full(), "{what}, again: {error}");
            }
            // A snapshot from before neither keeps anything from going on nor shows anything else.
            match dump(&early) {
                Ok(shown) => assert!(shown == seen, "{what}"),
                Err(error) => assert!(error.is_stale() || error.is_full(), "{what}: {error}"),
            }
            disk.heals();
            change(&store, number).unwrap_or_else(|error| panic!("{what}, healed: {error}"));
        }
        let shown = dump(&store.snapshot().unwrap()).unwrap();
        assert!(shown == after, "{what}: not what was put");
    }
    assert_eq!(failed, store.counts().reopened.get() > 0);
    drop((store, early));
    assert!(Engine::glance(&disk).unwrap().verify().unwrap(), "{fault:?} after {changes}");
    failed
}

#[test]
fn it_goes_on_when_there_is_room_again() {
    for fault in [Fault::FullForAll, Fault::FullForMore] {
        for tells in [false, true] {
            let mut changes = 0;
            let mut failures = 0;
            loop {
                if run(fault, changes, tells) {
                    failures += 1;
                } else if fault == Fault::FullForAll || changes > 500 {
                    break;
                }
                // Every change of the first transactions, then some.
                changes += if changes < 45 { 1 } else { 11 };
            }
            assert!(failures > 45, "{fault:?}: {failures} failures in {changes} changes");
        }
    }
}

#[test]
fn a_disk_that_stays_full_says_so_and_whoever_reads_goes_on() {
    let disk = Disk::default();
    let store = store_on(&disk).unwrap();
    disk.fails_after(Fault::FullForMore, 0, true);
    assert!(store.expects_room());
    let mut number = 0;
    while change(&store, number).is_ok() {
        number += 1;
    }
    let reading = store.snapshot().unwrap();
    let (changes, reopened) = (disk.changes(), store.counts().reopened.get());
    for _ in 0..5 {
        assert!(!store.expects_room());
        dump(&reading).unwrap();
    }
    assert_eq!((disk.changes(), store.counts().reopened.get()), (changes, reopened));
    // Trying all the same does no harm but to who reads.
    assert!(change(&store, number).unwrap_err().is_full());
    assert!(!store.expects_room());
    disk.heals();
    assert!(store.expects_room());
    change(&store, number).unwrap();
    disk.fails_after(Fault::FullForMore, 0, true);
    assert!(store.expects_room(), "a commit found room, and none has been refused since");
}

/// Set for the process that the test below starts.
const CHILD: &str = "RM_STORE_FULL_TEST_DIR";

/// A file of the real system that may grow to 1 MiB and no further. The limit belongs to a
/// process, so it is one of its own; a shell lets it ignore the signal that comes with it.
#[test]
fn a_real_file_that_may_not_grow_does_so_later() {
    if let Some(dir) = std::env::var_os(CHILD) {
        in_the_child(Path::new(&dir));
        return;
    }
    let dir = Dir::new("limit");
    let (_, room) = module_path!().split_once("::").unwrap();
    #[allow(clippy::disallowed_methods, reason = "a limit of a process needs a process")]
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 2048; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg(format!("{room}::a_real_file_that_may_not_grow_does_so_later"))
        .env(CHILD, &*dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
    let store = open(&dir);
    let segments = store.snapshot().unwrap().usage().unwrap().tiers[0].1.segments;
    assert!(fs::metadata(dir.file()).unwrap().size() > 2 << 20);
    assert_eq!(segments, 40);
}

fn in_the_child(dir: &Path) {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let store = open(dir);
    let put = |start_ms: u64| {
        let mut commit = store.write()?;
        commit.put_segment(key(1, 1_000, start_ms, 0), &[4; 60_000])?;
        commit.commit()
    };
    let full = (0..40).find_map(|start_ms| Some((start_ms, put(start_ms).err()?)));
    let (reached, error) = full.unwrap();
    assert!(error.is_full() && reached > 3, "{reached}: {error}");
    assert!(error.to_string().contains("there is no room for the history"), "{error}");
    for _ in 0..3 {
        assert!(put(reached).unwrap_err().is_full());
        let usage = store.snapshot().unwrap().usage().unwrap();
        assert_eq!(usage.tiers[0].1.segments, reached);
    }
    let mut limit = getrlimit(Resource::Fsize);
    limit.current = limit.maximum;
    setrlimit(Resource::Fsize, limit).unwrap();
    for start_ms in reached..40 {
        put(start_ms).unwrap();
    }
}
