//! From the clients' streams to the bus, and back: intake (gRPC) -> forward (bus) -> acknowledge.
//!
//! ```text
//! client -> intake -> receive -> queue -> forward -> bus
//!           (one future    (bytes-    (one thread    |
//!            per stream)    bounded)   a partition)  v durable
//! client <- intake <- stream: next <-------------- account
//!                       ^ names: who has which host name
//!                       ^ director: who samples what, how often
//! ```
//!
//! In: frames, declarations and goodbyes of up to 16,384 streams. Out: frame,
//! session and stage records, and acknowledgements of what is durable. Nothing is lost here: when
//! the bus is behind, streams are not read, and what a stopping server could not publish was never
//! acknowledged, so its client sends it again. What can never be published (too large) is counted
//! and declared dropped, with the reason.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use crate::base::clock::SharedClock;
use crate::base::counter::{Count, CountSources};
use crate::base::stop::Stopper;
use crate::base::thread::{Joined, contain};
use crate::bus::{Bus, Topic};
use crate::identity;

mod account;
mod admission;
mod counts;
mod director;
mod encode;
mod forward;
mod intake;
mod keeper;
mod names;
mod queue;
mod receive;
mod session;
mod stages;
mod stream;
mod streams;

pub use counts::ServerCounts;
pub use director::{Orders, parse_collect, parse_interval, parse_schedule_entry};

use director::Director;
use forward::Forward;
use intake::Intake;
use queue::{QUEUE_BYTES_MAX, Queue};
use streams::Streams;

/// Clients are asked to leave a stopping server within this time, each at a moment of its own, so
/// that another server gets 10,000 of them at seven in a millisecond. A client that has another is
/// there at once, so nobody is without a server for longer than a connection takes.
const LEAVE_LIMIT: Duration = Duration::from_millis(1_500);

/// How long a stopping server then waits until everything it has received is durable and
/// acknowledged. What it received before the stop has the time above as well.
const DRAIN_LIMIT: Duration = Duration::from_millis(1_000);

/// How long it then waits for streams that were cut, for the last session records, and for gRPC.
/// Together with the above under the five seconds that a stop may take.
const CUT_LIMIT: Duration = Duration::from_millis(500);
const RECORDS_LIMIT: Duration = Duration::from_millis(700);
const FORWARD_LIMIT: Duration = Duration::from_millis(300);
const GRPC_LIMIT: Duration = Duration::from_millis(700);

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Allows to listen on more than loopback although nothing is protected yet.
    pub insecure: bool,
    /// What it calls itself in Welcome and in records.
    pub name: String,
    /// What hosts are told to sample.
    pub orders: Orders,
    /// Counters of rooms in this process that nobody else shows; published with the server's own.
    pub counts: CountSources,
}

/// Why a server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address may not be listened on as things are.
    Policy(String),
    /// The orders cannot be given.
    Orders(String),
    /// The kernel refused the address.
    Address {
        /// Which.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// gRPC did not start.
    Grpc(String),
    /// A thread could not be started.
    Thread(io::Error),
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    streams: Arc<Streams>,
    failed: Receiver<String>,
    running: Option<Running>,
}

/// What has to be stopped, in this order.
struct Running {
    intake: Intake,
    keeper: (Stopper, Joined),
    forward: Forward,
}

