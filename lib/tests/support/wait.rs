//! Waiting for something to become true, with a limit and words for when it does not.

use std::time::{Duration, Instant};

/// How often a condition that nothing announces is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `condition` gives a value.
///
/// # Panics
/// After `limit`, with `what`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        pause(LOOK_EVERY);
    }
}

/// Lets time pass; for conditions of other processes that nothing announces.
pub fn pause(time: Duration) {
    let _ = crossbeam_channel::never::<()>().recv_timeout(time);
}
