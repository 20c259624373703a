//! What the sampler and the uplink share: one session's clock, buffer, orders and counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::buffer::Buffer;
use super::counts::ClientCounts;
use super::orders::Orders;
use super::server_time::{Reading, ServerTime};
use crate::base::clock::SharedClock;
use crate::metric::{Frame, SessionId};

/// One run of the client.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) session: SessionId,
    pub(super) clock: SharedClock,
    pub(super) orders: Orders,
    pub(super) counts: Arc<ClientCounts>,
    started: Duration,
    buffer: Mutex<Buffer>,
    server_time: Mutex<ServerTime>,
    wake: Sender<()>,
    woken: Receiver<()>,
    wake_keeper: Sender<()>,
    keeper_woken: Receiver<()>,
}

/// One instant by every clock there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant {
    /// Since an arbitrary moment.
    pub(super) monotonic: Duration,
    /// The same in whole microseconds.
    pub(super) monotonic_us: u64,
    /// The host's own clock, Unix us.
    pub(super) wall_us: u64,
    /// The server's clock as estimated.
    pub(super) server: Reading,
}

impl Shared {
    pub(super) fn new(session: SessionId, clock: SharedClock, buffer: Buffer) -> Self {
        let ((wake, woken), (wake_keeper, keeper_woken)) = (bounded(1), bounded(1));
        Self {
            session,
            started: clock.monotonic(),
            clock,
            orders: Orders::new(),
            counts: Arc::new(ClientCounts::new()),
            buffer: Mutex::new(buffer),
            server_time: Mutex::new(ServerTime::new()),
            wake,
            woken,
            wake_keeper,
            keeper_woken,
        }
    }

    /// Now, by every clock.
    pub(super) fn now(&self) -> Instant {
        let monotonic = self.clock.monotonic();
        let (monotonic_us, wall_us) = (micros(monotonic), self.clock.wall_us());
        let server = self.server_time().read(monotonic_us, wall_us);
        Instant { monotonic, monotonic_us, wall_us, server }
    }

    /// Microseconds since the session's start.
    pub(super) fn elapsed_us(&self, monotonic: Duration) -> u64 {
        micros(monotonic.saturating_sub(self.started))
    }

    /// Gives frames that were stamped by the host's own clock the server's time, once it is known.
    pub(super) fn retime(&self) {
        let now = self.now();
        self.buffer().retime(|frame: &Frame| self.better_time(frame, now));
    }

    /// The server's time of a frame of this session that was stamped by the host's own clock.
    pub(super) fn better_time(&self, frame: &Frame, now: Instant) -> Option<(u64, u32)> {
        let unknown = frame.uncertainty_ms == super::server_time::UNCERTAINTY_UNKNOWN_MS;
        if !unknown || frame.session != self.session {
            return None;
        }
        let age_us = self.elapsed_us(now.monotonic).saturating_sub(frame.elapsed_us);
        let time_ms = now.server.unix_us.saturating_sub(age_us) / 1_000;
        Some((time_ms, now.server.uncertainty_ms))
    }

    /// Frames were sampled: for the spool to write, and for the uplink to send.
    pub(super) fn frames_ready(&self) {
        self.wake_keeper();
        // Should the disk hang, the uplink notices by itself.
        self.wake_uplink();
    }

    /// The spool has something to do; without one nobody listens.
    pub(super) fn wake_keeper(&self) {
        // Full means that it is awake already.
        let _ = self.wake_keeper.try_send(());
    }

    /// Fires when the spool has something to do.
    pub(super) fn keeper_woken(&self) -> &Receiver<()> {
        &self.keeper_woken
    }

    /// Something can be sent, for the uplink.
    pub(super) fn wake_uplink(&self) {
        // Full means that it is awake already.
        let _ = self.wake.try_send(());
    }

    /// Fires when the uplink has something to do, and what makes it fire.
    pub(super) fn uplink_woken(&self) -> (&Receiver<()>, &Sender<()>) {
        (&self.woken, &self.wake)
    }

    /// Sets the levels that are counted beside the totals.
    pub(super) fn count_buffer(&self, buffer: &Buffer) {
        let account = buffer.account();
        self.counts.frames_waiting.set(account.waiting);
        self.counts.buffer_used.set(account.bytes);
        self.counts.declarations_forgotten.set(account.forgotten);
    }

    pub(super) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn server_time(&self) -> MutexGuard<'_, ServerTime> {
        self.server_time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole microseconds; 584,000 years fit.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
