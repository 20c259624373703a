//! From the bus to what people look at: consume -> ledger -> live -> history.
//!
//! ```text
//! bus reader (one thread per partition) -> ledger: seen before? drop, count
//!                                       -> history: on disk, from a second to a minute
//!                                       -> live: newest samples of every series, 15 minutes
//!                                       -> update -> the one subscriber (http's fan-out thread)
//! ```
//!
//! - [`start`] begins reading; dropping the [`Handle`] ends it within a second
//! - [`view`]: what the http room may ask, and the shapes it gets
//! - `consume`: the threads, `standing`: how they stand with the bus; `intake`: one record at a time
//! - `hosts`: what is known of each, one lock a host
//! - `ledger`: stored, waiting, missing, dropped, doubled; per session, by ranges
//! - `live`: the window, sealed in blocks of about a byte a sample
//! - [`history`]: the past, on disk
//! - `decimal`: fractions as integers, exactly
//! - `rate`: the only place where counters become rates
//! - `presence`: live, stale or ended, by arrival on the monotonic clock
//! - `stages`: latency by stage over the last minute; `feed`: updates to the subscriber
//!
//! In: records. Refused, skipped, doubled, too late: counted in [`AnalysisCounts`]. Lost on a
//! restart: nothing; without a directory for the past, everything but the windows' last quarter of
//! an hour, which is read from the topic again.

mod consume;
mod counts;
mod decimal;
mod feed;
pub mod history;
mod hosts;
mod intake;
mod ledger;
mod live;
mod presence;
mod rate;
mod servers;
mod service;
mod stages;
mod standing;
pub mod view;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::base::clock::SharedClock;
use crate::base::counter::CountSources;
use crate::base::stop::{self, Stopper};
use crate::base::thread::{self, Joined};
use crate::bus::{Bus, Topic};

use consume::{Consumer, SteadyClock};
pub use counts::AnalysisCounts;
use history::{Archive, OpenHistory, Writer};
use intake::Shared;
pub use ledger::LedgerAlone;
use service::Service;
use standing::Standing;
use view::View;

/// Hosts kept by default: what one server is built for. Each takes about 10 KB, and its window
/// besides.
pub const HOSTS_MAX: usize = 10_000;

/// Memory of all live windows by default: 10,000 hosts with 60 series at 1 Hz for 15 minutes, at
/// about one and a half bytes a sample.
pub const LIVE_BYTES_MAX: u64 = 1 << 30;

/// What the room needs to be told.
#[derive(Debug)]
pub struct Config {
    /// Most hosts; [`HOSTS_MAX`]. Beyond it the one not seen for longest goes.
    pub hosts_max: usize,
    /// Most memory of the live windows; [`LIVE_BYTES_MAX`]. Beyond it windows get shorter.
    pub live_bytes_max: u64,
    /// Where the past is kept; without it, only in memory, as far as the live windows reach.
    pub history: Option<OpenHistory>,
    /// Counts of other rooms of this process, to be shown with this room's.
    pub counts: CountSources,
}

/// The running room. Fields stop in their order: closing a stopper ends loops, then they are
/// waited for; what the consumers leave is written down before the writer ends.
#[derive(Debug)]
pub struct Handle {
    _stopper: Stopper,
    _consumers: Vec<Joined>,
    _writer: Option<(Stopper, Joined)>,
    service: Arc<Service>,
}

/// Why the room does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The kernel refuses a thread.
    Threads(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(source) => write!(
                f,
                "cannot start a thread of the analysis: {source}; raise the limit on threads \
                 (ulimit -u, systemd TasksMax)"
            ),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Threads(source) => Some(source),
        }
    }
}

impl Handle {
    /// The read side. It stays valid after the handle is dropped, and stands still then.
    #[must_use]
    pub fn view(&self) -> Arc<dyn View> {
        self.service.clone()
    }

    /// This room's counters.
    #[must_use]
    pub fn counts(&self) -> &AnalysisCounts {
        &self.service.shared.counts
    }
}

/// Starts reading every partition of the metrics, and the servers' latencies.
///
/// # Errors
/// When the kernel refuses a thread. A bus that cannot be reached is no error: it is tried until
/// it can, and [`View::bus_state`] says so.
pub fn start(config: Config, bus: &Arc<dyn Bus>, clock: SharedClock) -> Result<Handle, StartError> {
    let partitions = bus.partitions(Topic::Metrics);
    let archive = config.history.map(|opened| Arc::new(opened.begin(partitions)));
    let shared = Arc::new(Shared::new(config.hosts_max, config.live_bytes_max, archive.clone()));
    let standing = Arc::new(Standing::new(partitions));
    let time = SteadyClock::new(clock);
    if let Some(archive) = &archive {
        restore_hosts(&shared, archive, config.hosts_max, &time);
    }
    let (stopper, stop) = stop::pair();
    let mut consumers = Vec::new();
    for (topic, name) in [(Topic::Metrics, "consume"), (Topic::Events, "events")] {
        for partition in 0..bus.partitions(topic) {
            let consumer = Consumer::new(
                (topic, partition),
                bus,
                shared.clone(),
                standing.clone(),
                time.clone(),
            );
            let stop = stop.clone();
            let thread = thread::spawn(&format!("{name}-{partition}"), move || consumer.run(&stop));
            consumers.push(thread.map_err(StartError::Threads)?);
        }
    }
    let writer = archive.map(|archive| start_writer(&shared, archive, &time)).transpose()?;
    let (others, queries) = (config.counts, Arc::default());
    let service = Arc::new(Service { shared, standing, time, others, queries });
    Ok(Handle { _stopper: stopper, _consumers: consumers, _writer: writer, service })
}

fn start_writer(
    shared: &Arc<Shared>,
    archive: Arc<Archive>,
    time: &SteadyClock,
) -> Result<(Stopper, Joined), StartError> {
    let (stopper, stop) = stop::pair();
    let writer = Writer::new(shared.clone(), archive, time.clone());
    let thread =
        thread::spawn("history", move || writer.run(&stop)).map_err(StartError::Threads)?;
    Ok((stopper, thread))
}

/// Every host that was on disk is there from the first answer on.
fn restore_hosts(shared: &Shared, archive: &Arc<Archive>, hosts_max: usize, time: &SteadyClock) {
    let now = time.now();
    let hosts = archive.recall_newest(hosts_max, now);
    let count = hosts.len();
    for (host, recalled) in hosts {
        let age_ms = time.unix_ms().saturating_sub(recalled.seen_ms);
        shared.hosts.add(&host, Some((recalled, age_ms)), now);
    }
    if count > 0 {
        log::info!("history: {count} hosts are as they were");
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
