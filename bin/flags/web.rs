//! Where the page is served: for every program that serves it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use realtime_monitor::http::Config;

/// The web's address and names.
#[derive(Debug, Args)]
#[command(next_help_heading = "Web")]
pub(crate) struct WebFlags {
    /// Address of the page and the API; port 0 picks a free one
    #[arg(long, env = "MONITOR_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:8003")]
    listen: SocketAddr,

    /// Allow to listen on more than loopback although nothing is encrypted or checked yet
    #[arg(long, env = "MONITOR_INSECURE")]
    insecure: bool,

    /// Further names under which browsers may call it, without port
    #[arg(
        long = "public-name",
        env = "MONITOR_PUBLIC_NAME",
        value_name = "NAME,...",
        value_delimiter = ','
    )]
    public_names: Vec<String>,
}

impl WebFlags {
    /// As the http room takes it; `runtime_dir` is where it may make a private directory.
    pub(crate) fn take(self, runtime_dir: PathBuf) -> Config {
        Config {
            listen: self.listen,
            public_names: self.public_names,
            insecure: self.insecure,
            runtime_dir,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
