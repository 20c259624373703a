//! Starting a client, and the handle whose dropping stops it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::buffer::{BUFFER_BYTES_MIN, Buffer};
use super::counts::ClientCounts;
use super::machine::{Machine, hash};
use super::sampled_log::SampledLog;
use super::sampler::{Sampler, Sampling};
use super::schedule::Grid;
use super::shared::Shared;
use super::spool::{Keeper, SPOOL_BYTES_MIN, SpoolConfig, sync_pair};
use super::uplink::Uplink;
use super::uplink_setup::Setup;
use crate::base::clock::SharedClock;
use crate::base::quantity::format_duration;
use crate::base::random;
use crate::base::stop::{self, Stop, Stopper};
use crate::base::thread::{self, Joined};
use crate::metric::{HostName, SessionId};
use crate::wire::message::{CatalogueEntry, CatalogueMetric};
use crate::wire::{HELLO_ITEMS_MAX, TEXT_LEN_MAX};

/// Frames in flight cover a server that stops answering for half as long at the fastest interval;
/// backlog may have the other half.
const WINDOW: Duration = Duration::from_secs(30);

/// Whatever `--interval-min` says: 20 Hz for 15 s, and as much backlog.
const WINDOW_FRAMES_MIN: u64 = 600;

/// A reading that hangs (a dead file system) must not keep the client from its goodbye.
const SAMPLER_LIMIT: Duration = Duration::from_millis(200);

/// Four seconds for acks, half a second to close, and gRPC's own threads; with the sampler below
/// the 5 s that a program may take.
const UPLINK_LIMIT: Duration = Duration::from_millis(4_750);

/// With a spool the uplink is done a second earlier, which is the spool's: a disk that hangs must
/// not keep the program from its end.
const UPLINK_LIMIT_SPOOLED: Duration = Duration::from_millis(3_700);
const KEEPER_LIMIT: Duration = Duration::from_secs(1);

/// The spool's thread has waited for the last sync already: what is not done then hangs.
const SYNCING_LIMIT: Duration = Duration::from_millis(100);

/// Most servers that one client knows: what is beyond two serves to spread a large fleet.
pub const SERVERS_MAX: usize = 16;

/// What a client is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where servers listen, `host:port` each; one of them gets the frames.
    pub servers: Vec<String>,
    /// This host's name, checked by [`identity::host_name`](crate::identity::host_name).
    pub host: HostName,
    /// Root of the file system that describes the machine.
    pub root: PathBuf,
    /// The operator's words about this host.
    pub labels: BTreeMap<String, String>,
    /// No metric is taken more often, whoever asks.
    pub interval_min: Duration,
    /// Memory for frames that wait for an ack.
    pub buffer_bytes: u64,
    /// Disk for frames that wait for an ack; without it they are in memory alone.
    pub spool: Option<SpoolConfig>,
    /// A diagnostic: appends `session seq time_ms` for every frame sampled.
    pub sampled_log: Option<PathBuf>,
}

/// Why a client did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting that cannot work; the words say what would.
    Config(String),
    /// The directory for `--spool`; the words say what is wrong with it.
    Spool(String),
    /// The file for `--sampled-log`.
    SampledLog(PathBuf, io::Error),
    /// The kernel gave no thread.
    Thread(io::Error),
    /// gRPC could not start its own threads.
    Grpc,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(words) | Self::Spool(words) => f.write_str(words),
            Self::SampledLog(path, error) => {
                write!(f, "cannot append to --sampled-log {}: {error}", path.display())
            }
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
            Self::Grpc => f.write_str("gRPC cannot start its threads; is there a limit on them?"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running client. Dropping it stops it, in the order of the fields: first the sampler, then the
/// uplink, which delivers what it can within four seconds and names the rest; with a spool it does
/// not wait for that, and what is left is on disk when the last of them has ended.
#[derive(Debug)]
pub struct Handle {
    sampler: Running,
    uplink: Running,
    keeper: Option<Running>,
    syncing: Option<Running>,
    session: SessionId,
    counts: Arc<ClientCounts>,
}

/// A thread and what stops it.
#[derive(Debug)]
struct Running {
    name: &'static str,
    stopper: Option<Stopper>,
    thread: Option<Joined>,
    /// Closes when the thread ends.
    ended: Receiver<Infallible>,
    /// How long it may take to end; then the program goes on without it.
    limit: Duration,
}

impl Running {
    fn start(
        name: &'static str,
        limit: Duration,
        body: impl FnOnce(Stop) + Send + 'static,
    ) -> Result<Self, StartError> {
        let ((stopper, stop), (alive, ended)) = (stop::pair(), bounded(0));
        let body = move || {
            let _alive = alive;
            body(stop);
        };
        let thread = thread::spawn(name, body).map_err(StartError::Thread)?;
        Ok(Self { name, stopper: Some(stopper), thread: Some(thread), ended, limit })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stopper.take());
        let waited = self.ended.recv_timeout(self.limit);
        let Some(thread) = self.thread.take() else { return };
        if waited == Err(RecvTimeoutError::Timeout) {
            let limit = format_duration(self.limit);
            log::error!("{} hangs: not waited for any longer than {limit}", self.name);
            thread.abandon();
        }
    }
}

