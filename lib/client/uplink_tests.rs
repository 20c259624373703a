//! The uplink against a real gRPC server that says what the test tells it to.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use futures_channel::mpsc;
use futures_executor::block_on;
use futures_util::future::{Either, select};
use futures_util::{SinkExt, StreamExt};
use grpcio::{
    DuplexSink, RequestStream, RpcContext, RpcStatus, RpcStatusCode, Server, ServerBuilder,
    ServerCredentials, ServiceBuilder,
};

use super::*;
use crate::base::clock::{Clock, Real, Scripted};
use crate::base::stop::{self, Stopper};
use crate::base::thread::{self, Joined};
use crate::client::testing::{Script, frame, shared};
use crate::client::{Config, start};
use crate::metric::{Layout, SeriesKey, SessionId};
use crate::wire::PROTOCOL;
use crate::wire::frame::FrameDecoder;
use crate::wire::message::{Ack, Hello, Schedule, ScheduleEntry, ToClient, Welcome};
use crate::wire::stream::{decode_from_client, encode_to_client};

#[path = "uplink_server_tests.rs"]
mod servers;
#[path = "uplink_stopping_tests.rs"]
mod stopping;

/// Far beyond what anything here takes; reached only when something is broken.
const LIMIT: Duration = Duration::from_secs(20);

/// What the test has the server say.
enum Say {
    Message(Box<ToClient>),
    End(RpcStatus),
}

/// One stream as the server has it.
struct Peer {
    heard: Receiver<FromClient>,
    say: mpsc::Sender<Say>,
}

struct ScriptedServer {
    server: Server,
    port: u16,
    peers: Receiver<Peer>,
}

impl ScriptedServer {
    /// On a port of the kernel's choice for 0.
    fn start(port: u16) -> Self {
        let (arrived, peers) = bounded(16);
        let handler = move |ctx: RpcContext<'_>, requests, sink| {
            let (heard_by, heard) = bounded(10_000);
            let (say, orders) = mpsc::channel(1_000);
            arrived.send(Peer { heard, say }).unwrap();
            ctx.spawn(serve(requests, sink, heard_by, orders));
        };
        let service = ServiceBuilder::new().add_duplex_streaming_handler(&METHOD, handler).build();
        let environment = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("test-srv").build());
        let arguments =
            ChannelBuilder::new(Arc::clone(&environment)).reuse_port(false).build_args();
        let mut server = ServerBuilder::new(environment)
            .register_service(service)
            .channel_args(arguments)
            .build()
            .unwrap();
        let address = format!("127.0.0.1:{port}");
        let port = server.add_listening_port(address, ServerCredentials::insecure()).unwrap();
        server.start();
        Self { server, port, peers }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn peer(&self) -> Peer {
        self.peers.recv_timeout(LIMIT).expect("a stream")
    }

    /// As kill -9: streams end without a word.
    fn kill(mut self) {
        let done = self.server.shutdown();
        self.server.cancel_all_calls();
        block_on(done).unwrap();
    }
}

async fn serve(
    mut requests: RequestStream<proto::CommandResponse>,
    mut sink: DuplexSink<proto::CommandRequest>,
    heard_by: Sender<FromClient>,
    mut orders: mpsc::Receiver<Say>,
) {
    let mut decoder: Option<FrameDecoder> = None;
    loop {
        match select(requests.next(), orders.next()).await {
            Either::Left((Some(Ok(message)), _)) => {
                let message = decode_from_client(message, decoder.as_mut()).unwrap();
                if let FromClient::Hello(hello) = &message {
                    decoder = Some(FrameDecoder::new(hello.session, &[]));
                }
                let _ = heard_by.send(message);
            }
            Either::Right((Some(Say::Message(message)), _)) => {
                let sent = (encode_to_client(&message), WriteFlags::default());
                if sink.send(sent).await.is_err() {
                    return;
                }
            }
            Either::Right((Some(Say::End(status)), _)) => {
                let _ = sink.fail(status).await;
                return;
            }
            _ => break,
        }
    }
    let _ = sink.close().await;
}

impl Peer {
    fn hear(&self) -> FromClient {
        self.heard.recv_timeout(LIMIT).expect("a message")
    }

    fn hello(&self) -> Hello {
        let FromClient::Hello(hello) = self.hear() else { panic!("not Hello") };
        *hello
    }

    fn frame(&self) -> crate::metric::Frame {
        match self.hear() {
            FromClient::Frame(frame) => *frame,
            other => panic!("not a frame: {other:?}"),
        }
    }

