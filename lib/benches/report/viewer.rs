//! A viewer of the fleet page without a page: reads the live stream and notes how old frames are.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use realtime_monitor::base::histogram::Histogram;
use realtime_monitor::base::thread;
use serde_json::Value;

/// Place of `time_ms` in a row of the event `frames`.
const TIME_MS: usize = 3;

/// Reads until the stream ends or this is dropped.
pub struct Viewer {
    stream: TcpStream,
    seen: Arc<Mutex<Seen>>,
}

/// What has come since the start or the last [`Viewer::forget`].
#[derive(Default)]
pub struct Seen {
    /// Age of each row when it had been read: this machine's clock is the server's, too.
    pub age: Histogram,
    pub bytes: u64,
    pub events: u64,
    /// Rows of frames that were sampled earlier do not count, Unix ms.
    since_ms: u64,
}

impl Viewer {
    pub fn open(address: SocketAddr) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("live stream: {error}");
        let mut stream = TcpStream::connect(address).map_err(wrong)?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(wrong)?;
        let path = "/api/live?summary=1";
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(wrong)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (lines, shared) = (stream.try_clone().map_err(wrong)?, Arc::clone(&seen));
        let reader = thread::spawn("viewer", move || read(BufReader::new(lines), &shared));
        reader.map_err(wrong)?.abandon();
        Ok(Self { stream, seen })
    }

    /// Begins anew.
    pub fn forget(&self) {
        *self.seen.lock().unwrap() = Seen::default();
    }

    /// Begins anew, and leaves out what was sampled before a time.
    pub fn forget_before(&self, since_ms: u64) {
        *self.seen.lock().unwrap() = Seen { since_ms, ..Seen::default() };
    }

    pub fn seen(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn read(mut lines: BufReader<TcpStream>, seen: &Mutex<Seen>) {
    let (mut line, mut frames) = (String::new(), false);
    while lines.read_line(&mut line).is_ok_and(|len| len > 0) {
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        let mut seen = seen.lock().unwrap();
        seen.bytes += line.len() as u64;
        if let Some(name) = line.strip_prefix("event: ") {
            frames = name.trim_end() == "frames";
            seen.events += 1;
        } else if let Some(data) = line.strip_prefix("data: ").filter(|_| frames) {
            let data: Value = serde_json::from_str(data).unwrap_or_default();
            for row in data["rows"].as_array().into_iter().flatten() {
                let time_ms = row[TIME_MS].as_u64().filter(|time_ms| *time_ms >= seen.since_ms);
                if let Some(time_ms) = time_ms {
                    seen.age.record(now_us.saturating_sub(time_ms * 1_000));
                }
            }
        }
        line.clear();
    }
}
