//! What the tests of the store share, and the tests by topic.

mod disks;
mod files;
mod formats;
mod full;
mod model;
mod packing;
mod power;

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::*;
use crate::base::dice::Dice;

/// A directory of this test alone, removed when it ends.
#[derive(Debug)]
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rm-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.join(open::FILE)
    }

    /// Names of what is in it, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Deref for Dir {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A store that opened without anything to say.
#[track_caller]
fn open(dir: &Path) -> Store {
    let opened = Store::open(dir, 1).unwrap();
    assert_eq!(opened.notes, Vec::<String>::new());
    opened.store
}

fn key(host: u32, bucket_ms: u32, start_ms: u64, run: u64) -> SegmentKey {
    SegmentKey { host: HostId(host), bucket_ms, start_ms, run }
}

fn host_row(name: &str, through: u64) -> HostRow {
    HostRow { name: name.to_owned(), through: Some(through), ..HostRow::default() }
}

fn bytes(dice: &mut Dice, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(dice.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Everything that a snapshot shows, by text that says what it is.
fn dump(snapshot: &Snapshot) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut all = Vec::new();
    for (host, row) in snapshot.hosts()? {
        all.push((format!("{host:?} {row:?}"), Vec::new()));
        for (session, account) in snapshot.accounts(host)? {
            all.push((format!("{host:?} account {session}"), account));
        }
        for bucket_ms in [1_000, 10_000, 60_000] {
            for handle in snapshot.segments(host, bucket_ms, (0, u64::MAX), 0)? {
                all.push((format!("{:?}", handle.key()), handle.read(0..handle.len())?));
            }
        }
    }
    for (partition, row) in snapshot.partitions()? {
        all.push((format!("partition {partition} {row:?}"), Vec::new()));
        for part in snapshot.log(partition, 0)? {
            let (offset, bytes) = part?;
            all.push((format!("log {partition} {offset}"), bytes));
        }
    }
    for (series, name, day) in snapshot.series()? {
        all.push((format!("series {series} {name} {day}"), Vec::new()));
    }
    all.push((format!("{:?}", snapshot.totals()?), Vec::new()));
    Ok(all)
}
