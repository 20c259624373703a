//! Rules that the compiler does not know: who may use whom, one door per outside thing, names of
//! metrics, sizes of files. Each failure names the file and the line.

#![allow(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may use; the table of the design.
const MAY_USE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("metric", &["base"]),
    ("wire", &["base", "metric"]),
    ("collector", &["base", "metric", "wire"]),
    ("identity", &["base", "metric"]),
    ("client", &["base", "metric", "wire", "collector", "identity"]),
    ("bus", &["base"]),
    ("server", &["base", "metric", "wire", "bus", "identity"]),
    ("analysis", &["base", "metric", "wire", "bus", "identity"]),
    ("http", &["base", "metric", "wire", "analysis", "identity"]),
];

/// Where alone each outside thing may be named; paths below `lib/`.
const ONE_DOOR: &[(&str, &[&str])] = &[
    ("kafka::client", &["bus/kafka"]),
    ("grpcio::", &["client/uplink", "server/intake", "client/grpc", "server/grpc"]),
    ("tiny_http::", &["http/server.rs"]),
    ("httparse::", &["http/gate"]),
    ("procfs::", &["collector/"]),
    ("redb::", &["analysis/history/store/"]),
    ("pco::", &["analysis/history/column"]),
    ("serde_json::", &["wire/json", "http/view", "http/live", "http/routes"]),
    ("#[derive(Serialize", &["http/view"]),
    ("pco::", &["analysis/history/column/entropy.rs"]),
    ("std::env::", &[]),
    ("\"/proc", &[]),
    ("\"/sys", &[]),
];

/// Longest file of the program, tests in files of their own not counted.
const LINES_MAX: usize = 400;

/// What a metric's name may end in: base units, and counts of named things.
const UNIT_SUFFIXES: &[&str] = &["_bytes", "_seconds", "_total", "_ratio"];

/// Gauges without a unit: counts of things that the name itself names, and the load averages.
const UNITLESS: &[&str] =
    &["processes", "processes_running", "processes_blocked", "load1", "load5", "load15"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, with its text.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let base = root().join(folder);
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&base).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "no sources under {}", base.display());
    found
}

/// The program itself: no test suites, benches, or files that hold a module's tests.
fn program() -> BTreeMap<String, String> {
    let mut files = sources("lib");
    files.retain(|name, _| {
        !name.starts_with("tests/") && !name.starts_with("benches/") && !is_test_file(name)
    });
    files
}

fn is_test_file(name: &str) -> bool {
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem == "tests" || stem.ends_with("_tests") || name.contains("/tests/")
}

/// The lines of the program proper, numbered from 1: up to the file's own tests, no comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let mut problems = Vec::new();
    for (name, text) in program() {
        let Some((room, _)) = name.split_once('/') else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == room) else {
            problems.push(format!(
                "lib/{name}: room '{room}' is not in the table of lib/tests/tidy.rs"
            ));
            continue;
        };
        for (number, line) in code_lines(&text) {
            for used in line.split("crate::").skip(1) {
                let used: String =
                    used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let known = MAY_USE.iter().any(|(other, _)| *other == used);
                if known && used != room && !allowed.contains(&used.as_str()) {
                    problems.push(format!("lib/{name}:{number}: {room} may not use {used}"));
                }
            }
            if line.contains("use crate::{") {
                problems.push(format!("lib/{name}:{number}: one `use crate::room` a line, please"));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_room_is_in_the_map() {
    let map = fs::read_to_string(root().join("lib/lib.rs")).unwrap();
    for (room, _) in MAY_USE {
        assert!(map.contains(&format!("//! | [`{room}`]")), "lib/lib.rs does not describe {room}");
        assert!(map.contains(&format!("pub mod {room};")), "lib/lib.rs does not declare {room}");
    }
}

#[test]
fn each_outside_thing_has_one_door() {
    let mut problems = Vec::new();
    for (name, text) in program() {
        for (number, line) in code_lines(&text) {
            for (thing, doors) in ONE_DOOR {
                if line.contains(thing) && !doors.iter().any(|door| name.starts_with(door)) {
                    problems.push(format!("lib/{name}:{number}: {thing} belongs behind {doors:?}"));
                }
            }
        }
    }
    report(&problems);
}

#[test]
fn files_say_what_they_are_for_and_stay_small() {
    let mut problems = Vec::new();
    for folder in ["lib", "bin"] {
        for (name, text) in sources(folder) {
            if !text.starts_with("//!") {
                problems.push(format!("{folder}/{name}: the first line must be a //! comment"));
            }
            let test = folder == "lib" && (name.starts_with("tests/") || is_test_file(&name));
            if !test && text.lines().count() > LINES_MAX {
                problems.push(format!("{folder}/{name}: {} lines", text.lines().count()));
            }
        }
    }
    report(&problems);
}

#[test]
fn programs_are_short() {
    let mut problems = Vec::new();
    for name in ["monitor.rs", "server.rs", "client.rs", "analysis.rs"] {
        let lines = fs::read_to_string(root().join("bin").join(name)).unwrap().lines().count();
        if lines > 80 {
            problems.push(format!("bin/{name}: {lines} lines; a program is its start list"));
        }
    }
    report(&problems);
}

#[test]
fn metrics_end_in_their_unit() {
    use realtime_monitor::collector::COLLECTORS;
    use realtime_monitor::metric::{Kind, Unit};

    let mut problems = Vec::new();
    for definition in COLLECTORS.iter().flat_map(|registration| registration.metrics) {
        let name = definition.name;
        if !UNIT_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) && !UNITLESS.contains(&name) {
            problems.push(format!("{name}: ends in no unit of {UNIT_SUFFIXES:?}"));
        }
        if (definition.kind == Kind::Counter) != name.ends_with("_total") {
            problems.push(format!("{name}: counters, and only they, end in _total"));
        }
        let base = name.trim_end_matches("_total");
        for (unit, suffix) in [(Unit::Bytes, "_bytes"), (Unit::Seconds, "_seconds")] {
            if (definition.unit == unit) != base.ends_with(suffix) {
                problems.push(format!("{name}: unit {unit:?} and name disagree"));
            }
        }
        if !definition.help.ends_with('.') {
            problems.push(format!("{name}: its help is no sentence"));
        }
    }
    report(&problems);
}

#[test]
fn no_async_runtime_in_the_tree() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for runtime in ["tokio", "async-std", "smol"] {
        assert!(!lock.contains(&format!("name = \"{runtime}\"")), "{runtime} is in Cargo.lock");
    }
}
