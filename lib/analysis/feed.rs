//! Updates to the one subscriber: bounded, the oldest dropped and counted when it is too slow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::analysis::view::LiveUpdate;

/// Updates that wait: 8 s of 1,000 hosts at 1 Hz, or 0.4 s at 20 Hz; an update of 100 values takes
/// 2.5 KB, so 20 MB at worst.
pub(in crate::analysis) const UPDATES_MAX: usize = 8_192;

/// Where updates go.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Feed {
    subscriber: Mutex<Option<Subscriber>>,
    is_watched: AtomicBool,
}

#[derive(Debug)]
struct Subscriber {
    send: Sender<Arc<LiveUpdate>>,
    /// To take the oldest out. It keeps the channel open after the subscriber is gone, which costs
    /// at most [`UPDATES_MAX`] updates until the next one comes.
    evict: Receiver<Arc<LiveUpdate>>,
}

impl Feed {
    /// A new subscriber; the one before finds its channel closed.
    pub(in crate::analysis) fn subscribe(&self) -> Receiver<Arc<LiveUpdate>> {
        let (send, receive) = bounded(UPDATES_MAX);
        *self.lock() = Some(Subscriber { send, evict: receive.clone() });
        receive
    }

    /// Whether the subscriber wants updates.
    pub(in crate::analysis) fn watch(&self, is_watched: bool) {
        self.is_watched.store(is_watched, Ordering::Release);
    }

    /// Whether anybody looks: an update is not made for nobody.
    pub(in crate::analysis) fn is_wanted(&self) -> bool {
        self.is_watched.load(Ordering::Acquire)
    }

    /// Sends an update; returns how many older ones were dropped for it.
    pub(in crate::analysis) fn send(&self, update: Arc<LiveUpdate>) -> u64 {
        let guard = self.lock();
        let Some(subscriber) = &*guard else { return 0 };
        let mut dropped = 0;
        let mut update = update;
        while let Err(TrySendError::Full(back)) = subscriber.send.try_send(update) {
            dropped += u64::from(subscriber.evict.try_recv().is_ok());
            update = back;
        }
        dropped
    }

    fn lock(&self) -> MutexGuard<'_, Option<Subscriber>> {
        self.subscriber.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::view::SUMMARY_COLUMNS;
    use crate::metric::SessionId;

    fn update(seq: u64) -> Arc<LiveUpdate> {
        Arc::new(LiveUpdate {
            host: "a".into(),
            session: SessionId(1),
            seq,
            interval_ms: 0,
            time_ms: 0,
            sent_ms: 0,
            received_ms: 0,
            consumed_ms: 0,
            summary: [None; SUMMARY_COLUMNS.len()],
            values: Vec::new(),
        })
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let feed = Feed::default();
        assert_eq!((feed.is_wanted(), feed.send(update(0))), (false, 0));
        let first = feed.subscribe();
        assert!(!feed.is_wanted(), "nobody looks yet");
        feed.watch(true);
        assert!(feed.is_wanted());
        let sent = UPDATES_MAX as u64 + 3;
        let dropped: u64 = (1..=sent).map(|seq| feed.send(update(seq))).sum();
        assert_eq!((dropped, first.len()), (3, UPDATES_MAX));
        assert_eq!(first.recv().map(|update| update.seq), Ok(4));
        let second = feed.subscribe();
        feed.send(update(9));
        assert_eq!(second.recv().map(|update| update.seq), Ok(9));
        assert_eq!(first.try_iter().count(), UPDATES_MAX - 1, "the first one's is closed");
        assert!(first.recv().is_err());
    }
}
