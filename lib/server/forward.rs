//! From the queues to the bus, and back to the streams what has become durable.
//!
//! One thread per partition takes whatever has queued up, so batches grow with the load, and hands
//! it to the bus. What the bus has is visible to its readers; durable it may be much later, so
//! several batches are in flight, and streams are told in order as each is settled. A batch that
//! the bus cannot take now is offered again, unchanged, until it does or the server gives up; one
//! that it refuses is halved until the refused record stands alone.
//!
//! - [`lane`]: the thread of one partition
//! - [`batch`]: records on their way
//! - [`outcome`]: what the streams are told

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::queue::Queue;
use super::stages::Stages;
use super::streams::Streams;
use crate::base::counter::CountSources;
use crate::base::stop::{self, Stop, Stopper};
use crate::base::thread::{self, Joined};
use crate::bus::Bus;
use lane::Lane;

mod batch;
mod lane;
mod outcome;

/// At most one line about an unavailable bus in this time.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// The running threads. Field order is stop order.
#[derive(Debug)]
pub(super) struct Forward {
    /// Dropped: nothing more comes; each thread ends once its queue is empty.
    pub close: Stopper,
    /// Dropped: each thread ends now; what is left is abandoned.
    pub give_up: Stopper,
    pub threads: Vec<Joined>,
}

/// What the threads of all partitions share.
#[derive(Debug, Clone)]
struct Shared {
    streams: Arc<Streams>,
    bus: Arc<dyn Bus>,
    stages: Arc<Stages>,
    others: CountSources,
    unusable: Sender<String>,
    close: Stop,
    give_up: Stop,
}

/// Starts one thread per queue. `unusable` is told when the bus cannot be used until an operator
/// acts.
pub(super) fn start(
    streams: &Arc<Streams>,
    queues: &[Arc<Queue>],
    bus: Arc<dyn Bus>,
    others: CountSources,
    unusable: Sender<String>,
) -> io::Result<Forward> {
    let ((closer, close), (quitter, give_up)) = (stop::pair(), stop::pair());
    let mut forward = Forward { close: closer, give_up: quitter, threads: Vec::new() };
    let (streams, stages) = (Arc::clone(streams), Arc::default());
    let shared = Shared { streams, bus, stages, others, unusable, close, give_up };
    for (partition, queue) in (0_u32..).zip(queues) {
        let mut lane = Lane::new(partition, Arc::clone(queue), shared.clone());
        let name = format!("forward-{partition}");
        forward.threads.push(thread::spawn(&name, move || lane.run())?);
    }
    Ok(forward)
}
