//! `/api/live`: Server-Sent Events, written by one thread to every viewer.
//!
//! ```text
//! connection thread: query, place, head -> Join -> snapshot -> Snapshot
//!                                            |                    |
//!                        fanout.rs: one thread, never waits for a viewer
//!                          render.rs: each event once for all who asked for the same
//!                          viewer.rs: a queue of shared bytes each, and when it is given up
//! ```
//!
//! A viewer joins before its snapshot is made, and what comes in between waits behind it: so
//! nothing is missed, and a frame may come twice (in the snapshot's window and as an event); the
//! page drops what is not newer than what it has.

mod fanout;
mod render;
mod viewer;

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use super::gate::{self, Budget, LiveDoor, Refusal, Slot, Stream};
use super::query::{self, Query};
use super::snapshot::Context;
use crate::base::stop::{self, Stopper};
use crate::base::thread::{self, Joined};
use crate::metric::HostName;
use viewer::{Snapshot, Viewer};

/// Most live streams at once: with as many connections they stay under the 1,024 descriptors that
/// a process usually gets.
const VIEWERS_MAX: usize = 256;

/// Most hosts that one stream may name.
const SUBSCRIBED_HOSTS_MAX: usize = 32;

/// Commands that wait for the fan-out thread: every connection may have two on the way.
const COMMANDS_MAX: usize = 512;

/// Longest wait for the fan-out thread, which takes commands within a batch's time.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(5);

/// For the head of the stream to be taken.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// What a viewer asked for. Viewers with equal ones share every event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subscription {
    summary: bool,
    /// Sorted, each once.
    hosts: Vec<HostName>,
}

impl Subscription {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let query = Query::parse(query, &["host", "summary"])?;
        let summary = match query.last("summary") {
            None | Some("0") => false,
            Some("1") => true,
            Some(other) => {
                let error = format!("'{other:.64}' is not a value of summary");
                return Err(Refusal::new(400, error, "summary=1 or summary=0"));
            }
        };
        let mut hosts = query.all("host").map(query::host).collect::<Result<Vec<_>, _>>()?;
        hosts.sort();
        hosts.dedup();
        if hosts.len() > SUBSCRIBED_HOSTS_MAX {
            let error = format!("{} hosts are too many for one stream", hosts.len());
            let expected = format!("at most {SUBSCRIBED_HOSTS_MAX}, and summary=1 for the rest");
            return Err(Refusal::new(400, error, expected));
        }
        if !summary && hosts.is_empty() {
            let error = "a live stream of nothing";
            return Err(Refusal::new(400, error, "summary=1, host=NAME, or both"));
        }
        Ok(Self { summary, hosts })
    }
}

/// To the fan-out thread.
#[derive(Debug)]
enum Command {
    Join(Box<Viewer>),
    Snapshot(u64, Snapshot),
    /// There will be no snapshot.
    Leave(u64),
}

/// One of the places for viewers; dropping it gives it back.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |count: usize| (count < VIEWERS_MAX).then_some(count + 1);
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where connections leave the gate for a live stream.
#[derive(Debug)]
pub(crate) struct Door {
    context: Arc<Context>,
    budget: Arc<Budget>,
    commands: Sender<Command>,
    viewers: Arc<AtomicUsize>,
    next_id: AtomicU64,
    events: Arc<AtomicU64>,
    /// One snapshot is made at a time: a crowd that reconnects at once would otherwise hold as
    /// many windows in memory as there are connections.
    making: Mutex<()>,
}

/// The running fan-out thread; dropping it ends every stream.
#[derive(Debug)]
pub(crate) struct Live {
    _stopper: Stopper,
    _fanout: Joined,
}

/// Starts the fan-out thread.
///
/// # Errors
/// The kernel refuses the thread.
pub(crate) fn start(context: &Arc<Context>, budget: &Arc<Budget>) -> io::Result<(Live, Arc<Door>)> {
    let (commands, received) = bounded(COMMANDS_MAX);
    let (stopper, stop) = stop::pair();
    let events = Arc::new(AtomicU64::new(0));
    let fanout = fanout::Fanout::new(Arc::clone(context), received, Arc::clone(&events));
    let fanout = thread::spawn("http-live", move || fanout.run(&stop))?;
    let door = Door {
        context: Arc::clone(context),
        budget: Arc::clone(budget),
        commands,
        viewers: Arc::default(),
        next_id: AtomicU64::new(0),
        events,
        making: Mutex::new(()),
    };
    Ok((Live { _stopper: stopper, _fanout: fanout }, Arc::new(door)))
}

