//! The thread that keeps one stream to the server, and the room's only door to gRPC.
//!
//! gRPC's futures are polled by hand from this thread; their waker and the sampler knock on the
//! same channel, so that one `select!` waits for everything. A message that has been handed over
//! needs no further poll, so a quiet client wakes this thread once for a frame and once for an
//! ack. gRPC's own thread (the completion queue) never runs code of ours but that knock.
//!
//! A sink is never polled after its error: gRPC panics (fault G01). It is kept, untouched, until
//! the receiving side has told why the stream ended.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use futures_util::{Sink, Stream};
use grpcio::{
    CallOption, ChannelBuilder, Client, ClientDuplexReceiver, ClientDuplexSender, EnvBuilder,
    Environment, Marshaller, Method, MethodType, WriteFlags, pb_de, pb_ser,
};

use super::buffer::Writes;
use super::conversation::{Conversation, Memory, WELCOME_LIMIT_SEVERAL};
use super::ending::Ending;
use super::grpc_words::{explain, in_words};
use super::left;
use super::machine;
use super::reconnect::Reconnect;
use super::shared::Shared;
use super::start::StartError;
use super::uplink_setup::Setup;
use crate::base::stop::Stop;
use crate::base::thread::contain;
use crate::wire::frame::FrameEncoder;
use crate::wire::message::FromClient;
use crate::wire::stream::{COMMAND_STREAM, decode_to_client, encode_from_client};
use crate::wire::{MESSAGE_BYTES_MAX, proto};

/// How long a client that stops waits for acks. With a closing of 0.5 s and a reading of at most a
/// few milliseconds that stays below the 5 s a program may take.
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// The same with a spool: the acks that are on their way; the rest is for the next run.
const STOP_LIMIT_SPOOLED: Duration = Duration::from_millis(500);

/// The same with a spool that does not take frames: its thread needs the rest of the time.
const STOP_LIMIT_FAILING: Duration = Duration::from_secs(3);

/// How long the first stream waits to hear what earlier runs left. A disk that needs longer gets a
/// stream of its own once it is done.
const SPOOL_LIMIT: Duration = Duration::from_secs(1);

/// How long gRPC's own thread may take to end, once nothing uses it.
const ENVIRONMENT_LIMIT: Duration = Duration::from_millis(200);

/// How long the receiving side may take to tell why the sending side failed.
const WHY_LIMIT: Duration = Duration::from_secs(1);

/// Messages taken in before something is sent again, so that neither starves the other.
const TURN_MESSAGES: usize = 64;

/// With the server's own keepalive (every 10 s, 5 s to answer) both sides know of a peer that
/// vanished within 15 s. Zero: without it an idle stream's pings stop after two (fault G04).
const KEEPALIVE_TIME: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const PINGS_WITHOUT_DATA: i32 = 0;

const MARSHALLING_OUT: Marshaller<proto::CommandResponse> = Marshaller { ser: pb_ser, de: pb_de };
const MARSHALLING_IN: Marshaller<proto::CommandRequest> = Marshaller { ser: pb_ser, de: pb_de };

static METHOD: Method<proto::CommandResponse, proto::CommandRequest> = Method {
    ty: MethodType::Duplex,
    name: COMMAND_STREAM,
    req_mar: MARSHALLING_OUT,
    resp_mar: MARSHALLING_IN,
};

/// What the thread owns.
pub(super) struct Uplink {
    shared: Arc<Shared>,
    setup: Setup,
    environment: Arc<Environment>,
    /// Closes when gRPC's thread has ended.
    ended: Receiver<Infallible>,
    memory: Memory,
    policy: Reconnect,
    waker: Waker,
    woken: Receiver<()>,
    /// Once the client stops: until when acks are waited for, monotonic.
    stop_at: Option<Duration>,
}

/// Knocks on the uplink's channel.
struct Knock(Sender<()>);

impl Wake for Knock {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Full means that it is awake already.
        let _ = self.0.try_send(());
    }
}

/// One stream's two halves.
struct Halves {
    sink: ClientDuplexSender<proto::CommandResponse>,
    receiver: ClientDuplexReceiver<proto::CommandRequest>,
    /// Without it the channel goes, and a stream that is still connecting hangs for ever.
    _client: Client,
    encoder: FrameEncoder,
    /// The sink has failed, with these words, and is not to be touched; until when to wait for
    /// better ones.
    broken: Option<(String, Duration)>,
    is_closed: bool,
}

