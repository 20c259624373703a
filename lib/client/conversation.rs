//! What is said on one stream, and when it is over. No I/O: [`uplink`](super::uplink) carries the
//! messages, tests script them.
//!
//! `Hello` -> `Welcome` (within 10 s) -> anything, either way, nothing waiting for an answer. A
//! conversation that ends on purpose closes its sending side and listens a little longer, so that
//! the last acks still count.

mod acks;

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use super::buffer::{Account, Outgoing, Writes};
use super::ending::Ending;
use super::shared::Shared;
use crate::base::random;
use crate::metric::Frame;
use crate::wire::PROTOCOL;
use crate::wire::message::{FromClient, Hello, LEFT_IN_SPOOL, Status, ToClient, Welcome};

/// How long a server may take to answer Hello, connecting included.
pub(super) const WELCOME_LIMIT: Duration = Duration::from_secs(10);

/// The same while there is another server to try: beyond the three seconds that a session which
/// holds the name has to answer.
pub(super) const WELCOME_LIMIT_SEVERAL: Duration = Duration::from_secs(5);

/// How long the sending side stays closed before the stream is dropped: the way there and back on
/// any network that streams work on.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// A client that stops says Bye this long before it gives up, however much it has to leave.
const BYE_BEFORE: Duration = Duration::from_millis(500);

/// Answers that wait to be sent. A server asks again only when it got none, so one would do.
const ANSWERS_MAX: usize = 8;

/// What the connection remembers from stream to stream.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Name of the server that spoke last.
    pub(super) server: String,
}

/// One stream.
pub(super) struct Conversation<'a> {
    shared: &'a Shared,
    memory: &'a mut Memory,
    usage: &'a dyn Fn() -> (u64, u64),
    hello: Option<Box<Hello>>,
    hello_sent_us: u64,
    answers: VecDeque<FromClient>,
    state: State,
    /// When Welcome came.
    welcomed: Option<Duration>,
    frames_sent: u64,
    leave_at: Option<Duration>,
    /// When to give up waiting for acks, once the client stops.
    stop_at: Option<Duration>,
    is_bye_sent: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Greeting { until: Duration, limit: Duration },
    Live,
    Closing { until: Duration, ending: Ending },
}

impl<'a> Conversation<'a> {
    /// Starts with `hello`, whose `first_seq` is filled in when it is sent. `usage` tells CPU time
    /// in us and resident bytes of this process.
    pub(super) fn new(
        shared: &'a Shared,
        memory: &'a mut Memory,
        hello: Box<Hello>,
        usage: &'a dyn Fn() -> (u64, u64),
    ) -> Self {
        let limit = WELCOME_LIMIT;
        let until = shared.clock.monotonic() + limit;
        Self {
            shared,
            memory,
            usage,
            hello: Some(hello),
            hello_sent_us: 0,
            answers: VecDeque::new(),
            state: State::Greeting { until, limit },
            welcomed: None,
            frames_sent: 0,
            leave_at: None,
            stop_at: None,
            is_bye_sent: false,
        }
    }

    /// How long to wait for Welcome; called before anything is said.
    pub(super) fn welcome_within(&mut self, limit: Duration) {
        let until = self.shared.clock.monotonic() + limit;
        self.state = State::Greeting { until, limit };
    }

    /// The client stops: what waits is sent, and acks are waited for until `until`, monotonic.
    pub(super) fn stop(&mut self, until: Duration) {
        self.stop_at = Some(until);
        let mut buffer = self.shared.buffer();
        // What is on disk is for the next run to deliver at its own pace.
        if buffer.writes() != Some(Writes::Good) {
            buffer.hurry();
        }
    }

    /// A message came.
    pub(super) fn received(&mut self, message: ToClient) {
        match (message, &self.state) {
            (ToClient::Welcome(welcome), State::Greeting { .. }) => self.welcome(*welcome),
            (ToClient::Ack(ack), State::Live | State::Closing { .. }) => self.acknowledge(&ack),
            (ToClient::Schedule(schedule), State::Live) => {
                self.shared.orders.replace(schedule, self.shared.clock.monotonic());
            }
            (ToClient::Collect(patterns), State::Live) => self.shared.orders.collect(patterns),
            (ToClient::Ping { nonce, .. }, State::Live) => self.answer(nonce),
            (ToClient::Drain { after_ms, reason }, State::Live) => self.drain(after_ms, &reason),
            _ => self.shared.counts.messages_unknown.increment(),
        }
    }

