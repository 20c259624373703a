//! A plain HTTP client that sends exactly what it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use realtime_monitor::base::stop;

/// No wait in these tests is longer, except where a deadline of the gate is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn pause(time: Duration) {
    let (_stopper, stop) = stop::pair();
    let _ = stop.wait(time);
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends bytes and reads until the other side closes.
pub(crate) fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // The gate may refuse before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    rest_of(stream)
}

/// What is still to come.
pub(crate) fn rest_of(mut stream: TcpStream) -> Vec<u8> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..count]);
    }
    answer
}

/// The status of an answer; 0 when there is none.
pub(crate) fn status_of(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A body as it was before it was compressed, if it was.
pub(crate) fn plain(head: &str, body: Vec<u8>) -> Vec<u8> {
    if !head.contains("\r\nContent-Encoding: gzip\r\n") {
        return body;
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
    plain
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str) -> (u16, Vec<u8>) {
    let (status, _, body) =
        Connection::open(address).request("GET", target, "Connection: close\r\n");
    (status, body)
}

/// `count` requests, half of them on one connection: each must get its right answer.
#[track_caller]
pub(crate) fn honest(address: SocketAddr, count: usize) {
    let check = |(status, body): (u16, Vec<u8>), host: &str, number: usize| {
        assert_eq!(status, 200, "request {number} of {count}");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["host"]["host"], host, "request {number} of {count}");
    };
    let target = |number: usize| format!("host-000{}", number % 3);
    let mut kept = Connection::open(address);
    for number in 0..count {
        let host = target(number);
        let path = format!("/api/hosts/{host}");
        if number % 2 == 0 {
            check(get(address, &path), &host, number);
        } else {
            // A connection without a request may be evicted like any other; browsers ask again.
            let answer = kept.try_get(&path).unwrap_or_else(|| {
                kept = Connection::open(address);
                kept.get(&path)
            });
            check(answer, &host, number);
        }
    }
}

/// A connection that is used again and again.
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self { stream: connect(address), input: Vec::new() }
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(crate) fn get(&mut self, target: &str) -> (u16, Vec<u8>) {
        self.try_get(target).unwrap()
    }

    fn try_get(&mut self, target: &str) -> Option<(u16, Vec<u8>)> {
        let (status, _, body) = self.exchange("GET", target, "", b"")?;
        Some((status, body))
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        lines: &str,
    ) -> (u16, String, Vec<u8>) {
        self.request_with(method, target, lines, b"")
    }

    pub(crate) fn request_with(
        &mut self,
        method: &str,
        target: &str,
        lines: &str,
        body: &[u8],
    ) -> (u16, String, Vec<u8>) {
        self.exchange(method, target, lines, body).unwrap()
    }

    /// `None` when the connection was closed before the answer began.
    fn exchange(
        &mut self,
        method: &str,
        target: &str,
        lines: &str,
        body: &[u8],
    ) -> Option<(u16, String, Vec<u8>)> {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}{lines}\r\n");
        self.stream.write_all(head.as_bytes()).ok()?;
        self.stream.write_all(body).ok()?;
        let head = self.head()?;
        if head.contains("\r\nTransfer-Encoding: chunked\r\n") {
            let body = self.chunks()?;
            return Some((status_of(head.as_bytes()), head, body));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |text| text.parse().unwrap());
        let length = if method == "HEAD" { 0 } else { length };
        while self.input.len() < length {
            self.more().unwrap();
        }
        let body = self.input.drain(..length).collect();
        Some((status_of(head.as_bytes()), head, body))
    }

    /// A body in chunks; `None` when it ends before its last chunk.
    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Some(body);
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The next chunk; the last one is empty.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = loop {
            if let Some(at) = self.input.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            self.more()?;
        };
        let text = String::from_utf8(self.input.drain(..line + 2).collect()).unwrap();
        let length = usize::from_str_radix(text.trim_end(), 16).unwrap();
        while self.input.len() < length + 2 {
            self.more()?;
        }
        let chunk = self.input.drain(..length).collect();
        assert_eq!(self.input.drain(..2).collect::<Vec<_>>(), b"\r\n");
        Some(chunk)
    }

    /// Sends a request and reads the head of its answer.
    pub(crate) fn begin(&mut self, target: &str, lines: &str) -> String {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        self.stream.write_all(head.as_bytes()).unwrap();
        self.head().unwrap()
    }

    fn head(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        Some(String::from_utf8(self.input.drain(..end).collect()).unwrap())
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 65_536];
        let count = self.stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        self.input.extend_from_slice(&buffer[..count]);
        Some(())
    }
}
