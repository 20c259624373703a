//! One answer from its question to its last byte, host by host.

use std::io;
use std::sync::atomic::Ordering;

use super::output::Output;
use super::{Job, csv, json};
use crate::analysis::view::{HostAnswer, QueryError, QuerySpec};
use crate::base::thread;
use crate::http::gate::Refusal;
use crate::http::query::past::{Asked, Format};
use crate::http::query::time;
use crate::http::snapshot::Context;
use crate::metric::HostName;

/// Answers a question; an error when its viewer has left.
pub(super) fn make(job: &Job, context: &Context) -> io::Result<()> {
    let output = Output::new(&job.pieces, headers(&job.asked), job.may_gzip);
    let begun = guarded(context, || context.view.query(&job.asked.spec));
    let mut answer = match begun {
        Ok(answer) => answer,
        Err(refusal) => return refuse(output, &refusal, job.head_only, context),
    };
    if job.head_only {
        return output.head_alone();
    }
    let mut table = Table::begin(&job.asked, output)?;
    let failure = loop {
        if job.is_unwanted.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match guarded(context, || answer.next().transpose()) {
            Ok(None) => return table.end(),
            Ok(Some(host)) => table.host(host)?,
            Err(refusal) => break refusal,
        }
        if let Some(refusal) = table.is_too_large() {
            break refusal;
        }
    };
    // It may hold a part of the store that it has read; nothing more comes of it.
    drop(answer);
    if !table.output.has_begun() {
        return refuse(table.output, &failure, false, context);
    }
    context.counts.answers_failed.increment();
    log::warn!("http: an answer to /api/query ends before its time: {}", failure.error);
    table.fail(&failure)
}

/// An answer that has only words.
fn refuse(
    output: Output<'_>,
    refusal: &Refusal,
    head_only: bool,
    context: &Context,
) -> io::Result<()> {
    if refusal.status >= 500 {
        context.counts.answers_failed.increment();
        log::warn!("http: a question to the past has no answer: {}", refusal.error);
    }
    output.refuse(refusal, head_only)
}

/// Runs a step of the engine: its errors and its panics in words.
fn guarded<T>(
    context: &Context,
    step: impl FnOnce() -> Result<T, QueryError>,
) -> Result<T, Refusal> {
    match thread::contain("http-query", step) {
        Some(result) => result.map_err(|error| in_words(&error)),
        None => {
            context.counts.handlers_panicked.increment();
            let error = "a fault of this program; it was logged";
            Err(Refusal::new(500, error, "please report it"))
        }
    }
}

/// Why there is no answer, for the viewer.
fn in_words(error: &QueryError) -> Refusal {
    match error {
        QueryError::UnknownHost(host) => unknown_host(host),
        QueryError::TooMuch { what, expected } => Refusal::new(422, what, expected),
        QueryError::Store(words) => {
            let error = format!("the history cannot be read now: {words}");
            Refusal::new(503, error, "the same again later; /api/history says how it is")
        }
    }
}

/// Nothing is known of a host.
pub(crate) fn unknown_host(host: &HostName) -> Refusal {
    Refusal::new(404, format!("no host '{host}' has been seen"), "a host that /api/hosts lists")
}

/// Header lines of an answer.
fn headers(asked: &Asked) -> Vec<u8> {
    let mut lines = "Cache-Control: no-store\r\nVary: Accept-Encoding\r\n".to_owned();
    match asked.format {
        Format::Json => lines.push_str("Content-Type: application/json\r\n"),
        Format::Csv => {
            let name = file_name(&asked.spec);
            lines.push_str("Content-Type: text/csv; header=present\r\n");
            lines.push_str(&format!("Content-Disposition: attachment; filename=\"{name}\"\r\n"));
        }
    }
    lines.into_bytes()
}

/// A name for a file, of characters that every file system takes.
fn file_name(spec: &QuerySpec) -> String {
    let hosts = match spec.hosts.as_slice() {
        [] => "all-hosts".to_owned(),
        [host] => host.to_string(),
        hosts => format!("{}-hosts", hosts.len()),
    };
    let [from, to] = [spec.from_ms, spec.to_ms].map(|time_ms| {
        let text = time::to_rfc3339(time_ms);
        let digits = text.chars().filter(|c| !matches!(c, '-' | ':'));
        // 20231114T221320Z: nobody needs the milliseconds in a name.
        digits.take("20231114T221320".len()).chain(['Z']).collect::<String>()
    });
    format!("{hosts}_{from}_{to}.csv")
}

/// The answer in its format.
struct Table<'a> {
    output: Output<'a>,
    /// `None` for a table of rows, which has no end.
    document: Option<json::Document>,
}

impl<'a> Table<'a> {
    fn begin(asked: &Asked, mut output: Output<'a>) -> io::Result<Self> {
        let (from_ms, to_ms) = (asked.spec.from_ms, asked.spec.to_ms);
        let document = match asked.format {
            Format::Json => Some(json::Document::begin(&mut output, from_ms, to_ms)?),
            Format::Csv => {
                csv::begin(&mut output)?;
                None
            }
        };
        Ok(Self { output, document })
    }

    fn host(&mut self, host: HostAnswer) -> io::Result<()> {
        match &mut self.document {
            Some(document) => document.host(&mut self.output, host)?,
            None => {
                for series in &host.series {
                    csv::series(&mut self.output, series)?;
                }
            }
        }
        self.output.tick()
    }

    fn is_too_large(&self) -> Option<Refusal> {
        let too_large = self.document.as_ref().is_some_and(json::Document::is_too_large);
        too_large.then(|| {
            let error = "so many sessions began in this range that one answer cannot hold them";
            Refusal::new(422, error, "a shorter range, or fewer hosts")
        })
    }

    fn end(mut self) -> io::Result<()> {
        if let Some(document) = &self.document {
            document.end(&mut self.output, None)?;
        }
        self.output.end()
    }

    /// A document says what is missing and is whole; a table cannot, so it is seen to be cut off.
    fn fail(mut self, failure: &Refusal) -> io::Result<()> {
        match &self.document {
            Some(document) => {
                document.end(&mut self.output, Some(failure))?;
                self.output.end()
            }
            None => {
                csv::failure(&mut self.output, failure)?;
                self.output.cut_off()
            }
        }
    }
}
