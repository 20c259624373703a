//! How much may be in flight, and how fast backlog may go: the window, the backlog's part of it, and
//! what a server gets that answers nothing.

/// Backlog takes at most this part of the window, so that live frames always find room in the rest,
/// and those of a hundred hosts at once (150 frames of 1.3 KB each) in the queues of a server, which
/// then reads on and finds the live ones. Acks may be as late as a server's history commits: of 600
/// frames that is 30 a second where it commits every 5 s, and 7 where every 20 s.
const BACKLOG_PART: usize = 4;

/// Backlog goes so many times as fast as it was sampled: an hour in under four minutes, whatever the
/// interval. A hundred hosts that catch up are 1,600 frames a second, and all that handles a frame on
/// its way to the history takes 170 us of CPU together: live frames still find a free core.
const BACKLOG_SPEED: u64 = 16;

/// What was sampled less often goes as fast as at this interval.
const BACKLOG_INTERVAL_US_MAX: u64 = 1_000_000;

/// So far it may be ahead of that: sixteen seconds of the past go at once.
const BACKLOG_BURST_US: u64 = 1_000_000;

/// A server that acknowledges nothing for so long gets no more: whatever it took would stand between
/// it and what is live once it goes on. Half as much again as acks may take where they wait for the
/// commits of a history of many GiB (20 s).
const STALLED_US: u64 = 30_000_000;

/// But for one frame in this time, should it by its own account owe no ack.
const PROBE_US: u64 = 60_000_000;

/// Frames on their way.
#[derive(Debug)]
pub(super) struct Pace {
    window: usize,
    in_flight: usize,
    /// Of these.
    backlog: usize,
    is_hurried: bool,
    /// An ack took frames out since the last look.
    is_answered: bool,
    /// When that was seen last, or nothing was in flight; monotonic.
    answered_us: u64,
    /// When a frame was sent last, monotonic.
    sent_us: u64,
    /// When backlog is on its pace again, monotonic; it may be a burst ahead of that.
    backlog_due_us: u64,
    /// Backlog was asked for and has to wait for that.
    is_held: bool,
}

impl Pace {
    pub(super) fn new(window: usize) -> Self {
        Self {
            window,
            in_flight: 0,
            backlog: 0,
            is_hurried: false,
            is_answered: false,
            answered_us: 0,
            sent_us: 0,
            backlog_due_us: 0,
            is_held: false,
        }
    }

    /// A new stream: nothing is in flight.
    pub(super) fn start_stream(&mut self) {
        (self.in_flight, self.backlog) = (0, 0);
    }

    /// From now on nothing waits for acks.
    pub(super) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.is_hurried
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether anything may be sent at `now_us`.
    pub(super) fn may_send(&mut self, now_us: u64) -> bool {
        if std::mem::take(&mut self.is_answered) || self.in_flight == 0 {
            self.answered_us = now_us;
        }
        let is_stalled = now_us.saturating_sub(self.answered_us) >= STALLED_US
            && now_us.saturating_sub(self.sent_us) < PROBE_US;
        self.is_hurried || self.in_flight < self.window && !is_stalled
    }

    /// Whether that may be backlog.
    pub(super) fn may_send_backlog(&mut self, now_us: u64) -> bool {
        if self.is_hurried {
            return true;
        }
        let has_room = self.backlog < (self.window / BACKLOG_PART).max(1);
        self.is_held = has_room && now_us < self.backlog_from_us();
        has_room && !self.is_held
    }

    /// When backlog is to be asked for again, if it was and had to wait; monotonic. Told once, so
    /// that nobody who cannot send just then comes back at once for ever.
    pub(super) fn take_held_until_us(&mut self) -> Option<u64> {
        std::mem::take(&mut self.is_held).then_some(self.backlog_from_us())
    }

    /// A live frame goes out, now.
    pub(super) fn sent_live(&mut self, now_us: u64) {
        self.in_flight += 1;
        self.sent_us = now_us;
    }

    /// Backlog goes out, now, that was sampled at this interval (0: once).
    pub(super) fn sent_backlog(&mut self, interval_ms: u32, now_us: u64) {
        self.sent_live(now_us);
        self.backlog += 1;
        let interval_us = (u64::from(interval_ms) * 1_000).min(BACKLOG_INTERVAL_US_MAX);
        self.backlog_due_us = self.backlog_due_us.max(now_us) + interval_us / BACKLOG_SPEED;
    }

    fn backlog_from_us(&self) -> u64 {
        self.backlog_due_us.saturating_sub(BACKLOG_BURST_US)
    }

    /// A frame is in flight no more: acknowledged or given up.
    pub(super) fn landed(&mut self, is_backlog: bool) {
        self.in_flight -= 1;
        self.backlog -= usize::from(is_backlog);
    }

    /// The same of several, all backlog.
    pub(super) fn backlog_landed(&mut self, frames: usize) {
        self.in_flight -= frames;
        self.backlog -= frames;
    }

    /// A frame that has landed by leaving memory is in flight still, as backlog.
    pub(super) fn put_away(&mut self) {
        self.in_flight += 1;
        self.backlog += 1;
    }

    /// An ack took so many frames out.
    pub(super) fn answered(&mut self, frames: u64) {
        self.is_answered |= frames > 0;
    }
}
