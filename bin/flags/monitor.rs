//! The flags of `monitor`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use clap::Args;
use realtime_monitor::analysis::history::OpenHistory;
use realtime_monitor::analysis::{self, HOSTS_MAX, LIVE_BYTES_MAX};
use realtime_monitor::base::clock::SharedClock;
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::bus::embedded::EmbeddedBus;
use realtime_monitor::client::ClientCounts;
use realtime_monitor::{client, http, server};

#[path = "data.rs"]
mod data;
#[path = "orders.rs"]
mod orders;
#[path = "sample.rs"]
mod sample;
#[path = "web.rs"]
mod web;

/// The spool of this machine's own client, inside the directory for state.
const SPOOL: &str = "spool";

/// Everything in one process.
#[derive(Debug, Args)]
pub(crate) struct MonitorFlags {
    #[command(flatten)]
    web: web::WebFlags,

    /// Address for the streams of more clients; port 0 picks a free one
    #[arg(
        long,
        env = "MONITOR_GRPC_LISTEN",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:50051",
        help_heading = "Clients"
    )]
    grpc_listen: SocketAddr,

    #[command(flatten)]
    orders: orders::OrderFlags,

    #[command(flatten)]
    sample: sample::SampleFlags,

    /// Append 'session seq time_ms' for every frame this host samples
    #[arg(long, env = "MONITOR_SAMPLED_LOG", value_name = "FILE", help_heading = "Diagnostics")]
    sampled_log: Option<PathBuf>,

    #[command(flatten)]
    data: data::DataFlags,
}

/// As the rooms take it.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Page and API.
    pub(crate) web: http::Config,
    /// Streams and orders.
    pub(crate) server: server::Config,
    /// What this machine is measured with.
    pub(crate) sample: sample::SampleFlags,
    spool: Option<PathBuf>,
    sampled_log: Option<PathBuf>,
    data: data::DataFlags,
}

/// The counters of the client, which starts after analysis, which shows them; the server sends
/// its own over the bus.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<OnceLock<Arc<ClientCounts>>>);

impl MonitorFlags {
    /// The settings.
    pub(crate) fn take(self) -> Settings {
        let web = self.web.take(std::env::temp_dir());
        let (orders, name) = self.orders.take();
        let (listen, insecure) = (self.grpc_listen, web.insecure);
        Settings {
            web,
            server: server::Config {
                listen,
                insecure,
                name,
                orders,
                counts: CountSources::default(),
            },
            sample: self.sample,
            spool: self.data.data.as_ref().map(|data| data.join(SPOOL)),
            sampled_log: self.sampled_log,
            data: self.data,
        }
    }
}

impl Settings {
    /// The past, opened. The bus of this program keeps nothing.
    ///
    /// # Errors
    /// When its directory cannot be made, or it cannot be opened.
    pub(crate) fn open(&self, clock: &SharedClock) -> anyhow::Result<Option<OpenHistory>> {
        self.data.open(true, clock)
    }

    /// This machine's own client, for a server that listens on `address`.
    ///
    /// # Errors
    /// When the machine's own name cannot name a host and no other was given.
    pub(crate) fn client(&self, mut address: SocketAddr) -> anyhow::Result<client::Config> {
        // An address that stands for all of the machine's is none to connect to.
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        self.sample.config(vec![address.to_string()], self.spool.clone(), self.sampled_log.clone())
    }
}

impl Counts {
    /// The client has started.
    pub(crate) fn set(&self, client: Arc<ClientCounts>) {
        // Called once, by the program's start list.
        let _ = self.0.set(client);
    }

    /// Settings of an analysis that shows all rooms' counters.
    pub(crate) fn analysis(
        &self,
        bus: &Arc<EmbeddedBus>,
        history: Option<OpenHistory>,
    ) -> analysis::Config {
        let (started, bus) = (self.0.clone(), bus.clone());
        let read = move || {
            let mut counts = bus.counts().read();
            if let Some(client) = started.get() {
                counts.extend(client.read());
            }
            counts
        };
        analysis::Config {
            hosts_max: HOSTS_MAX,
            live_bytes_max: LIVE_BYTES_MAX,
            history,
            counts: CountSources(vec![Arc::new(read)]),
        }
    }
}
