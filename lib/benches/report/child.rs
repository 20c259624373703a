//! Processes of the bench itself, so that what drives a system is not counted with it.
//!
//! A child says one line when it is ready, then answers each line with one line of JSON, and ends
//! when its standard input does: with its parent, whatever happens to that.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitCode, Stdio};

use serde_json::Value;

use super::support::program::command;

#[path = "bare_server.rs"]
mod bare_server;
#[path = "flood.rs"]
mod flood;
#[path = "load.rs"]
mod load;
#[path = "null_server.rs"]
mod null_server;
#[path = "open_history.rs"]
pub mod open_history;
#[path = "played.rs"]
mod played;
#[path = "read_loop.rs"]
mod read_loop;
#[path = "replay.rs"]
mod replay;

/// A running child.
pub struct Helper {
    name: String,
    child: Child,
    ask: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// What it said when it was ready.
    pub ready: Value,
}

impl Helper {
    /// Starts this program as the child `name` and waits until it is ready.
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let mut child = command(program)
            .args(["--child", name])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let (ask, answers) = (child.stdin.take(), child.stdout.take());
        let answers = BufReader::new(answers.ok_or("no output")?).lines();
        let mut helper = Self { name: name.to_owned(), child, ask, answers, ready: Value::Null };
        helper.ready = helper.answer()?;
        Ok(helper)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has counted so far.
    pub fn counts(&mut self) -> Result<Value, String> {
        let ask = self.ask.as_mut().ok_or("the child was told to end")?;
        writeln!(ask, "counts").map_err(|error| format!("{}: {error}", self.name))?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Value, String> {
        match self.answers.next() {
            Some(Ok(line)) => {
                serde_json::from_str(&line).map_err(|error| format!("{}: {error}", self.name))
            }
            _ => Err(format!("the child '{}' ended; its words are above", self.name)),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.ask.take());
        // It may be in the middle of something; nothing of it is wanted any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs as a child.
pub fn main(arguments: &[String]) -> ExitCode {
    let Some((name, arguments)) = arguments.split_first() else { return ExitCode::from(2) };
    let result = match name.as_str() {
        "bare-server" => bare_server::run(arguments),
        "flood" => flood::run(arguments),
        "load" => load::run(arguments),
        "open-history" => open_history::run(arguments),
        "played" => played::run(arguments),
        "replay" => replay::run(arguments),
        "server" => null_server::run(arguments),
        "read-loop" => read_loop::run(arguments),
        other => Err(format!("no child '{other}'")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("{name}: {words}");
            ExitCode::from(2)
        }
    }
}

/// Says that the child is ready, then answers until nobody asks any more.
fn serve(ready: &Value, mut counts: impl FnMut() -> Value) -> Result<(), String> {
    println!("{ready}");
    for line in std::io::stdin().lines() {
        line.map_err(|error| format!("standard input: {error}"))?;
        println!("{}", counts());
    }
    Ok(())
}

/// The number behind `--name`.
fn number(arguments: &[String], name: &str) -> Result<u64, String> {
    let words = flag(arguments, name).ok_or_else(|| format!("{name} is missing"))?;
    words.parse().map_err(|_| format!("{name}: '{words}' is no number"))
}

/// The word behind `--name`.
fn flag<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}
