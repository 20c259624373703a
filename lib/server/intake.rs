//! gRPC: the only place of this room that knows it.
//!
//! Each stream is one future on the completion queue it arrived on. It never blocks: it takes a
//! message when there is room for what it brings, and sends what [`Stream`] says is next when
//! gRPC can take it, neither waiting for the other. A panic ends its own stream alone.

use std::ffi::CString;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crossbeam_channel::{Receiver as Channel, bounded};
use futures_executor::block_on;
use futures_util::{Sink, Stream as _};
use grpcio::{
    ChannelBuilder, DuplexSink, EnvBuilder, Environment, Error, Marshaller, Method, MethodType,
    RequestStream, ResourceQuota, RpcContext, RpcStatus, RpcStatusCode, Server, ServerBuilder,
    ServerCredentials, Service, ServiceBuilder, ShutdownFuture, WriteFlags,
};

use super::StartError;
use super::receive::Receiver;
use super::stream::{End, EndKind, Next, Stream};
use super::streams::{STREAMS_MAX, Streams};
use crate::base::thread::{self, contain};
use crate::wire::proto::{CommandRequest, CommandResponse};
use crate::wire::{MESSAGE_BYTES_MAX, TEXT_LEN_MAX, stream};

/// The one method. Its names come from the client's side: a client responds, a server requests.
const COMMAND_STREAM: Method<CommandResponse, CommandRequest> = Method {
    ty: MethodType::Duplex,
    name: stream::COMMAND_STREAM,
    req_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
    resp_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
};

/// One stream a connection is all a client needs; the rest is for proxies that share one.
const STREAMS_PER_CONNECTION_MAX: i32 = 16;

/// Most bytes of headers a client may send: its own take under 300.
const METADATA_BYTES_MAX: i32 = 8 * 1024;

/// Memory that all connections together may use for what they have received and not delivered:
/// one window of 64 KiB for each stream.
const QUOTA_BYTES: usize = STREAMS_MAX * 64 * 1024;

/// A vanished client is noticed after the first plus the second.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// Clients may ping this often without being taken for an attack.
const PING_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// A connection has this long for its handshake, and may be without a stream for so long.
const HANDSHAKE_MS: i32 = 10_000;
const IDLE_MS: i32 = 60_000;

/// The listening side.
pub(super) struct Intake {
    server: Server,
    environment: Arc<Environment>,
    done: Option<ShutdownFuture>,
    /// One message for each completion queue whose thread has ended.
    queues_ended: Channel<()>,
    queues: usize,
    pub address: SocketAddr,
}

impl Intake {
    /// Listens on `address`; port 0 picks a free one.
    pub(super) fn start(address: SocketAddr, streams: Arc<Streams>) -> Result<Self, StartError> {
        // gRPC says only that it failed; the kernel says why.
        let probe = TcpListener::bind(address);
        drop(probe.map_err(|source| StartError::Address { address, source })?);
        let queues = queue_count();
        let (ended, queues_ended) = bounded(queues);
        let environment = EnvBuilder::new()
            .cq_count(queues)
            .name_prefix("intake")
            .before_stop(move || {
                let _ = ended.try_send(());
            })
            .build();
        let environment = Arc::new(environment);
        let mut server = ServerBuilder::new(Arc::clone(&environment))
            .channel_args(channel(&environment).build_args())
            .register_service(service(streams))
            .build()
            .map_err(|error| StartError::Grpc(error.to_string()))?;
        let port = server
            .add_listening_port(address.to_string(), ServerCredentials::insecure())
            .map_err(|error| StartError::Grpc(format!("cannot listen on {address}: {error}")))?;
        server.start();
        let address = SocketAddr::new(address.ip(), port);
        Ok(Self { server, environment, done: None, queues_ended, queues, address })
    }

    /// Lets nobody in any more; streams go on.
    pub(super) fn close_door(&mut self) {
        if self.done.is_none() {
            self.done = Some(self.server.shutdown());
        }
    }

    /// Ends what is left; false when gRPC did not come to an end within `limit`.
    pub(super) fn finish(mut self, limit: Duration) -> bool {
        self.close_door();
        self.server.cancel_all_calls();
        let Self { server, environment, done, queues_ended, queues, .. } = self;
        let (tell, told) = bounded(1);
        // gRPC gives no limit to wait with, so another thread does the waiting.
        let waiter = thread::spawn("intake-stop", move || {
            if let Some(done) = done {
                let _ = block_on(done);
            }
            drop(server);
            drop(environment);
            for _ in 0..queues {
                let _ = queues_ended.recv();
            }
            let _ = tell.try_send(());
        });
        let Ok(waiter) = waiter else { return false };
        let in_time = told.recv_timeout(limit).is_ok();
        if !in_time {
            waiter.abandon();
        }
        in_time
    }
}

/// One thread polls for up to two processors: a second one costs 10 % and wins nothing there.
fn queue_count() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).clamp(1, 4)
}

fn channel(environment: &Arc<Environment>) -> ChannelBuilder {
    let limit = i32::try_from(MESSAGE_BYTES_MAX).unwrap_or(i32::MAX);
    let key = |name: &str| CString::new(name).unwrap_or_default();
    ChannelBuilder::new(Arc::clone(environment))
        // Otherwise a second server could bind the same port and take half of the clients.
        .reuse_port(false)
        .max_concurrent_stream(STREAMS_PER_CONNECTION_MAX)
        .max_receive_message_len(limit)
        .max_send_message_len(limit)
        .keepalive_time(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE_ANSWER)
        .keepalive_permit_without_calls(true)
        .http2_min_recv_ping_interval_without_data(PING_INTERVAL_MIN)
        // Windows stay at 64 KiB: what a client that is held back has under way is bounded.
        .http2_bdp_probe(false)
        .set_resource_quota(ResourceQuota::new(Some("streams")).resize_memory(QUOTA_BYTES))
        .raw_cfg_int(key("grpc.max_metadata_size"), METADATA_BYTES_MAX)
        .raw_cfg_int(key("grpc.server_handshake_timeout_ms"), HANDSHAKE_MS)
        .raw_cfg_int(key("grpc.max_connection_idle_ms"), IDLE_MS)
}

