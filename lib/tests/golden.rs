//! Collectors over trees of files, as `monitor-client --once --root DIR` reads them.
//!
//! Each folder of `fixtures/` is the root of a machine; beside it stands the text that a reading
//! of it must give. `UPDATE_EXPECT=1 cargo test --release --test golden` writes the texts anew.
//! Every text must please the real `promtool check metrics`. After that the files are damaged at
//! random, and nothing may happen but errors in words.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use realtime_monitor::base::clock::Scripted;
use realtime_monitor::base::thread::panics_total;
use realtime_monitor::collector::{
    COLLECTORS, CollectError, Context, LABEL_LEN_MAX, Reading, SAMPLES_PER_READING_MAX, Set,
};
use realtime_monitor::metric::{MetricDef, SeriesKey, Value};
use realtime_monitor::wire::prometheus;

/// Damages tried per file of each tree.
const DAMAGES_PER_FILE: u64 = 60;

/// How much memory the damaged readings may need beyond what the test began with: two full
/// buffers of a source for each collector.
const MEMORY_GROWTH_MAX_KIB: u64 = 64 << 10;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/tests/fixtures")
}

/// The trees, by name.
fn trees() -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut trees: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    trees.sort();
    assert!(trees.len() >= 6, "trees are missing: {trees:?}");
    trees
}

/// Every collector over this root, with 100 ticks a second wherever the test runs.
fn set(root: &Path) -> Set {
    let clock = Scripted::new(0);
    let context = Context { root: root.to_owned(), user_hz: 100, include_filtered: false, clock };
    Set::new(COLLECTORS, context)
}

/// The samples as Prometheus text, then the errors as comments without the place of the tree.
fn text(set: &Set, reading: &Reading) -> String {
    let definitions: Vec<&MetricDef> = set.metrics().collect();
    let mut text = String::new();
    prometheus::write(&definitions, &reading.samples, &mut text);
    for (collector, error) in &reading.errors {
        let words = error.to_string().replace(&format!("{}/", set.root().display()), "");
        let _ = writeln!(text, "# error {collector}: {words}");
    }
    text
}

#[test]
fn readings_are_as_committed() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut different = Vec::new();
    for tree in trees() {
        let mut set = set(&tree);
        let reading = set.collect(&|_| true);
        let got = text(&set, &reading);
        let again = set.collect(&|_| true);
        // What is not there is asked again only after a minute.
        let is_asked_again =
            |error: &CollectError| !matches!(error, CollectError::Unsupported { .. });
        let lasting = reading.errors.iter().filter(|(_, error)| is_asked_again(error)).count();
        assert_eq!(again.samples, reading.samples, "{}: the second reading", tree.display());
        assert_eq!(again.errors.len(), lasting, "{}: the second reading", tree.display());
        let committed = PathBuf::from(format!("{}.prom", tree.display()));
        if update {
            fs::write(&committed, &got).unwrap();
        } else if fs::read_to_string(&committed).unwrap_or_default() != got {
            different.push(format!("{} is not what was read:\n{got}", committed.display()));
        }
    }
    assert!(different.is_empty(), "{}\nUPDATE_EXPECT=1 writes them anew", different.join("\n"));
}

/// Whether the real judge accepts the text, and what it says.
fn promtool(text: &str) -> (bool, String) {
    #[allow(clippy::disallowed_methods, reason = "the judge is a program")]
    let started = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut judge = started.expect("promtool starts (Debian: apt-get install prometheus)");
    judge.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = judge.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr) + String::from_utf8_lossy(&said.stdout);
    (said.status.success(), words.into_owned())
}

#[test]
fn promtool_accepts_every_reading() {
    // A judge that accepts everything proves nothing.
    assert!(!promtool("# TYPE x counter\nx 1\n").0);
    for tree in trees() {
        let mut set = set(&tree);
        let reading = set.collect(&|_| true);
        assert!(!reading.samples.is_empty());
        let verdict = promtool(&text(&set, &reading));
        assert_eq!(verdict, (true, String::new()), "{}", tree.display());
    }
}