impl Uplink {
    /// Starts gRPC.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub(super) fn new(shared: Arc<Shared>, setup: Setup) -> Result<Self, StartError> {
        // Its thread drops `alive` as it ends; dropping an environment does not wait for that.
        let (alive, ended) = bounded(0);
        let alive = Mutex::new(Some(alive));
        let before_stop = move || drop(alive.lock().unwrap_or_else(PoisonError::into_inner).take());
        let builder = EnvBuilder::new().cq_count(1).name_prefix("grpc").before_stop(before_stop);
        // It panics when the kernel gives it no thread.
        let environment = contain("gRPC", || builder.build()).ok_or(StartError::Grpc)?;
        let (woken, knock) = shared.uplink_woken();
        let (woken, waker) = (woken.clone(), Waker::from(Arc::new(Knock(knock.clone()))));
        let policy = Reconnect::new(&setup.servers, &setup.host);
        let memory = Memory::default();
        let environment = Arc::new(environment);
        Ok(Self { shared, setup, environment, ended, memory, policy, waker, woken, stop_at: None })
    }

    /// Keeps a stream until it is time to stop, then delivers what it can and names the rest.
    /// Returns the words that it has logged about that.
    pub(super) fn run(mut self, stop: &Stop) -> String {
        // A client that stops tries each server once more, at once, and only if there is something
        // to say that nobody says later.
        let mut tries_left = self.policy.servers();
        self.wait_for_spool(stop);
        loop {
            let (ending, lived) =
                contain("the uplink", || self.one_stream(stop)).unwrap_or_else(|| self.panicked());
            let wait = self.next_server(&ending, lived);
            if self.stop_at.is_none() && self.rest(stop, wait.unwrap_or_default()) {
                self.stop_at = Some(self.shared.clock.monotonic() + self.stop_limit());
            }
            if self.stop_at.is_some() {
                let is_done = self.shared.buffer().is_settled() || self.is_kept();
                if is_done || wait.is_none() || tries_left == 0 {
                    break;
                }
                tries_left -= 1;
            }
        }
        let words = left::report(&self.shared, self.is_kept());
        drop(self.environment);
        let _ = self.ended.recv_timeout(ENVIRONMENT_LIMIT);
        words
    }

    /// Has the policy choose where to go next, and says how long to wait.
    fn next_server(&mut self, ending: &Ending, lived: Option<Duration>) -> Option<Duration> {
        let before = self.policy.address().to_owned();
        let now = self.shared.clock.monotonic();
        let wait = self.policy.after(ending, lived, now, &self.shared.counts);
        if self.policy.address() != before {
            // Another server's clock is another clock, whatever the server calls itself.
            self.memory.server.clear();
        }
        wait
    }

    fn panicked(&self) -> (Ending, Option<Duration>) {
        self.shared.counts.uplink_panics.increment();
        (Ending::Lost("a fault of this program ended the stream".to_owned()), None)
    }

    /// Whether what no ack covers is on disk.
    fn is_kept(&self) -> bool {
        self.shared.buffer().writes() == Some(Writes::Good)
    }

    fn stop_limit(&self) -> Duration {
        match self.shared.buffer().writes() {
            None => STOP_LIMIT,
            Some(Writes::Good) => STOP_LIMIT_SPOOLED,
            Some(Writes::Starting | Writes::Failing) => STOP_LIMIT_FAILING,
        }
    }

    /// Waits until it is known what earlier runs left, for a while.
    fn wait_for_spool(&self, stop: &Stop) {
        let timer = self.shared.clock.at(self.shared.clock.monotonic() + SPOOL_LIMIT);
        while self.shared.buffer().writes() == Some(Writes::Starting) {
            select! {
                recv(stop.channel()) -> _ => return,
                recv(timer) -> _ => return,
                recv(self.woken) -> _ => {}
            }
        }
    }

    /// Waits before the next try; true when it is time to stop.
    fn rest(&self, stop: &Stop, wait: Duration) -> bool {
        let timer = self.shared.clock.at(self.shared.clock.monotonic() + wait);
        select! {
            recv(stop.channel()) -> _ => true,
            recv(timer) -> _ => false,
        }
    }

    /// One stream from connecting to its end; with it how long ago it was welcomed.
    fn one_stream(&mut self, stop: &Stop) -> (Ending, Option<Duration>) {
        let server = self.policy.address().to_owned();
        let channel = ChannelBuilder::new(Arc::clone(&self.environment))
            .keepalive_time(KEEPALIVE_TIME)
            .keepalive_timeout(KEEPALIVE_TIMEOUT)
            .http2_max_pings_without_data(PINGS_WITHOUT_DATA)
            .http2_bdp_probe(false)
            .enable_http_proxy(false)
            .enable_retry(false)
            // A connection of its own for each try, so that the waits are ours alone.
            .use_local_subchannel_pool(true)
            .max_receive_message_len(MESSAGE_BYTES_MAX as i32)
            .max_send_message_len(MESSAGE_BYTES_MAX as i32)
            .connect(&server);
        let client = Client::new(channel);
        let (sink, receiver) = match client.duplex_streaming(&METHOD, CallOption::default()) {
            Ok(halves) => halves,
            Err(error) => return (explain(&error, &server, false), None),
        };
        let encoder = FrameEncoder::new(self.shared.session);
        let (broken, is_closed) = (None, false);
        let mut halves = Halves { sink, receiver, _client: client, encoder, broken, is_closed };
        let shared = Arc::clone(&self.shared);
        let root = self.setup.root.clone();
        let usage = move || {
            let used = machine::own_usage(&root);
            (used.cpu_us, used.memory_bytes)
        };
        let mut memory = std::mem::take(&mut self.memory);
        let hello = Box::new(self.setup.hello(self.shared.session));
        let mut conversation = Conversation::new(&shared, &mut memory, hello, &usage);
        if self.policy.has_another(shared.clock.monotonic()) {
            conversation.welcome_within(WELCOME_LIMIT_SEVERAL);
        }
        let ending = self.converse(&mut conversation, &mut halves, stop);
        let welcomed = conversation.welcomed();
        let ending = match ending {
            Ok(ending) => ending,
            Err(result) => conversation.ended(result),
        };
        self.memory = memory;
        let lived = welcomed.map(|at| shared.clock.monotonic().saturating_sub(at));
        (in_words(ending, &server, lived.is_some()), lived)
    }

    /// Talks until the conversation is over (`Ok`) or the stream is (`Err`).
    fn converse(
        &mut self,
        conversation: &mut Conversation<'_>,
        halves: &mut Halves,
        stop: &Stop,
    ) -> Result<Ending, Result<(), Ending>> {
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        if let Some(until) = self.stop_at {
            conversation.stop(until);
        }
        loop {
            let is_drained = self.take_in(conversation, halves, &mut cx)?;
            if let Some(ending) = conversation.check() {
                return Ok(ending);
            }
            let has_sent = self.send_out(conversation, halves, &mut cx);
            let now = self.shared.clock.monotonic();
            if let Some((words, _)) = halves.broken.take_if(|(_, until)| *until <= now) {
                return Err(Err(Ending::Lost(words)));
            }
            if has_sent || !is_drained {
                continue;
            }
            let why = halves.broken.as_ref().map(|(_, until)| *until);
            let until = [conversation.deadline(), why].into_iter().flatten().min();
            let timer = until.map_or_else(never, |until| self.shared.clock.at(until));
            let stopped = if self.stop_at.is_none() { stop.channel() } else { &never() };
            select! {
                recv(self.woken) -> _ => {}
                recv(timer) -> _ => {}
                recv(stopped) -> _ => {
                    let until = self.shared.clock.monotonic() + self.stop_limit();
                    self.stop_at = Some(until);
                    conversation.stop(until);
                }
            }
        }
    }

    /// Takes in what has come, up to a limit; true when nothing is left.
    fn take_in(
        &self,
        conversation: &mut Conversation<'_>,
        halves: &mut Halves,
        cx: &mut Context<'_>,
    ) -> Result<bool, Result<(), Ending>> {
        for _ in 0..TURN_MESSAGES {
            match Pin::new(&mut halves.receiver).poll_next(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(None) => return Err(Ok(())),
                Poll::Ready(Some(Err(error))) => {
                    let is_welcomed = conversation.welcomed().is_some();
                    return Err(Err(explain(&error, self.policy.address(), is_welcomed)));
                }
                Poll::Ready(Some(Ok(message))) => match decode_to_client(message) {
                    Ok(message) => conversation.received(message),
                    Err(error) => {
                        return Err(Err(Ending::Lost(format!("it sent nonsense: {error}"))));
                    }
                },
            }
        }
        Ok(false)
    }

    /// Sends what may be sent while the stream takes it; true when it sent something.
    fn send_out(
        &self,
        conversation: &mut Conversation<'_>,
        halves: &mut Halves,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut has_sent = false;
        while halves.broken.is_none() && conversation.has_next() {
            match Pin::new(&mut halves.sink).poll_ready(cx) {
                Poll::Pending => return has_sent,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.broke(halves, &error),
            }
            if halves.broken.is_some() {
                break;
            }
            let Some(message) = conversation.next() else { break };
            match encode_from_client(&message, &mut halves.encoder) {
                Ok(encoded) => {
                    let sent = (encoded, WriteFlags::default());
                    if let Err(error) = Pin::new(&mut halves.sink).start_send(sent) {
                        self.broke(halves, &error);
                    }
                }
                Err(error) => {
                    // It may have announced what was never sent.
                    halves.encoder = FrameEncoder::new(self.shared.session);
                    if let FromClient::Frame(frame) = &message {
                        conversation.unsendable(frame, &error.to_string());
                    }
                }
            }
            has_sent = true;
        }
        if conversation.is_closing() && halves.broken.is_none() && !halves.is_closed {
            match Pin::new(&mut halves.sink).poll_close(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => halves.is_closed = true,
                Poll::Ready(Err(error)) => self.broke(halves, &error),
            }
        }
        has_sent
    }

    fn broke(&self, halves: &mut Halves, error: &grpcio::Error) {
        let until = self.shared.clock.monotonic() + WHY_LIMIT;
        halves.broken = Some((format!("sending failed: {error}"), until));
    }
}

#[cfg(test)]
#[path = "uplink_tests.rs"]
mod tests;
