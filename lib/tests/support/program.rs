//! The real programs on free ports, their logs kept, ended by signal.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::wait;

/// How long a program may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `name` (a binary of this package) with its log in `folder`.
    pub fn start(name: &'static str, folder: &Path, arguments: &[&str]) -> Self {
        Self::run(name, folder, command(binary(name)).args(arguments))
    }

    /// The same, but a file that may not grow ends it no more than a full disk would: writing
    /// fails.
    pub fn start_under_limits(name: &'static str, folder: &Path, arguments: &[&str]) -> Self {
        let shell = ["-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
        Self::run(name, folder, command("sh").args(shell).arg(binary(name)).args(arguments))
    }

    fn run(name: &'static str, folder: &Path, command: &mut Command) -> Self {
        let number = std::fs::read_dir(folder).unwrap().count();
        let log = folder.join(format!("{name}-{number}.log"));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for a line of the log that holds `words`.
    #[track_caller]
    pub fn wait_for_log(&mut self, words: &str, limit: Duration) -> String {
        let what = format!("{}: '{words}' in {}", self.name, self.log.display());
        wait::until(&what, limit, || {
            let lines = BufReader::new(File::open(&self.log).unwrap()).lines();
            let found = lines.map_while(Result::ok).find(|line| line.contains(words));
            if found.is_none()
                && let Some(status) = self.child.try_wait().unwrap()
            {
                panic!(
                    "{} ended with {status} before it said '{words}':\n{}",
                    self.name,
                    self.log()
                );
            }
            found
        })
    }

    /// The address behind `words` in its log: `page on http://127.0.0.1:8003/`, `listening on ...`.
    #[track_caller]
    pub fn address(&mut self, words: &str) -> SocketAddr {
        let line = self.wait_for_log(words, START_LIMIT);
        let after = line.split(words).nth(1).unwrap().trim_start_matches("http://");
        let text: String =
            after.chars().take_while(|c| c.is_ascii_hexdigit() || ".:[]".contains(*c)).collect();
        text.parse().unwrap_or_else(|_| panic!("no address in '{line}'"))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// No file that it writes to becomes larger than this; `None`: as large as it likes.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{}: ending", self.name);
        wait::until(&what, limit, || self.child.try_wait().unwrap())
    }

    /// SIGTERM, then the end; the deadline users rely on is 5 s, four times that is allowed here.
    #[track_caller]
    pub fn stop(self) -> String {
        self.signal(Signal::TERM);
        self.stop_signalled()
    }

    /// The same, after the signal.
    #[track_caller]
    pub fn stop_signalled(mut self) -> String {
        let status = self.wait(Duration::from_secs(20));
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
        self.log()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo put a binary of this package.
pub fn binary(name: &str) -> PathBuf {
    match name {
        "monitor" => env!("CARGO_BIN_EXE_monitor"),
        "monitor-server" => env!("CARGO_BIN_EXE_monitor-server"),
        "monitor-client" => env!("CARGO_BIN_EXE_monitor-client"),
        "monitor-analysis" => env!("CARGO_BIN_EXE_monitor-analysis"),
        other => panic!("no program {other}"),
    }
    .into()
}

/// A command of another program, for tests alone.
#[allow(clippy::disallowed_methods, reason = "tests start programs; the product never does")]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}
