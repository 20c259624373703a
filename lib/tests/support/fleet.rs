//! A fleet in one process: any number of hosts, each with a real gRPC stream and a connection of
//! its own, sending frames of realistic size on time. For tests and benches of everything behind
//! the client; the client itself is tested with the real program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt, future};
use grpcio::{
    CallOption, ChannelBuilder, Client, EnvBuilder, Environment, Marshaller, Method, MethodType,
    WriteFlags, pb_de, pb_ser,
};
use realtime_monitor::base::stop::{self, Stopper};
use realtime_monitor::base::thread::{self, Joined};
use realtime_monitor::metric::{Frame, Layout, Samples, SeriesKey, SessionId, Value};
use realtime_monitor::wire::frame::FrameEncoder;
use realtime_monitor::wire::message::{FromClient, Hello, Status, ToClient};
use realtime_monitor::wire::{proto, stream};

/// The one method of the service.
pub static METHOD: Method<proto::CommandResponse, proto::CommandRequest> = Method {
    ty: MethodType::Duplex,
    name: stream::COMMAND_STREAM,
    req_mar: Marshaller { ser: pb_ser, de: pb_de },
    resp_mar: Marshaller { ser: pb_ser, de: pb_de },
};

/// Frames that may wait for one stream before the fleet counts a late one.
const FRAMES_WAITING_MAX: usize = 600;

/// What a fleet does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `host:port` of the server.
    pub server: String,
    /// How many hosts.
    pub hosts: usize,
    /// What their names begin with.
    pub prefix: String,
    /// Time between a host's frames; hosts are spread evenly over it.
    pub interval: Duration,
}

/// What a fleet has done, over all hosts.
#[derive(Debug, Default)]
pub struct Counts {
    pub welcomed: AtomicU64,
    pub sent: AtomicU64,
    pub acknowledged: AtomicU64,
    pub not_taken: AtomicU64,
    pub ended: AtomicU64,
}

/// Running hosts; dropping it ends their streams with a Bye.
pub struct Fleet {
    pub counts: Arc<Counts>,
    stop: Option<Stopper>,
    pacer: Option<Joined>,
    _environment: Arc<Environment>,
}

struct Host {
    session: SessionId,
    start: Instant,
    seq: u64,
    encoder: FrameEncoder,
    out: mpsc::Sender<proto::CommandResponse>,
    layout: Layout,
    /// Dropped before the connection is up, it would take the call with it.
    _client: Client,
}

impl Fleet {
    /// Opens all streams and waits until each has its Welcome.
    pub fn start(plan: &Plan) -> Self {
        Self::start_by(plan, |_| 0)
    }

    /// The same with clocks that are off by so many milliseconds at each frame.
    pub fn start_by(plan: &Plan, off_ms: fn(u64) -> i64) -> Self {
        let environment = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("fleet").build());
        let counts = Arc::new(Counts::default());
        let layout = layout();
        let hosts: Vec<Host> = (0..plan.hosts)
            .map(|number| open(&environment, plan, number, &counts, &layout))
            .collect();
        let (stop, stopped) = stop::pair();
        let expected = plan.hosts as u64;
        let mut fleet = Self {
            counts: Arc::clone(&counts),
            stop: Some(stop),
            pacer: None,
            _environment: environment,
        };
        super::wait::until("every simulated host is welcome", Duration::from_secs(60), || {
            (counts.welcomed.load(Ordering::Relaxed) == expected).then_some(())
        });
        let interval = plan.interval;
        let pacer = thread::spawn("fleet-pacer", move || {
            pace(hosts, (interval, off_ms), &counts, &stopped)
        });
        fleet.pacer = Some(pacer.unwrap());
        fleet
    }

    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    pub fn acknowledged(&self) -> u64 {
        self.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Frames that could not be handed to a stream in time, and streams that ended by themselves.
    pub fn failures(&self) -> u64 {
        self.counts.not_taken.load(Ordering::Relaxed) + self.counts.ended.load(Ordering::Relaxed)
    }

    /// Sends no more and waits until everything sent is acknowledged.
    pub fn finish(mut self, limit: Duration) -> (u64, u64) {
        drop(self.stop.take());
        drop(self.pacer.take());
        super::wait::until("every frame acknowledged", limit, || {
            (self.acknowledged() == self.sent()).then_some(())
        });
        (self.sent(), self.acknowledged())
    }
}

