//! A client that speaks the protocol through [`wire`] and does exactly what a test says, in any
//! order; and bytes that are no message at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use futures_executor::block_on;
use futures_util::{SinkExt, StreamExt};
use grpcio::{
    CallOption, ChannelBuilder, Client, ClientDuplexSender, EnvBuilder, Environment, Error,
    Marshaller, Method, MethodType, RpcStatus, RpcStatusCode, WriteFlags,
};
use protobuf::Message;
use realtime_monitor::base::random;
use realtime_monitor::metric::{Frame, Samples, SeriesKey, SessionId, Value};
use realtime_monitor::wire::frame::FrameEncoder;
use realtime_monitor::wire::message::{Ack, FromClient, Hello, ToClient, Welcome};
use realtime_monitor::wire::{PROTOCOL, proto, stream};

/// How long anything may take that has to happen.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Requests are bytes, so that a test can send what is no message.
static METHOD: Method<Vec<u8>, proto::CommandRequest> = Method {
    ty: MethodType::Duplex,
    name: stream::COMMAND_STREAM,
    req_mar: Marshaller {
        ser: |bytes, buffer| {
            *buffer = bytes.as_slice().into();
            Ok(())
        },
        de: |_| Ok(Vec::new()),
    },
    resp_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
};

/// What comes from the server.
#[derive(Debug)]
pub enum Event {
    Message(ToClient),
    Ended(RpcStatus),
}

/// One stream on a connection of its own.
pub struct Peer {
    pub host: String,
    pub session: SessionId,
    encoder: FrameEncoder,
    sink: ClientDuplexSender<Vec<u8>>,
    open: bool,
    events: Receiver<Event>,
    _client: Client,
}

/// The side of gRPC that all peers of a test share.
pub fn environment() -> Arc<Environment> {
    Arc::new(EnvBuilder::new().cq_count(1).name_prefix("peer").build())
}

pub fn hello(host: &str, session: SessionId) -> Hello {
    Hello {
        protocol: PROTOCOL,
        host: host.into(),
        machine_id_hash: 0,
        session,
        boot_id: "boot".into(),
        labels: BTreeMap::new(),
        catalogue: Vec::new(),
        interval_min_ms: 50,
        window_frames: 300,
        earlier_sessions: Vec::new(),
        version: "test".into(),
        first_seq: 1,
    }
}

/// A frame with `samples` series and values of no great interest.
pub fn frame(session: SessionId, seq: u64, samples: u64) -> Frame {
    let sample = |at: u64| (SeriesKey::plain(&format!("metric_{at}")), Value::Unsigned(seq * at));
    Frame {
        session,
        seq,
        elapsed_us: seq * 1_000_000,
        time_ms: 1_000 + seq,
        uncertainty_ms: 1,
        host_time_ms: 1_000 + seq,
        interval_ms: 1_000,
        sent_ms: 1_000 + seq,
        samples: (0..samples).map(sample).collect::<Samples>(),
    }
}

impl Peer {
    /// Opens a stream and says nothing.
    pub fn silent(environment: &Arc<Environment>, server: SocketAddr, host: &str) -> Self {
        let session = SessionId(random::u128());
        let channel = ChannelBuilder::new(Arc::clone(environment))
            .use_local_subchannel_pool(true)
            .raw_cfg_int(c"peer.number".to_owned(), session.0 as i32)
            .http2_bdp_probe(false)
            .enable_http_proxy(false)
            .connect(&server.to_string());
        let client = Client::new(channel);
        let (sink, mut requests) =
            client.duplex_streaming(&METHOD, CallOption::default().wait_for_ready(true)).unwrap();
        let (tell, events) = bounded(100_000);
        client.spawn(async move {
            let ended = loop {
                match requests.next().await {
                    Some(Ok(message)) => {
                        let message = stream::decode_to_client(message).unwrap();
                        if tell.try_send(Event::Message(message)).is_err() {
                            return;
                        }
                    }
                    Some(Err(Error::RpcFailure(status))) => break status,
                    Some(Err(Error::RpcFinished(status))) => {
                        break status.unwrap_or(RpcStatus::ok());
                    }
                    Some(Err(error)) => panic!("{error}"),
                    None => break RpcStatus::ok(),
                }
            };
            let _ = tell.try_send(Event::Ended(ended));
        });
        let encoder = FrameEncoder::new(session);
        Self { host: host.into(), session, encoder, sink, open: true, events, _client: client }
    }

