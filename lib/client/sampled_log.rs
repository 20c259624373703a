//! A diagnostic: one line for every frame sampled, as truth that depends on nothing that the rest
//! of the system says: `session seq time_ms`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::metric::Frame;

/// The file, opened for appending.
#[derive(Debug)]
pub(super) struct SampledLog {
    file: File,
}

impl SampledLog {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().append(true).create(true).open(path)? })
    }

    /// One write, so that a client that is killed leaves whole lines.
    pub(super) fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let line = format!("{} {} {}\n", frame.session, frame.seq, frame.time_ms);
        self.file.write_all(line.as_bytes())
    }
}
