//! How old what a viewer sees is, and where the time went: with 1, 100 and 1,000 clients, through
//! real Kafka and through the bus inside `monitor`.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::child::Helper;
use super::client::{self, difference};
use super::figures::{self, digits};
use super::settings::Settings;
use super::support::broker::Broker;
use super::support::program::Program;
use super::support::{Scratch, http, wait};
use super::table::Table;
use super::usage::{self, Cost};
use super::viewer::Viewer;

/// `/api/stages` looks back this long.
const STAGES_WINDOW: Duration = Duration::from_secs(60);

const FRAME_SAMPLES: f64 = 60.0;

pub fn embedded_1(settings: &Settings, table: &mut Table) -> Result<(), String> {
    measure(settings, table, &mut System::embedded(), 1)
}

pub fn embedded_100(settings: &Settings, table: &mut Table) -> Result<(), String> {
    measure(settings, table, &mut System::embedded(), 100)
}

pub fn embedded_1000(settings: &Settings, table: &mut Table) -> Result<(), String> {
    measure(settings, table, &mut System::embedded(), 1_000)
}

pub fn kafka_1(settings: &Settings, table: &mut Table) -> Result<(), String> {
    measure(settings, table, &mut System::on_kafka(), 1)
}

pub fn kafka_100(settings: &Settings, table: &mut Table) -> Result<(), String> {
    measure(settings, table, &mut System::on_kafka(), 100)
}

pub fn kafka_1000(settings: &Settings, table: &mut Table) -> Result<(), String> {
    measure(settings, table, &mut System::on_kafka(), 1_000)
}

/// Programs on free ports, ready for clients. Fields are dropped in the order of stopping.
pub struct System {
    /// What is watched: words for the table, process.
    pub parts: Vec<(&'static str, u32)>,
    /// Where clients go.
    pub grpc: SocketAddr,
    /// Where viewers go.
    pub page: SocketAddr,
    /// It watches its own host.
    pub has_own_host: bool,
    _programs: Vec<Program>,
    _broker: Option<Broker>,
    pub scratch: Scratch,
}

impl System {
    /// `monitor`, which is a client of its own.
    pub fn embedded() -> Self {
        let scratch = Scratch::new("bench-monitor");
        let data = scratch.join("data").to_string_lossy().into_owned();
        let here = "127.0.0.1:0";
        let flags = ["--listen", here, "--grpc-listen", here, "--host", "me", "--data", &data];
        let mut monitor = Program::start("monitor", &scratch.0, &flags);
        let (grpc, page) = (monitor.address("listening on "), monitor.address("http://"));
        let parts = vec![("monitor", monitor.pid())];
        let programs = vec![monitor];
        Self { parts, grpc, page, has_own_host: true, _programs: programs, _broker: None, scratch }
    }

    /// Server, broker and analysis.
    pub fn on_kafka() -> Self {
        let scratch = Scratch::new("bench-kafka");
        let broker = Broker::start();
        let kafka = format!("127.0.0.1:{}", broker.port());
        let data = scratch.join("data").to_string_lossy().into_owned();
        let flags = ["--listen", "127.0.0.1:0", "--kafka", &kafka];
        let mut server = Program::start("monitor-server", &scratch.0, &flags);
        let flags = [&flags[..], &["--data", &data]].concat();
        let mut analysis = Program::start("monitor-analysis", &scratch.0, &flags);
        let (grpc, page) = (server.address("listening on "), analysis.address("http://"));
        let parts = vec![("server", server.pid()), ("analysis", analysis.pid())];
        let programs = vec![server, analysis];
        Self {
            parts,
            grpc,
            page,
            has_own_host: false,
            _programs: programs,
            _broker: Some(broker),
            scratch,
        }
    }

