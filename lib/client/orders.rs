//! What the uplink passes on to the sampler: the newest standing order and what to take at once.
//!
//! Latest value wins, so nothing can fill up while a reading hangs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::wire::SCHEDULE_ENTRIES_MAX;
use crate::wire::message::Schedule;

/// Hands orders over, from any thread to the sampler.
#[derive(Debug)]
pub(super) struct Orders {
    pending: Mutex<Pending>,
    wake: Sender<()>,
    woken: Receiver<()>,
}

/// What has come since the last time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pending {
    /// The whole standing order and when it came, monotonic.
    pub(super) schedule: Option<(Schedule, Duration)>,
    /// Patterns of what to take at once.
    pub(super) collect: Vec<String>,
}

impl Orders {
    pub(super) fn new() -> Self {
        let (wake, woken) = bounded(1);
        Self { pending: Mutex::default(), wake, woken }
    }

    /// Replaces the standing order.
    pub(super) fn replace(&self, schedule: Schedule, received: Duration) {
        self.change(|pending| pending.schedule = Some((schedule, received)));
    }

    /// Asks for a reading now. More patterns than a schedule may have mean everything.
    pub(super) fn collect(&self, patterns: Vec<String>) {
        self.change(|pending| {
            pending.collect.extend(patterns);
            pending.collect.sort_unstable();
            pending.collect.dedup();
            if pending.collect.len() > SCHEDULE_ENTRIES_MAX {
                pending.collect = vec!["*".to_owned()];
            }
        });
    }

    /// Fires when something has come.
    pub(super) fn woken(&self) -> &Receiver<()> {
        &self.woken
    }

    /// Takes what has come.
    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        // Full means that it is awake already.
        let _ = self.wake.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_order_wins_and_directives_add_up() {
        let orders = Orders::new();
        let schedule = |revision| Schedule { revision, entries: Vec::new() };
        orders.replace(schedule(1), Duration::ZERO);
        orders.collect(vec!["b".into(), "a".into()]);
        orders.collect(vec!["b".into()]);
        orders.replace(schedule(2), Duration::from_secs(1));
        assert!(orders.woken().try_recv().is_ok() && orders.woken().try_recv().is_err());
        let pending = orders.take();
        assert_eq!(pending.schedule, Some((schedule(2), Duration::from_secs(1))));
        assert_eq!(pending.collect, ["a", "b"]);
        assert_eq!(orders.take(), Pending::default());
    }

    #[test]
    fn a_flood_of_directives_stays_bounded() {
        let orders = Orders::new();
        for n in 0..10_000 {
            orders.collect(vec![format!("metric_{n}")]);
        }
        assert!(orders.take().collect.contains(&"*".to_owned()));
    }
}