    /// Whether there may be something to send: what [`next`](Self::next) would look at.
    pub(super) fn has_next(&self) -> bool {
        let is_live = self.state == State::Live && !self.is_bye_sent;
        let has_own = || !self.answers.is_empty() || self.stop_at.is_some();
        self.hello.is_some() || is_live && (has_own() || self.shared.buffer().has_unsent())
    }

    /// What to send now; `None` when there is nothing or it has to wait.
    pub(super) fn next(&mut self) -> Option<FromClient> {
        if let Some(mut hello) = self.hello.take() {
            {
                let mut buffer = self.shared.buffer();
                hello.first_seq = buffer.first_seq();
                hello.earlier_sessions = buffer.announce();
            }
            self.hello_sent_us = self.shared.now().monotonic_us;
            return Some(FromClient::Hello(hello));
        }
        if self.state != State::Live || self.is_bye_sent {
            return None;
        }
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let now = self.shared.now();
        let is_late = self.bye_at().is_some_and(|at| at <= now.monotonic);
        let (outgoing, is_all_sent, is_wanting) = {
            let mut buffer = self.shared.buffer();
            // Who hurries has always something more to send, and must not miss the goodbye.
            let outgoing =
                if is_late && buffer.is_hurried() { None } else { buffer.next(now.monotonic_us) };
            // What stays on disk does not keep the client from its goodbye.
            let is_all_sent = match buffer.writes() {
                Some(Writes::Good) => buffer.is_written(),
                _ => !buffer.has_unsent(),
            };
            (outgoing, is_all_sent, buffer.wanted().is_some())
        };
        if is_wanting {
            self.shared.wake_keeper();
        }
        match outgoing {
            Some(Outgoing::Frame { mut frame, again }) => {
                if let Some((time_ms, uncertainty_ms)) = self.shared.better_time(&frame, now) {
                    (frame.time_ms, frame.uncertainty_ms) = (time_ms, uncertainty_ms);
                }
                frame.sent_ms = now.server.unix_us / 1_000;
                self.frames_sent += 1;
                self.shared.counts.frames_sent.increment();
                self.shared.counts.frames_sent_again.add(u64::from(again));
                Some(FromClient::Frame(frame))
            }
            Some(Outgoing::Dropped(declaration)) => Some(FromClient::Dropped(declaration)),
            None => {
                // Bye comes before the last acks, not after: it is what makes a server that
                // gathers acks for seconds send them now.
                (self.stop_at.is_some() && is_all_sent || is_late).then(|| self.bye())
            }
        }
    }

    /// A frame could not be encoded. On a fresh stream that is the frame's fault, and it is given
    /// up; else the stream's ids are used up, and a new stream has them all again.
    pub(super) fn unsendable(&mut self, frame: &Frame, words: &str) {
        self.shared.buffer().start_stream();
        if self.frames_sent > 1 {
            log::info!("frame {}: {words}; starting a new stream", frame.seq);
            self.close(Ending::Renewed);
            return;
        }
        log::error!("frame {} cannot be sent and is dropped: {words}", frame.seq);
        self.frames_sent = 0;
        let mut buffer = self.shared.buffer();
        buffer.drop_frame(frame.session, frame.seq, "cannot be encoded");
        self.shared.counts.frames_dropped.increment();
        self.shared.count_buffer(&buffer);
    }

    /// Whether the conversation is over by the clock.
    pub(super) fn check(&mut self) -> Option<Ending> {
        let now = self.shared.clock.monotonic();
        let stop_at = self.stop_at.filter(|until| *until <= now);
        match &self.state {
            State::Greeting { .. } if stop_at.is_some() => return Some(Ending::Stopped),
            State::Greeting { until, limit } if *until <= now => {
                let seconds = limit.as_secs();
                return Some(Ending::Lost(format!("no welcome within {seconds} s")));
            }
            State::Closing { until, ending } if *until <= now => return Some(ending.clone()),
            State::Live if stop_at.is_some() => self.close(Ending::Stopped),
            State::Live if self.is_bye_sent && self.shared.buffer().is_settled() => {
                self.close(Ending::Stopped);
            }
            State::Live if self.leave_at.is_some_and(|at| at <= now) && self.stop_at.is_none() => {
                self.close(Ending::Drained(Duration::ZERO));
            }
            State::Live if self.stop_at.is_none() && self.shared.buffer().is_hello_outdated() => {
                log::info!("starting a new stream for what earlier runs left");
                self.close(Ending::Renewed);
            }
            _ => {}
        }
        None
    }