impl LiveDoor for Door {
    fn join(&self, stream: Stream, slot: Slot, query: &str) -> Result<(), (Stream, Refusal)> {
        let subscription = match Subscription::parse(query) {
            Ok(subscription) => Arc::new(subscription),
            Err(refusal) => return Err((stream, refusal)),
        };
        let Some(place) = Place::take(&self.viewers) else {
            self.context.counts.viewers_refused.increment();
            let error = format!("{VIEWERS_MAX} live streams are open already");
            let expected = "the same again later; a browser needs one stream for all its tabs";
            return Err((stream, Refusal::new(503, error, expected)));
        };
        if let Err(error) = self.admit(stream, place, &subscription) {
            log::debug!("http: a viewer did not join: {error}");
        }
        // The connection is the fan-out thread's now, or closed.
        drop(slot);
        Ok(())
    }
}

impl Door {
    fn admit(
        &self,
        mut stream: Stream,
        place: Place,
        wanted: &Arc<Subscription>,
    ) -> io::Result<()> {
        stream.write_all_by(&head(), Instant::now() + HEAD_TIME_MAX)?;
        stream.become_live()?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let now = self.context.clock.monotonic();
        let viewer = Viewer::new(id, stream, place, Arc::clone(wanted), now);
        let event = self.events.fetch_add(1, Ordering::Relaxed);
        self.send(Command::Join(Box::new(viewer)))?;
        let snapshot = thread::contain("http-snapshot", || {
            let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            let json = self.context.snapshot(wanted.summary, &wanted.hosts);
            render::large_event(&self.context.run, event, "snapshot", json)
        });
        let snapshot = snapshot.and_then(|blocks| {
            let permit = self.budget.take(blocks.iter().map(Vec::len).sum())?;
            Some(Snapshot::new(blocks, permit))
        });
        match snapshot {
            Some(snapshot) => self.send(Command::Snapshot(id, snapshot)),
            None => {
                self.context.counts.viewers_refused.increment();
                self.send(Command::Leave(id))
            }
        }
    }

    fn send(&self, command: Command) -> io::Result<()> {
        let sent = self.commands.send_timeout(command, COMMAND_TIME_MAX);
        sent.map_err(|_| io::Error::other("the fan-out thread takes nothing"))
    }
}

/// The head of every live stream. It has no length: the stream ends with the connection.
fn head() -> Vec<u8> {
    let mut head = gate::answer_head(200, None, false);
    head.extend_from_slice(
        b"Content-Type: text/event-stream\r\n\
          Cache-Control: no-store\r\n\
          X-Accel-Buffering: no\r\n\r\n\
          retry: 1000\n\n",
    );
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_wishes_are_one_subscription() {
        let one = Subscription::parse("summary=1&host=b&host=a&host=B").unwrap();
        assert_eq!(one, Subscription::parse("host=a&host=b&summary=1").unwrap());
        assert_eq!(one.hosts.len(), 2);
        for bad in ["", "summary=0", "summary=2", "host=", "host=a/b", "metric=cpu", "host=%"] {
            let refusal = Subscription::parse(bad).unwrap_err();
            assert_eq!(refusal.status, 400, "{bad}");
        }
        let many: String = (0..33).map(|n| format!("host=h{n}&")).collect();
        assert!(Subscription::parse(&many).unwrap_err().error.contains("33 hosts"));
    }

    #[test]
    fn places_come_back() {
        let taken = Arc::default();
        let places: Vec<_> = (0..VIEWERS_MAX).map(|_| Place::take(&taken).unwrap()).collect();
        assert!(Place::take(&taken).is_none());
        drop(places);
        assert!(Place::take(&taken).is_some());
    }
}