    /// Waits until viewers see something.
    pub fn wait_for_hosts(&self, count: usize) {
        let what = format!("{count} hosts on the page");
        wait::until(&what, Duration::from_secs(60), || {
            let hosts = http::json(self.page, "/api/hosts")?;
            (hosts["hosts"].as_array()?.len() >= count).then_some(())
        });
    }
}

fn measure(
    settings: &Settings,
    table: &mut Table,
    system: &mut System,
    hosts: usize,
) -> Result<(), String> {
    let address = system.grpc.to_string();
    let (mut fleet, mut lone) = (None, None);
    if hosts > 1 {
        let count = hosts.to_string();
        let flags = ["--server", &address, "--hosts", &count, "--interval-ms", "1000"];
        fleet = Some(Helper::start("load", &flags)?);
    } else if !system.has_own_host {
        lone = Some(client::start(&system.scratch, &address, "bench-lone"));
    }
    system.wait_for_hosts(hosts);
    let viewer = Viewer::open(system.page)?;
    wait::pause(settings.settle);
    let before = counts(&mut fleet)?;
    viewer.forget();
    // What happened while everything connected must be out of sight.
    let window = settings.window.max(Duration::from_secs(1));
    let pids: Vec<u32> = system.parts.iter().map(|(_, pid)| *pid).collect();
    let costs = usage::watch(&pids, window);
    let seen = viewer.seen();
    let stages = http::json(system.page, "/api/stages").ok_or("no answer of /api/stages")?;
    let after = counts(&mut fleet)?;

    latency_rows(table, system, &stages, hosts);
    let age = &seen.age;
    let words = format!(
        "p50 {}, p99 {}, at most {} ms ({} frames)",
        ms(age.quantile_us(0.5)),
        ms(age.quantile_us(0.99)),
        ms(age.max_us()),
        age.count()
    );
    table.row("sampled to received by a viewer, seen from outside", words, "");
    let frames = difference(&before, &after, "sent");
    for ((part, _), cost) in system.parts.iter().zip(&costs) {
        cost_row(table, part, cost, frames as f64);
    }
    if window < STAGES_WINDOW {
        table.note("the window was under 60 s: the stages hold what happened at the start, too");
    }
    if difference(&before, &after, "failures") > 0 {
        table.note(format!("the simulated hosts had failures: {after}"));
    }
    let lost = difference(&before, &after, "sent") as f64
        - difference(&before, &after, "acknowledged") as f64;
    if hosts > 1 && lost > 6.0 * hosts as f64 {
        table.note(format!("more than the usual was not yet acknowledged: {after}"));
    }
    if let Some(lone) = lone {
        lone.stop();
    }
    Ok(())
}

fn counts(fleet: &mut Option<Helper>) -> Result<Value, String> {
    fleet.as_mut().map_or(Ok(Value::Null), Helper::counts)
}

fn latency_rows(table: &mut Table, system: &System, answer: &Value, hosts: usize) {
    let of = |stage: &Value| {
        let value = |name: &str| stage[name].as_f64().unwrap_or(f64::NAN);
        (value("p50_ms"), value("p99_ms"), value("max_ms"))
    };
    let (p50, p99, max) = of(&answer["sampled_to_pushed"]);
    let goal = match (system.has_own_host, hosts) {
        (true, _) => "p99 <= 10 ms",
        (false, 1_000) => "p99 <= 50 ms",
        _ => "",
    };
    let words = format!("p50 {}, p99 {}, at most {} ms", digits(p50), digits(p99), digits(max));
    table.row("sampled to pushed", words, goal);
    let stages = answer["stages"].as_array().into_iter().flatten();
    let words: Vec<String> = stages
        .map(|stage| {
            let (p50, p99, _) = of(stage);
            let name = stage["stage"].as_str().unwrap_or("?");
            let beside = if stage["beside"] == true { " (beside)" } else { "" };
            format!("{name}{beside} {}/{}", digits(p50), digits(p99))
        })
        .collect();
    table.row("stage by stage, p50/p99 in ms", words.join(", "), "");
}

/// With what a frame costs where there are many.
fn cost_row(table: &mut Table, part: &str, cost: &Cost, frames: f64) {
    let cpu = cost.cpu.as_secs_f64();
    let mut words = cost.words();
    if frames > 0.0 {
        let rate = figures::millions(frames * FRAME_SAMPLES / cpu);
        let each = digits(cpu / frames * 1e6);
        words += &format!("; {each} us a frame, {rate} samples/s per core");
    }
    table.row(&format!("what {part} costs"), words, "");
}

fn ms(us: u64) -> String {
    digits(us as f64 / 1e3)
}
