//! Files of other formats: newer ones are left alone, older ones are brought up.

use std::io::Read as _;

use redb::{ReadableTable as _, WriteTransaction};

use super::files::filled;
use super::*;
use crate::analysis::history::store::migrate::Step;
use crate::analysis::history::store::tables::FORMAT;

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