#[test]
fn an_empty_root_silences_every_collector_and_no_more() {
    let root = Copy::of(None, "empty");
    let reading = set(&root.0).collect(&|_| true);
    assert!(reading.samples.is_empty());
    let silenced: Vec<_> = reading.errors.iter().map(|(collector, _)| *collector).collect();
    let all: Vec<_> = COLLECTORS.iter().map(|registration| registration.name).collect();
    assert_eq!(silenced, all);
}

/// A tree that may be damaged, removed at the end.
struct Copy(PathBuf);

impl Copy {
    fn of(tree: Option<&Path>, name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("monitor-golden-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        for (path, bytes) in tree.map(files).unwrap_or_default() {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Self(root)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every file of a tree: its path inside, and its bytes.
fn files(tree: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.push((path.strip_prefix(tree).unwrap().to_owned(), bytes));
            }
        }
    }
    found.sort();
    found
}

/// Numbers for one seed (xorshift64, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// One way in which a file can be wrong.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match self.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, std::iter::repeat_n(b'9', 1 + self.below(400)))),
            2 => {
                let to = at + self.below(bytes.len() - at + 1);
                let piece = bytes[at..to].to_vec();
                bytes.extend(piece);
            }
            3 => {
                let to = at + self.below((bytes.len() - at).min(40) + 1);
                bytes.drain(at..to);
            }
            _ => {
                for _ in 0..=self.below(8) {
                    let at = self.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
    }
}

fn memory_peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn damaged_files_give_errors_in_words_and_nothing_else() {
    let panics_before = panics_total();
    let peak_before = memory_peak_kib();
    for tree in trees() {
        let copy = Copy::of(Some(&tree), &tree.file_name().unwrap().to_string_lossy());
        // The same set all the time: what one reading leaves behind must not harm the next.
        let mut set = set(&copy.0);
        for (number, (path, whole)) in files(&tree).into_iter().enumerate() {
            if !is_read(&path) {
                continue;
            }
            for round in 0..DAMAGES_PER_FILE {
                let seed = 1 + round + DAMAGES_PER_FILE * number as u64;
                let mut bytes = whole.clone();
                let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                random.damage(&mut bytes);
                fs::write(copy.0.join(&path), bytes).unwrap();
                let place = format!("{} of {}, seed {seed}", path.display(), tree.display());
                check_sound(&set.collect(&|_| true), &place);
            }
            fs::write(copy.0.join(&path), whole).unwrap();
        }
        let (mut fresh, after) = (self::set(&copy.0), set.collect(&|_| true));
        assert_eq!(after.samples, fresh.collect(&|_| true).samples, "{}: whole", tree.display());
        assert!(set.statuses().all(|status| status.panics == 0));
    }
    assert_eq!(panics_total(), panics_before);
    let growth = memory_peak_kib() - peak_before;
    assert!(growth < MEMORY_GROWTH_MAX_KIB, "{growth} KiB more than before");
}

/// Whether a collector reads what is in this file; of others it is enough that they are there.
fn is_read(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    ["stat", "meminfo", "diskstats", "dev", "loadavg", "uptime", "uevent"].contains(&&*name)
}

/// Whatever was in the files, these hold.
#[track_caller]
fn check_sound(reading: &Reading, place: &str) {
    assert!(reading.samples.len() <= SAMPLES_PER_READING_MAX, "{place}");
    let mut keys: Vec<_> = reading.samples.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "{place}: a series twice");
    for (key, value) in reading.samples.iter() {
        assert_eq!(SeriesKey::parse(key.as_str()).as_ref(), Ok(key), "{place}");
        assert!(key.labels().iter().all(|(_, label)| label.len() <= LABEL_LEN_MAX), "{place}");
        if let Value::Float(value) = value {
            assert!(value.is_finite() && value >= 0.0, "{place}: {key} {value}");
        }
    }
    for (collector, error) in &reading.errors {
        let words = error.to_string();
        assert!(words.len() < 800 && !words.contains('\n'), "{place}: {collector}: {words}");
    }
}
