//! The directory: whose it is, files that cannot be read, checks, copies.

use redb::{ReadableTable as _, WriteTransaction};

use super::*;
use crate::analysis::history::store::tables::{META, META_FORMAT};

/// A directory with a history of some hosts, closed.
pub(super) fn filled(name: &str) -> (Dir, Vec<(String, Vec<u8>)>) {
    let dir = Dir::new(name);
    let store = open(&dir);
    let mut commit = store.write().unwrap();
    for host in 0..8 {
        commit.put_host(HostId(host), &host_row(&format!("h{host}"), 5)).unwrap();
        commit.put_account(HostId(host), 1, b"account").unwrap();
        for hour in 0..6 {
            let bytes = bytes(&mut Dice::new(hour + 1), 14_000);
            commit.put_lasting_segment(key(host, 1_000, hour * 3_600_000, 0), &bytes).unwrap();
        }
    }
    let row = PartitionRow { resume: 1, checkpoint: None, log_end: 20, epoch: 0 };
    commit.put_partition(0, row).unwrap();
    commit.log_append(0, 10, &[1; 5_000]).unwrap();
    commit.log_append(0, 15, &[2; 10]).unwrap();
    commit.put_series(1, "load1", 20_000).unwrap();
    commit.commit().unwrap();
    let shown = dump(&store.snapshot().unwrap()).unwrap();
    (dir, shown)
}

#[test]
fn a_second_one_hears_who_has_it() {
    let dir = Dir::new("lock");
    let store = open(&dir);
    let error = Store::open(&dir, 1).unwrap_err();
    let words = error.to_string();
    let expected = format!("is in use by process {}; stop that one", std::process::id());
    assert!(words.contains(&expected), "{words}");
    assert!(check(&dir, &mut drop, &mut |_, _| Ok(())).is_err());
    drop(store);
    // Whose it was does not matter once it is free.
    open(&dir);
    assert_eq!(dir.names(), ["history.redb", "lock"]);
}

#[test]
fn a_killed_process_leaves_what_it_committed_and_opening_reads_little() {
    let dir = Dir::new("killed");
    let store = open(&dir);
    for hour in 0..8 {
        let mut commit = store.write().unwrap();
        for host in 0..10 {
            commit.put_host(HostId(host), &host_row("h", hour)).unwrap();
            let at = key(host, 1_000, hour * 3_600_000, 0);
            commit.put_segment(at, &[hour as u8; 60_000]).unwrap();
        }
        commit.commit().unwrap();
    }
    let shown = dump(&store.snapshot().unwrap()).unwrap();
    let mut under_way = store.write().unwrap();
    under_way.put_host(HostId(99), &HostRow::default()).unwrap();
    // What the kernel has of the file is what a killed process leaves.
    let killed = Dir::new("killed-copy");
    fs::copy(dir.file(), killed.file()).unwrap();
    drop(under_way);
    drop(store);
    let store = open(&killed);
    let read = store.counts().read_bytes.get();
    assert!(read < 128 << 10, "opening read {read} bytes");
    assert_eq!(dump(&store.snapshot().unwrap()).unwrap(), shown);
}

#[test]
fn a_file_that_is_no_history_is_set_aside() {
    let garbage = bytes(&mut Dice::new(1), 100_000);
    let other = {
        let dir = Dir::new("other");
        let database = redb::Database::create(dir.file()).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(redb::TableDefinition::<u32, u32>::new("mine")).unwrap();
        txn.commit().unwrap();
        drop(database);
        fs::read(dir.file()).unwrap()
    };
    let (whole, _) = filled("cut");
    let cut = fs::read(whole.file()).unwrap();
    let mut no_head = cut.clone();
    no_head[..4_096].fill(0);
    let mut files = vec![garbage, other, b"x".to_vec(), no_head];
    files.extend(
        [1, 100, 4_096, 8_192, cut.len() / 2, cut.len() - 1].map(|len| cut[..len].to_vec()),
    );
    for (number, bytes) in files.into_iter().enumerate() {
        let dir = Dir::new(&format!("aside-{number}"));
        fs::write(dir.file(), &bytes).unwrap();
        let opened = Store::open(&dir, 1_700_000_000_000).unwrap();
        let [note] = &opened.notes[..] else { panic!("{number}: {:?}", opened.notes) };
        assert!(note.contains("history.redb.corrupt-1700000000000"), "{number}: {note}");
        let names = ["history.redb", "history.redb.corrupt-1700000000000", "lock"];
        assert_eq!(dir.names(), names, "{number}");
        assert_eq!(fs::read(dir.join(names[1])).unwrap(), bytes, "{number}");
        let mut commit = opened.store.write().unwrap();
        commit.put_series(1, "x", 1).unwrap();
        commit.commit().unwrap();
    }
}

