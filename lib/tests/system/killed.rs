//! `monitor` is killed again and again, its own client in it, while others send to it: neither its
//! own host nor any other loses a frame, and none counts twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
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

/// Session to the times of its frames, in the order of their numbers.
type Truth = BTreeMap<String, Vec<u64>>;

struct Setting {
    scratch: Scratch,
    grpc: String,
}

impl Setting {
    fn text(&self, name: &str) -> String {
        self.scratch.join(name).to_string_lossy().into_owned()
    }

    /// The file in which a host writes down what it sampled.
    fn truth(&self, host: &str) -> String {
        self.text(&format!("{host}.sampled"))
    }

    fn start(&self) -> (Program, SocketAddr) {
        let (data, log) = (self.text("data"), self.truth("me"));
        let mut flags = vec!["--listen", "127.0.0.1:0", "--grpc-listen", &self.grpc];
        flags.extend(["--host", "me", "--data", &data, "--write-after", "700ms"]);
        flags.extend(["--interval", "100ms", "--sampled-log", &log]);
        let mut monitor = Program::start("monitor", &self.scratch.0, &flags);
        let page = monitor.address("page on ");
        (monitor, page)
    }

    fn add_guest(&self, name: &str) -> Program {
        let (spool, log) = (self.text(&format!("{name}.spool")), self.truth(name));
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
    // All are heard of after the last one: what they sampled until now is there.
    let hosts: Vec<&str> = names.iter().map(String::as_str).chain(["me"]).collect();
    for host in &hosts {
        let runs = sampled(&setting.truth(host));
        let (session, times) = runs.iter().max_by_key(|(_, times)| times.last()).expect("a run");
        let what = format!("frame {} of {host} is there", times.len());
        wait::until(&what, 2 * SOON, || {
            let ledger = http::json(page, "/api/ledger")?;
            (told(&ledger, host, session)? >= times.len()).then_some(())
        });
    }
    let kept: Vec<Vec<RangeInclusive<usize>>> =
        guests.into_iter().map(|guest| kept(&guest.stop())).collect();
    let log = monitor.stop();
    assert!(!log.contains("panic") && !log.contains("set aside"), "{log}");

    // What each host wrote down itself, against the account and the answers of another process.
    let truth: Vec<Truth> = hosts.iter().map(|host| sampled(&setting.truth(host))).collect();
    let (monitor, page) = setting.start();
    for (at, host) in hosts.iter().enumerate() {
        let runs = &truth[at];
        let newest = runs.values().filter_map(|times| times.last()).max().unwrap();
        // A guest's spool may hold frames for its next run. A run of the monitor that was killed
        // may have sampled one frame that it had not yet written to its spool.
        let is_sure = |times: &[u64], seq: usize| match kept.get(at) {
            Some(kept) => !kept.iter().any(|range| range.contains(&seq)),
            None => seq < times.len() || times.last() == Some(newest),
        };
        let (mut all, mut sure) = (BTreeSet::new(), BTreeSet::new());
        for (session, times) in runs {
            let numbered = (1..).zip(times);
            let known = numbered.filter(|(seq, _)| is_sure(times, *seq));
            let known: Vec<u64> = known.map(|(_, time)| time / POINT_MS).collect();
            account_closes(page, host, session, known.len()..=times.len());
            all.extend(times.iter().map(|time| time / POINT_MS));
            sure.extend(known);
        }
        let points = points_of(page, host, newest + 1);
        assert!(sure.is_subset(&points), "{host}: no points at {:?}", &sure - &points);
        assert!(points.is_subset(&all), "{host}: points without frames {:?}", &points - &all);
    }
    monitor.kill();
    let check = command(binary("monitor-analysis"))
        .args(["check", "--data", &setting.text("data")])
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

/// Which frames a client kept for its next run, from what it said at its end.
fn kept(log: &str) -> Vec<RangeInclusive<usize>> {
    let Some((_, words)) = log.split_once("kept in the spool for the next run: frames ") else {
        assert!(log.contains("nothing left"), "{log}");
        return Vec::new();
    };
    let (ranges, _) = words.split_once(" (").expect("ranges, then their sum");
    let range = |words: &str| {
        let (first, last) = words.split_once('-').unwrap_or((words, words));
        first.parse().unwrap()..=last.parse().unwrap()
    };
    ranges.split(", ").map(range).collect()
}

/// How many frames of a session are stored; `None` if the ledger does not know it.
fn told(ledger: &Value, host: &str, session: &str) -> Option<usize> {
    let known = ledger["hosts"][host]["sessions"].as_array()?;
    let own = known.iter().find(|own| own["session"] == *session)?;
    let [stored, missing, dropped] =
        ["stored", "missing", "dropped"].map(|name| own[name].as_u64().unwrap());
    assert_eq!((missing, dropped), (0, 0), "{host}: {ledger}");
    Some(stored.try_into().unwrap())
}

/// Waits until as many frames of a session are stored as can be; more are none that it sampled.
fn account_closes(page: SocketAddr, host: &str, session: &str, limits: RangeInclusive<usize>) {
    let what = format!("{host}: {limits:?} frames of session {session} are stored");
    let stored = wait::until(&what, SOON, || {
        let stored = told(&http::json(page, "/api/ledger")?, host, session);
        stored.or(Some(0)).filter(|stored| stored >= limits.start())
    });
    assert!(limits.contains(&stored), "{what}, not {stored}");
}

/// The points of a host's load that were before a time, in numbers of their width.
fn points_of(page: SocketAddr, host: &str, to_ms: u64) -> BTreeSet<u64> {
    let path =
        format!("/api/query?metric=uptime_seconds&host={host}&as=raw&from=-10m&to=now&points=301");
    let answer = http::json(page, &path).expect("an answer");
    let series = &answer["series"][0];
    assert_eq!(series["interval_ms"], POINT_MS, "{answer}");
    let points = series["points"].as_array().unwrap().iter();
    let times = points.map(|point| point[0].as_u64().unwrap()).filter(|time| *time < to_ms);
    times.map(|time| time / POINT_MS).collect()
}

/// What a host wrote down of the frames it sampled.
fn sampled(file: &str) -> Truth {
    let text = std::fs::read_to_string(file).unwrap();
    let mut runs = Truth::new();
    // The last line may be half written while the client runs.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let [session, seq, time] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("three words, not {line:?}");
        };
        let times = runs.entry(session.to_owned()).or_default();
        times.push(time.parse().unwrap());
        assert_eq!(seq.parse(), Ok(times.len()), "numbered from 1 without holes");
    }
    runs
}
