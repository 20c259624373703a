//! From the bus to what people look at: consume -> ledger -> live.
//!
//! ```text
//! bus reader (one thread per partition) -> ledger: seen before? drop, count
//!                                       -> live: newest samples of every series, 15 minutes
//!                                       -> update -> the one subscriber (http's fan-out thread)
//! ```
//!
//! - [`start`] begins reading; dropping the [`Handle`] ends it within a second
//! - [`view`]: what the http room may ask, and the shapes it gets
//! - `consume`: the threads; `intake`: one record at a time
//! - `hosts`: what is known of each, one lock a host
//! - `ledger`: stored, waiting, missing, dropped, doubled; per session, by ranges
//! - `live`: the window, sealed in blocks of about a byte a sample
//! - `decimal`: fractions as integers, exactly
//! - `rate`: the only place where counters become rates
//! - `presence`: live, stale or ended, by arrival on the monotonic clock
//! - `stages`: latency by stage over the last minute; `feed`: updates to the subscriber
//!
//! In: records. Refused, skipped, doubled, too late: counted in [`AnalysisCounts`]. Lost on a
//! restart: nothing but the windows' last quarter of an hour, which is read from the topic again.

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
pub mod view;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::base::clock::SharedClock;
use crate::base::counter::CountSources;
use crate::base::stop::{self, Stopper};
use crate::base::thread::{self, Joined};
use crate::bus::{Bus, Topic};

use consume::{Consumer, Standing, SteadyClock};
pub use counts::AnalysisCounts;
use intake::Shared;
use service::Service;
use view::View;

/// Hosts kept by default: what one server is built for. Each takes about 10 KB, and its window
/// besides.
pub const HOSTS_MAX: usize = 10_000;

/// Memory of all live windows by default: 10,000 hosts with 60 series at 1 Hz for 15 minutes, at
/// about one and a half bytes a sample.
pub const LIVE_BYTES_MAX: u64 = 1 << 30;

/// What the room needs to be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Most hosts; [`HOSTS_MAX`]. Beyond it the one not seen for longest goes.
    pub hosts_max: usize,
    /// Most memory of the live windows; [`LIVE_BYTES_MAX`]. Beyond it windows get shorter.
    pub live_bytes_max: u64,
    /// Counts of other rooms of this process, to be shown with this room's.
    pub counts: CountSources,
}

/// The running room. Fields stop in their order: closing `stopper` ends the loops, then they are
/// waited for.
#[derive(Debug)]
pub struct Handle {
    _stopper: Stopper,
    _consumers: Vec<Joined>,
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
                "cannot start a thread for a partition: {source}; raise the limit on threads \
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
    let shared = Arc::new(Shared::new(config.hosts_max, config.live_bytes_max));
    let standing = Arc::new(Standing::new(bus.partitions(Topic::Metrics)));
    let time = SteadyClock::new(clock);
    let (stopper, stop) = stop::pair();
    let mut consumers = Vec::new();
    for (topic, name) in [(Topic::Metrics, "consume"), (Topic::Events, "events")] {
        for partition in 0..bus.partitions(topic) {
            let consumer = Consumer::new(
                (topic, partition),
                bus.as_ref(),
                shared.clone(),
                standing.clone(),
                time.clone(),
            );
            let stop = stop.clone();
            let thread = thread::spawn(&format!("{name}-{partition}"), move || consumer.run(&stop));
            consumers.push(thread.map_err(StartError::Threads)?);
        }
    }
    let service = Arc::new(Service { shared, standing, time, others: config.counts });
    Ok(Handle { _stopper: stopper, _consumers: consumers, service })
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
