//! The server with real gRPC streams and a scripted bus: what is acknowledged is durable, what is
//! not is still with its client, and nothing a client does reaches another one.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    missing_docs,
    reason = "a test that fails says where"
)]

#[path = "stream/acks.rs"]
mod acks;
#[path = "stream/bus.rs"]
mod bus;
#[path = "stream/client.rs"]
mod client;
#[path = "stream/ends.rs"]
mod ends;
#[path = "stream/late.rs"]
mod late;
#[path = "stream/names.rs"]
mod names;
#[path = "stream/order.rs"]
mod order;
#[path = "stream/peer.rs"]
mod peer;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use grpcio::Environment;
use realtime_monitor::base::clock::{Real, Scripted, SharedClock};
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::server::{self, Config, Handle, Orders, ServerCounts};

use bus::{ScriptedBus, Shared};
use peer::{LIMIT, Peer};
use support::wait;

/// A server on a free port, its bus, and the peers' side of gRPC.
pub struct Bench {
    pub bus: Arc<ScriptedBus>,
    pub server: Option<Handle>,
    pub counts: Arc<ServerCounts>,
    pub address: SocketAddr,
    pub environment: Arc<Environment>,
}

pub fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        insecure: false,
        name: "here".into(),
        orders: Orders {
            interval: Duration::from_secs(1),
            schedule: vec![server::parse_schedule_entry("cpu=500ms").unwrap()],
            collect: vec![server::parse_collect("cpu_core_seconds_total@asked").unwrap()],
        },
        counts: CountSources::default(),
    }
}

impl Bench {
    /// On the real clock.
    pub fn real() -> Self {
        Self::start(&config(), ScriptedBus::new(), Real::shared())
    }

    /// On a clock that the test moves.
    pub fn scripted() -> (Self, Arc<Scripted>) {
        let clock = Scripted::new(1_000_000_000);
        let bench = Self::start(&config(), ScriptedBus::new(), Arc::clone(&clock) as SharedClock);
        (bench, clock)
    }

    pub fn start(config: &Config, bus: Arc<ScriptedBus>, clock: SharedClock) -> Self {
        let server = server::start(config, Arc::new(Shared(Arc::clone(&bus))), clock).unwrap();
        let (counts, address) = (server.counts(), server.address());
        Self { bus, counts, address, server: Some(server), environment: peer::environment() }
    }

    pub fn silent(&self, host: &str) -> Peer {
        Peer::silent(&self.environment, self.address, host)
    }

    pub fn welcome(&self, host: &str) -> Peer {
        Peer::welcome(&self.environment, self.address, host)
    }

    /// Waits until a counter has reached a value.
    #[track_caller]
    pub fn wait_for(&self, name: &str, value: u64) {
        wait::until(&format!("{name} >= {value}"), LIMIT, || {
            (self.count(name) >= value).then_some(())
        });
    }

    pub fn count(&self, name: &str) -> u64 {
        if let Some(server) = &self.server {
            let _ = server.read_counts();
        }
        let counts = self.counts.read();
        let found = counts.iter().find(|count| count.name == format!("server_{name}"));
        found.unwrap_or_else(|| panic!("no counter {name}")).value
    }

    pub fn stop(&mut self) {
        drop(self.server.take());
    }

    /// What came in is published, refused, left behind, or still here.
    #[track_caller]
    pub fn check_balance(&self) {
        let frames = ["published_total", "refused_total", "abandoned_total", "queued"];
        let sum: u64 = frames.iter().map(|name| self.count(&format!("frames_{name}"))).sum();
        assert_eq!(self.count("frames_in_total"), sum, "frames: {:#?}", self.counts.read());
        let streams = ["refused_total", "ended_total", "open"];
        let sum: u64 = streams.iter().map(|name| self.count(&format!("streams_{name}"))).sum();
        assert_eq!(self.count("streams_opened_total"), sum, "streams: {:#?}", self.counts.read());
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.bus.release();
        self.stop();
        if !std::thread::panicking() {
            self.check_balance();
            assert_eq!(self.count("streams_open"), 0, "streams after the stop");
        }
    }
}