fn service(streams: Arc<Streams>) -> Service {
    ServiceBuilder::new()
        .add_duplex_streaming_handler(&COMMAND_STREAM, move |ctx, requests, sink| {
            contain("a new stream", || accept(&streams, &ctx, requests, sink));
        })
        .build()
}

fn accept(
    streams: &Arc<Streams>,
    ctx: &RpcContext<'_>,
    requests: RequestStream<CommandResponse>,
    sink: DuplexSink<CommandRequest>,
) {
    match streams.open(ctx.peer()) {
        Ok(stream) => {
            let presence = Presence { streams: Arc::clone(streams), stream, left: false };
            let mut life = Box::pin(live(presence, requests, sink));
            ctx.spawn(poll_fn(move |cx| {
                // After a panic the future is dropped, which cancels the call.
                contain("a stream", || life.as_mut().poll(cx)).unwrap_or(Poll::Ready(()))
            }));
        }
        Err(end) => ctx.spawn(async move {
            let _ = sink.fail(status(&end)).await;
            // Dropped before, it would cancel the call and lose the words.
            drop(requests);
        }),
    }
}

/// A stream's place among all streams; given up however its future ends.
struct Presence {
    streams: Arc<Streams>,
    stream: Arc<Stream>,
    left: bool,
}

impl Presence {
    fn leave(&mut self, words: &str) {
        if !std::mem::replace(&mut self.left, true) {
            self.streams.leave(&self.stream, words);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.leave("a fault in the server");
        self.streams.close(&self.stream);
    }
}

/// One stream from its first message to its status.
async fn live(
    mut presence: Presence,
    requests: RequestStream<CommandResponse>,
    sink: DuplexSink<CommandRequest>,
) {
    let receiver = Receiver::new(Arc::clone(&presence.streams), Arc::clone(&presence.stream));
    let stream = Arc::clone(&presence.stream);
    let mut talk = Talk { receiver, requests, sink, all_read: false };
    let end = poll_fn(|cx| talk.poll(&presence, cx)).await;
    let Talk { receiver, requests, mut sink, .. } = talk;
    drop(receiver);
    let Some(end) = end else {
        return presence.leave("the connection was lost");
    };
    presence.streams.failed(&stream, &end);
    presence.leave(&end.words);
    sink.set_status(status(&end));
    poll_fn(|cx| {
        stream.register(cx.waker());
        if stream.lock().cut {
            return Poll::Ready(());
        }
        Pin::new(&mut sink).poll_close(cx).map(|_| ())
    })
    .await;
    // Dropped before, it would cancel the call and lose the status.
    drop(requests);
}

/// Both directions of one stream.
struct Talk {
    receiver: Receiver,
    requests: RequestStream<CommandResponse>,
    sink: DuplexSink<CommandRequest>,
    all_read: bool,
}

impl Talk {
    /// Ready with the end, or with `None` when the other side has vanished: then nothing of this
    /// may be touched again.
    fn poll(&mut self, presence: &Presence, cx: &mut Context<'_>) -> Poll<Option<End>> {
        let Presence { streams, stream, .. } = presence;
        stream.register(cx.waker());
        loop {
            if stream.lock().cut {
                return Poll::Ready(None);
            }
            let next = match Pin::new(&mut self.sink).poll_ready(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Ready(Ok(())) => stream.lock().next(&streams.clock),
                Poll::Pending => None,
            };
            match next {
                Some(Next::Send(message)) => {
                    streams.count_sent(&message);
                    let message = (stream::encode_to_client(&message), WriteFlags::default());
                    if Pin::new(&mut self.sink).start_send(message).is_err() {
                        return Poll::Ready(None);
                    }
                    continue;
                }
                Some(Next::End(end)) => return Poll::Ready(Some(end)),
                None => {}
            }
            if self.all_read || !self.receiver.is_ready() {
                return Poll::Pending;
            }
            match Pin::new(&mut self.requests).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(message))) => {
                    if let Err(end) = self.receiver.take(message) {
                        stream.lock().end(end.kind, end.words, streams.clock.monotonic());
                        self.all_read = true;
                    }
                }
                Poll::Ready(Some(Err(Error::Codec(error)))) => {
                    let words = format!("not a message of this protocol: {error}");
                    stream.lock().end(EndKind::Garbage, words, streams.clock.monotonic());
                    self.all_read = true;
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(None),
                Poll::Ready(None) => {
                    self.all_read = true;
                    self.receiver.close();
                }
            }
        }
    }
}

fn status(end: &End) -> RpcStatus {
    let code = match end.kind {
        EndKind::Done => return RpcStatus::ok(),
        EndKind::OutOfOrder | EndKind::Version => RpcStatusCode::FAILED_PRECONDITION,
        EndKind::Garbage | EndKind::BadName => RpcStatusCode::INVALID_ARGUMENT,
        EndKind::NameTaken => RpcStatusCode::ALREADY_EXISTS,
        EndKind::Replaced => RpcStatusCode::ABORTED,
        EndKind::Full => RpcStatusCode::RESOURCE_EXHAUSTED,
        EndKind::GoingAway => RpcStatusCode::UNAVAILABLE,
    };
    RpcStatus::with_message(code, end.words.chars().take(TEXT_LEN_MAX / 2).collect())
}