/// Sends each host's frame when it is due: host n of N at n/N of the interval.
fn pace(
    mut hosts: Vec<Host>,
    (interval, off_ms): (Duration, fn(u64) -> i64),
    counts: &Counts,
    stopped: &stop::Stop,
) {
    let start = Instant::now();
    let step = interval / hosts.len().max(1) as u32;
    for tick in 0_u64.. {
        let due = start + step.mul_f64(tick as f64);
        let now = Instant::now();
        // Waking for every host would cost more than the frames: up to 2 ms of them go together.
        if due > now + Duration::from_millis(1)
            && stopped.wait(due.duration_since(now) + Duration::from_millis(1))
        {
            break;
        }
        if tick % 64 == 0 && stopped.is_stopped() {
            break;
        }
        let at = (tick % hosts.len() as u64) as usize;
        send(&mut hosts[at], (interval, off_ms), counts);
    }
    for host in &mut hosts {
        let bye = FromClient::Bye { last_seq: host.seq, reason: "end of the load".into() };
        let bye = stream::encode_from_client(&bye, &mut host.encoder).unwrap();
        let _ = host.out.try_send(bye);
    }
}

fn send(host: &mut Host, (interval, off_ms): (Duration, fn(u64) -> i64), counts: &Counts) {
    let seq = host.seq + 1;
    let time_ms = now_ms().saturating_add_signed(off_ms(seq));
    let frame = Frame {
        session: host.session,
        seq,
        elapsed_us: host.start.elapsed().as_micros() as u64,
        time_ms,
        uncertainty_ms: 1,
        host_time_ms: time_ms,
        interval_ms: interval.as_millis() as u32,
        sent_ms: time_ms,
        samples: Samples { layout: host.layout.clone(), values: values(&host.layout, seq) },
    };
    let message = FromClient::Frame(Box::new(frame));
    let message = stream::encode_from_client(&message, &mut host.encoder).unwrap();
    if host.out.try_send(message).is_ok() {
        host.seq = seq;
        counts.sent.fetch_add(1, Ordering::Relaxed);
    } else {
        counts.not_taken.fetch_add(1, Ordering::Relaxed);
    }
}

fn open(
    environment: &Arc<Environment>,
    plan: &Plan,
    number: usize,
    counts: &Arc<Counts>,
    layout: &Layout,
) -> Host {
    let channel = ChannelBuilder::new(Arc::clone(environment))
        .use_local_subchannel_pool(true)
        .raw_cfg_int(c"fleet.number".to_owned(), number as i32)
        .http2_bdp_probe(false)
        .enable_http_proxy(false)
        .connect(&plan.server);
    let client = Client::new(channel);
    let (mut sink, mut orders) =
        client.duplex_streaming(&METHOD, CallOption::default().wait_for_ready(true)).unwrap();
    let (out, mut frames) = mpsc::channel(FRAMES_WAITING_MAX);
    let session = SessionId(realtime_monitor::base::random::u128());
    let mut encoder = FrameEncoder::new(session);
    let name = format!("{}{number:04}", plan.prefix);
    let hello = stream::encode_from_client(&hello(&name, session), &mut encoder).unwrap();
    let (counts, mut answers) = (Arc::clone(counts), out.clone());
    client.spawn(async move {
        let mut acked = 0;
        let mut saying_goodbye = false;
        if sink.send((hello, WriteFlags::default())).await.is_err() {
            counts.ended.fetch_add(1, Ordering::Relaxed);
            return;
        }
        loop {
            match future::select(frames.next(), orders.next()).await {
                future::Either::Left((Some(message), _)) => {
                    let message: proto::CommandResponse = message;
                    saying_goodbye |= message.has_bye();
                    if sink.send((message, WriteFlags::default())).await.is_err() {
                        break;
                    }
                }
                future::Either::Right((Some(Ok(order)), _)) => {
                    take(order, &counts, &mut acked, &mut answers);
                }
                _ => break,
            }
        }
        if !saying_goodbye {
            counts.ended.fetch_add(1, Ordering::Relaxed);
        }
    });
    let layout = layout.clone();
    Host { session, start: Instant::now(), seq: 0, encoder, out, layout, _client: client }
}

