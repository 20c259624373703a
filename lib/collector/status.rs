//! What the collectors say about themselves.

use std::time::Duration;

crate::counters! {
    /// What happened to the runs of all collectors of a set.
    pub struct CollectorCounts {
        runs: "collector_runs_total", "Runs of collectors.";
        samples: "collector_samples_total", "Samples that collectors gave.";
        faults: "collector_faults_total", "Items that could not be read or parsed and gave no sample.", fault;
        failed_runs: "collector_failed_runs_total", "Runs that failed as a whole and gave no sample.", fault;
        panics: "collector_panics_total", "Runs that panicked; contained, and nothing of them is used.", fault;
        slow_runs: "collector_slow_runs_total", "Runs of a quarter of a second or more.", fault;
        off: "collector_off", "Collectors whose source is missing here; asked again every minute.";
        dead: "collector_dead", "Collectors that panicked too often and are not run any more.", fault;
    }
}

/// What a collector does when its metrics are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Ready,
    /// Its source is not on this kernel or in this container; asked again at this monotonic time.
    Off {
        /// By the set's clock.
        retry_at: Duration,
    },
    /// It panicked [`PANICS_MAX`](super::PANICS_MAX) times and never runs again.
    Dead,
}

/// One collector's account of itself.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its name.
    pub name: &'static str,
    /// What it does when it is due.
    pub state: State,
    /// Runs since the start.
    pub runs: u64,
    /// Items and runs that failed since the start.
    pub faults: u64,
    /// Panics since the start.
    pub panics: u32,
    /// What was wrong in the last run; `None` when nothing was.
    pub last_error: Option<String>,
    /// How long the last run took.
    pub last_duration: Duration,
    /// How long all runs took together.
    pub total_duration: Duration,
}

impl Status {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            state: State::Ready,
            runs: 0,
            faults: 0,
            panics: 0,
            last_error: None,
            last_duration: Duration::ZERO,
            total_duration: Duration::ZERO,
        }
    }
}
