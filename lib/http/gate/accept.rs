//! The public socket: one thread that accepts, and never gives up.
//!
//! Running out of descriptors is not an error that ends anything: the connection that has waited
//! longest makes room, and a moment later the kernel is asked again.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::connection::{self, Shared};
use super::refusal::Refusal;
use super::registry::Registry;
use super::stream::Stream;
use crate::base::stop::Stop;
use crate::base::thread;
use crate::base::throttle::Throttle;

/// Most connections at once, each with a thread. Browsers open six each: about 40 viewers loading
/// the page in the same moment; live streams are not counted here.
pub(crate) const CONNECTIONS_MAX: usize = 256;

/// Parsing a head and moving bytes needs a tenth of it; 256 of them are 32 MiB of address space.
const STACK_BYTES: usize = 128 * 1024;

/// How long a newcomer waits for the place of the one that was evicted.
const EVICTION_TIME_MAX: Duration = Duration::from_millis(50);

/// How long to wait when the kernel has no descriptor or no memory for a connection.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(20);

/// Wakes the accepting thread so that it can stop.
#[derive(Debug, Clone)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
    }

    pub(crate) fn wake(&self) {
        // It can only be full, and then it is awake.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// Accepts until `stop`; every connection gets a thread.
pub(crate) fn run(
    listener: &TcpListener,
    registry: &Arc<Registry>,
    shared: &Arc<Shared>,
    waker: &Waker,
    stop: &Stop,
) {
    let complaints = Throttle::new(Duration::from_secs(10));
    loop {
        wait(listener, waker);
        if stop.is_stopped() {
            return;
        }
        match listener.accept() {
            Ok((socket, _)) => admit(socket, registry, shared),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                shared.counts.accept_errors.increment();
                if let Some(left_out) = complaints.pass() {
                    log::warn!(
                        "http: a connection could not be accepted: {error} ({left_out} more since \
                         the last message); raise the limit of open files if this goes on"
                    );
                }
                if is_exhausted(&error) {
                    if registry.evict_oldest() {
                        shared.counts.connections_evicted.increment();
                    }
                    if stop.wait(EXHAUSTED_WAIT) {
                        return;
                    }
                }
            }
        }
    }
}

/// Until a connection waits or the waker was used. An error is as good as a wake-up: what is wrong
/// shows in `accept`.
fn wait(listener: &TcpListener, waker: &Waker) {
    let mut watched = [
        PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(waker.0.as_fd(), PollFlags::IN),
    ];
    let _ = poll(&mut watched, None);
}

/// What passes by itself once something is closed (accept(2)).
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|raw| exhausted.iter().any(|e| e.raw_os_error() == raw))
}

fn admit(socket: TcpStream, registry: &Arc<Registry>, shared: &Arc<Shared>) {
    shared.counts.connections.increment();
    let Ok(mut stream) = Stream::plain(socket) else { return };
    let mut slot = registry.enter(stream.socket());
    if slot.is_none() && registry.evict_oldest() {
        shared.counts.connections_evicted.increment();
        registry.wait_for_place(EVICTION_TIME_MAX);
        slot = registry.enter(stream.socket());
    }
    let Some(slot) = slot else {
        shared.counts.connections_refused.increment();
        let error = "all connections are busy";
        let refusal = Refusal::new(503, error, "the same again in a second");
        // A fresh socket's buffer is empty: this does not wait.
        let _ = stream.write_some(&refusal.answer());
        return;
    };
    let shared_there = Arc::clone(shared);
    let spawned = thread::spawn_with_stack("http-conn", Some(STACK_BYTES), move || {
        connection::serve(stream, slot, &shared_there);
    });
    match spawned {
        // The registry knows when it has ended.
        Ok(thread) => thread.abandon(),
        Err(error) => {
            shared.counts.connections_refused.increment();
            log::warn!("http: no thread for a connection: {error}");
        }
    }
}
