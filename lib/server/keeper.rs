//! The thread that minds the time for all streams: late Hellos, late acks, records, pings, names.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;

use super::streams::Streams;
use crate::base::stop::{self, Stopper};
use crate::base::thread::{self, Joined, contain};

/// How often it looks: everything it minds is due in seconds, and 10,000 streams take it 2 ms.
const INTERVAL: Duration = Duration::from_millis(500);

/// Starts it.
pub(super) fn start(streams: Arc<Streams>) -> io::Result<(Stopper, Joined)> {
    let (stopper, stop) = stop::pair();
    let joined = thread::spawn("keeper", move || {
        let mut next = streams.clock.monotonic();
        loop {
            // A step from the last one, and not from now: a scripted clock that has gone on in
            // between fires at once. After a pause of the whole process one look is enough.
            next = (next + INTERVAL).max(streams.clock.monotonic());
            select! {
                recv(streams.clock.at(next)) -> _ => {}
                recv(stop.channel()) -> _ => return,
            }
            contain("the keeper", || streams.tick());
        }
    })?;
    Ok((stopper, joined))
}
