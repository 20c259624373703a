//! When to try again, and what to say about it.

use std::time::Duration;

use super::conversation::Ending;
use super::counts::ClientCounts;
use crate::base::backoff::Backoff;
use crate::base::throttle::Throttle;

/// The first wait after a failure is up to this long.
const WAIT_FIRST: Duration = Duration::from_millis(500);

/// No wait is longer, except after a refusal.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A stream that lived this long was healthy: the next wait starts over.
const HEALTHY: Duration = Duration::from_secs(60);

/// Somebody has to change a version or a name first.
pub(super) const REFUSED_WAIT: Duration = Duration::from_secs(300);

/// The same words again are logged once in this time.
const LOG_PERIOD: Duration = Duration::from_secs(300);

/// The policy, from stream to stream.
#[derive(Debug)]
pub(super) struct Reconnect {
    backoff: Backoff,
    said: String,
    throttle: Throttle,
}

impl Reconnect {
    pub(super) fn new() -> Self {
        let backoff = Backoff::new(WAIT_FIRST, WAIT_MAX);
        Self { backoff, said: String::new(), throttle: Throttle::new(LOG_PERIOD) }
    }

    /// How long to wait after a stream that was welcomed `lived` ago, or never; `None` when the
    /// client stops.
    pub(super) fn after(
        &mut self,
        ending: &Ending,
        lived: Option<Duration>,
        counts: &ClientCounts,
    ) -> Option<Duration> {
        if lived.is_some_and(|lived| lived >= HEALTHY) {
            self.backoff.reset();
        }
        if lived.is_some() {
            // What is said next is news again.
            self.said.clear();
        }
        match ending {
            Ending::Stopped => None,
            Ending::Drained | Ending::Renewed => Some(self.backoff.next_wait()),
            Ending::Refused(words) => {
                counts.connections_refused.increment();
                let minutes = REFUSED_WAIT.as_secs() / 60;
                self.say(&format!("{words}; trying again every {minutes} minutes"));
                Some(REFUSED_WAIT)
            }
            Ending::Lost(words) => {
                let failed = &counts.connections_failed;
                if lived.is_some() { &counts.connections_lost } else { failed }.increment();
                self.say(words);
                Some(self.backoff.next_wait())
            }
        }
    }

    fn say(&mut self, words: &str) {
        if words != self.said {
            words.clone_into(&mut self.said);
            self.throttle = Throttle::new(LOG_PERIOD);
        }
        match self.throttle.pass() {
            Some(0) => log::warn!("{words}"),
            Some(left_out) => log::warn!("{words} ({left_out} more tries)"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_waits_five_minutes_and_a_loss_backs_off_to_thirty_seconds() {
        let (mut policy, counts) = (Reconnect::new(), ClientCounts::new());
        let lost = Ending::Lost("connection refused".into());
        for _ in 0..20 {
            let wait = policy.after(&lost, None, &counts).unwrap();
            assert!(wait <= WAIT_MAX);
        }
        assert_eq!(policy.backoff.limit(), WAIT_MAX);
        let short = Some(Duration::from_secs(59));
        policy.after(&lost, short, &counts);
        assert_eq!(policy.backoff.limit(), WAIT_MAX, "a short life is no health");
        let wait = policy.after(&lost, Some(HEALTHY), &counts).unwrap();
        assert!(wait <= WAIT_FIRST);
        let refused = Ending::Refused("name taken".into());
        assert_eq!(policy.after(&refused, None, &counts), Some(REFUSED_WAIT));
        assert_eq!(policy.after(&Ending::Stopped, None, &counts), None);
        assert_eq!((counts.connections_failed.get(), counts.connections_lost.get()), (20, 2));
        assert_eq!(counts.connections_refused.get(), 1);
    }
}