#[test]
fn an_empty_file_and_a_half_made_one_become_a_history() {
    let dir = Dir::new("empty");
    fs::write(dir.file(), b"").unwrap();
    fs::write(dir.join("history.redb.new"), b"half").unwrap();
    drop(open(&dir));
    assert_eq!(dir.names(), ["history.redb", "lock"]);
}

#[test]
fn three_damaged_files_are_kept() {
    let dir = Dir::new("three");
    for now_ms in [50, 60, 60, 70, 80] {
        fs::write(dir.file(), now_ms.to_string()).unwrap();
        let notes = Store::open(&dir, now_ms).unwrap().notes;
        assert_eq!(notes.len(), if now_ms < 70 { 1 } else { 2 }, "{notes:?}");
    }
    let names = ["history.redb", "history.redb.corrupt-61", "history.redb.corrupt-70"];
    assert_eq!(dir.names()[..3], names);
    assert_eq!(dir.names()[3..], ["history.redb.corrupt-80", "lock"]);
}

#[test]
fn damage_in_the_middle_ends_nothing_and_check_finds_it() {
    let (dir, shown) = filled("middle");
    let whole = fs::read(dir.file()).unwrap();
    let pages = whole.len() / 4_096;
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut bytes = whole.clone();
        // A page of zeros, one of noise, another page, or a single bit.
        let page = (1 + dice.below(pages as u64 - 1) as usize) * 4_096;
        match dice.below(4) {
            0 => bytes[page..page + 4_096].fill(0),
            1 => bytes[page..page + 4_096].copy_from_slice(&super::bytes(&mut dice, 4_096)),
            2 => {
                let from = dice.below(pages as u64) as usize * 4_096;
                bytes.copy_within(from..from + 4_096, page);
            }
            _ => bytes[page + dice.below(4_096) as usize] ^= 1 << dice.below(8),
        }
        let changed = bytes != whole;
        let dir = Dir::new(&format!("middle-{seed}"));
        fs::write(dir.file(), &bytes).unwrap();
        // Nobody but the one who put them knows what the bytes of a segment should be.
        let report = check(&dir, &mut drop, &mut |_, _| Ok(())).unwrap();
        assert_eq!(fs::read(dir.file()).unwrap(), bytes, "seed {seed}: a check changes nothing");
        let opened = Store::open(&dir, 1).unwrap();
        if !opened.notes.is_empty() {
            assert!(!report.problems.is_empty(), "seed {seed}: {:?}", opened.notes);
        }
        match opened.store.snapshot().and_then(|snapshot| dump(&snapshot)) {
            Ok(now) if now == shown => {}
            _ => assert!(changed && !report.problems.is_empty(), "seed {seed}"),
        }
        for number in 0..3 {
            let mut commit = opened.store.write().unwrap();
            let put = commit.put_segment(key(3, 1_000, number * 5_000_000, 1), &[1; 30_000]);
            if let Err(error) = put.and_then(|()| commit.commit()) {
                assert!(error.is_corrupt(), "seed {seed}: {error}");
                // What helps is to begin anew.
                let notes = opened.store.start_anew("test", 5).unwrap();
                assert!(notes[0].contains("(test)"), "seed {seed}: {notes:?}");
                let mut commit = opened.store.write().unwrap();
                commit.put_segment(key(3, 1_000, 1, 1), &[1; 30_000]).unwrap();
                commit.commit().unwrap();
            }
        }
    }
}

#[test]
fn a_copy_is_what_the_snapshot_showed_while_others_write() {
    let (dir, shown) = filled("backup");
    let store = open(&dir);
    let snapshot = store.snapshot().unwrap();
    let mut commit = store.write().unwrap();
    commit.delete_host_data(HostId(1), 100).unwrap();
    commit.put_segment(key(2, 1_000, 9, 9), &[1; 50_000]).unwrap();
    commit.commit().unwrap();
    let to = Dir::new("backup-to");
    let target = to.join("deeper");
    let mut steps: Vec<Progress> = Vec::new();
    let done = copy_to(&snapshot, &target, &mut |step| steps.push(step)).unwrap();
    assert_eq!(steps.last(), Some(&done));
    assert_eq!(done.rows, done.rows_all);
    assert!(done.bytes > 8 * 6 * 14_000);
    let copy = open(&target);
    assert_eq!(dump(&copy.snapshot().unwrap()).unwrap(), shown);
    let error = copy_to(&snapshot, &target, &mut |_| {}).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(copy);
    let words = copy_to(&snapshot, &target, &mut |_| {}).unwrap_err().to_string();
    assert!(words.contains("is there already"), "{words}");
    let words = copy_to(&snapshot, &dir, &mut |_| {}).unwrap_err().to_string();
    assert!(words.contains("in use"), "{words}");
    let report = check(&target, &mut drop, &mut |_, _| Ok(())).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((report.segments, report.segment_bytes), (48, 48 * 14_000));
    let names = (report.hosts, report.accounts, report.series, report.log_parts);
    assert_eq!(names, (8, 8, 1, 2));
}

