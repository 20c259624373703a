//! The directory: whose it is, files that cannot be read, older and newer programs, copies.

use std::io::Read as _;

use redb::{ReadableTable as _, WriteTransaction};

use super::*;
use crate::analysis::history::store::migrate::Step;
use crate::analysis::history::store::tables::{FORMAT, META, META_FORMAT};

/// A directory with a history of some hosts, closed.
fn filled(name: &str) -> (Dir, Vec<(String, Vec<u8>)>) {
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

/// Writes the number of a format into a closed history.
fn set_format(dir: &Dir, format: u32) {
    let database = redb::Database::open(dir.file()).unwrap();
    let mut txn = database.begin_write().unwrap();
    txn.set_quick_repair(true);
    migrate::put_format(&txn, format).unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_newer_programs_file_is_left_alone() {
    let (dir, _) = filled("newer");
    set_format(&dir, FORMAT + 1);
    let closed = fs::read(dir.file()).unwrap();
    // Killed, it has another head, and whoever opens it to write changes that.
    let database = redb::Database::open(dir.file()).unwrap();
    let killed = fs::read(dir.file()).unwrap();
    drop(database);
    assert!(closed != killed);
    for bytes in [closed, killed] {
        fs::write(dir.file(), &bytes).unwrap();
        let words = Store::open(&dir, 1).unwrap_err().to_string();
        let (newer, known) = (FORMAT + 1, FORMAT);
        let said = format!("has format {newer}, and this program knows formats up to {known}");
        assert!(words.contains(&said), "{words}");
        assert!(matches!(
            check(&dir, &mut drop, &mut |_, _| Ok(())),
            Err(StoreError::TooNew { .. })
        ));
        assert!(fs::read(dir.file()).unwrap() == bytes);
        assert_eq!(dir.names(), ["history.redb", "lock"]);
    }
}

/// Steps of programs to come: hosts are heard a millisecond later, and get another name.
fn later(txn: &WriteTransaction) -> Result<(), StoreError> {
    each_host(txn, |row| row.seen_ms += 1)
}

fn renamed(txn: &WriteTransaction) -> Result<(), StoreError> {
    each_host(txn, |row| row.name.push('!'))
}

fn refused(_: &WriteTransaction) -> Result<(), StoreError> {
    Err(StoreError::Io { doing: "a step".to_owned(), source: std::io::Error::other("refused") })
}

fn panics(_: &WriteTransaction) -> Result<(), StoreError> {
    panic!("expected by this test")
}

fn each_host(txn: &WriteTransaction, change: fn(&mut HostRow)) -> Result<(), StoreError> {
    let mut table = txn.open_table(tables::HOSTS).unwrap();
    let rows: Vec<(u32, Vec<u8>)> = table
        .iter()
        .unwrap()
        .map(|row| row.map(|(id, bytes)| (id.value(), bytes.value().to_vec())).unwrap())
        .collect();
    for (id, bytes) in rows {
        let mut row = HostRow::from_bytes(&bytes)?;
        change(&mut row);
        table.insert(id, &row.to_bytes()[..]).unwrap();
    }
    Ok(())
}

#[test]
fn an_older_file_is_brought_up_in_one_transaction() {
    let (dir, _) = filled("older");
    let place = Place { dir: dir.to_path_buf() };
    let counts = Arc::new(StoreCounts::new());
    let open_as = |steps: &[Step], known| place.open_as(1, &counts, (steps, known));
    let first = Step { from: FORMAT, what: "heard later", run: later };
    let hosts = |engine: &Engine| {
        let medium = Arc::new(FileMedium::new(&dir.file()));
        Snapshot::new(engine.read().unwrap(), medium).unwrap().hosts().unwrap()
    };
    for wrong in [refused, panics] {
        let second = Step { from: FORMAT + 1, what: "never", run: wrong };
        let error = open_as(&[Step { ..first }, second], FORMAT + 2).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert_eq!(dir.names(), ["history.redb", "lock"]);
        let (engine, notes) = open_as(&[], FORMAT).unwrap();
        assert_eq!((hosts(&engine)[0].1.seen_ms, notes.len()), (0, 0));
    }
    let second = Step { from: FORMAT + 1, what: "a mark", run: renamed };
    let (engine, notes) = open_as(&[first, second], FORMAT + 2).unwrap();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[1].ends_with(": a mark"), "{notes:?}");
    for (id, row) in hosts(&engine) {
        assert_eq!((row.name, row.seen_ms), (format!("h{}!", id.0), 1));
    }
    drop(engine);
    let error = open_as(&[], FORMAT).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { .. }), "{error}");
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

/// A file of format 1, as the first program wrote it: three hosts, one of them deleted.
const FORMAT_1: &[u8] = include_bytes!("format-1.redb.gz");

#[test]
fn a_file_of_format_1_is_brought_to_this_one_and_nothing_of_it_is_lost() {
    let dir = Dir::new("format-1");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(FORMAT_1).read_to_end(&mut bytes).unwrap();
    fs::write(dir.join("history.redb"), &bytes).unwrap();
    // The second time there is nothing left to be done.
    for notes in [1, 0] {
        let opened = Store::open(&dir, 1).unwrap();
        assert_eq!(opened.notes.len(), notes, "{:?}", opened.notes);
        assert!(opened.notes.iter().all(|note| note.contains("from format 1 to 2")));
        let snapshot = opened.store.snapshot().unwrap();
        let hosts = snapshot.hosts().unwrap();
        assert_eq!(hosts.len(), 3);
        for (id, row) in hosts {
            assert_eq!(row.name, format!("web-{}", id.0));
            assert_eq!((row.epoch, row.first_ms, row.deleted), (0, 0, id.0 == 2));
            assert_eq!(row.through, (id.0 > 0).then_some(1_000 + u64::from(id.0)));
            let accounts = snapshot.accounts(id).unwrap();
            assert_eq!(
                accounts[..2],
                [(0, b"summary".to_vec()), (7 + u128::from(id.0), b"account".to_vec())]
            );
            let words = format!("words of {}", row.name).into_bytes();
            assert_eq!(
                accounts.get(2),
                (id.0 < 2).then_some((tables::DESCRIPTION, words)).as_ref()
            );
            let segments = snapshot.segments(id, 1_000, (0, u64::MAX), 0).unwrap();
            let lens: Vec<usize> = segments.iter().map(SegmentHandle::len).collect();
            assert_eq!(lens, [40, 9_000]);
            let last = segments[1].read(8_990..9_000).unwrap();
            assert_eq!(last, (8_990..9_000).map(|at| (at % 251) as u8).collect::<Vec<_>>());
        }
        let partitions = snapshot.partitions().unwrap();
        assert_eq!(partitions.len(), 4);
        assert!(
            partitions.iter().all(|(at, row)| row.resume == 900 + u64::from(*at) && row.epoch == 0)
        );
        assert_eq!(partitions[1].1.checkpoint, Some((1_100, 0xabcd)));
        assert_eq!(snapshot.series().unwrap().len(), 2);
    }
}
