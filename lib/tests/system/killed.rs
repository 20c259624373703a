//! `monitor` is killed again and again, its own client in it, while others send to it: neither its
//! own host nor any other loses a frame, and none counts twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::deployment::SOON;
use crate::support::broker::free_port;
use crate::support::program::{Program, binary, command};
use crate::support::{Scratch, http, wait};

/// How often; and how many hosts send to it beside its own.
const KILLS: u64 = 8;
const GUESTS: usize = 3;

/// Points of queries are so wide.
const POINT_MS: u64 = 2_000;

struct Setting {
    scratch: Scratch,
    grpc: String,
}

impl Setting {
    fn text(&self, name: &str) -> String {
        self.scratch.join(name).to_string_lossy().into_owned()
    }

    fn start(&self) -> (Program, SocketAddr) {
        let (data, log) = (self.text("data"), self.text("me.sampled"));
        let mut flags = vec!["--listen", "127.0.0.1:0", "--grpc-listen", &self.grpc];
        flags.extend(["--host", "me", "--data", &data, "--write-after", "700ms"]);
        flags.extend(["--interval", "100ms", "--sampled-log", &log]);
        let mut monitor = Program::start("monitor", &self.scratch.0, &flags);
        let page = monitor.address("page on ");
        (monitor, page)
    }

    fn add_guest(&self, name: &str) -> Program {
        let (spool, log) =
            (self.text(&format!("{name}.spool")), self.text(&format!("{name}.sampled")));
        let flags = ["--server", &self.grpc, "--host", name, "--spool", &spool];
        let flags = [&flags[..], &["--sampled-log", &log]].concat();
        Program::start("monitor-client", &self.scratch.0, &flags)
    }
}

#[test]
fn eight_kills_of_monitor_lose_nothing_of_any_host() {
    let setting =
        Setting { scratch: Scratch::new("killed"), grpc: format!("127.0.0.1:{}", free_port()) };
    let (mut monitor, mut page) = setting.start();
    let names: Vec<String> = (0..GUESTS).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Program> = names.iter().map(|name| setting.add_guest(name)).collect();
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    for kill in 1..=KILLS {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(kill);
        wait::pause(Duration::from_millis(700 + (dice >> 33) % 1_800));
        monitor.kill();
        (monitor, page) = setting.start();
    }
    // All are heard of after the last one.
    let hosts: Vec<&str> = names.iter().map(String::as_str).chain(["me"]).collect();
    wait::until("every host is live", 2 * SOON, || {
        let known = http::json(page, "/api/hosts")?;
        let known = known["hosts"].as_array()?;
        let live = known.iter().filter(|host| host["state"] == "live").count();
        (live == hosts.len()).then_some(())
    });
    for guest in guests {
        let log = guest.stop();
        assert!(!log.contains("left unacknowledged"), "{log}");
    }
    let log = monitor.stop();
    assert!(!log.contains("panic") && !log.contains("set aside"), "{log}");

    // What each host wrote down itself, against the account and the answers of another process.
    let truth: BTreeMap<&str, BTreeMap<(String, u64), u64>> = hosts
        .iter()
        .map(|host| (*host, sampled(&setting.scratch.join(&format!("{host}.sampled")))))
        .collect();
    let (monitor, page) = setting.start();
    for host in &hosts {
        let frames = &truth[host];
        let last_ms = frames.values().max().unwrap();
        let account = account_of(page, host, frames);
        eprintln!("{host}: {} frames of {} sessions, {account}", frames.len(), sessions(frames));
        let points = points_of(page, host, last_ms + 1);
        let mut expected: Vec<u64> = frames.values().map(|time| time / POINT_MS).collect();
        expected.dedup();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(points, expected, "{host}: where there are frames there are points");
    }
    monitor.kill();
    let check = command(binary("monitor-analysis"))
        .args(["check", "--data", &setting.text("data")])
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

fn sessions(frames: &BTreeMap<(String, u64), u64>) -> usize {
    let mut sessions: Vec<&String> = frames.keys().map(|(session, _)| session).collect();
    sessions.dedup();
    sessions.len()
}

/// The account of all sessions that were sampled, once it is closed.
fn account_of(page: SocketAddr, host: &str, frames: &BTreeMap<(String, u64), u64>) -> Value {
    wait::until(&format!("the account of {host} closes"), SOON, || {
        let ledger = http::json(page, "/api/ledger")?;
        let known = ledger["hosts"][host]["sessions"].as_array()?;
        let mut total = [0_u64; 3];
        for session in known {
            let is_sampled = frames.keys().any(|(id, _)| session["session"] == *id);
            if !is_sampled {
                continue;
            }
            for (at, name) in ["stored", "missing", "dropped"].iter().enumerate() {
                total[at] += session[*name].as_u64().unwrap();
            }
        }
        let [stored, missing, dropped] = total;
        assert_eq!((missing, dropped), (0, 0), "{host}: {ledger}");
        (stored == frames.len() as u64).then(|| serde_json::json!({ "stored": stored }))
    })
}

/// The points of a host's load that were before a time, in numbers of their width.
fn points_of(page: SocketAddr, host: &str, to_ms: u64) -> Vec<u64> {
    let path =
        format!("/api/query?metric=uptime_seconds&host={host}&as=raw&from=-10m&to=now&points=301");
    let answer = http::json(page, &path).expect("an answer");
    let series = &answer["series"][0];
    assert_eq!(series["interval_ms"], POINT_MS, "{answer}");
    let points = series["points"].as_array().unwrap().iter();
    let times = points.map(|point| point[0].as_u64().unwrap()).filter(|time| *time < to_ms);
    times.map(|time| time / POINT_MS).collect()
}

/// What a host wrote down: session and number of every frame it sampled, and when.
fn sampled(truth: &Path) -> BTreeMap<(String, u64), u64> {
    let text = std::fs::read_to_string(truth).unwrap();
    let frame = |line: &str| {
        let mut words = line.split(' ');
        let session = words.next()?.to_owned();
        Some(((session, words.next()?.parse().ok()?), words.next()?.parse().ok()?))
    };
    text.lines().filter_map(frame).collect()
}