#[test]
fn a_large_copy_goes_in_batches_and_is_packed() {
    let dir = Dir::new("batches");
    let store = open(&dir);
    for hour in 0..10 {
        let mut commit = store.write().unwrap();
        for host in 0..16 {
            commit.put_segment(key(host, 1_000, hour, 0), &[7; 130_000]).unwrap();
        }
        commit.commit().unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    let to = Dir::new("batches-to");
    let mut calls = 0;
    copy_to(&snapshot, &to, &mut |_| calls += 1).unwrap();
    assert!(calls > 7 + 1, "{calls} calls for 21 MB");
    let copy = open(&to);
    let copied = copy.snapshot().unwrap().usage().unwrap();
    let of = snapshot.usage().unwrap();
    assert_eq!(copied.tiers, of.tiers);
    assert!(copied.fragmented_bytes < of.used_bytes / 10, "{of:?} -> {copied:?}");
}

/// Damages a closed history through redb itself, so that its pages are well.
fn damage(dir: &Dir, body: impl FnOnce(&WriteTransaction)) {
    let database = redb::Database::open(dir.file()).unwrap();
    let txn = database.begin_write().unwrap();
    body(&txn);
    txn.commit().unwrap();
}

#[test]
fn a_check_says_in_words_what_is_wrong() {
    #[track_caller]
    fn finds(name: &str, expected: &[&str], body: impl FnOnce(&WriteTransaction)) {
        let (dir, _) = filled(&format!("check-{name}"));
        damage(&dir, body);
        let on_segment: &mut check::OnSegment<'_> = &mut |at, bytes| {
            let expected = super::bytes(&mut Dice::new(at.start_ms / 3_600_000 + 1), 14_000);
            if bytes == expected { Ok(()) } else { Err("its bytes are others".to_owned()) }
        };
        let found = check(&dir, &mut drop, on_segment).unwrap();
        assert_eq!(found.problems.len(), expected.len(), "{:?}", found.problems);
        for (problem, expected) in found.problems.iter().zip(expected) {
            assert!(problem.contains(expected), "{problem}: expected {expected}");
        }
    }
    let at = key(3, 1_000, 3_600_000, 0);
    finds("nothing", &[], |_| {});
    finds("piece", &["lacks pieces", "rows"], |txn| {
        txn.open_table(tables::SEGMENTS).unwrap().remove(&at.bytes(2)).unwrap();
    });
    finds("first", &["has no first piece", "rows", "totals"], |txn| {
        txn.open_table(tables::SEGMENTS).unwrap().remove(&at.bytes(0)).unwrap();
    });
    finds("stray", &["pieces in"], |txn| {
        txn.open_table(tables::SEGMENTS).unwrap().insert(&at.bytes(77), &[1][..]).unwrap();
    });
    finds("bytes", &["its bytes are others"], |txn| {
        let mut table = txn.open_table(tables::SEGMENTS).unwrap();
        let mut piece = table.get(&at.bytes(1)).unwrap().unwrap().value().to_vec();
        piece[100] ^= 1;
        table.insert(&at.bytes(1), &piece[..]).unwrap();
    });
    finds("host", &["1 accounts belong to no host", "host 3 has segments but no row"], |txn| {
        txn.open_table(tables::HOSTS).unwrap().remove(3).unwrap();
    });
    finds("row", &["the row of a partition ends too early"], |txn| {
        txn.open_table(tables::PARTITIONS).unwrap().insert(0, &[1, 2][..]).unwrap();
    });
    finds("log", &["lacks a piece at offset 10"], |txn| {
        txn.open_table(tables::LOG).unwrap().remove(&tables::log_bytes(0, 10, 0)).unwrap();
    });
    finds("format", &["does not say its format"], |txn| {
        txn.open_table(META).unwrap().remove(META_FORMAT).unwrap();
    });
    let nowhere = Dir::new("check-nowhere");
    let words = check(&nowhere, &mut drop, &mut |_, _| Ok(())).unwrap_err().to_string();
    assert!(words.contains("history.redb"), "{words}");
    assert_eq!(nowhere.names(), Vec::<String>::new());
}
