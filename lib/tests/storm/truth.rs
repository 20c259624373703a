//! What a client itself says that it sampled, through a pipe: what was written to it outlives the
//! client, and a disk that is full does not keep it out.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

/// Session and its last frame: they are numbered from 1 without holes.
pub type Run = (String, u64);

/// The end of a pipe that is read. It holds 64 KiB, two minutes of a client at 10 Hz.
#[derive(Debug)]
pub struct Truth {
    pub path: PathBuf,
    pipe: File,
    /// A line of which the end is not here yet.
    rest: Vec<u8>,
    /// In the order of their beginning.
    pub runs: Vec<Run>,
}

impl Truth {
    pub fn new(path: &Path) -> Self {
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
        // Also for writing, so that it is not at its end whenever no client runs.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = File::from(open(path, flags, Mode::empty()).unwrap());
        Self { path: path.to_owned(), pipe, rest: Vec::new(), runs: Vec::new() }
    }

    /// Takes what was written since.
    pub fn drain(&mut self) {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.pipe.read(&mut buffer) {
                Ok(len) => self.rest.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{}: {error}", self.path.display()),
            }
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        for line in String::from_utf8(lines).unwrap().lines() {
            self.take(line);
        }
    }

    fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        let session = words.next().unwrap();
        let seq: u64 = words.next().unwrap().parse().unwrap();
        match self.runs.last_mut() {
            Some((known, last)) if known == session => {
                *last += 1;
                assert_eq!(seq, *last, "numbered without holes: {line}");
            }
            _ => {
                assert_eq!(seq, 1, "numbered from 1: {line}");
                self.runs.push((session.to_owned(), 1));
            }
        }
    }
}