    fn seqs(&self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.frame().seq).collect()
    }

    /// The stream is over: nothing more will be heard.
    fn ends(&self) {
        loop {
            match self.heard.recv_timeout(LIMIT) {
                Ok(_) => {}
                Err(error) => return assert!(error.is_disconnected(), "the stream goes on"),
            }
        }
    }

    fn say(&mut self, message: ToClient) {
        self.say.try_send(Say::Message(Box::new(message))).unwrap();
    }

    fn end(&mut self, code: RpcStatusCode, words: &str) {
        let status = RpcStatus::with_message(code, words.to_owned());
        self.say.try_send(Say::End(status)).unwrap();
    }

    fn welcome(&mut self, entries: &[(&str, u32)]) {
        self.say(ToClient::Welcome(Box::new(Welcome {
            protocol: PROTOCOL,
            server: "scripted".into(),
            server_time_us: 1_700_000_000_000_000,
            schedule: schedule(entries),
            version: "test".into(),
        })));
    }

    fn ack(&mut self, through: u64) {
        self.say(ToClient::Ack(Ack {
            session: None,
            through,
            ranges: Vec::new(),
            server_time_us: 1_700_000_000_000_000,
            echo_seq: through,
            echo_received_us: 1_700_000_000_000_000,
        }));
    }
}

fn schedule(entries: &[(&str, u32)]) -> Schedule {
    let entry = |(pattern, interval_ms): &(&str, u32)| ScheduleEntry {
        pattern: (*pattern).to_owned(),
        interval_ms: *interval_ms,
        lease_ms: 0,
    };
    Schedule { revision: 1, entries: entries.iter().map(entry).collect() }
}

fn config(server: &str) -> Config {
    Config {
        servers: vec![server.to_owned()],
        host: "host".into(),
        root: std::env::temp_dir().join("no-such-root"),
        labels: [("rack".to_owned(), "7".to_owned())].into(),
        interval_min: Duration::from_millis(50),
        buffer_bytes: 1 << 20,
        spool: None,
        sampled_log: None,
    }
}

/// An uplink on a scripted clock whose frames come from the test.
struct Bench {
    clock: Arc<Scripted>,
    shared: Arc<Shared>,
    stopper: Stopper,
    left: Receiver<String>,
    thread: Joined,
    layout: Layout,
}

impl Bench {
    fn start(server: &str) -> Self {
        Self::start_with(&[server])
    }

    fn start_with(servers: &[&str]) -> Self {
        let clock = Scripted::new(1_700_000_000_000_000);
        let shared = shared(&clock, 1 << 20, 300);
        let setup = Setup {
            servers: servers.iter().map(|server| (*server).to_owned()).collect(),
            host: "host".into(),
            root: "/nowhere".into(),
            machine: machine::Machine::default(),
            catalogue: Vec::new(),
            interval_min_ms: 50,
            window_frames: 300,
        };
        let (stopper, stop) = stop::pair();
        let uplink = Uplink::new(Arc::clone(&shared), setup).unwrap();
        let (said, left) = bounded(1);
        let thread =
            thread::spawn("test-uplink", move || drop(said.send(uplink.run(&stop)))).unwrap();
        Self { clock, shared, stopper, left, thread, layout: [SeriesKey::plain("x")].into() }
    }

    fn sample(&self, frames: u64) {
        for _ in 0..frames {
            let mut buffer = self.shared.buffer();
            let seq = buffer.account().sampled + 1;
            buffer.push(frame(self.shared.session, seq, &self.layout));
        }
        self.shared.wake_uplink();
    }

    /// Waits for a count, moving the clock on by `step` whenever the uplink waits for it.
    fn pass_until(&self, step: Duration, what: &str, mut reached: impl FnMut() -> bool) {
        for _ in 0..10_000 {
            if reached() {
                return;
            }
            self.clock.advance(step);
            // A new timer is the uplink's word that it has looked around.
            let _ = self
                .clock
                .wait_for_timers(self.clock.timers_registered() + 1, Duration::from_millis(2));
        }
        panic!("never: {what}");
    }

    /// Stops, and gives the words about what was left. The clock runs on while the uplink may be
    /// slow to look at it, so how long it took is for the tests of the conversation to say.
    fn stop(self, step: Duration) -> String {
        let Self { clock, stopper, left, thread, .. } = self;
        drop(stopper);
        let words = loop {
            match left.recv_timeout(Duration::from_millis(5)) {
                Ok(words) => break words,
                Err(_) => clock.advance(step),
            }
        };
        thread.join();
        words
    }
}

