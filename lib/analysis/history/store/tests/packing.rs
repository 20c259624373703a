//! How full the pages are.

use super::*;

/// What redb's own count of the file says: pages of its trees, bytes.
fn tree_bytes(dir: &Dir) -> u64 {
    let database = redb::Database::open(dir.file()).unwrap();
    let txn = database.begin_write().unwrap();
    let stats = txn.stats().unwrap();
    (stats.leaf_pages() + stats.branch_pages()) * 4_096
}

/// Hosts in turn, hour by hour; an hour's chunks are replaced by one segment.
fn fill(store: &Store, (hosts, hours, chunks): (u32, u64, u64), len: usize) -> u64 {
    let mut dice = Dice::new(len as u64);
    let mut given = 0;
    for hour in 0..hours {
        let start_ms = hour * 3_600_000;
        for chunk in 0..chunks {
            let mut commit = store.write().unwrap();
            for host in 0..hosts {
                let bytes = bytes(&mut dice, len / 5);
                let start_ms = start_ms + chunk * 300_000;
                commit.put_segment(key(host, 1_000, start_ms, 1), &bytes).unwrap();
            }
            commit.commit().unwrap();
        }
        for first in (0..hosts).step_by(20) {
            let mut commit = store.write().unwrap();
            for host in first..hosts.min(first + 20) {
                for chunk in 0..chunks {
                    let start_ms = start_ms + chunk * 300_000;
                    assert!(commit.delete_segment(key(host, 1_000, start_ms, 1)).unwrap());
                }
                let len = len * 9 / 10 + dice.below(len as u64 / 5) as usize;
                let bytes = bytes(&mut dice, len);
                commit.put_lasting_segment(key(host, 1_000, start_ms, 0), &bytes).unwrap();
                given += len as u64;
            }
            commit.commit().unwrap();
        }
    }
    given
}

#[test]
fn pages_are_full_and_the_count_of_what_is_used_is_right() {
    for (len, hours) in [(14_000, 16), (130_000, 5)] {
        for chunks in [0, 3] {
            let dir = Dir::new(&format!("packing-{len}-{chunks}"));
            let store = open(&dir);
            let hosts = 25;
            let given = fill(&store, (hosts, hours, chunks), len);
            let usage = store.snapshot().unwrap().usage().unwrap();
            drop(store);
            let tree = tree_bytes(&dir);
            // The newest segment of each host is alone in its first page.
            let newest = u64::from(hosts) * 4_096 / 2;
            let per_byte = tree.saturating_sub(newest) as f64 / given as f64;
            assert!(per_byte < 1.045, "{len} bytes, {chunks} chunks: {per_byte:.4}");
            let counted = usage.used_bytes as f64 / tree as f64;
            assert!((0.93..1.03).contains(&counted), "{len} bytes, {chunks} chunks: {counted:.4}");
            assert_eq!(usage.tiers.len(), 1);
            let tier = usage.tiers[0].1;
            assert_eq!(tier.bytes, given);
            assert_eq!(usage.file_bytes, usage.used_bytes + usage.fragmented_bytes);
        }
    }
}

#[test]
fn a_commit_that_is_not_large_writes_little_beside_what_is_put() {
    let dir = Dir::new("writes");
    let store = open(&dir);
    for start_ms in 0..4 {
        let before = store.counts().written_bytes.get();
        let mut commit = store.write().unwrap();
        let mut given = 0;
        while !commit.is_large() {
            let host = u32::try_from(given / 130_000).unwrap();
            commit.put_segment(key(host, 1_000, start_ms, 0), &[1; 130_000]).unwrap();
            given += 130_000;
        }
        commit.commit().unwrap();
        let written = store.counts().written_bytes.get() - before;
        assert!(given > 8_000_000 && written < given * 5 / 4, "{written} bytes for {given}");
    }
}

#[test]
fn a_scan_reads_the_first_piece_of_each_and_a_read_the_pieces_it_needs() {
    let dir = Dir::new("reads");
    let store = open(&dir);
    let mut commit = store.write().unwrap();
    for hour in 0..24 {
        commit.put_lasting_segment(key(1, 1_000, hour * 3_600_000, 0), &[5; 130_000]).unwrap();
    }
    commit.commit().unwrap();
    drop(store);
    let store = open(&dir);
    let snapshot = store.snapshot().unwrap();
    let before = store.counts().read_bytes.get();
    let found = snapshot.segments(HostId(1), 1_000, (0, u64::MAX), 0).unwrap();
    assert_eq!(found.len(), 24);
    let scanned = (store.counts().read_bytes.get() - before) / 4_096;
    // Branches above 24 x 33 leaves take some 20 pages.
    assert!(scanned <= 24 + 24, "{scanned} pages for 24 segments");
    let before = store.counts().read_bytes.get();
    assert_eq!(found[3].read(60_000..68_000).unwrap(), [5; 8_000]);
    let read = (store.counts().read_bytes.get() - before) / 4_096;
    assert!((2..=5).contains(&read), "{read} pages for 8,000 bytes");
}
