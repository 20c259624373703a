//! `/api/query`: answers from the past, written while they are read.
//!
//! ```text
//! connection thread: parameters -> Job --(a line)--> one of two query threads
//!        ^                                  answer.rs: the view's iterator, host by host
//!        |                                    json.rs, csv.rs: one of two formats
//!        +---- pieces (a bounded channel) <---- output.rs: pieces of 32 KiB, gzip
//! ```
//!
//! Questions are work, so few are answered at a time and some wait for a short time; the threads
//! are their own, so that neither the page nor a live stream waits for them. An answer is held by
//! one host and one mebibyte of what the viewer has not taken yet, however long it is.

mod answer;
mod csv;
mod json;
mod output;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};

use super::gate::{Budget, PastDoor, Piece, Pieces, Question, Refusal};
use super::gzip;
use super::query::past::Asked;
use super::snapshot::Context;
use crate::base::stop::{self, Stop, Stopper};
use crate::base::thread::{self, Joined};

pub(crate) use answer::unknown_host;

/// Questions answered at a time: more would not be answered sooner on a machine that measures,
/// serves its page and reads the bus at the same time.
const QUERIES_MAX: usize = 2;

/// Questions that wait: at two a time and 0.3 s each the last of them has its turn within the five
/// seconds that a question waits.
const QUERIES_WAITING_MAX: usize = 32;

/// What may wait for a viewer. Charts of 60 series and 1,000 points are a fifth of it when they are
/// compressed: their query is over long before a slow viewer has them.
const AHEAD_BYTES: usize = 1024 * 1024;
const AHEAD_PIECES: usize = AHEAD_BYTES / output::PIECE_BYTES;

/// A question in the line.
#[derive(Debug)]
struct Job {
    asked: Asked,
    may_gzip: bool,
    head_only: bool,
    pieces: Sender<Piece>,
    is_unwanted: Arc<AtomicBool>,
}

/// Where connections put their questions.
#[derive(Debug)]
pub(crate) struct Door {
    context: Arc<Context>,
    budget: Arc<Budget>,
    jobs: Sender<Job>,
}

/// The running query threads; dropping it waits until each has ended its step.
#[derive(Debug)]
pub(crate) struct Past {
    _stopper: Stopper,
    _threads: Vec<Joined>,
}

/// Starts the query threads.
///
/// # Errors
/// The kernel refuses a thread.
pub(crate) fn start(context: &Arc<Context>, budget: &Arc<Budget>) -> io::Result<(Past, Arc<Door>)> {
    let (jobs, line) = bounded::<Job>(QUERIES_WAITING_MAX);
    let (stopper, stop) = stop::pair();
    let mut threads = Vec::new();
    for _ in 0..QUERIES_MAX {
        let (context, line, stop) = (Arc::clone(context), line.clone(), stop.clone());
        threads.push(thread::spawn("http-query", move || run(&context, &line, &stop))?);
    }
    let door = Door { context: Arc::clone(context), budget: Arc::clone(budget), jobs };
    Ok((Past { _stopper: stopper, _threads: threads }, Arc::new(door)))
}

/// One query thread: answers questions until it is time to stop.
fn run(context: &Context, line: &Receiver<Job>, stop: &Stop) {
    loop {
        let job = select! {
            recv(stop.channel()) -> _ => return,
            recv(line) -> job => match job {
                Ok(job) => job,
                Err(_) => return,
            },
        };
        // Who waited too long has left.
        if job.pieces.send(Piece::Started).is_err() {
            continue;
        }
        context.counts.queries.increment();
        match thread::contain("http-query", || answer::make(&job, context)) {
            Some(Ok(())) => {}
            // The gate knows why, and counts it.
            Some(Err(error)) => log::debug!("http: a query was given up: {error}"),
            None => context.counts.handlers_panicked.increment(),
        }
    }
}

impl PastDoor for Door {
    fn ask(&self, question: &Question<'_>) -> Result<Pieces, Refusal> {
        let asked = Asked::parse(question.query, self.context.server_time_ms())?;
        let busy = |error: &str| {
            self.context.counts.queries_refused.increment();
            Refusal::new(503, error, "the same again in some seconds")
        };
        let permit = self.budget.take(AHEAD_BYTES);
        let permit = permit.ok_or_else(|| busy("too many large answers wait for slow viewers"))?;
        let (pieces, receiver) = bounded(AHEAD_PIECES);
        let is_unwanted = Arc::new(AtomicBool::new(false));
        let job = Job {
            asked,
            may_gzip: gzip::is_accepted(question.accept_encoding),
            head_only: question.head_only,
            pieces,
            is_unwanted: Arc::clone(&is_unwanted),
        };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(Pieces { receiver, is_unwanted, _permit: permit }),
            Err(TrySendError::Full(_)) => {
                Err(busy(&format!("{QUERIES_WAITING_MAX} queries wait already")))
            }
            Err(TrySendError::Disconnected(_)) => {
                Err(Refusal::new(503, "this program is stopping", "the same again in a minute"))
            }
        }
    }
}

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
