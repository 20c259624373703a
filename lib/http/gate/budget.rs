//! How much memory answers and snapshots that wait for their viewers may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Smaller ones are free: their number is bounded by the connections, 512 x 128 KiB = 64 MiB.
pub(crate) const FREE_BYTES_MAX: usize = 128 * 1024;

/// A number of bytes that are taken and given back.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// Bytes taken; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// Takes `bytes`, or nothing when so much is not left.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let bytes = if bytes <= FREE_BYTES_MAX { 0 } else { bytes };
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        Some(Permit { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(1_000_000);
        let first = budget.take(600_000).unwrap();
        assert!(budget.take(600_000).is_none());
        assert!(budget.take(FREE_BYTES_MAX).is_some(), "small ones are free");
        drop(first);
        assert!(budget.take(1_000_000).is_some());
        assert!(budget.take(usize::MAX).is_none());
    }
}
