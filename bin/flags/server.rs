//! The flags of `monitor-server`.

use std::net::SocketAddr;

use clap::Args;
use realtime_monitor::server::Config;

#[path = "kafka.rs"]
mod kafka;
#[path = "orders.rs"]
mod orders;
use kafka::Broker;

/// Where it listens, what it orders, where it publishes.
#[derive(Debug, Args)]
pub(crate) struct ServerFlags {
    /// Address for the clients' streams; port 0 picks a free one
    #[arg(
        long,
        env = "MONITOR_LISTEN",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:50051",
        help_heading = "Listening"
    )]
    listen: SocketAddr,

    /// Allow to listen on more than loopback although nothing is encrypted or checked yet
    #[arg(long, env = "MONITOR_INSECURE", help_heading = "Listening")]
    insecure: bool,

    #[command(flatten)]
    orders: orders::OrderFlags,

    #[command(flatten)]
    kafka: kafka::KafkaFlags,
}

impl ServerFlags {
    /// As the rooms take it.
    pub(crate) fn take(self) -> (Config, Broker) {
        let (orders, name) = self.orders.take();
        let broker = Broker::new(self.kafka.take());
        let config = Config {
            listen: self.listen,
            insecure: self.insecure,
            name,
            orders,
            counts: broker.counts(),
        };
        (config, broker)
    }
}