fn take(
    order: proto::CommandRequest,
    counts: &Counts,
    acked: &mut u64,
    answers: &mut mpsc::Sender<proto::CommandResponse>,
) {
    match stream::decode_to_client(order) {
        Ok(ToClient::Welcome(_)) => {
            counts.welcomed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(ToClient::Ack(ack)) => {
            // Frames are published in order, so ranges above `through` do not occur here.
            counts.acknowledged.fetch_add(ack.through - *acked, Ordering::Relaxed);
            *acked = ack.through;
        }
        Ok(ToClient::Ping { nonce, .. }) => {
            let status = FromClient::Status(Status { nonce, ..Status::default() });
            let status =
                stream::encode_from_client(&status, &mut FrameEncoder::new(SessionId(0))).unwrap();
            let _ = answers.try_send(status);
        }
        _ => {}
    }
}

/// What a simulated host says first.
pub fn hello(name: &str, session: SessionId) -> FromClient {
    FromClient::Hello(Box::new(Hello {
        protocol: realtime_monitor::wire::PROTOCOL,
        host: name.into(),
        machine_id_hash: session.0 as u64,
        session,
        boot_id: "simulated".into(),
        labels: [("fleet".to_owned(), "simulated".to_owned())].into(),
        catalogue: Vec::new(),
        interval_min_ms: 50,
        window_frames: 600,
        earlier_sessions: Vec::new(),
        version: env!("CARGO_PKG_VERSION").into(),
        first_seq: 1,
    }))
}

/// 60 series: what a machine with two disks and three interfaces has.
pub fn layout() -> Layout {
    let mut keys = Vec::new();
    for mode in ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"] {
        keys.push(SeriesKey::labelled("cpu_seconds_total", &[("mode", mode)]));
    }
    for name in ["total", "available", "free", "buffers", "cached", "dirty", "shared"] {
        keys.push(SeriesKey::plain(&format!("memory_{name}_bytes")));
    }
    for device in ["sda", "sdb"] {
        for name in ["read_bytes", "written_bytes", "reads", "writes", "busy_seconds"] {
            keys.push(SeriesKey::labelled(&format!("disk_{name}_total"), &[("device", device)]));
        }
    }
    for interface in ["eth0", "eth1", "wg0"] {
        for name in ["bytes", "packets", "errors", "drops"] {
            for way in ["receive", "transmit"] {
                let name = format!("network_{way}_{name}_total");
                keys.push(SeriesKey::labelled(&name, &[("interface", interface)]));
            }
        }
    }
    for name in ["processes", "processes_running", "processes_blocked", "load1", "load5", "load15"]
    {
        keys.push(SeriesKey::plain(name));
    }
    for name in ["uptime_seconds", "context_switches_total", "interrupts_total", "forks_total"] {
        keys.push(SeriesKey::plain(name));
    }
    keys.push(SeriesKey::plain("memory_slab_reclaimable_bytes"));
    assert_eq!(keys.len(), 60);
    keys.into()
}

/// Values of frame `seq`: counters that grow with it, amounts that wander.
pub fn values(layout: &Layout, seq: u64) -> Vec<Value> {
    let wander = |at: u64| (seq * 2_654_435_761 + at * 40_503) % 1_000;
    let value = |(at, key): (usize, &SeriesKey)| {
        let (at, name) = (at as u64, key.name());
        match name {
            // Idle, the first, for about half of the time; no reading is below the one before.
            "cpu_seconds_total" => {
                let ticks = if at == 0 { 60 } else { 5 + at };
                Value::Float((seq * ticks + wander(at) / 250) as f64 / 100.0)
            }
            "processes_running" | "processes_blocked" => Value::Unsigned(wander(at) / 200),
            "processes" => Value::Unsigned(120 + wander(at) / 100),
            "memory_total_bytes" => Value::Unsigned(16 << 30),
            "load1" | "load5" | "load15" => Value::Float(wander(at) as f64 / 100.0),
            "uptime_seconds" => Value::Float(1_000.0 + seq as f64),
            _ if name.ends_with("_seconds_total") => Value::Float((seq * 2) as f64 / 100.0),
            _ if name.ends_with("_total") => {
                Value::Unsigned(seq * 1_000 * (1 + at % 5) + wander(at) / 200)
            }
            _ => Value::Unsigned((4 << 30) + wander(at) * 4_096),
        }
    };
    layout.iter().enumerate().map(value).collect()
}

/// Unix time.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
