//! A document of the past, written series by series.

use std::io::{self, Write};

use crate::analysis::view::HostAnswer;
use crate::http::gate::Refusal;
use crate::http::view;
use crate::metric::HostName;

/// Times of session starts that one answer can hold, because they come last and are kept until
/// then: 8 MB.
const SESSION_STARTS_MAX: usize = 1_000_000;

/// How far the document is.
#[derive(Debug, Default)]
pub(super) struct Document {
    has_series: bool,
    starts: Vec<(HostName, Vec<u64>)>,
    starts_count: usize,
}

impl Document {
    pub(super) fn begin(out: &mut impl Write, from_ms: u64, to_ms: u64) -> io::Result<Self> {
        write!(out, "{{\"from_ms\":{from_ms},\"to_ms\":{to_ms},\"series\":[")?;
        Ok(Self::default())
    }

    /// Writes what is known of one host.
    pub(super) fn host(&mut self, out: &mut impl Write, answer: HostAnswer) -> io::Result<()> {
        for series in &answer.series {
            if self.has_series {
                out.write_all(b",")?;
            }
            self.has_series = true;
            view::write_series(out, series)?;
        }
        if let Some(host) = answer.host {
            self.starts_count += answer.session_starts_ms.len();
            match self.starts.last_mut().filter(|(last, _)| *last == host) {
                // A host in several parts is still one host.
                Some((_, starts)) => {
                    starts.extend(answer.session_starts_ms);
                    starts.sort_unstable();
                    starts.dedup();
                }
                None => self.starts.push((host, answer.session_starts_ms)),
            }
        }
        Ok(())
    }

    /// Whether there is more to be kept than one answer can hold.
    pub(super) fn is_too_large(&self) -> bool {
        self.starts_count > SESSION_STARTS_MAX
    }

    /// Ends the document, whatever has become of it.
    pub(super) fn end(&self, out: &mut impl Write, failure: Option<&Refusal>) -> io::Result<()> {
        out.write_all(b"],\"session_starts_ms\":{")?;
        for (at, (host, starts)) in self.starts.iter().enumerate() {
            if at > 0 {
                out.write_all(b",")?;
            }
            view::write(out, &**host)?;
            out.write_all(b":")?;
            view::write(out, starts)?;
        }
        out.write_all(b"}")?;
        if let Some(failure) = failure {
            out.write_all(b",\"error\":")?;
            out.write_all(&failure.body())?;
        }
        out.write_all(b"}")
    }
}
