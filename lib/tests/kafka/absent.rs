//! Faults that cannot be reached, because the part of the crate that has them is not built or not
//! called. What proves it is what is built and what is written, so it is read here.

use std::fs;
use std::path::{Path, PathBuf};

/// What the crate's features for TLS and compression would bring.
const FEATURE_PACKAGES: &[&str] = &["openssl", "openssl-sys", "flate2", "snap"];

/// Everything of the crate that the door names; a new name is looked up in the table of faults
/// before it is added here.
const NAMED: &[&str] = &[
    "FetchOffset",
    "FetchPartition",
    "KafkaClient",
    "ProduceConfirm",
    "ProduceMessage",
    "RequiredAcks",
    "Response",
    "Error",
    "KafkaCode",
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The code of the door without comments: file and text.
fn door() -> Vec<(String, String)> {
    let folder = repository().join("lib/bus/kafka");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.extension().is_some_and(|ending| ending == "rs"), "{}", path.display());
        let lines = read(&path);
        let code = lines.lines().filter(|line| !line.trim_start().starts_with("//"));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        files.push((name, code.collect::<Vec<_>>().join("\n")));
    }
    assert!(files.len() > 5, "the door is in {}", folder.display());
    files
}

#[track_caller]
fn assert_not_called(number: &str, words: &[&str]) {
    for (name, code) in door() {
        for word in words {
            assert!(!code.contains(word), "{number}: lib/bus/kafka/{name} names {word}");
        }
    }
}

/// The names that the crate's `use` lines bring in, over all files of the door.
fn names_of_the_crate() -> Vec<(String, String)> {
    let mut names = Vec::new();
    for (name, code) in door() {
        for after in code.split("use ::kafka::").skip(1) {
            let path = after.split(';').next().unwrap();
            let items = path.split_once('{').map_or_else(
                || path.rsplit("::").next().unwrap().to_owned(),
                |(_, list)| list.replace(['}', '\n'], ""),
            );
            let items = items.split(',').map(str::trim).filter(|item| !item.is_empty());
            names.extend(items.map(|item| (name.clone(), item.to_owned())));
        }
        let uses = code.matches("use ::kafka::").count();
        assert_eq!(code.matches("::kafka::").count(), uses, "{name} names the crate in passing");
    }
    names
}

/// The dependencies of a package, as Cargo.lock has them.
fn locked_dependencies(package: &str) -> Vec<String> {
    let lock = read(&repository().join("Cargo.lock"));
    let head = format!("name = \"{package}\"\n");
    let entries: Vec<&str> =
        lock.split("[[package]]").filter(|entry| entry.contains(&head)).collect();
    assert_eq!(entries.len(), 1, "one {package} in Cargo.lock");
    let (_, list) = entries[0].split_once("dependencies = [").unwrap();
    let list = list.split(']').next().unwrap();
    let words = list.lines().map(|line| line.trim().trim_matches([',', '"']));
    words.filter(|word| !word.is_empty()).map(|word| word.to_owned()).collect()
}

/// A TLS handshake has no time limit, and above 16 KiB a request over TLS hangs. Without the
/// crate's features there is no TLS in it to be called, and no decompression of what a record
/// claims to hold either.
#[test]
fn k02_the_crate_is_built_without_its_tls() {
    let manifest = read(&repository().join("Cargo.toml"));
    let line = manifest.lines().find(|line| line.starts_with("kafka = ")).expect("the crate");
    assert_eq!(line, r#"kafka = { version = "=0.10.0", default-features = false }"#);
    let locked = locked_dependencies("kafka");
    assert!(locked.iter().any(|name| name == "byteorder"), "{locked:?}");
    for package in FEATURE_PACKAGES {
        let is_there = locked.iter().any(|name| name.split(' ').next() == Some(package));
        assert!(!is_there, "kafka is built with {package}");
    }
    assert_not_called("K02", &["SecurityConfig", "new_secure"]);
}

/// `commit_offsets` loops hot for ever, and the look-up of a coordinator panics. Whoever reads
/// keeps the offsets; no call with a consumer group is made.
#[test]
fn k09_no_call_that_needs_a_coordinator_is_made() {
    let calls =
        ["commit_offset", "fetch_group", "set_group_offset_storage", "coordinator", "with_group"];
    assert_not_called("K09", &calls);
}

/// `Consumer` moves on over partitions whose records it then throws away. It is not used, nor is
/// `Producer`, which turns empty values into deletions (K12) and forgets its settings.
#[test]
fn k17_neither_consumer_nor_producer_is_used() {
    assert_not_called("K17", &["Consumer", "Producer", "::consumer", "::producer"]);
}

#[test]
fn only_what_was_looked_into_is_named_of_the_crate() {
    let names = names_of_the_crate();
    assert_eq!(names.len(), NAMED.len(), "{names:?}");
    for (file, name) in names {
        assert!(NAMED.contains(&name.as_str()), "{file} names {name} of the crate");
        assert_eq!(file, "session.rs", "the one door");
    }
}
