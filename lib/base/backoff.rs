//! Exponential backoff with full jitter: a thousand clients that lost the same server come back
//! spread over the whole wait instead of all at once.

use std::time::Duration;

use crate::base::random;

/// How long to wait before the next try.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits up to `first` after one failure, doubling up to `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, failures: 0 }
    }

    /// The wait after one more failure: uniform between zero and the doubled limit.
    pub fn next_wait(&mut self) -> Duration {
        let limit = self.limit();
        self.failures = self.failures.saturating_add(1);
        limit.mul_f64(random::fraction())
    }

    /// Back to the start, after the other side has been healthy for a while.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The longest the next wait can be.
    #[must_use]
    pub fn limit(&self) -> Duration {
        // 2^20 times any first wait is beyond any cap in use.
        self.first.saturating_mul(1 << self.failures.min(20)).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_and_starts_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let mut limits = Vec::new();
        for _ in 0..6 {
            limits.push(backoff.limit().as_millis());
            let limit = backoff.limit();
            assert!(backoff.next_wait() <= limit);
        }
        assert_eq!(limits, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.limit().as_millis(), 100);
    }
}
