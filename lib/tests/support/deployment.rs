//! Server, analysis, client and broker as an operator runs them, on free ports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::broker::{Broker, kcat};
use super::program::Program;
use super::{Scratch, http, wait};

/// How long anything may take to show up; waits end as soon as it does.
pub const SOON: Duration = Duration::from_secs(30);

/// A whole system on one machine.
#[derive(Debug)]
pub struct Deployment {
    pub clients: Vec<Program>,
    pub server: Program,
    pub analysis: Program,
    pub broker: Broker,
    pub grpc: SocketAddr,
    pub page: SocketAddr,
    pub scratch: Scratch,
}

impl Deployment {
    /// Starts broker, server (with these extra flags) and analysis; no client yet.
    pub fn start(name: &str, server_flags: &[&str]) -> Self {
        let scratch = Scratch::new(name);
        let broker = Broker::start();
        let kafka = format!("127.0.0.1:{}", broker.port());
        let mut flags = vec!["--listen", "127.0.0.1:0", "--kafka", &kafka];
        flags.extend_from_slice(server_flags);
        let mut server = Program::start("monitor-server", &scratch.0, &flags);
        let data = scratch.join("data").to_string_lossy().into_owned();
        let flags = ["--listen", "127.0.0.1:0", "--kafka", &kafka, "--data", &data];
        let mut analysis = Program::start("monitor-analysis", &scratch.0, &flags);
        let (grpc, page) = (server.address("listening on "), analysis.address("page on "));
        Self { clients: Vec::new(), server, analysis, broker, grpc, page, scratch }
    }

    /// Starts a client under a name; what it samples is written to the file that is returned.
    pub fn add_client(&mut self, host: &str, flags: &[&str]) -> PathBuf {
        let server = self.grpc.to_string();
        let truth = self.scratch.join(&format!("{host}.sampled"));
        let truth_text = truth.to_string_lossy().into_owned();
        let mut all = vec!["--server", &server, "--host", host, "--sampled-log", &truth_text];
        all.extend_from_slice(flags);
        self.clients.push(Program::start("monitor-client", &self.scratch.0, &all));
        truth
    }

    /// The JSON at a path of the API.
    pub fn json(&self, path: &str) -> Option<Value> {
        http::json(self.page, path)
    }

    /// Waits until `/api/metrics` holds at least `count` samples of `metric` of a host.
    #[track_caller]
    pub fn wait_for_samples(&self, host: &str, metric: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} samples of {metric} of {host}");
        wait::until(&what, SOON, || {
            let samples = samples(&self.json("/api/metrics")?, host, metric);
            (samples.len() >= count).then_some(samples)
        })
    }

    /// Every record of the topic, read by kcat: key and JSON.
    pub fn topic(&self) -> Vec<(String, Value)> {
        records(&self.broker.address())
    }
}

/// Every record of a broker's topic, read by kcat: key and JSON.
pub fn records(broker: &str) -> Vec<(String, Value)> {
    let record = |line: String| {
        let (key, value) = line.split_once('\t').unwrap();
        (key.to_owned(), serde_json::from_str(value).unwrap())
    };
    kcat(broker, "monitor_metrics", &[], "%k\\t%s").into_iter().map(record).collect()
}

/// The samples of one metric of one host in an answer of `/api/metrics`.
pub fn samples(answer: &Value, host: &str, metric: &str) -> Vec<Value> {
    answer["hosts"][host][metric].as_array().cloned().unwrap_or_default()
}