    /// When to [`check`](Self::check) again at the latest, monotonic.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Closing { until, .. } => Some(*until),
            State::Greeting { until, .. } => Some(self.stop_at.map_or(*until, |at| at.min(*until))),
            State::Live if self.stop_at.is_some() && !self.is_bye_sent => self.bye_at(),
            State::Live => {
                let now_us = super::shared::micros(self.shared.clock.monotonic());
                let mut buffer = self.shared.buffer();
                let until_us = [buffer.patient_until_us(now_us), buffer.take_paced_until_us()];
                let until = until_us.map(|at| at.map(Duration::from_micros));
                until.into_iter().flatten().chain(self.stop_at.or(self.leave_at)).min()
            }
        }
    }

    /// Whether the sending side is to be closed.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// The other side has ended the stream: `Err` has its words, or is refused.
    pub(super) fn ended(self, result: Result<(), Ending>) -> Ending {
        match (self.state, result) {
            (State::Closing { ending, .. }, _) => ending,
            _ if self.is_bye_sent => Ending::Stopped,
            (_, Err(ending @ Ending::Refused(_))) => ending,
            (_, result) => {
                let lost = || Ending::Lost("it ended the stream".to_owned());
                let now = self.shared.clock.monotonic();
                let drained = |at: Duration| Ending::Drained(at.saturating_sub(now));
                self.leave_at.map_or_else(|| result.err().unwrap_or_else(lost), drained)
            }
        }
    }

    /// When Welcome came, monotonic.
    pub(super) fn welcomed(&self) -> Option<Duration> {
        self.welcomed
    }

    fn welcome(&mut self, welcome: Welcome) {
        if welcome.protocol != PROTOCOL {
            let words = format!(
                "it speaks protocol {}, this client speaks {PROTOCOL}: bring both to one version",
                welcome.protocol
            );
            self.close(Ending::Refused(words));
            return;
        }
        let now = self.shared.now();
        if welcome.server != self.memory.server {
            self.shared.server_time().new_server();
        }
        self.memory.server.clone_from(&welcome.server);
        let time_us = welcome.server_time_us;
        self.observe(self.hello_sent_us, time_us, time_us);
        self.shared.orders.replace(welcome.schedule, now.monotonic);
        self.shared.buffer().start_stream();
        self.shared.counts.connections.increment();
        self.welcomed = Some(now.monotonic);
        self.state = State::Live;
        log::info!("connected to server '{}', version {}", welcome.server, welcome.version);
    }

    fn answer(&mut self, nonce: u64) {
        let Account { sampled, waiting, dropped, bytes, .. } = self.shared.buffer().account();
        let (cpu_us, memory_bytes) = (self.usage)();
        if self.answers.len() == ANSWERS_MAX {
            self.answers.pop_front();
            self.shared.counts.pings_unanswered.increment();
        }
        self.answers.push_back(FromClient::Status(Status {
            nonce,
            buffered_frames: waiting,
            buffered_bytes: bytes,
            dropped_frames: dropped,
            cpu_us,
            memory_bytes,
            sampled_through: sampled,
        }));
    }

    /// Leaves at a random moment within the time given, so that a thousand clients do not arrive
    /// at the next server together.
    fn drain(&mut self, after_ms: u32, reason: &str) {
        let wait = Duration::from_millis(u64::from(after_ms)).mul_f64(random::fraction());
        let server = &self.memory.server;
        log::info!("server '{server}' asks to leave within {after_ms} ms: {reason}");
        self.leave_at = Some(self.shared.clock.monotonic() + wait);
    }

    fn bye_at(&self) -> Option<Duration> {
        self.stop_at.map(|until| until.saturating_sub(BYE_BEFORE))
    }

    fn bye(&mut self) -> FromClient {
        self.is_bye_sent = true;
        let (account, is_kept) = {
            let buffer = self.shared.buffer();
            (buffer.account(), !buffer.is_settled() && buffer.writes() == Some(Writes::Good))
        };
        let mut reason = if is_kept {
            format!("{LEFT_IN_SPOOL}; what no ack covers is in its spool, for its next run")
        } else {
            "stopped".to_owned()
        };
        if account.dropped > 0 {
            let _ = write!(reason, "; {} frames were dropped", account.dropped);
        }
        FromClient::Bye { last_seq: account.sampled, reason }
    }

    fn close(&mut self, ending: Ending) {
        let until = self.shared.clock.monotonic() + CLOSE_LIMIT;
        self.state = State::Closing { until, ending };
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
