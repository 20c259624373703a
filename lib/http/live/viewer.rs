//! One viewer of a live stream: what waits for it, and when it is given up.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::{Place, Subscription};
use crate::http::gate::{Permit, Stream};

/// Most that may wait for a viewer besides its snapshot: three seconds of a thousand hosts at 1 Hz
/// (170 bytes a row). The bytes are shared by all who asked for the same, so a slow viewer costs
/// its place in the queue and not this much.
const BACKLOG_BYTES_MAX: usize = 512 * 1024;

/// A viewer that takes nothing for this long is gone or asleep; it comes back with a new snapshot.
const STALL_TIME_MAX: Duration = Duration::from_secs(10);

/// The event that a stream begins with. It is the viewer's own, and counts against the budget of
/// answers until it is written.
#[derive(Debug)]
pub(super) struct Snapshot {
    blocks: VecDeque<Vec<u8>>,
    _permit: Permit,
}

impl Snapshot {
    pub(super) fn new(blocks: Vec<Vec<u8>>, permit: Permit) -> Self {
        Self { blocks: blocks.into(), _permit: permit }
    }
}

/// How far the snapshot is.
#[derive(Debug)]
enum Beginning {
    /// Being made.
    Awaited,
    /// Being written; never without blocks.
    Writing(Snapshot),
    Written,
}

/// Why a viewer is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It closed the connection, or the connection broke.
    Left,
    /// Too much waits for it.
    Behind,
    /// It took nothing for too long.
    Stalled,
}

/// What is to be written.
#[derive(Debug)]
struct Waiting {
    beginning: Beginning,
    /// Events behind it.
    queue: VecDeque<Arc<[u8]>>,
    /// Bytes in the queue.
    backlog: usize,
    /// How much is written of what is first.
    written: usize,
}

/// A viewer.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) id: u64,
    pub(super) stream: Stream,
    pub(super) subscription: Arc<Subscription>,
    waiting: Waiting,
    /// When it last took something, or began to be waited for.
    progress_at: Duration,
    _place: Place,
}

impl Viewer {
    pub(super) fn new(
        id: u64,
        stream: Stream,
        place: Place,
        subscription: Arc<Subscription>,
        now: Duration,
    ) -> Self {
        let waiting = Waiting {
            beginning: Beginning::Awaited,
            queue: VecDeque::new(),
            backlog: 0,
            written: 0,
        };
        Self { id, stream, subscription, waiting, progress_at: now, _place: place }
    }

    /// Queues an event.
    pub(super) fn push(&mut self, event: &Arc<[u8]>, now: Duration) -> Result<(), Gone> {
        if self.waiting.is_empty() {
            self.progress_at = now;
        }
        self.waiting.push(event)
    }

    /// The snapshot goes before everything that has come since.
    pub(super) fn begin(&mut self, snapshot: Snapshot, now: Duration) {
        self.waiting.beginning = Beginning::Writing(snapshot);
        self.progress_at = now;
    }

    /// Whether something waits for the viewer to take it.
    pub(super) fn is_blocked(&self) -> bool {
        !self.waiting.is_empty() && !matches!(self.waiting.beginning, Beginning::Awaited)
    }

