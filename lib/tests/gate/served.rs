//! The http room in a process of its own: this test program, started again as a server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use procfs::process::Process;
use realtime_monitor::base::clock::Real;
use realtime_monitor::base::random;
use realtime_monitor::base::stop;
use realtime_monitor::base::thread;
use realtime_monitor::http::{self, Config};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::client::pause;
use crate::scripted_view::ScriptedView;

/// Says to the started program what it is to serve.
const ROLE: &str = "MONITOR_TEST_GATE";

/// Live streams get a frame of the first host this often.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// A server in a process of its own; ended when dropped.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What every test starts with.
pub(crate) fn config() -> Config {
    let name = format!("rtm-gate-{}-{:04x}", std::process::id(), random::u128() as u16);
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        public_names: Vec::new(),
        insecure: false,
        runtime_dir: std::env::temp_dir().join(name),
        version: "0.0.0-test".to_owned(),
    }
}

impl Served {
    /// Starts one with so many hosts; `role` lowers its limits.
    pub(crate) fn start(role: &str, hosts: usize) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "only a process of its own can be aborted, starved and measured"
        )]
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "gate::served::serves_when_it_is_told_to", "--nocapture"])
            .env(ROLE, format!("hosts={hosts} {role}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, address)) = line.split_once("listening on ") {
                break address.parse().unwrap();
            }
        };
        Self { child, address }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn process(&self) -> Process {
        Process::new(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        self.process().fd_count().unwrap()
    }

    /// Open descriptors, once connections that are ending have ended.
    pub(crate) fn settled_descriptors(&self) -> usize {
        let mut before = usize::MAX;
        loop {
            let now = self.descriptors();
            if now == before {
                return now;
            }
            before = now;
            pause(Duration::from_millis(200));
        }
    }

    /// Resident memory.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.process().status().unwrap().vmrss.unwrap()
    }

    /// Waits until no more than so many descriptors are open.
    #[track_caller]
    pub(crate) fn settle(&self, descriptors: usize) {
        for _ in 0..400 {
            if self.descriptors() <= descriptors {
                return;
            }
            pause(Duration::from_millis(50));
        }
        panic!("{} descriptors are open, {descriptors} before", self.descriptors());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Closing its input ends it; its directory goes with it.
        drop(self.child.stdin.take());
        for _ in 0..100 {
            if !self.is_running() {
                return;
            }
            pause(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            panic!("the server did not stop within five seconds");
        }
    }
}

/// The other side: nothing, unless this program was started by [`Served::start`].
#[test]
fn serves_when_it_is_told_to() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let number = |name: &str| {
        let mut words = role.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
    };
    if let Some(limit) = number("descriptors") {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    let view = ScriptedView::new(number("hosts").unwrap() as usize, 60);
    view.panics.store(number("panics").is_some(), Ordering::Relaxed);
    let config = config();
    let runtime_dir = config.runtime_dir.clone();
    let handle = http::start(config, Arc::clone(&view) as _, Real::shared()).unwrap();
    let (stopper, stop) = stop::pair();
    let frames = thread::spawn("frames", move || {
        let mut seq = 0;
        while !stop.wait(FRAME_INTERVAL) {
            seq += 1;
            view.send("host-0000", seq, 1_700_000_000_000);
            view.pushed.lock().unwrap().clear();
        }
    });
    let said = format!("\nlistening on {}\n", handle.address());
    std::io::stdout().write_all(said.as_bytes()).unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(stopper);
    drop(frames);
    drop(handle);
    assert!(!runtime_dir.exists(), "nothing is left behind");
}