const TICK: Duration = Duration::from_millis(50);

#[test]
fn frames_are_acknowledged_and_the_last_are_waited_for() {
    let server = ScriptedServer::start(0);
    let bench = Bench::start(&server.address());
    bench.sample(3);
    let mut peer = server.peer();
    let hello = peer.hello();
    assert_eq!((hello.protocol, &*hello.host, hello.first_seq), (PROTOCOL, "host", 1));
    assert_eq!((hello.session, hello.window_frames), (SessionId(42), 300));
    peer.welcome(&[]);
    assert_eq!(peer.seqs(3), [1, 2, 3]);
    peer.ack(2);
    bench.pass_until(Duration::ZERO, "two acks", || bench.shared.counts.frames_acked.get() == 2);
    bench.sample(1);
    assert_eq!(peer.seqs(1), [4]);
    let shared = Arc::clone(&bench.shared);
    let acker = thread::spawn("test-acker", move || {
        assert_eq!(peer.hear(), FromClient::Bye { last_seq: 4, reason: "stopped".into() });
        peer.ack(4);
        peer.ends();
    });
    assert_eq!(bench.stop(Duration::ZERO), "nothing left: 4 frames acknowledged");
    acker.unwrap().join();
    assert_eq!(shared.buffer().account().acked, 4);
    server.kill();
}

#[test]
fn g01_a_sink_is_left_alone_after_its_error() {
    let server = ScriptedServer::start(0);
    let port = server.port;
    let bench = Bench::start(&server.address());
    let mut server = Some(server);
    for round in 1..=8 {
        let running = server.take().unwrap_or_else(|| ScriptedServer::start(port));
        let mut peer = None;
        bench.pass_until(TICK, "a stream", || {
            peer = running.peers.try_recv().ok();
            peer.is_some()
        });
        let mut peer = peer.unwrap();
        peer.hello();
        peer.welcome(&[]);
        for _ in 0..round * 5 {
            bench.sample(1);
        }
        let lost = bench.shared.counts.connections_lost.get();
        let failed = bench.shared.counts.connections_failed.get();
        running.kill();
        bench.pass_until(TICK, "the loss", || {
            bench.sample(1);
            let counts = &bench.shared.counts;
            counts.connections_lost.get() > lost || counts.connections_failed.get() > failed
        });
    }
    assert_eq!(bench.shared.counts.uplink_panics.get(), 0);
    bench.stop(TICK);
}

#[test]
fn the_whole_client_follows_orders_and_directives_at_once() {
    let server = ScriptedServer::start(0);
    let client = start(config(&server.address()), Box::new(Script::new()), Real::shared()).unwrap();
    let mut peer = server.peer();
    let hello = peer.hello();
    assert_eq!(hello.labels.get("rack").map(String::as_str), Some("7"));
    assert_eq!(hello.catalogue.len(), 2);
    peer.welcome(&[("*", 3_600_000)]);
    peer.say(ToClient::Collect(vec!["memory".into()]));
    let first = loop {
        // A frame of the default order may have come before the welcome.
        let frame = peer.frame();
        if frame.interval_ms == 0 {
            break frame;
        }
    };
    assert_eq!(first.samples.len(), 2);
    peer.say(ToClient::Schedule(schedule(&[("cpu", 50)])));
    let fast: Vec<_> = (0..4).map(|_| peer.frame()).collect();
    assert!(fast.iter().all(|frame| frame.interval_ms == 50 && frame.samples.len() == 1));
    assert!(fast.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    peer.say(ToClient::Ping { nonce: 9, server_time_us: 0 });
    let status = loop {
        if let FromClient::Status(status) = peer.hear() {
            break status;
        }
    };
    assert!(status.nonce == 9 && status.cpu_us > 0 && status.sampled_through >= 5, "{status:?}");
    let (counts, session) = (client.counts(), client.session());
    assert_eq!(session, hello.session);
    let stopping = thread::spawn("test-stop", move || client.stop()).unwrap();
    let last_seq = loop {
        if let FromClient::Bye { last_seq, .. } = peer.hear() {
            break last_seq;
        }
    };
    peer.ack(last_seq);
    stopping.join();
    assert_eq!(counts.frames_acked.get(), last_seq);
    assert_eq!(counts.frames_sampled.get(), last_seq);
    server.kill();
}
