//! What the programs say to people: help, versions, wrong flags, and that nothing async is inside.

use crate::support::program::{binary, command};
use crate::support::repository;

const PROGRAMS: [&str; 4] = ["monitor", "monitor-server", "monitor-client", "monitor-analysis"];

fn run(program: &str, arguments: &[&str]) -> (bool, String, String) {
    let output = command(binary(program)).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_is_the_manual() {
    for program in PROGRAMS {
        let (ok, help, _) = run(program, &["--help"]);
        assert!(ok && help.contains("Examples:") && help.contains("MONITOR_"), "{program}: {help}");
        let (ok, version, _) = run(program, &["--version"]);
        assert!(ok && version.contains(env!("CARGO_PKG_VERSION")), "{program}: {version}");
    }
}

#[test]
fn every_flag_is_an_environment_variable() {
    for program in PROGRAMS {
        let (_, help, _) = run(program, &["--help"]);
        // A line that declares a flag begins with it; help texts and examples only mention some.
        let declared = help.lines().map(str::trim_start).filter(|line| line.starts_with("--"));
        let flags = declared.filter_map(|line| line[2..].split(' ').next());
        let mut count = 0;
        for flag in flags.filter(|flag| !["help", "version", "once"].contains(flag)) {
            let variable = format!("MONITOR_{}=", flag.to_uppercase().replace('-', "_"));
            assert!(help.contains(&variable), "{program}: --{flag} lacks {variable}");
            count += 1;
        }
        assert!(count >= 5, "{program}: {help}");
    }
}

#[test]
fn wrong_flags_say_what_was_expected() {
    let refused = |program: &str, arguments: &[&str], expected: &str| {
        let (ok, _, words) = run(program, arguments);
        assert!(!ok && words.contains(expected), "{program} {arguments:?}: {words}");
    };
    refused("monitor-client", &["--host", "no spaces"], "a-z, 0-9");
    refused("monitor-client", &["--interval-min", "5"], "500ms");
    refused("monitor-client", &["--collectors", "cpu,weather"], "weather");
    refused("monitor-server", &["--schedule", "cpu"], "cpu=500ms");
    refused("monitor-server", &["--listen", "0.0.0.0:0"], "--insecure");
    refused("monitor-analysis", &["--listen", "0.0.0.0:0"], "--insecure");
    refused("monitor", &["--listen", "here"], "here");
}

#[test]
fn once_prints_a_reading_that_prometheus_takes() {
    let (ok, text, words) = run("monitor-client", &["--once"]);
    assert!(ok, "{words}");
    for metric in
        ["cpu_seconds_total", "memory_available_bytes", "processes ", "load1", "uptime_seconds"]
    {
        assert!(text.contains(metric), "{metric} is missing in\n{text}");
    }
}

#[test]
fn no_async_runtime_is_in_the_tree() {
    let output = command(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("grpcio v"), "{tree}");
    for runtime in ["tokio", "async-std", "smol", "async-io", "embassy"] {
        let found = tree.lines().find(|line| line.starts_with(&format!("{runtime} ")));
        assert_eq!(found, None);
    }
}
