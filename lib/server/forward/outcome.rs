//! What the streams are told of their frames and records: durable, refused, abandoned.

use std::sync::Arc;
use std::time::Duration;

use super::batch::InFlight;
use super::lane::Lane;
use crate::metric::SessionId;
use crate::server::encode::Sent;
use crate::server::stream::Stream;

impl Lane {
    /// A batch is durable; streams that have an ack to send are added to `due`.
    pub(super) fn durable(&self, batch: InFlight, due: &mut Vec<Arc<Stream>>) {
        let streams = &self.shared.streams;
        let (counts, now) = (&streams.counts, streams.clock.monotonic());
        counts.batches_published.increment();
        counts.bytes_published.add(batch.bytes as u64);
        let received = |sent: &Sent| match sent {
            Sent::Frame { received_at, .. } => Some(now.saturating_sub(*received_at)),
            Sent::Session { .. } => None,
        };
        self.shared.stages.record(batch.sent.iter().filter_map(received));
        let mut frames = 0;
        for sent in batch.sent {
            match sent {
                Sent::Frame { stream, session, seq, received_us, received_at } => {
                    frames += 1;
                    let received = (received_us, received_at);
                    let mut state = stream.lock();
                    let known = state.session.as_mut();
                    let is_due =
                        known.is_some_and(|known| known.frame_durable(session, seq, received, now));
                    drop(state);
                    if is_due && !due.last().is_some_and(|last| Arc::ptr_eq(last, &stream)) {
                        due.push(stream);
                    }
                }
                Sent::Session { stream, session } => self.record_durable(&stream, session, now),
            }
        }
        counts.frames_published.add(frames);
        self.queue.frames_done(frames);
    }

    fn record_durable(&self, stream: &Arc<Stream>, session: SessionId, now: Duration) {
        let streams = &self.shared.streams;
        streams.counts.records_published.increment();
        let mut state = stream.lock();
        let Some(known) = &mut state.session else { return };
        let (again, forgotten) = known.record_durable(session, now);
        drop(state);
        streams.counts.declarations_forgotten.add(forgotten as u64);
        if again {
            streams.publish_record(stream, session);
        }
        // Its declarations are to be told, and there is room for more of them.
        stream.wake();
    }

    /// The bus will never take it. A frame is declared dropped, so that the hole has a name.
    pub(super) fn refused(&self, sent: Sent, reason: &str) {
        let streams = &self.shared.streams;
        match sent {
            Sent::Frame { stream, session, seq, .. } => {
                streams.counts.frames_refused.increment();
                if self.throttle.pass().is_some() {
                    log::error!("session {session}: frame {seq} cannot be stored: {reason}");
                }
                if let Some(known) = &mut stream.lock().session {
                    known.frame_refused(session, seq, reason);
                }
                self.queue.frames_done(1);
                streams.publish_record(&stream, session);
            }
            Sent::Session { stream, session } => {
                streams.counts.records_refused.increment();
                log::error!("session {session}: its record cannot be stored: {reason}");
                if let Some(known) = &mut stream.lock().session {
                    known.record_refused(session);
                }
                stream.wake();
            }
        }
    }

    /// The server gives up, or the bus does: its client sends it again elsewhere.
    pub(super) fn abandon(&self, sent: Sent) {
        if let Sent::Frame { stream, session, .. } = sent {
            self.shared.streams.counts.frames_abandoned.increment();
            self.queue.frames_done(1);
            if let Some(known) = &mut stream.lock().session {
                known.frame_abandoned(session);
            }
        }
    }
}
