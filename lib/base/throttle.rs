//! One log line per period, with the number that was left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one message through per period and counts the rest.
#[derive(Debug)]
pub struct Throttle {
    period: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Throttle {
    /// At most one message each `period`.
    #[must_use]
    pub const fn new(period: Duration) -> Self {
        Self { period, state: Mutex::new((None, 0)) }
    }

    /// `Some(n)` when a message may be written now, `n` being how many were left out before it.
    pub fn pass(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|at| at.elapsed() < self.period) {
            *left_out += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_one_and_counts_the_rest() {
        let throttle = Throttle::new(Duration::from_secs(3_600));
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!((throttle.pass(), throttle.pass()), (None, None));
        let quick = Throttle::new(Duration::ZERO);
        assert_eq!((quick.pass(), quick.pass()), (Some(0), Some(0)));
    }
}
