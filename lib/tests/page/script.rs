//! A script of this folder, run by node: it drives the browser and says on standard output, one
//! JSON object a line, what it has seen and what it waits for.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use realtime_monitor::base::thread::{self, Joined};
use serde_json::{Value, json};

use crate::support::program::command;
use crate::support::{repository, target};

/// Lines that may wait for the test.
const LINES_WAITING_MAX: usize = 1_024;

/// A running script; killed with its browser when dropped.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    child: Child,
    lines: Receiver<Value>,
    _reader: Joined,
}

impl Script {
    /// Starts `name`.mjs. `folder` is for the browser's own files, `settings` for the script.
    pub(crate) fn start(name: &'static str, folder: &Path, mut settings: Value) -> Self {
        let scripts = repository().join("lib/tests/page");
        assert!(
            scripts.join("node_modules").is_dir(),
            "run 'make setup': npm packages are missing"
        );
        let pictures = target().join("screenshots");
        std::fs::create_dir_all(&pictures).unwrap();
        settings["pictures"] = json!(pictures);
        let mut child = command("node")
            .arg(scripts.join(format!("{name}.mjs")))
            .arg(settings.to_string())
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed by 'make setup'");
        let (send, lines) = bounded(LINES_WAITING_MAX);
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = thread::spawn("script", move || {
            for line in output.lines().map_while(Result::ok) {
                let said = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "says": line }));
                if send.send(said).is_err() {
                    break;
                }
            }
        });
        Self { name, child, lines, _reader: reader.unwrap() }
    }

    /// Waits until the script asks for something to be done: `ask` in its words.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, ask: &str, limit: Duration) -> Value {
        let deadline = Instant::now() + limit;
        loop {
            let said = self.next(ask, deadline);
            if said["ask"] == ask {
                return said;
            }
            assert!(said["ask"].is_null(), "{}: expected '{ask}', it asks {said}", self.name);
            assert!(said["done"].is_null(), "{}: ended before '{ask}'", self.name);
        }
    }

    /// Says that it is done.
    pub(crate) fn answer(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"done\n").unwrap();
    }

    /// Waits for its end, and gives what it reports.
    #[track_caller]
    pub(crate) fn finish(mut self, limit: Duration) -> Value {
        let deadline = Instant::now() + limit;
        loop {
            let said = self.next("its end", deadline);
            if !said["done"].is_null() {
                return said["done"].clone();
            }
            assert!(said["ask"].is_null(), "{}: nobody expected {said}", self.name);
        }
    }

    #[track_caller]
    fn next(&mut self, awaited: &str, deadline: Instant) -> Value {
        let said = self.lines.recv_deadline(deadline);
        let said = said.unwrap_or_else(|error| panic!("{}: {awaited}: {error}", self.name));
        if let Some(words) = said["failed"].as_str() {
            panic!("{}.mjs: {words}", self.name);
        }
        eprintln!("{}: {said}", self.name);
        said
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Its standard input closes with it: the script then closes the browser by itself.
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            crate::support::wait::pause(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
