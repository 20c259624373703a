//! The ledger by itself: the door through which the bench measures it.

use std::time::Duration;

use super::{HostLedger, Verdict};
use crate::metric::SessionId;

/// The account of one host with one session, fed with numbers of frames alone.
#[derive(Debug, Default)]
pub struct LedgerAlone(HostLedger);

impl LedgerAlone {
    /// Whether a frame is new.
    pub fn takes(&mut self, seq: u64) -> bool {
        matches!(self.0.frame(SessionId(1), seq, true, Duration::ZERO), Verdict::New)
    }
}
