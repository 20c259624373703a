//! The gate: owns the public socket, and lets nothing through that was not understood.
//!
//! ```text
//! accept.rs      one thread; cap, eviction, survival without descriptors
//!   connection.rs  a thread per connection; deadlines for head, body, answer
//!     head.rs        one parsed head, or a refusal (refusal.rs)
//!     upstream.rs    four kept streams to the inner server, the whole answer, its budget
//!     relay.rs       /api/query: an answer that is passed on as it is made (PastDoor)
//!     LiveDoor       /api/live leaves here, with its connection
//! ```
//!
//! The inner server cannot stand on a public socket: one request with a huge length aborts the
//! process, idle connections starve others, one accept that fails ends it, and it knows neither
//! deadlines nor limits.

mod accept;
mod budget;
mod connection;
mod head;
mod refusal;
mod registry;
mod relay;
mod stream;
mod upstream;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::base::stop::{self, Stopper};
use crate::base::thread::{self, Joined};
use crate::http::counts::HttpCounts;
use crate::http::policy::KnownNames;

pub(crate) use budget::{Budget, Permit};
pub(crate) use connection::LiveDoor;
pub(crate) use refusal::{RETRY_AFTER_S, Refusal, head as answer_head};
pub(crate) use registry::Slot;
pub(crate) use relay::{PastDoor, Piece, Pieces, Question};
pub(crate) use stream::Stream;
pub(crate) use upstream::{ANSWER_BYTES_MAX, Place, STREAMS, Upstream};

/// Answers and snapshots above 128 KiB that may wait for their viewers at once: eight of the
/// largest, or thirty pages of a thousand hosts.
pub(crate) const ANSWER_BUDGET_BYTES: usize = 64 * 1024 * 1024;

/// How long connections get to end at a stop; they were shut down, so they need no longer.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// The running gate. Dropping it closes the socket and ends every connection.
#[derive(Debug)]
pub(crate) struct Gate {
    stopper: Option<Stopper>,
    waker: accept::Waker,
    accepting: Option<Joined>,
    registry: Arc<registry::Registry>,
    shared: Arc<connection::Shared>,
}

/// Opens the public socket.
///
/// # Errors
/// The kernel's words: in use, not permitted, not an address of this machine.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Starts accepting.
///
/// # Errors
/// The kernel refuses a thread, a descriptor or the streams to the inner server.
pub(crate) fn start(
    listener: TcpListener,
    names: KnownNames,
    (place, rebuild): (Place, Sender<u64>),
    (live, past): (Arc<dyn LiveDoor>, Arc<dyn PastDoor>),
    budget: &Arc<Budget>,
    counts: &Arc<HttpCounts>,
) -> io::Result<Gate> {
    let upstream = Upstream::open(place, Arc::clone(budget), rebuild)?;
    let counts = Arc::clone(counts);
    let stopping = AtomicBool::new(false);
    let shared = Arc::new(connection::Shared { upstream, live, past, names, counts, stopping });
    let registry = registry::Registry::new(accept::CONNECTIONS_MAX);
    let waker = accept::Waker::new()?;
    let (stopper, stop) = stop::pair();
    let inside = (Arc::clone(&registry), Arc::clone(&shared), waker.clone());
    let accepting = thread::spawn("http-accept", move || {
        let (registry, shared, waker) = inside;
        accept::run(&listener, &registry, &shared, &waker, &stop);
    })?;
    Ok(Gate { stopper: Some(stopper), waker, accepting: Some(accepting), registry, shared })
}

impl Gate {
    /// The inner server moved.
    pub(crate) fn upstream_mover(&self) -> impl Fn(Place) + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move |place| shared.upstream.move_to(place)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        drop(self.stopper.take());
        self.waker.wake();
        drop(self.accepting.take());
        if !self.registry.stop(STOP_TIME_MAX) {
            log::warn!("http: some connections did not end within a second and are left behind");
        }
    }
}