impl Handle {
    /// This run's number.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// What it counts, for `/metrics` and tests; stays readable after the client has stopped.
    #[must_use]
    pub fn counts(&self) -> Arc<ClientCounts> {
        Arc::clone(&self.counts)
    }

    /// Stops; what dropping does, as a word.
    pub fn stop(self) {
        let Self { sampler, uplink, keeper, syncing, .. } = self;
        drop(sampler);
        drop(uplink);
        drop(keeper);
        drop(syncing);
    }
}

/// Starts the spool's threads, the uplink, then the sampler.
///
/// # Errors
/// What is wrong with the configuration, or what the kernel refused.
pub fn start(
    config: Config,
    sampling: Box<dyn Sampling>,
    clock: SharedClock,
) -> Result<Handle, StartError> {
    check(&config)?;
    let log = match &config.sampled_log {
        Some(path) => Some(
            SampledLog::open(path).map_err(|error| StartError::SampledLog(path.clone(), error))?,
        ),
        None => None,
    };
    let session = SessionId(random::u128());
    let setup = setup(&config, &*sampling);
    let buffer = Buffer::new(session, config.buffer_bytes, setup.window_frames);
    let shared = Arc::new(Shared::new(session, clock, buffer));
    let counts = Arc::clone(&shared.counts);
    let servers = setup.servers.join(", ");
    log::info!("session {session} of host '{}', server {servers}", config.host);

    let (syncing, keeper) = match config.spool {
        Some(spool) => {
            let (syncer, syncing) = sync_pair();
            let keeper = Keeper::new(Arc::clone(&shared), spool, &setup.machine.boot_id, syncer);
            let keeper = keeper.map_err(|error| StartError::Spool(error.to_string()))?;
            let syncing =
                Running::start("spool-sync", SYNCING_LIMIT, move |stop| syncing.run(&stop))?;
            let keeper = Running::start("spool", KEEPER_LIMIT, move |stop| keeper.run(&stop))?;
            (Some(syncing), Some(keeper))
        }
        None => (None, None),
    };
    let uplink = Uplink::new(Arc::clone(&shared), setup)?;
    let limit = if keeper.is_some() { UPLINK_LIMIT_SPOOLED } else { UPLINK_LIMIT };
    let uplink = Running::start("uplink", limit, move |stop| drop(uplink.run(&stop)))?;

    let grid = Grid::of_host(hash(&[&config.host]));
    let sampler = Sampler::new(shared, sampling, grid, config.interval_min, log);
    let sampler = Running::start("sampler", SAMPLER_LIMIT, move |stop| sampler.run(&stop))?;
    Ok(Handle { sampler, uplink, keeper, syncing, session, counts })
}

fn check(config: &Config) -> Result<(), StartError> {
    let wrong = |words: String| Err(StartError::Config(words));
    let has_port = |server: &str| {
        let port = server.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        matches!(port, Some((host, Ok(port))) if !host.is_empty() && port > 0)
    };
    let is_server = |server: &&String| has_port(server) && !server.contains(char::is_whitespace);
    if let Some(server) = config.servers.iter().find(|server| !is_server(server)) {
        return wrong(format!(
            "'{}' is no server: expected host:port such as localhost:50051, several of them \
             separated by commas",
            server.escape_debug()
        ));
    }
    if config.servers.is_empty() || config.servers.len() > SERVERS_MAX {
        let count = config.servers.len();
        return wrong(format!("{count} servers: expected 1 to {SERVERS_MAX}"));
    }
    if config.interval_min < Duration::from_millis(1) {
        return wrong("--interval-min must be 1ms or more".to_owned());
    }
    if config.buffer_bytes < BUFFER_BYTES_MIN {
        return wrong(format!("--buffer must be {BUFFER_BYTES_MIN}B or more, four large frames"));
    }
    if config.spool.as_ref().is_some_and(|spool| spool.bytes_max < SPOOL_BYTES_MIN) {
        return wrong(format!("--spool-max must be {}MiB or more", SPOOL_BYTES_MIN >> 20));
    }
    // Three are the machine's own.
    let labels = HELLO_ITEMS_MAX - 3;
    if config.labels.len() > labels {
        return wrong(format!("at most {labels} labels, not {}", config.labels.len()));
    }
    for (name, value) in &config.labels {
        if name.is_empty() || name.len() > TEXT_LEN_MAX || value.len() > TEXT_LEN_MAX {
            return wrong(format!(
                "label '{name}': expected name=value, each up to {TEXT_LEN_MAX} bytes"
            ));
        }
    }
    Ok(())
}

fn setup(config: &Config, sampling: &dyn Sampling) -> Setup {
    let catalogue = sampling
        .offers()
        .iter()
        .map(|offer| CatalogueEntry {
            collector: offer.collector.to_owned(),
            metrics: offer.metrics.iter().map(CatalogueMetric::from).collect(),
        })
        .collect();
    let interval_min_ms = u32::try_from(config.interval_min.as_millis()).unwrap_or(u32::MAX);
    let window_frames = WINDOW.as_millis() as u64 / u64::from(interval_min_ms.max(1));
    let mut servers = config.servers.clone();
    servers.sort_unstable();
    servers.dedup();
    Setup {
        servers,
        host: config.host.clone(),
        root: config.root.clone(),
        machine: Machine::read(&config.root, &config.labels),
        catalogue,
        interval_min_ms,
        window_frames: window_frames.max(WINDOW_FRAMES_MIN),
    }
}