    /// Writes what the connection takes without waiting.
    pub(super) fn write(&mut self, now: Duration) -> Result<(), Gone> {
        while let Some(bytes) = self.waiting.first() {
            // After `WouldBlock` the same bytes are offered again, as TLS demands.
            match self.stream.write_some(bytes) {
                Ok(0) => return Err(Gone::Left),
                Ok(count) => {
                    let is_whole = count == bytes.len();
                    self.progress_at = now;
                    self.waiting.written += count;
                    if is_whole {
                        self.waiting.pop();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Err(Gone::Left),
            }
        }
        Ok(())
    }

    /// Once a second: has it left, or stopped reading?
    pub(super) fn check(&mut self, now: Duration) -> Result<(), Gone> {
        // A viewer has nothing to say; whatever it says is not kept.
        match self.stream.read_some(&mut [0; 1024]) {
            Ok(0) => return Err(Gone::Left),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Err(Gone::Left),
        }
        if !self.waiting.is_empty() && now.saturating_sub(self.progress_at) > STALL_TIME_MAX {
            return Err(Gone::Stalled);
        }
        Ok(())
    }
}

impl Waiting {
    /// Nothing is to be written, nor made.
    fn is_empty(&self) -> bool {
        matches!(self.beginning, Beginning::Written) && self.queue.is_empty()
    }

    fn push(&mut self, event: &Arc<[u8]>) -> Result<(), Gone> {
        self.backlog += event.len();
        // One event alone may be larger: it is on its way at once.
        if self.backlog > BACKLOG_BYTES_MAX && !self.queue.is_empty() {
            return Err(Gone::Behind);
        }
        self.queue.push_back(Arc::clone(event));
        Ok(())
    }

    /// What is left of what is to be written next.
    fn first(&self) -> Option<&[u8]> {
        let first = match &self.beginning {
            Beginning::Awaited => None,
            Beginning::Writing(snapshot) => snapshot.blocks.front().map(Vec::as_slice),
            Beginning::Written => self.queue.front().map(|event| &**event),
        };
        first.map(|bytes| &bytes[self.written..])
    }

    /// The first is written.
    fn pop(&mut self) {
        self.written = 0;
        if let Beginning::Writing(snapshot) = &mut self.beginning {
            snapshot.blocks.pop_front();
            if snapshot.blocks.is_empty() {
                self.beginning = Beginning::Written;
            }
        } else if let Some(event) = self.queue.pop_front() {
            self.backlog -= event.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::gate::Budget;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::AtomicUsize;

    const SECOND: Duration = Duration::from_secs(1);

    fn viewer() -> (Viewer, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = Stream::plain(listener.accept().unwrap().0).unwrap();
        stream.become_live().unwrap();
        let place = Place::take(&Arc::new(AtomicUsize::new(0))).unwrap();
        let subscription = Arc::new(Subscription { summary: true, hosts: Vec::new() });
        (Viewer::new(1, stream, place, subscription, Duration::ZERO), theirs)
    }

    fn snapshot(length: usize) -> Snapshot {
        let blocks = vec![vec![b's'; length], b"!".to_vec()];
        Snapshot::new(blocks, Budget::new(usize::MAX).take(length).unwrap())
    }

    #[test]
    fn the_snapshot_comes_first_whatever_came_before_it() {
        let (mut viewer, mut theirs) = viewer();
        viewer.push(&Arc::from(&b"event"[..]), SECOND).unwrap();
        viewer.write(SECOND).unwrap();
        assert!(!viewer.is_blocked(), "nothing is written before the snapshot");
        viewer.begin(snapshot(3), SECOND);
        viewer.write(SECOND).unwrap();
        drop(viewer);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "sss!event");
    }

    #[test]
    fn a_viewer_that_never_reads_is_behind_and_its_snapshot_does_not_count() {
        let (mut viewer, _theirs) = viewer();
        viewer.begin(snapshot(8 << 20), SECOND);
        let event: Arc<[u8]> = vec![b'e'; 100_000].into();
        for _ in 0..5 {
            viewer.push(&event, SECOND).unwrap();
            viewer.write(SECOND).unwrap();
        }
        assert!(viewer.is_blocked());
        assert_eq!(viewer.push(&event, SECOND), Err(Gone::Behind));
    }

    #[test]
    fn a_viewer_that_takes_nothing_is_stalled_and_one_that_waits_for_events_is_not() {
        let (mut viewer, _theirs) = viewer();
        viewer.begin(snapshot(10), SECOND);
        viewer.write(SECOND).unwrap();
        viewer.check(1_000 * SECOND).unwrap();
        let now = 1_000 * SECOND;
        viewer.push(&vec![b'e'; 8 << 20].into(), now).unwrap();
        viewer.write(now).unwrap();
        assert!(viewer.is_blocked());
        viewer.check(now + 10 * SECOND).unwrap();
        assert_eq!(viewer.check(now + 11 * SECOND), Err(Gone::Stalled));
    }

    #[test]
    fn a_viewer_without_a_snapshot_does_not_wait_for_ever() {
        let (mut viewer, _theirs) = viewer();
        viewer.check(9 * SECOND).unwrap();
        viewer.push(&Arc::from(&b"event"[..]), 9 * SECOND).unwrap();
        assert_eq!(viewer.check(11 * SECOND), Err(Gone::Stalled));
    }

    #[test]
    fn a_closed_connection_is_noticed() {
        let (mut viewer, theirs) = viewer();
        drop(theirs);
        assert_eq!(viewer.check(SECOND), Err(Gone::Left));
    }
}
