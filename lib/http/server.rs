//! The inner server: tiny_http on a Unix socket that only the gate can reach.
//!
//! The socket lies in a private directory (`directory.rs`), because whoever connects to it is past
//! the gate. A supervisor starts the server, and starts it anew when its socket refuses (an accept that fails
//! ends tiny_http's accepting thread for good).

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::body::Reader;
use super::counts::HttpCounts;
use super::directory::{self, Directory};
use super::gate::{Place, STREAMS};
use super::routes::{self, Context, Method, Request, Response};
use crate::base::backoff::Backoff;
use crate::base::stop::{self, Stop, Stopper};
use crate::base::thread::{self, Joined};

/// The running inner server. Dropping it ends its threads and removes its directory.
#[derive(Debug)]
pub(crate) struct InnerServer {
    _stopper: Stopper,
    _supervisor: Joined,
    _directory: Directory,
}

/// What the gate needs to reach it.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where it listens first.
    pub(crate) place: Place,
    /// Send the generation that refused to have it built anew.
    pub(crate) rebuild: Sender<u64>,
    /// Give the function that tells the gate where it listens next.
    pub(crate) moved: Sender<Box<dyn Fn(Place) + Send>>,
}

/// Starts it in a new directory under `runtime_dir`.
///
/// # Errors
/// The directory cannot be made, or the kernel refuses socket or threads.
pub(crate) fn start(
    runtime_dir: &Path,
    context: Arc<Context>,
    counts: Arc<HttpCounts>,
) -> io::Result<(InnerServer, Link)> {
    let directory = Directory::make(runtime_dir)?;
    let (rebuild, rebuild_asked) = bounded(1);
    let (moved, mover) = bounded(1);
    let (stopper, stop) = stop::pair();
    let place = directory.place(0);
    let running = Running::start(&place, &context, &counts, &rebuild)?;
    let supervisor = Supervisor {
        path: directory.path.clone(),
        context,
        counts,
        rebuild: rebuild.clone(),
        rebuild_asked,
        mover,
        generation: 0,
    };
    let link = Link { place, rebuild, moved };
    let supervisor = thread::spawn("http-server", move || supervisor.run(running, &stop))?;
    Ok((InnerServer { _stopper: stopper, _supervisor: supervisor, _directory: directory }, link))
}

/// Keeps one server running.
struct Supervisor {
    path: PathBuf,
    context: Arc<Context>,
    counts: Arc<HttpCounts>,
    rebuild: Sender<u64>,
    rebuild_asked: Receiver<u64>,
    mover: Receiver<Box<dyn Fn(Place) + Send>>,
    generation: u64,
}

impl Supervisor {
    fn run(mut self, running: Running, stop: &Stop) {
        let mut running = Some(running);
        let mut tell: Box<dyn Fn(Place) + Send> = Box::new(|_| {});
        loop {
            select! {
                recv(stop.channel()) -> _ => return,
                recv(self.mover) -> mover => match mover {
                    Ok(mover) => tell = mover,
                    // The gate has it: nothing more will come.
                    Err(_) => self.mover = crossbeam_channel::never(),
                },
                recv(self.rebuild_asked) -> generation => {
                    if generation == Ok(self.generation) {
                        drop(running.take());
                        let Some(anew) = self.build_anew(stop) else { return };
                        running = Some(anew);
                        tell(directory::place_in(&self.path, self.generation));
                    }
                }
            }
        }
    }

    /// Tries until it works; `None` when it is time to stop.
    fn build_anew(&mut self, stop: &Stop) -> Option<Running> {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            self.generation += 1;
            let place = directory::place_in(&self.path, self.generation);
            match Running::start(&place, &self.context, &self.counts, &self.rebuild) {
                Ok(running) => {
                    self.counts.server_rebuilt.increment();
                    log::warn!("http: the inner server was started anew");
                    return Some(running);
                }
                Err(error) => log::warn!("http: the inner server does not start: {error}"),
            }
            if stop.wait(backoff.next_wait()) {
                return None;
            }
        }
    }
}

/// One server with its workers.
struct Running {
    server: Arc<tiny_http::Server>,
    workers: Vec<Joined>,
}

impl Running {
    fn start(
        place: &Place,
        context: &Arc<Context>,
        counts: &Arc<HttpCounts>,
        rebuild: &Sender<u64>,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(&place.socket)?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        let mut running = Self { server: Arc::new(server), workers: Vec::new() };
        for _ in 0..STREAMS {
            let worker = Worker {
                server: Arc::clone(&running.server),
                context: Arc::clone(context),
                counts: Arc::clone(counts),
                rebuild: rebuild.clone(),
                generation: place.generation,
            };
            running.workers.push(thread::spawn("http-worker", move || worker.run())?);
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One word wakes one worker.
        for _ in &self.workers {
            self.server.unblock();
        }
        self.workers.clear();
        // Dropping the server itself comes last: it wakes its accepting thread through the socket,
        // and removes the file.
    }
}

/// Answers requests, one at a time.
struct Worker {
    server: Arc<tiny_http::Server>,
    context: Arc<Context>,
    counts: Arc<HttpCounts>,
    rebuild: Sender<u64>,
    generation: u64,
}

impl Worker {
    fn run(&self) {
        loop {
            match self.server.recv() {
                Ok(request) => {
                    // Answering includes tiny_http's own code, which must not end a worker either.
                    if thread::contain("http-worker", || self.answer(request)).is_none() {
                        self.counts.handlers_panicked.increment();
                    }
                }
                Err(error) if error.to_string() == "thread unblocked" => return,
                Err(error) => {
                    log::warn!("http: the inner server failed: {error}");
                    let _ = self.rebuild.try_send(self.generation);
                    return;
                }
            }
        }
    }

    fn answer(&self, request: tiny_http::Request) {
        let header = |name: &'static str| {
            let found = request.headers().iter().find(|header| header.field.equiv(name));
            found.map(|header| header.value.as_str())
        };
        let asked = Request {
            method: match request.method() {
                tiny_http::Method::Get => Method::Get,
                tiny_http::Method::Head => Method::Head,
                tiny_http::Method::Delete => Method::Delete,
                _ => Method::Other,
            },
            target: request.url(),
            if_none_match: header("if-none-match"),
            accept: header("accept"),
            accept_encoding: header("accept-encoding"),
        };
        let answer = thread::contain("http-handler", || routes::answer(&asked, &self.context));
        let answer = answer.unwrap_or_else(|| {
            self.counts.handlers_panicked.increment();
            Response::error(500, "a fault of this program; it was logged", "please report it")
        });
        // The gate may have given up and closed the stream: it knows better than we do.
        let _ = request.respond(convert(answer));
    }
}

fn convert(answer: Response) -> tiny_http::Response<Reader> {
    let headers = answer
        .headers
        .iter()
        .filter_map(|(name, value)| tiny_http::Header::from_bytes(*name, value.as_bytes()).ok())
        .collect();
    let length = answer.body.len();
    let status = tiny_http::StatusCode(answer.status);
    tiny_http::Response::new(status, headers, answer.body.reader(), Some(length), None)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
