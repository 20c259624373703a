//! The word that records are durable, which may come long after they were handed over.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, RecvError, Sender, TryRecvError, bounded};

use super::BusError;

/// What a [`Publisher`](super::Publisher) gives for records: once it is settled they are durable,
/// or the bus was shut down first. It stays settled, however often it is asked.
#[derive(Debug)]
pub struct Receipt {
    kept: Arc<AtomicBool>,
    /// Closes when it is settled.
    settled: Receiver<Infallible>,
}

/// A bus's side of a [`Receipt`]. Dropping it says that the bus was shut down.
#[derive(Debug)]
pub struct Promise {
    kept: Arc<AtomicBool>,
    _open: Sender<Infallible>,
}

/// A new pair.
#[must_use]
pub fn promise() -> (Promise, Receipt) {
    let (open, settled) = bounded(0);
    let kept = Arc::new(AtomicBool::new(false));
    (Promise { kept: Arc::clone(&kept), _open: open }, Receipt { kept, settled })
}

impl Promise {
    /// The records are durable.
    pub fn keep(self) {
        self.kept.store(true, Ordering::Release);
    }
}

impl Receipt {
    /// For records that are durable already.
    #[must_use]
    pub fn durable() -> Self {
        let (promise, receipt) = promise();
        promise.keep();
        receipt
    }

    /// Waits until it is settled.
    ///
    /// # Errors
    /// `Stopped`: the bus was shut down first, and nothing is known about the records.
    pub fn wait(&self) -> Result<(), BusError> {
        // Nothing can be sent: the only way out is the closing.
        let Err(RecvError) = self.settled.recv();
        self.outcome()
    }

    /// As [`wait`](Self::wait), without waiting: `None` while it is not settled.
    #[must_use]
    pub fn poll(&self) -> Option<Result<(), BusError>> {
        match self.settled.try_recv() {
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(self.outcome()),
        }
    }

    /// For `select!`: `recv(receipt.channel())` fires when it is settled, and ever after.
    #[must_use]
    pub fn channel(&self) -> &Receiver<Infallible> {
        &self.settled
    }

    fn outcome(&self) -> Result<(), BusError> {
        if self.kept.load(Ordering::Acquire) { Ok(()) } else { Err(BusError::Stopped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_durable_once_the_promise_is_kept_and_ever_after() {
        let (promise, receipt) = promise();
        assert_eq!(receipt.poll(), None);
        promise.keep();
        assert!(receipt.channel().recv().is_err());
        assert_eq!(
            (receipt.wait(), receipt.poll(), receipt.wait()),
            (Ok(()), Some(Ok(())), Ok(()))
        );
        assert_eq!(Receipt::durable().poll(), Some(Ok(())));
    }

    #[test]
    fn a_promise_that_is_dropped_says_stopped() {
        let (promise, receipt) = promise();
        drop(promise);
        assert_eq!(receipt.poll(), Some(Err(BusError::Stopped)));
        assert_eq!(receipt.wait(), Err(BusError::Stopped));
    }
}