    /// Opens a stream, says Hello and is welcome.
    pub fn welcome(environment: &Arc<Environment>, server: SocketAddr, host: &str) -> Self {
        let mut peer = Self::silent(environment, server, host);
        peer.hello();
        peer.expect_welcome();
        peer
    }

    pub fn hello(&mut self) {
        let hello = hello(&self.host, self.session);
        self.send(&FromClient::Hello(Box::new(hello)));
    }

    /// Takes the identity of another run of the client.
    pub fn set_session(&mut self, session: SessionId) {
        self.session = session;
        self.encoder = FrameEncoder::new(session);
    }

    /// Sends a message; when the stream has ended, its events say why.
    pub fn send(&mut self, message: &FromClient) {
        self.try_send(message);
    }

    /// False when the stream has ended. Blocks while the server does not read.
    pub fn try_send(&mut self, message: &FromClient) -> bool {
        let message = stream::encode_from_client(message, &mut self.encoder).unwrap();
        self.send_bytes(message.write_to_bytes().unwrap())
    }

    /// Sends a message that the test made by itself, valid or not.
    pub fn send_bytes(&mut self, bytes: Vec<u8>) -> bool {
        // A sink that has failed may not be used again; dropping it would cancel the call and
        // hide the server's words.
        self.open = self.open && block_on(self.sink.send((bytes, WriteFlags::default()))).is_ok();
        self.open
    }

    pub fn send_frame(&mut self, seq: u64) {
        let frame = frame(self.session, seq, 3);
        self.send(&FromClient::Frame(Box::new(frame)));
    }

    pub fn send_frames(&mut self, seqs: std::ops::RangeInclusive<u64>) {
        seqs.for_each(|seq| self.send_frame(seq));
    }

    /// Says nothing more, and waits for what there is to hear.
    pub fn close_sending(&mut self) {
        block_on(self.sink.close()).unwrap();
    }

    /// The next event.
    #[track_caller]
    pub fn next(&self) -> Event {
        match self.events.recv_timeout(LIMIT) {
            Ok(event) => event,
            Err(error) => panic!("{}: nothing from the server: {error}", self.host),
        }
    }

    /// What has come so far.
    pub fn try_next(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    #[track_caller]
    pub fn expect_welcome(&self) -> Welcome {
        match self.next() {
            Event::Message(ToClient::Welcome(welcome)) => {
                assert!(matches!(self.next(), Event::Message(ToClient::Collect(_))));
                *welcome
            }
            other => panic!("expected Welcome, got {other:?}"),
        }
    }

    /// Waits for an ack that reaches `seq`; other messages but acks fail the test.
    #[track_caller]
    pub fn expect_ack(&self, seq: u64) -> Ack {
        loop {
            match self.next() {
                Event::Message(ToClient::Ack(ack)) if ack.through >= seq => {
                    assert_eq!(ack.through, seq, "{ack:?}");
                    return ack;
                }
                Event::Message(ToClient::Ack(_)) => {}
                other => panic!("expected an ack of {seq}, got {other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn expect_ping(&self) -> u64 {
        match self.skip_acks() {
            Event::Message(ToClient::Ping { nonce, .. }) => nonce,
            other => panic!("expected a ping, got {other:?}"),
        }
    }

    /// Waits for the end of the stream; returns the words.
    #[track_caller]
    pub fn expect_end(&self, code: RpcStatusCode) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            match self.next() {
                Event::Ended(status) => {
                    assert_eq!(status.code(), code, "{status:?}");
                    return status.message().to_owned();
                }
                Event::Message(_) => assert!(Instant::now() < until, "no end in sight"),
            }
        }
    }

    #[track_caller]
    fn skip_acks(&self) -> Event {
        loop {
            match self.next() {
                Event::Message(ToClient::Ack(_)) => {}
                other => return other,
            }
        }
    }
}
