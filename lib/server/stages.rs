//! From received to durable: the stage that only the server can measure, told once a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::counter::Count;
use crate::base::histogram::Histogram;
use crate::wire::json::StagesRecord;

/// How often a histogram is published while frames come.
const INTERVAL: Duration = Duration::from_secs(1);

/// Latencies since the last record.
#[derive(Debug, Default)]
pub(super) struct Stages {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    durable: Histogram,
    next: Duration,
}

impl Stages {
    /// Counts latencies from received to durable.
    pub(super) fn record(&self, latencies: impl Iterator<Item = Duration>) {
        let mut state = self.lock();
        for latency in latencies {
            state.durable.record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// When the next record is due; `None` while there is nothing to tell.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let state = self.lock();
        (state.durable.count() > 0).then_some(state.next)
    }

    /// The record, if it is due; one caller gets it.
    pub(super) fn take(
        &self,
        server: &Arc<str>,
        now: Duration,
        time_ms: u64,
        counts: impl FnOnce() -> Vec<Count>,
    ) -> Option<StagesRecord> {
        let mut state = self.lock();
        if state.durable.count() == 0 || now < state.next {
            return None;
        }
        state.next = now + INTERVAL;
        let durable = state.durable.buckets().collect();
        state.durable.clear();
        let wrong = counts().into_iter().filter(|count| count.is_fault && count.value > 0);
        let counts = wrong.map(|count| (count.name.into_owned(), count.value)).collect();
        Some(StagesRecord { server: server.clone(), time_ms, durable, counts })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_once_a_second_and_only_when_there_is_something() {
        let (stages, here, at) = (Stages::default(), "here".into(), Duration::from_secs);
        assert_eq!((stages.due_at(), stages.take(&here, at(5), 1, Vec::new)), (None, None));
        stages.record([Duration::from_micros(9), Duration::from_micros(9)].into_iter());
        assert_eq!(stages.take(&here, at(5), 7, Vec::new).unwrap().durable, [(9, 2)]);
        stages.record([Duration::from_micros(3)].into_iter());
        assert_eq!((stages.due_at(), stages.take(&here, at(5), 1, Vec::new)), (Some(at(6)), None));
        assert_eq!(stages.take(&here, at(6), 8, Vec::new).unwrap().durable, [(3, 1)]);
    }
}
