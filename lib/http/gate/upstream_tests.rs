//! The kept streams against a scripted inner server: whatever goes wrong on one of them, no later
//! request gets an earlier one's answer.

use super::*;
use crate::base::stop;
use crate::base::thread;
use crate::http::gate::head;
use std::os::unix::net::UnixListener;
use std::path::Path;

const SOON: Duration = Duration::from_secs(5);

/// A directory of this test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rtm-up-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn place(&self, generation: u64) -> Place {
        Place { socket: self.0.join(format!("{generation}.sock")), generation }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers each request with what stands in its path: `/<name>`, on every connection it gets.
fn serve(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    let accepting = thread::spawn("test-inner", move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let talking = thread::spawn("test-inner", move || while talk(&mut stream) {});
            talking.unwrap().abandon();
        }
    });
    accepting.unwrap().abandon();
}

fn talk(stream: &mut UnixStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return false;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let path = text.split(' ').nth(1).unwrap();
    let whole = |status: &str, announced: usize, body: &str| {
        format!(
            "HTTP/1.0 {status}\r\nServer: inner\r\nX: y\r\nContent-Length: {announced}\r\n\r\n{body}"
        )
    };
    let answer = match path {
        "/late" => {
            // What comes too late must not be taken for the answer to the next request.
            let (_stopper, stop) = stop::pair();
            let _ = stop.wait(Duration::from_millis(300));
            whole("200 OK", path.len(), path)
        }
        "/longer" => whole("200 OK", 3, "four"),
        "/shorter" => whole("200 OK", 100, "cut off"),
        "/unmodified" => whole("304 Not Modified", 500, ""),
        "/endless" => "X".repeat(100_000),
        "/huge" => whole("200 OK", ANSWER_BYTES_MAX + 1, ""),
        "/silent" => whole("200 OK", 0, "").replace("Content-Length: 0\r\n", ""),
        _ if text.starts_with("HEAD") => whole("200 OK", 12_345, ""),
        "/large" => whole("200 OK", 200_000, &"x".repeat(200_000)),
        _ => whole("200 OK", path.len(), path),
    };
    stream.write_all(answer.as_bytes()).is_ok() && path != "/shorter"
}

fn ask(upstream: &Upstream, method: &str, path: &str, wait: Duration) -> Result<String, String> {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = head::parse(text.as_bytes()).unwrap();
    match upstream.exchange(&head, b"", Instant::now() + wait) {
        Ok(answer) => {
            let lines = String::from_utf8(answer.headers.clone()).unwrap();
            assert_eq!(lines, "X: y\r\n", "the inner server's own lines are not passed on");
            let body = String::from_utf8(answer.body.to_vec()).unwrap();
            Ok(format!("{} {} {body}", answer.status, answer.content_length))
        }
        Err(UpstreamError::Late) => Err("late".to_owned()),
        Err(UpstreamError::OverBudget) => Err("over budget".to_owned()),
        Err(UpstreamError::Broken(words)) => Err(words),
    }
}

#[track_caller]
fn in_step(upstream: &Upstream) {
    // Once around all streams, and once more.
    for number in 0..2 * STREAMS {
        let path = format!("/right-{number}");
        let expected = format!("200 {} {path}", path.len());
        assert_eq!(ask(upstream, "GET", &path, SOON), Ok(expected));
    }
}

#[test]
fn whatever_goes_wrong_the_next_answer_is_the_right_one() {
    let folder = Folder::new("step");
    serve(&folder.place(0).socket);
    let (rebuild, _asked) = bounded(1);
    let upstream = Upstream::open(folder.place(0), Budget::new(1 << 20), rebuild).unwrap();
    in_step(&upstream);
    let short = Duration::from_millis(50);
    for (path, wait, expected) in [
        ("/late", short, "late"),
        ("/longer", SOON, "more than it had announced"),
        ("/shorter", SOON, "in the middle of an answer"),
        ("/endless", SOON, "inner server failed"),
        ("/huge", SOON, "larger than 8 MiB"),
        ("/silent", SOON, "no length"),
    ] {
        for _ in 0..STREAMS {
            let words = ask(&upstream, "GET", path, wait).unwrap_err();
            assert!(words.contains(expected), "{path}: {words}");
        }
        in_step(&upstream);
    }
}

#[test]
fn answers_without_a_body_keep_the_stream_in_step_whatever_their_length_says() {
    let folder = Folder::new("bodiless");
    serve(&folder.place(0).socket);
    let (rebuild, _asked) = bounded(1);
    let upstream = Upstream::open(folder.place(0), Budget::new(1 << 20), rebuild).unwrap();
    for _ in 0..2 * STREAMS {
        assert_eq!(ask(&upstream, "HEAD", "/x", SOON), Ok("200 12345 ".to_owned()));
        assert_eq!(ask(&upstream, "GET", "/unmodified", SOON), Ok("304 500 ".to_owned()));
    }
    in_step(&upstream);
}

#[test]
fn the_budget_refuses_and_recovers() {
    let folder = Folder::new("budget");
    serve(&folder.place(0).socket);
    let (rebuild, _asked) = bounded(1);
    let budget = Budget::new(300_000);
    let upstream = Upstream::open(folder.place(0), Arc::clone(&budget), rebuild).unwrap();
    let held = budget.take(200_000).unwrap();
    assert_eq!(ask(&upstream, "GET", "/large", SOON), Err("over budget".to_owned()));
    in_step(&upstream);
    drop(held);
    for _ in 0..2 * STREAMS {
        assert!(ask(&upstream, "GET", "/large", SOON).unwrap().starts_with("200 200000 xxx"));
    }
}

#[test]
fn a_server_that_moved_is_followed_and_one_that_refuses_is_reported() {
    let folder = Folder::new("moved");
    serve(&folder.place(0).socket);
    let (rebuild, asked) = bounded(1);
    let upstream = Upstream::open(folder.place(0), Budget::new(1 << 20), rebuild).unwrap();
    upstream.move_to(folder.place(1));
    for _ in 0..STREAMS {
        let words = ask(&upstream, "GET", "/x", SOON).unwrap_err();
        assert!(words.contains("cannot be reached"), "{words}");
    }
    assert_eq!(asked.try_recv(), Ok(1), "the generation that refused, once");
    assert!(asked.try_recv().is_err());
    serve(&folder.place(1).socket);
    in_step(&upstream);
}
