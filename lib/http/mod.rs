//! What people and programs see: the page, the JSON API, the live stream.
//!
//! ```text
//! browser -> gate -> (whole requests) -> server (tiny_http) -> routes -> view shapes -> analysis
//!              \--- /api/live -> live: one fan-out thread, Server-Sent Events
//!               \-- /api/query -> past: two query threads, an answer as it is made
//! ```
//!
//! - [`start`] opens the listener; dropping the [`Handle`] closes it and ends every connection
//! - `gate/`: the public socket; limits, deadlines, strict parsing, names (`policy.rs`)
//! - `server.rs`: tiny_http behind the gate, rebuilt when it fails; `directory.rs`: its socket's
//! - `routes.rs`: what each path answers, as a pure function; `methods.rs`: to which methods
//! - `query.rs`: parameters; `past.rs`: answers from the past
//! - `view.rs`: the JSON shapes; `snapshot.rs`: the document with everything
//! - `body.rs`: large documents in small blocks; `gzip.rs`: compressed
//! - `assets.rs`: the page's files, embedded at build time
//! - `live.rs`: who watches what, and the thread that writes to them
//!
//! In: requests, and frames from analysis. Out: answers and events. Refused, evicted, dropped and
//! abandoned: counted in [`HttpCounts`].

mod assets;
mod body;
mod counts;
mod directory;
mod exposition;
mod gate;
mod gzip;
mod live;
mod methods;
mod past;
mod policy;
mod query;
mod routes;
mod server;
mod snapshot;
mod view;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::analysis::view::View;
use crate::base::clock::SharedClock;
use crate::base::random;
use crate::identity;

pub use counts::HttpCounts;
pub use policy::KnownNames;

/// What the http room needs to be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Further names under which browsers may call it, without port.
    pub public_names: Vec<String>,
    /// Listen beyond loopback although there is no TLS yet; shown on the page.
    pub insecure: bool,
    /// Where a private directory for the inner server's socket is made; made itself if missing.
    /// At most 60 bytes long, because the path of a Unix socket is short.
    pub runtime_dir: PathBuf,
    /// Version of the program, for the page.
    pub version: String,
}

/// Why the http room does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Beyond loopback without `insecure`.
    Policy(String),
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No socket or directory for the inner server under this directory.
    Inner {
        /// The directory of the configuration.
        runtime_dir: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The kernel refuses a thread or a descriptor.
    Threads(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(words) => f.write_str(words),
            Self::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
                let port = address.port();
                write!(
                    f,
                    "cannot listen on {address}: port {port} is in use by another program; \
                     expected a free port (see who has it with 'ss -ltnp', or let the kernel \
                     choose with port 0)"
                )
            }
            Self::Listen { address, source } => {
                write!(
                    f,
                    "cannot listen on {address}: {source}; expected an address of this machine"
                )
            }
            Self::Inner { runtime_dir, source } => write!(
                f,
                "cannot make a private socket under '{}': {source}; expected a directory that \
                 this program may write to",
                runtime_dir.display()
            ),
            Self::Threads(source) => write!(
                f,
                "cannot start the web threads: {source}; expected room for about 12 threads and \
                 30 open files"
            ),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Policy(_) => None,
            Self::Listen { source, .. } | Self::Inner { source, .. } | Self::Threads(source) => {
                Some(source)
            }
        }
    }
}

/// The running http room. Dropping it stops within about a second; field order is stop order.
#[derive(Debug)]
pub struct Handle {
    _gate: gate::Gate,
    _live: live::Live,
    _past: past::Past,
    _server: server::InnerServer,
    address: SocketAddr,
    counts: Arc<HttpCounts>,
}

impl Handle {
    /// Where it listens; with the port that the kernel chose for port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was refused, evicted, dropped and done.
    #[must_use]
    pub fn counts(&self) -> Arc<HttpCounts> {
        Arc::clone(&self.counts)
    }
}

/// Opens the listener and answers from now on.
///
/// # Errors
/// [`StartError`]: the address is not allowed, in use or not ours; no private socket; no threads.
pub fn start(
    config: Config,
    view: Arc<dyn View>,
    clock: SharedClock,
) -> Result<Handle, StartError> {
    identity::check_listen(config.listen, config.insecure).map_err(StartError::Policy)?;
    let listen = |source| StartError::Listen { address: config.listen, source };
    let listener = gate::listen(config.listen).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let is_loopback = address.ip().to_canonical().is_loopback();
    if !is_loopback {
        log::warn!("http: listening on {address} without TLS and authentication (--insecure)");
    }
    let counts = Arc::new(HttpCounts::new());
    let context = Arc::new(snapshot::Context {
        view,
        clock,
        run: format!("{:012x}", random::u128() >> 80),
        version: config.version,
        insecure: !is_loopback,
        counts: Arc::clone(&counts),
        deleting: Mutex::new(()),
    });
    let inner = server::start(&config.runtime_dir, Arc::clone(&context), Arc::clone(&counts));
    let (server, link) = inner
        .map_err(|source| StartError::Inner { runtime_dir: config.runtime_dir.clone(), source })?;
    let budget = gate::Budget::new(gate::ANSWER_BUDGET_BYTES);
    let (live, live_door) = live::start(&context, &budget).map_err(StartError::Threads)?;
    let (past, past_door) = past::start(&context, &budget).map_err(StartError::Threads)?;
    let names = KnownNames::new(address.ip(), &config.public_names);
    let upstream = (link.place, link.rebuild);
    let doors: (Arc<dyn gate::LiveDoor>, Arc<dyn gate::PastDoor>) = (live_door, past_door);
    let gate = gate::start(listener, names, upstream, doors, &budget, &counts)
        .map_err(StartError::Threads)?;
    // The supervisor waits for it; it cannot be gone yet.
    let _ = link.moved.send(Box::new(gate.upstream_mover()));
    log::info!("page on http://{address}/");
    Ok(Handle { _gate: gate, _live: live, _past: past, _server: server, address, counts })
}

#[cfg(test)]
#[path = "../tests/scripted_view.rs"]
mod scripted_view;
