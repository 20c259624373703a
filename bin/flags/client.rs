//! The flags of `monitor-client`.

use std::path::PathBuf;

use clap::Args;

#[path = "sample.rs"]
mod sample;
use sample::SampleFlags;

/// Where to, and diagnostics.
#[derive(Debug, Args)]
pub(crate) struct ClientFlags {
    /// Server to send to; of several (a:50051,b:50051, or given several times) each host begins
    /// with one that its name decides, so that hosts are spread over them, and goes to another
    /// when that one is gone, refuses or drains
    #[arg(
        long = "server",
        env = "MONITOR_SERVER",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "localhost:50051",
        help_heading = "Server"
    )]
    pub(crate) servers: Vec<String>,

    /// Directory that keeps frames until the server has acknowledged them, so that neither a kill
    /// nor a restart loses any; one of its own for each client
    #[arg(long, env = "MONITOR_SPOOL", value_name = "DIR", help_heading = "Server")]
    pub(crate) spool: Option<PathBuf>,

    /// Print one reading as Prometheus text and exit
    #[arg(long, help_heading = "Diagnostics")]
    pub(crate) once: bool,

    /// Append 'session seq time_ms' for every frame sampled, as a record that depends on nothing else
    #[arg(long, env = "MONITOR_SAMPLED_LOG", value_name = "FILE", help_heading = "Diagnostics")]
    pub(crate) sampled_log: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) sample: SampleFlags,
}
