//! Time: the monotonic clock measures, the wall clock labels.
//!
//! Every loop that waits takes a [`Clock`], so that a test can script time instead of sleeping:
//! [`Scripted::advance`] fires exactly the timers that have come due, in order.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, at, bounded};

/// Where a loop gets its time from.
pub trait Clock: Debug + Send + Sync {
    /// Time since a fixed, arbitrary moment; never goes back (`CLOCK_MONOTONIC`).
    fn monotonic(&self) -> Duration;

    /// Unix time in microseconds; jumps when somebody sets the clock (`CLOCK_REALTIME`).
    fn wall_us(&self) -> u64;

    /// Fires once when [`monotonic`](Clock::monotonic) reaches `when`; at once when it has.
    fn at(&self, when: Duration) -> Receiver<Instant>;

    /// Unix time in milliseconds.
    fn wall_ms(&self) -> u64 {
        self.wall_us() / 1_000
    }
}

/// A clock as rooms share it.
pub type SharedClock = Arc<dyn Clock>;

/// The kernel's clocks.
#[derive(Debug)]
pub struct Real {
    origin: Instant,
}

impl Real {
    /// A shared real clock whose monotonic time starts now.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self { origin: Instant::now() })
    }
}

impl Clock for Real {
    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    fn at(&self, when: Duration) -> Receiver<Instant> {
        at(self.origin + when)
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct Scripted {
    state: Mutex<Script>,
    changed: Condvar,
}

#[derive(Debug)]
struct Script {
    monotonic: Duration,
    wall_us: u64,
    timers: Vec<(Duration, Sender<Instant>)>,
    registered_count: u64,
}

impl Scripted {
    /// A clock at monotonic zero and the given Unix time.
    #[must_use]
    pub fn new(wall_us: u64) -> Arc<Self> {
        let script =
            Script { monotonic: Duration::ZERO, wall_us, timers: Vec::new(), registered_count: 0 };
        Arc::new(Self { state: Mutex::new(script), changed: Condvar::new() })
    }

    /// Moves both clocks forward and fires the timers that have come due, earliest first.
    pub fn advance(&self, by: Duration) {
        let mut script = self.lock();
        script.monotonic += by;
        script.wall_us += u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let now = script.monotonic;
        let mut due: Vec<_> = script.timers.extract_if(.., |(when, _)| *when <= now).collect();
        due.sort_by_key(|(when, _)| *when);
        for (_, fire) in due {
            // The loop that asked may have gone on for another reason.
            let _ = fire.try_send(Instant::now());
        }
    }

    /// Sets the wall clock alone, as an operator or NTP does.
    pub fn set_wall_us(&self, wall_us: u64) {
        self.lock().wall_us = wall_us;
    }

    /// Waits until `count` timers were asked for since the start; how a test knows without
    /// sleeping that a loop has gone back to waiting. False after `limit` of real time.
    #[must_use]
    pub fn wait_for_timers(&self, count: u64, limit: Duration) -> bool {
        let (_script, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), limit, |script| script.registered_count < count)
            .unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// How many timers were asked for since the start.
    #[must_use]
    pub fn timers_registered(&self) -> u64 {
        self.lock().registered_count
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Scripted {
    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }

    fn wall_us(&self) -> u64 {
        self.lock().wall_us
    }

    fn at(&self, when: Duration) -> Receiver<Instant> {
        let (fire, fired) = bounded(1);
        let mut script = self.lock();
        script.registered_count += 1;
        if when <= script.monotonic {
            let _ = fire.try_send(Instant::now());
        } else {
            script.timers.push((when, fire));
        }
        self.changed.notify_all();
        fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripted_timers_fire_when_due_and_not_before() {
        let clock = Scripted::new(1_000_000);
        let early = clock.at(Duration::from_secs(1));
        let late = clock.at(Duration::from_secs(3));
        clock.advance(Duration::from_millis(999));
        assert!(early.try_recv().is_err());
        clock.advance(Duration::from_millis(1));
        assert!(early.try_recv().is_ok());
        assert!(late.try_recv().is_err());
        assert!(clock.at(Duration::from_millis(500)).try_recv().is_ok(), "past: fires at once");
        assert_eq!(clock.wall_us(), 2_000_000);
    }

    #[test]
    fn setting_the_wall_clock_leaves_the_monotonic_one() {
        let clock = Scripted::new(5_000_000);
        clock.advance(Duration::from_secs(1));
        clock.set_wall_us(1);
        assert_eq!((clock.monotonic(), clock.wall_us()), (Duration::from_secs(1), 1));
    }
}
