//! Another process of the same user asks the one that keeps a history for a copy of it.
//!
//! Only one process can have the file open, so a copy of a history in use is made by its user. The
//! asking side writes `backup.request` into the history's directory, which is its owner's alone:
//! the directory to copy to, an absolute path, and nothing else. The keeping side looks for it
//! between commits, takes it away, copies one consistent state on a thread of its own, and tells
//! how it goes in `backup.answer`: `copied N`, then `done N` or `failed: words`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::archive::Archive;
use super::store::{Progress, copy_to};
use crate::base::stop::Stop;
use crate::base::thread::{self, Joined};

const REQUEST: &str = "backup.request";
const ANSWER: &str = "backup.answer";

/// Longest path that is asked for.
const PATH_LEN_MAX: usize = 4_096;

/// How often the asking side looks for an answer, and how long it waits for the first: the keeping
/// side looks every five seconds, and a commit may hold it up.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const LOOKS_MAX: u32 = 300;

/// The keeping side.
#[derive(Debug)]
pub(super) struct Requests {
    dir: PathBuf,
    running: Option<Joined>,
}

impl Requests {
    pub(super) fn new(dir: &Path) -> Self {
        // Of an earlier run: whoever asked has given up since.
        let _ = fs::remove_file(dir.join(REQUEST));
        Self { dir: dir.to_owned(), running: None }
    }

    /// Begins what is asked for, if something is and nothing runs.
    pub(super) fn look(&mut self, archive: &Arc<Archive>) {
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let path = self.dir.join(REQUEST);
        let Ok(text) = fs::read_to_string(&path) else { return };
        let answer = self.dir.join(ANSWER);
        if let Err(error) = fs::remove_file(&path) {
            log::warn!("history: a request for a backup cannot be taken: {error}");
            return;
        }
        let archive = Arc::clone(archive);
        let body = move || tell(&answer, &copied(&archive, text.trim_end_matches('\n'), &answer));
        match thread::spawn("backup", body) {
            Ok(running) => self.running = Some(running),
            Err(error) => log::warn!("history: no thread for a backup: {error}"),
        }
    }
}

/// Makes the copy; the last words of the answer.
fn copied(archive: &Archive, to: &str, answer: &Path) -> String {
    let to = Path::new(to);
    if !to.is_absolute() || to.as_os_str().len() > PATH_LEN_MAX {
        return "failed: expected an absolute path".to_owned();
    }
    let copy = archive.store.snapshot().and_then(|snapshot| {
        let mut progress = |done: Progress| tell(answer, &format!("copied {}", done.bytes));
        copy_to(&snapshot, to, &mut progress)
    });
    match copy {
        Ok(Progress { bytes, .. }) => {
            log::info!("history: {bytes} bytes copied to '{}'", to.display());
            format!("done {bytes}")
        }
        Err(error) => {
            log::warn!("history: a backup to '{}' failed: {error}", to.display());
            format!("failed: {error}")
        }
    }
}

/// Replaces the answer, whole.
fn tell(answer: &Path, words: &str) {
    let next = answer.with_extension("next");
    let told = fs::write(&next, words).and_then(|()| fs::rename(&next, answer));
    if let Err(error) = told {
        log::warn!("history: the answer to a request for a backup cannot be written: {error}");
    }
}

/// Asks the process that keeps the history in `dir` to copy it to `to` (absolute), and waits until
/// it has; gives the bytes of the copy.
///
/// # Errors
/// In words: what went wrong there, or that nobody answers.
pub(super) fn ask(
    dir: &Path,
    to: &Path,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, String> {
    let io = |error: io::Error| format!("cannot ask in '{}': {error}", dir.display());
    let (request, answer) = (dir.join(REQUEST), dir.join(ANSWER));
    let text = to.to_str().ok_or("expected a path of valid UTF-8")?;
    match fs::remove_file(&answer) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let next = request.with_extension("next");
    fs::write(&next, text).and_then(|()| fs::rename(&next, &request)).map_err(io)?;
    let mut quiet = 0;
    let mut last = String::new();
    while quiet < LOOKS_MAX {
        if stop.wait(LOOK_INTERVAL) {
            let _ = fs::remove_file(&request);
            return Err("stopped; the copy may be incomplete".to_owned());
        }
        let words = fs::read_to_string(&answer).unwrap_or_default();
        quiet = if words == last { quiet + 1 } else { 0 };
        last = words;
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or_default();
        if let Some(bytes) = last.strip_prefix("done ") {
            return Ok(number(bytes));
        }
        if let Some(why) = last.strip_prefix("failed: ") {
            return Err(why.to_owned());
        }
        if let Some(bytes) = last.strip_prefix("copied ") {
            progress(number(bytes));
        }
    }
    let _ = fs::remove_file(&request);
    Err("the process that keeps the history does not answer; is it stopped or stuck?".to_owned())
}
