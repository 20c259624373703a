//! What all publishers and readers of one Kafka bus have in common.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::SharedClock;
use crate::base::stop::Stop;
use crate::base::thread::Joined;

use super::super::{BusCounts, Topic};
use super::KafkaConfig;
use super::probe::ProbeLimits;

/// Most threads that may hang in given-up calls at once. Each ends by itself when the crate's
/// timeout of 120 s has passed, and a publisher or reader gives up at most one call each 10 s:
/// 12 for each of them in the worst case, and as a rule 1, because the next client is not made
/// until the broker answers the probe.
const ABANDONED_MAX: usize = 64;

/// Configuration, clock, counters, and the threads that were given up.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: KafkaConfig,
    pub(super) clock: SharedClock,
    pub(super) stop: Stop,
    pub(super) counts: BusCounts,
    abandoned: Mutex<Vec<Joined>>,
}

impl Shared {
    pub(super) fn new(config: KafkaConfig, clock: SharedClock, stop: Stop) -> Self {
        let abandoned = Mutex::new(Vec::new());
        Self { config, clock, stop, counts: BusCounts::new(), abandoned }
    }

    /// Takes over a thread that does not come back from the crate.
    pub(super) fn abandon(&self, thread: Joined) {
        let mut threads = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(thread);
        self.forget_ended(&mut threads);
    }

    /// Whether one more client may be made.
    pub(super) fn has_room(&self) -> bool {
        let mut threads = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_ended(&mut threads);
        threads.len() < ABANDONED_MAX
    }

    fn forget_ended(&self, threads: &mut Vec<Joined>) {
        threads.retain(|thread| !thread.is_finished());
        self.counts.abandoned_threads.set(threads.len() as u64);
    }

    /// Of the call limit, a fifth is for a connection and three tenths for the probe's answer, so
    /// that a second broker gets its turn.
    pub(super) fn probe_limits(&self) -> ProbeLimits {
        let limit = self.config.call_limit;
        ProbeLimits { connect: limit / 5, answer: limit * 3 / 10 }
    }

    /// How long the broker may wait for its replicas: it shall say so before the call is given up.
    pub(super) fn ack_timeout(&self) -> Duration {
        self.config.call_limit * 4 / 5
    }

    pub(super) fn topic_name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Metrics => &self.config.metrics_topic,
            Topic::Events => &self.config.events_topic,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let threads = self.abandoned.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Joining them would take up to two minutes.
        threads.drain(..).for_each(Joined::abandon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Real;
    use crate::base::{stop, thread};
    use crossbeam_channel::bounded;

    #[test]
    fn given_up_threads_are_counted_bounded_and_forgotten_when_they_end() {
        let (_stopper, stop) = stop::pair();
        let config = KafkaConfig::new(vec!["localhost:9094".to_owned()]);
        let shared = Shared::new(config, Real::shared(), stop);
        let (hang, hanging) = bounded::<()>(0);
        let (ended, all_ended) = bounded::<()>(0);
        for count in 0..ABANDONED_MAX {
            assert!(shared.has_room(), "{count}");
            let (hanging, ended) = (hanging.clone(), ended.clone());
            let thread = thread::spawn("test-hang", move || {
                let _ = hanging.recv();
                drop(ended);
            });
            shared.abandon(thread.unwrap());
        }
        assert!(!shared.has_room());
        assert_eq!(shared.counts.abandoned_threads.get(), ABANDONED_MAX as u64);
        drop((hang, ended));
        let _ = all_ended.recv();
        while !shared.has_room() {
            std::thread::yield_now();
        }
    }
}