/// Starts a server that publishes to `bus`.
///
/// # Errors
/// The address is not allowed, in use or not this machine's; threads or gRPC cannot be started.
pub fn start(config: &Config, bus: Arc<dyn Bus>, clock: SharedClock) -> Result<Handle, StartError> {
    identity::check_listen(config.listen, config.insecure).map_err(StartError::Policy)?;
    let director = Director::new(&config.orders).map_err(StartError::Orders)?;
    let partitions = bus.partitions(Topic::Metrics).max(1);
    let queues: Vec<_> = (0..partitions).map(|_| Arc::new(Queue::new(QUEUE_BYTES_MAX))).collect();
    let streams = Arc::new(Streams::new(
        &config.name,
        director,
        queues.clone(),
        clock,
        Arc::new(ServerCounts::new()),
    ));
    let (unusable, failed) = bounded(1);
    let forward = forward::start(&streams, &queues, bus, config.counts.clone(), unusable)
        .map_err(StartError::Thread)?;
    let keeper = keeper::start(Arc::clone(&streams)).map_err(StartError::Thread)?;
    // Last: from here on clients come in.
    let intake = Intake::start(config.listen, Arc::clone(&streams))?;
    let address = intake.address;
    log::info!("listening on {address}");
    if config.insecure && !address.ip().is_loopback() {
        log::warn!("--insecure: whoever reaches {address} can send frames under any name");
    }
    let running = Running { intake, keeper, forward };
    Ok(Handle { address, streams, failed, running: Some(running) })
}

impl Handle {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counters as they stand now.
    #[must_use]
    pub fn read_counts(&self) -> Vec<Count> {
        self.streams.show_levels();
        self.streams.counts.read()
    }

    /// Its counters, to be read while it runs; levels are brought up to date twice a second.
    #[must_use]
    pub fn counts(&self) -> Arc<ServerCounts> {
        self.streams.show_levels();
        Arc::clone(&self.streams.counts)
    }

    /// Receives words when the bus cannot be used until an operator acts (wrong version, no
    /// topic). The server keeps trying; a program may prefer to end with these words.
    #[must_use]
    pub fn failed(&self) -> &Receiver<String> {
        &self.failed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            contain("stopping the server", || running.stop(&self.streams));
            self.streams.show_levels();
        }
    }
}

impl Running {
    /// Takes at most five seconds; afterwards everything acknowledged is durable, and everything
    /// else is still with its client.
    fn stop(self, streams: &Streams) {
        let Self { mut intake, keeper, forward } = self;
        let Forward { close, give_up, threads } = forward;
        let begun = Instant::now();
        intake.close_door();
        streams.drain(LEAVE_LIMIT);
        let has_left = streams.wait_until_empty(LEAVE_LIMIT);
        streams.stop();
        if !has_left && !streams.wait_until_empty(DRAIN_LIMIT) {
            let left = streams.cut();
            log::warn!("{left} streams were cut: what they brought last is not acknowledged");
            let _ = streams.wait_until_empty(CUT_LIMIT);
        }
        drop(keeper);
        // The last records of the sessions that have just ended.
        drop(close);
        if !wait_for(&threads, RECORDS_LIMIT) {
            log::warn!("the bus is behind: the last session records are lost");
        }
        drop(give_up);
        let in_time = wait_for(&threads, FORWARD_LIMIT);
        for lane in threads {
            // A call into the bus that does not return cannot be interrupted.
            if in_time { lane.join() } else { lane.abandon() }
        }
        if !intake.finish(GRPC_LIMIT) {
            log::warn!("gRPC did not end in time; leaving it behind");
        }
        log::info!("the server has stopped after {} ms", begun.elapsed().as_millis());
    }
}

/// Whether all threads have ended within `limit`.
fn wait_for(threads: &[Joined], limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        if threads.iter().all(Joined::is_finished) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        // Threads cannot be waited for with a limit; this happens once, at the end.
        let _ = crossbeam_channel::after(Duration::from_millis(5)).recv();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("forward", &self.forward).finish_non_exhaustive()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(words) | Self::Orders(words) | Self::Grpc(words) => f.write_str(words),
            Self::Address { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "{address} is in use: another server runs there (`ss -ltnp` shows it); stop \
                     it or choose another address with --listen"
                )
            }
            Self::Address { address, source } => write!(
                f,
                "cannot listen on {address}: {source}; choose an address of this machine with \
                 --listen"
            ),
            Self::Thread(source) => write!(f, "cannot start a thread: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address { source, .. } | Self::Thread(source) => Some(source),
            Self::Policy(_) | Self::Orders(_) | Self::Grpc(_) => None,
        }
    }
}
