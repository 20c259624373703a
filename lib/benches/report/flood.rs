//! Streams that send large frames as fast as the server takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use futures_util::{FutureExt, SinkExt, StreamExt};
use grpcio::{CallOption, ChannelBuilder, Client, EnvBuilder, Environment, WriteFlags};
use realtime_monitor::base::random;
use realtime_monitor::metric::{Frame, Layout, Samples, SeriesKey, SessionId, Value};
use realtime_monitor::wire::frame::FrameEncoder;
use realtime_monitor::wire::message::{FromClient, ToClient};
use realtime_monitor::wire::{proto, stream};
use serde_json::json;

use super::super::support::fleet::{self, METHOD};

/// Unacknowledged frames of a stream; the window that the simulated hosts announce.
const WINDOW: u64 = 600;

/// `--server ADDRESS --streams N --samples N`
pub fn run(arguments: &[String]) -> Result<(), String> {
    let server = super::flag(arguments, "--server").ok_or("--server is missing")?;
    let samples = super::number(arguments, "--samples")?;
    let environment = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("flood").build());
    let shared = Arc::new(Shared::default());
    let key =
        |number| SeriesKey::labelled("flood_bytes_total", &[("number", &format!("{number:04}"))]);
    let layout: Layout = (0..samples).map(key).collect();
    // A stream that is not yet connected ends with its channel.
    let mut clients = Vec::new();
    for number in 0..super::number(arguments, "--streams")? {
        clients.push(open(&environment, server, number, layout.clone(), Arc::clone(&shared)));
    }
    super::serve(&json!({}), || json!({ "acknowledged": shared.acknowledged.load(Relaxed) }))?;
    shared.stop.store(true, Relaxed);
    Ok(())
}

#[derive(Default)]
struct Shared {
    acknowledged: AtomicU64,
    stop: AtomicBool,
}

fn open(
    environment: &Arc<Environment>,
    server: &str,
    number: u64,
    layout: Layout,
    shared: Arc<Shared>,
) -> Client {
    let channel = ChannelBuilder::new(Arc::clone(environment))
        .use_local_subchannel_pool(true)
        .raw_cfg_int(c"flood.number".to_owned(), number as i32)
        .enable_http_proxy(false)
        .connect(server);
    let client = Client::new(channel);
    let (mut sink, mut orders) =
        client.duplex_streaming(&METHOD, CallOption::default().wait_for_ready(true)).unwrap();
    let mut host = Host::new(layout);
    let hello = fleet::hello(&format!("flood-{number:02}"), host.session);
    let hello = stream::encode_from_client(&hello, &mut host.encoder).unwrap();
    client.spawn(async move {
        if sink.send((hello, WriteFlags::default())).await.is_err() {
            return;
        }
        while !shared.stop.load(Relaxed) {
            if host.welcome && host.seq - host.acked < WINDOW {
                let message = host.next();
                if sink.send((message, WriteFlags::default())).await.is_err() {
                    break;
                }
                while let Some(Some(Ok(order))) = orders.next().now_or_never() {
                    host.take(order, &shared);
                }
            } else if let Some(Ok(order)) = orders.next().await {
                host.take(order, &shared);
            } else {
                break;
            }
        }
    });
    client
}

struct Host {
    session: SessionId,
    encoder: FrameEncoder,
    layout: Layout,
    start: Instant,
    seq: u64,
    acked: u64,
    welcome: bool,
}

impl Host {
    fn new(layout: Layout) -> Self {
        let session = SessionId(random::u128());
        let encoder = FrameEncoder::new(session);
        Self { session, encoder, layout, start: Instant::now(), seq: 0, acked: 0, welcome: false }
    }

    /// The next frame; every counter has grown by two or three bytes' worth.
    fn next(&mut self) -> proto::CommandResponse {
        self.seq += 1;
        let time_ms = fleet::now_ms();
        let value = |at: u64| Value::Unsigned(self.seq * (1_000 + at % 1_000));
        let frame = Frame {
            session: self.session,
            seq: self.seq,
            elapsed_us: self.start.elapsed().as_micros() as u64,
            time_ms,
            uncertainty_ms: 1,
            host_time_ms: time_ms,
            interval_ms: 50,
            sent_ms: time_ms,
            samples: Samples {
                layout: self.layout.clone(),
                values: (0..self.layout.len() as u64).map(value).collect(),
            },
        };
        let message = FromClient::Frame(Box::new(frame));
        stream::encode_from_client(&message, &mut self.encoder).unwrap()
    }

    fn take(&mut self, order: proto::CommandRequest, shared: &Shared) {
        match stream::decode_to_client(order) {
            Ok(ToClient::Welcome(_)) => self.welcome = true,
            Ok(ToClient::Ack(ack)) => {
                shared.acknowledged.fetch_add(ack.through - self.acked, Relaxed);
                self.acked = ack.through;
            }
            _ => {}
        }
    }
}
