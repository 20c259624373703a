//! A real Kafka broker for a test: started by `bin/kafka.sh` on a free port with a directory of
//! its own, killed and removed when the test ends, however it ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait;

/// How long a signalled process may take to be gone, or to stand still.
const SIGNAL_LIMIT: Duration = Duration::from_secs(30);

/// kcat waits for ever for a broker that is gone; a gigabyte of records takes it seconds.
const KCAT_LIMIT_S: &str = "300";

static BROKERS: AtomicU32 = AtomicU32::new(0);

/// A broker of this test process. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    directory: PathBuf,
    topics: Vec<String>,
    pid: Option<Pid>,
}

impl Broker {
    /// Starts a broker and creates the topics of `bin/kafka/topics`.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a broker and creates these topics (`name:partitions`) instead of the usual ones.
    #[must_use]
    pub fn start_with(topics: &[&str]) -> Self {
        let number = BROKERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("monitor-test-broker-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let mut broker = Self { port: free_port(), directory, topics, pid: None };
        broker.launch();
        broker.remove_when_this_process_is_gone();
        broker
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Settings, log and data.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills it with SIGKILL and waits until it is gone. Its data stays.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid.take() {
            let _ = kill_process(pid, Signal::KILL);
            wait::until("the killed broker's end", SIGNAL_LIMIT, || {
                // The first thread may be gone while others still hold the port.
                let ended = states(pid).iter().all(|state| *state == 'Z') && self.is_port_free();
                ended.then_some(())
            });
        }
    }

    /// Kills it and starts it again on the same port and data; returns when it is ready.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Ends it as an operator does, so that all it knows is on disk, and starts it again.
    pub fn restart_in_order(&mut self) {
        let mut script = command(concat!(env!("CARGO_MANIFEST_DIR"), "/bin/kafka.sh"));
        script.args(["stop", "--dir"]).arg(&self.directory).stdin(Stdio::null());
        let output = script.output().expect("bin/kafka.sh runs");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bin/kafka.sh stop failed:\n{words}");
        self.restart();
    }

    /// Stops its process without ending it (SIGSTOP): connections stay, nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let pid = self.pid.expect("a running broker");
        wait::until("the broker's standstill", SIGNAL_LIMIT, || {
            states(pid).iter().all(|state| *state == 'T').then_some(())
        });
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Runs one of Kafka's own tools (`org.apache.kafka.tools.*`) against it, with the settings of
    /// `bin/kafka.sh`, and gives back what it says.
    ///
    /// # Panics
    /// When it fails, with its words.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
        let mut java = command("java");
        java.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        java.arg(target.join("kafka/libs/*")).arg(format!("org.apache.kafka.tools.{class}"));
        java.args(["--bootstrap-server", &self.address()]).args(arguments);
        let output = java.stdin(Stdio::null()).output().expect("java runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{class} {arguments:?} failed:\n{said}{words}");
        said
    }

    /// Deletes the records of a partition before this offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: u32, before: u64) {
        let file = self.directory.join("delete-records.json");
        let wanted = format!(
            r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":{partition},"offset":{before}}}]}}"#
        );
        std::fs::write(&file, wanted).expect("the broker's folder can be written to");
        let said =
            self.tool("DeleteRecordsCommand", &["--offset-json-file", &file.to_string_lossy()]);
        assert!(said.contains(&format!("low_watermark: {before}")), "{said}");
    }

    fn is_port_free(&self) -> bool {
        TcpListener::bind(("127.0.0.1", self.port)).is_ok()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid.expect("a running broker"), signal).unwrap();
    }

    fn launch(&mut self) {
        let port = self.port.to_string();
        let mut script = command(concat!(env!("CARGO_MANIFEST_DIR"), "/bin/kafka.sh"));
        script.args(["start", "--port", &port, "--dir"]).arg(&self.directory);
        script.args(["--while", &std::process::id().to_string()]);
        for topic in &self.topics {
            script.args(["--topic", topic]);
        }
        let output = script.stdin(Stdio::null()).output().expect("bin/kafka.sh runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bin/kafka.sh start failed:\n{words}");
        let pid = said.trim().rsplit(' ').next().and_then(|pid| pid.parse().ok());
        let pid = pid.and_then(Pid::from_raw);
        self.pid = Some(pid.unwrap_or_else(|| panic!("no pid in '{said}'")));
    }

    /// The script kills the broker when this process ends without dropping it (a shared one, a
    /// crash); this removes its data as well.
    fn remove_when_this_process_is_gone(&self) {
        let script = r#"(tail --pid="$1" -f /dev/null; sleep 1; rm -rf "$2") &"#;
        let mut cleaner = command("setsid");
        cleaner.args(["sh", "-c", script, "cleaner", &std::process::id().to_string()]);
        cleaner.arg(&self.directory);
        cleaner.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(cleaner.status().expect("setsid runs").success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[expect(clippy::disallowed_methods, reason = "this helper exists to start other programs")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// The state of each thread: `S`, `R`, `T` (stopped), `Z` (ended), ...; none when the process is
/// gone.
fn states(pid: Pid) -> Vec<char> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let stats = tasks.into_iter().flatten().flatten().map(|task| task.path().join("stat"));
    stats
        .filter_map(|stat| std::fs::read_to_string(stat).ok())
        .filter_map(|stat| stat.rsplit(") ").next().and_then(|rest| rest.chars().next()))
        .collect()
}

/// What kcat, a reader that shares no code with us, prints of a topic up to its end. `more` are its
/// flags, `format` is of one record.
pub fn kcat(address: &str, topic: &str, more: &[&str], format: &str) -> Vec<String> {
    let output = command("timeout")
        .args([KCAT_LIMIT_S, "kcat", "-C", "-q", "-e", "-b", address, "-t", topic])
        .args(["-o", "beginning", "-f", &format!("{format}\\n")])
        .args(more)
        .output()
        .expect("kcat is installed by 'make setup'");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat of {topic}: {}: {words}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A port below the range that outgoing connections get, so that it is still free after a restart;
/// never the same twice in this process, and processes begin at different places.
pub fn free_port() -> u16 {
    static USED: AtomicU16 = AtomicU16::new(0);
    let first = 10_300 + u16::try_from(std::process::id() % 600).unwrap_or(0) * 32;
    loop {
        let port = first + USED.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no free port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
