//! Stopping: a channel that closes, never a flag that is polled.
//!
//! [`Stop`] is the receiving side that every loop has in its `select!`; it is ready for ever once
//! the [`Stopper`] is dropped. [`on_signals`] ties a stopper to SIGTERM and SIGINT.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::base::thread;

/// Exit status after a second signal: 128 + SIGINT, what a shell reports for an interrupt.
const EXIT_AT_ONCE: i32 = 130;

/// Dropping it stops everything that holds the [`Stop`].
#[derive(Debug)]
pub struct Stopper {
    _open: Sender<Infallible>,
}

/// Becomes ready, and stays so, when its [`Stopper`] is dropped.
#[derive(Debug, Clone)]
pub struct Stop {
    closed: Receiver<Infallible>,
}

/// A new pair.
#[must_use]
pub fn pair() -> (Stopper, Stop) {
    let (open, closed) = bounded(0);
    (Stopper { _open: open }, Stop { closed })
}

impl Stop {
    /// For `select!`: `recv(stop.channel())` fires when it is time to stop.
    #[must_use]
    pub fn channel(&self) -> &Receiver<Infallible> {
        &self.closed
    }

    /// Waits at most `limit`; true when it is time to stop.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> bool {
        matches!(self.closed.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
    }

    /// Waits until it is time to stop.
    pub fn wait_forever(&self) {
        // Nothing can be sent: the only way out is the closing.
        let _ = self.closed.recv();
    }

    /// Whether it is time to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.wait(Duration::ZERO)
    }
}

/// Stops at the first SIGTERM or SIGINT; ends the process at once at the second.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn on_signals() -> io::Result<Stop> {
    let (stopper, stop) = pair();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let watcher = thread::spawn("signals", move || {
        let mut stopper = Some(stopper);
        for signal in signals.forever() {
            if stopper.take().is_none() {
                log::warn!("second signal: ending at once");
                std::process::exit(EXIT_AT_ONCE);
            }
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            log::info!("{name}: stopping (a second signal ends at once)");
        }
    })?;
    // It waits for signals until the process ends, so nobody can join it.
    watcher.abandon();
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_ready_once_the_stopper_is_gone() {
        let (stopper, stop) = pair();
        let second = stop.clone();
        assert!(!stop.wait(Duration::ZERO));
        drop(stopper);
        assert!(stop.is_stopped() && stop.is_stopped() && second.is_stopped());
    }
}
