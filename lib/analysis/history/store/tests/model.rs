//! Rows and segments against plain maps.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[test]
fn rows_come_back() {
    let dir = Dir::new("rows");
    let store = open(&dir);
    let row = HostRow {
        name: "db-1".to_owned(),
        through: Some(9),
        epoch: 3,
        deleted: false,
        rolled_through_ms: vec![(10_000, 5)],
        seen_ms: 77,
        first_ms: 70,
    };
    let partition =
        PartitionRow { resume: 4, checkpoint: Some((3, 0xABCD)), log_end: 12, epoch: 3 };
    let mut commit = store.write().unwrap();
    commit.put_host(HostId(3), &row).unwrap();
    commit.put_account(HostId(3), 1 << 90, b"account").unwrap();
    commit.put_account(HostId(3), 7, b"").unwrap();
    commit.put_account(HostId(4), 8, b"another host's").unwrap();
    commit.put_partition(2, partition).unwrap();
    commit.put_series(11, r#"x{a="b"}"#, 20_000).unwrap();
    commit.commit().unwrap();
    drop(store);

    let store = open(&dir);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.hosts().unwrap(), [(HostId(3), row)]);
    let accounts = [(7, Vec::new()), (1 << 90, b"account".to_vec())];
    assert_eq!(snapshot.accounts(HostId(3)).unwrap(), accounts);
    assert_eq!(snapshot.partitions().unwrap(), [(2, partition)]);
    assert_eq!(snapshot.series().unwrap(), [(11, r#"x{a="b"}"#.to_owned(), 20_000)]);

    let mut commit = store.write().unwrap();
    commit.delete_account(HostId(3), 7).unwrap();
    commit.delete_series(11).unwrap();
    commit.delete_host(HostId(3)).unwrap();
    commit.commit().unwrap();
    // A snapshot shows what it showed.
    assert_eq!(snapshot.accounts(HostId(3)).unwrap(), accounts);
    let after = store.snapshot().unwrap();
    assert_eq!(after.accounts(HostId(3)).unwrap(), accounts[1..]);
    assert_eq!((after.series().unwrap(), after.hosts().unwrap()), (vec![], vec![]));
}

#[test]
fn what_is_not_committed_has_not_happened() {
    let dir = Dir::new("abort");
    let store = open(&dir);
    let mut commit = store.write().unwrap();
    commit.put_host(HostId(1), &host_row("a", 1)).unwrap();
    commit.put_segment(key(1, 1_000, 5, 0), &[7; 9_000]).unwrap();
    drop(commit);
    let before = dump(&store.snapshot().unwrap()).unwrap();
    assert_eq!(before.len(), 1, "{before:?}");

    // After one refused row nothing else of the transaction is taken.
    let mut commit = store.write().unwrap();
    commit.put_host(HostId(1), &host_row("a", 1)).unwrap();
    let large = vec![0; commit::ROW_BYTES_MAX + 1];
    let words = commit.put_account(HostId(1), 1, &large).unwrap_err().to_string();
    assert!(words.contains("an account of 1048577 bytes; expected 1048576"), "{words}");
    assert!(matches!(commit.put_series(1, "x", 1), Err(StoreError::Aborted)));
    assert!(matches!(commit.commit(), Err(StoreError::Aborted)));
    assert_eq!(dump(&store.snapshot().unwrap()).unwrap(), before);
}

#[test]
fn a_snapshot_is_sent_to_a_thread_and_outlives_the_store() {
    let dir = Dir::new("send");
    let store = open(&dir);
    let mut commit = store.write().unwrap();
    commit.put_segment(key(1, 1_000, 5, 0), &[7; 9_000]).unwrap();
    commit.commit().unwrap();
    let snapshot = store.snapshot().unwrap();
    let handle = snapshot.segments(HostId(1), 1_000, (0, 9), 0).unwrap().remove(0);
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let thread = crate::base::thread::spawn("test-read", move || {
        let _ = sender.send(handle.read(8_999..9_000).map(|bytes| (bytes, handle)));
    });
    let (read, handle) = receiver.recv().unwrap().unwrap();
    assert_eq!(read, [7]);
    thread.unwrap().join();
    drop(store);
    // Either from memory, or it says that the file was closed; never something else.
    match handle.read(0..9_000) {
        Ok(bytes) => assert_eq!(bytes, [7; 9_000]),
        Err(error) => assert!(error.is_stale(), "{error}"),
    }
}

/// A store and what should be in it.
struct Model {
    segments: BTreeMap<(u32, u32, u64, u64), Vec<u8>>,
    log: BTreeMap<(u32, u64), Vec<u8>>,
    log_end: u64,
}

const BUCKETS_MS: [u32; 3] = [1_000, 10_000, 60_000];

impl Model {
    fn step(&mut self, dice: &mut Dice, commit: &mut Commit<'_>) {
        let host = dice.below(4) as u32;
        let bucket_ms = BUCKETS_MS[dice.below(3) as usize];
        // Few starts and runs, so that keys meet again and stand side by side.
        let (start_ms, run) = (dice.below(12) * 1_000, dice.below(3));
        let at = (host, bucket_ms, start_ms, run);
        let key = key(host, bucket_ms, start_ms, run);
        match dice.below(10) {
            0..=5 => {
                let len = match dice.below(4) {
                    0 => dice.below(200),
                    1 => 4_000 + dice.below(200),
                    2 => dice.below(14_000),
                    _ => dice.below(60_000),
                };
                let bytes = bytes(dice, len as usize);
                if dice.one_in(2) {
                    commit.put_segment(key, &bytes).unwrap();
                } else {
                    commit.put_lasting_segment(key, &bytes).unwrap();
                }
                self.segments.insert(at, bytes);
            }
            6 | 7 => {
                let there = self.segments.remove(&at).is_some();
                assert_eq!(commit.delete_segment(key).unwrap(), there);
            }
            8 => {
                let partition = dice.below(2) as u32;
                let len = dice.below(12_000) as usize;
                let bytes = bytes(dice, len);
                commit.log_append(partition, self.log_end, &bytes).unwrap();
                self.log.insert((partition, self.log_end), bytes);
                self.log_end += 1 + dice.below(40);
            }
            _ => self.trim(dice, commit),
        }
    }

    fn trim(&mut self, dice: &mut Dice, commit: &mut Commit<'_>) {
        let partition = dice.below(2) as u32;
        let below = self.log_end.saturating_sub(dice.below(120));
        let known_end = dice.one_in(2);
        let log_end = if known_end { self.log_end } else { u64::MAX };
        let row = PartitionRow { resume: 0, checkpoint: None, log_end, epoch: 0 };
        commit.put_partition(partition, row).unwrap();
        commit.log_trim(partition, below).unwrap();
        let starts: BTreeSet<u64> =
            self.log.keys().filter(|at| at.0 == partition).map(|at| at.1).collect();
        // A part reaches to where the next one begins.
        self.log.retain(|(of, start), _| {
            let end = starts.range(start + 1..).next().copied().unwrap_or(log_end);
            *of != partition || end > below
        });
    }

    fn check(&self, dice: &mut Dice, snapshot: &Snapshot, what: &str) {
        for host in 0..4 {
            for bucket_ms in BUCKETS_MS {
                let (a, b) = (dice.below(13_000), dice.below(13_000));
                let (from, to) = (a.min(b), a.max(b));
                let reach = dice.below(4_000);
                let found = snapshot.segments(HostId(host), bucket_ms, (from, to), reach).unwrap();
                let starts = from.saturating_sub(reach)..=to;
                let expected: Vec<_> = self
                    .segments
                    .iter()
                    .filter(|(at, _)| at.0 == host && at.1 == bucket_ms && starts.contains(&at.2))
                    .collect();
                let keys: Vec<_> = found.iter().map(SegmentHandle::key).collect();
                let expected_keys: Vec<_> =
                    expected.iter().map(|(at, _)| key(at.0, at.1, at.2, at.3)).collect();
                assert_eq!(keys, expected_keys, "{what}: {from}..={to} and {reach} before");
                for (handle, (_, bytes)) in found.iter().zip(expected) {
                    assert_eq!(handle.len(), bytes.len(), "{what}");
                    let start = dice.below(bytes.len() as u64 + 1) as usize;
                    let end = start + dice.below((bytes.len() - start) as u64 + 1) as usize;
                    let read = handle.read(start..end).unwrap();
                    assert!(read == bytes[start..end], "{what}: {start}..{end} of {handle:?}");
                    assert!(handle.read(0..bytes.len()).unwrap() == *bytes, "{what}: {handle:?}");
                    assert!(handle.read(0..bytes.len() + 1).unwrap_err().is_corrupt());
                }
            }
        }
        for partition in 0..2 {
            let from = dice.below(self.log_end + 1);
            let parts = snapshot.log(partition, from).unwrap();
            let parts: Vec<_> = parts.collect::<Result<_, _>>().unwrap();
            let start = self.log.range((partition, 0)..=(partition, from)).next_back();
            let start = start.map_or(from, |(at, _)| at.1);
            let expected: Vec<_> = self
                .log
                .range((partition, start)..=(partition, u64::MAX))
                .map(|(at, bytes)| (at.1, bytes.clone()))
                .collect();
            assert!(parts == expected, "{what}: log of {partition} from {from}");
        }
        let totals = snapshot.totals().unwrap();
        for bucket_ms in BUCKETS_MS {
            let of = self.segments.iter().filter(|(at, _)| at.1 == bucket_ms);
            let lens: Vec<u64> = of.map(|(_, bytes)| bytes.len() as u64).collect();
            let tier = totals.0.get(&bucket_ms).copied().unwrap_or_default();
            let (segments, bytes) = (lens.len() as u64, lens.iter().sum());
            assert_eq!((tier.segments, tier.bytes), (segments, bytes), "{what}");
        }
    }
}

#[test]
fn scans_show_what_a_map_would_show() {
    for seed in 0..12 {
        let dir = Dir::new(&format!("model-{seed}"));
        let mut store = open(&dir);
        let mut dice = Dice::new(seed);
        let mut model =
            Model { segments: BTreeMap::new(), log: BTreeMap::new(), log_end: dice.below(5) };
        for round in 0..25 {
            let mut commit = store.write().unwrap();
            for _ in 0..dice.below(12) {
                model.step(&mut dice, &mut commit);
            }
            commit.commit().unwrap();
            if dice.one_in(6) {
                drop(store);
                store = open(&dir);
            }
            let what = format!("seed {seed}, round {round}");
            model.check(&mut dice, &store.snapshot().unwrap(), &what);
        }
        drop(store);
        let report: check::CheckReport = check(&dir, &mut drop, &mut |_, _| Ok(())).unwrap();
        let problems: Vec<_> =
            report.problems.iter().filter(|words| !words.contains("but no row")).collect();
        assert!(problems.is_empty(), "seed {seed}: {problems:?}");
    }
}

#[test]
fn a_host_goes_in_parts_and_its_neighbours_stay() {
    let dir = Dir::new("delete");
    let store = open(&dir);
    let mut commit = store.write().unwrap();
    for host in [1, 2, 3] {
        for hour in 0..5 {
            commit.put_segment(key(host, 1_000, hour * 3_600_000, 0), &[1; 5_000]).unwrap();
            commit.put_lasting_segment(key(host, 10_000, hour * 7, 0), &[2; 9_000]).unwrap();
        }
        commit.put_account(HostId(host), 1, b"x").unwrap();
        commit.put_host(HostId(host), &host_row("h", 1)).unwrap();
    }
    commit.commit().unwrap();
    let mut calls = 0;
    loop {
        let mut commit = store.write().unwrap();
        let finished = commit.delete_host_data(HostId(2), 4).unwrap();
        commit.commit().unwrap();
        calls += 1;
        let accounts = store.snapshot().unwrap().accounts(HostId(2)).unwrap().len();
        assert_eq!(accounts, usize::from(!finished));
        if finished {
            break;
        }
    }
    assert_eq!(calls, 3);
    let all = dump(&store.snapshot().unwrap()).unwrap();
    for host in [1, 2, 3] {
        let of = all.iter().filter(|(what, _)| what.contains(&format!("host: HostId({host})")));
        assert_eq!(of.count(), if host == 2 { 0 } else { 10 });
    }
    assert_eq!(store.snapshot().unwrap().accounts(HostId(3)).unwrap().len(), 1);
}

#[test]
fn what_is_appended_stays_when_everything_before_it_is_trimmed() {
    let dir = Dir::new("trim");
    let store = open(&dir);
    let row = |log_end| PartitionRow { resume: 0, checkpoint: None, log_end, epoch: 0 };
    let log = |store: &Store| -> Vec<u64> {
        let parts = store.snapshot().unwrap().log(0, 0).unwrap();
        parts.map(|part| part.unwrap().0).collect()
    };
    let mut commit = store.write().unwrap();
    commit.log_append(0, 3, b"three to nine").unwrap();
    commit.put_partition(0, row(10)).unwrap();
    commit.commit().unwrap();
    // The row is of before what is appended, and put last.
    let mut commit = store.write().unwrap();
    commit.log_append(0, 10, b"ten and more").unwrap();
    commit.log_trim(0, 10).unwrap();
    commit.put_partition(0, row(12)).unwrap();
    commit.commit().unwrap();
    assert_eq!(log(&store), [10]);
    let mut commit = store.write().unwrap();
    commit.log_trim(0, 11).unwrap();
    commit.commit().unwrap();
    assert_eq!(log(&store), [10], "eleven is in it");
    let mut commit = store.write().unwrap();
    commit.log_trim(0, 12).unwrap();
    commit.commit().unwrap();
    assert_eq!(log(&store), Vec::<u64>::new());
}
