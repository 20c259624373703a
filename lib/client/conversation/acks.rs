//! What an ack does: frames go, and the two clocks are compared.

use super::Conversation;
use crate::client::server_time::{Observed, RoundTrip};
use crate::metric::SessionId;
use crate::wire::message::Ack;

impl Conversation<'_> {
    pub(super) fn acknowledge(&mut self, ack: &Ack) {
        if let Some(session) = ack.session.filter(|session| *session != self.shared.session) {
            return self.acknowledge_earlier(session, ack);
        }
        let acked = {
            let mut buffer = self.shared.buffer();
            let acked = buffer.acknowledge(ack.through, &ack.ranges, ack.echo_seq);
            self.shared.count_buffer(&buffer);
            acked
        };
        self.shared.counts.frames_acked.add(acked.frames);
        self.shared.counts.acks_beyond.add(u64::from(acked.beyond));
        if let Some(sent_us) = acked.echo_sent_us.filter(|_| ack.echo_received_us > 0) {
            self.observe(sent_us, ack.echo_received_us, ack.server_time_us);
        }
    }

    /// An ack of what an earlier run left. How long it took says nothing about clocks: it was on
    /// its way from the disk.
    fn acknowledge_earlier(&mut self, session: SessionId, ack: &Ack) {
        let (acked, waiting) = {
            let mut buffer = self.shared.buffer();
            let acked = buffer.acknowledge_earlier(session, ack.through, &ack.ranges);
            (acked, buffer.earlier_waiting())
        };
        let Some(acked) = acked else {
            self.shared.counts.messages_unknown.increment();
            return;
        };
        self.shared.counts.frames_of_earlier_runs.set(waiting);
        self.shared.counts.earlier_frames_acked.add(acked.frames);
        self.shared.counts.acks_beyond.add(u64::from(acked.beyond));
        if waiting == 0 {
            self.shared.wake_keeper();
        }
    }

    pub(super) fn observe(&self, sent_us: u64, server_received_us: u64, server_sent_us: u64) {
        let now = self.shared.now();
        let received_us = now.monotonic_us;
        let trip = RoundTrip { sent_us, server_received_us, server_sent_us, received_us };
        let observed = self.shared.server_time().observe(trip, now.wall_us);
        match observed {
            Observed::First => self.shared.retime(),
            Observed::Stepped(by_us) => {
                self.shared.counts.clock_steps.increment();
                log::warn!("server time stepped by {} ms", by_us / 1_000);
            }
            Observed::Refused | Observed::Followed => {}
        }
    }
}
