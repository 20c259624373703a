//! `make bench`: what the system costs and how fast it is, as one table that can be pasted into
//! the README.
//!
//! `make bench ARGS="-- client wire"` measures only what has one of these words in its name,
//! `ARGS="-- --list"` lists the names, `ARGS="-- --seconds 10"` shortens every window. Nothing
//! here fails because something is slow; what could not be measured is said under the table.

#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a bench prints, and a failed helper is a measurement that failed"
)]

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "report/alone.rs"]
mod alone;
#[path = "report/analysis.rs"]
mod analysis;
#[path = "report/child.rs"]
mod child;
#[path = "report/client.rs"]
mod client;
#[path = "report/course.rs"]
mod course;
#[path = "report/figures.rs"]
mod figures;
#[path = "report/history_bytes.rs"]
mod history_bytes;
#[path = "report/history_kills.rs"]
mod history_kills;
#[path = "report/history_query.rs"]
mod history_query;
#[path = "report/history_reopen.rs"]
mod history_reopen;
#[path = "report/history_size.rs"]
mod history_size;
#[path = "report/machine.rs"]
mod machine;
#[path = "report/made_up.rs"]
mod made_up;
#[path = "report/micro.rs"]
mod micro;
#[path = "report/outage.rs"]
mod outage;
#[path = "report/paced.rs"]
mod paced;
#[path = "report/page.rs"]
mod page;
#[path = "report/past.rs"]
mod past;
#[path = "report/peers.rs"]
mod peers;
#[path = "report/relay.rs"]
mod relay;
#[path = "report/server.rs"]
mod server;
#[path = "report/settings.rs"]
mod settings;
#[path = "report/stages.rs"]
mod stages;
#[path = "report/table.rs"]
mod table;
#[path = "report/usage.rs"]
mod usage;
#[path = "report/viewer.rs"]
mod viewer;
#[path = "report/wire.rs"]
mod wire;

use std::process::ExitCode;
use std::time::Instant;

use realtime_monitor::base::thread;

use machine::Noise;
use settings::{Command, Settings};
use table::Table;

/// A measurement: some rows of the table.
struct Measurement {
    /// What selects it, and what its rows begin with.
    name: &'static str,
    /// One line for `--list`.
    about: &'static str,
    run: fn(&Settings, &mut Table) -> Result<(), String>,
}

/// In the order of the table.
const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "client-1hz",
        about: "what a client costs, beside its peers",
        run: client::at_1hz,
    },
    Measurement { name: "client-20hz", about: "what it costs at 20 Hz", run: client::at_20hz },
    Measurement { name: "wire-1hz", about: "bytes a sample at 1 Hz", run: wire::at_1hz },
    Measurement { name: "wire-20hz", about: "bytes a sample at 20 Hz", run: wire::at_20hz },
    Measurement {
        name: "stages-embedded-1",
        about: "latency in monitor, its own host",
        run: stages::embedded_1,
    },
    Measurement {
        name: "stages-embedded-100",
        about: "the same with 100 clients more",
        run: stages::embedded_100,
    },
    Measurement {
        name: "stages-embedded-1000",
        about: "the same with 1,000 clients more",
        run: stages::embedded_1000,
    },
    Measurement {
        name: "stages-kafka-1",
        about: "latency through Kafka, one client",
        run: stages::kafka_1,
    },
    Measurement {
        name: "stages-kafka-100",
        about: "the same with 100 clients",
        run: stages::kafka_100,
    },
    Measurement {
        name: "stages-kafka-1000",
        about: "the same with 1,000 clients",
        run: stages::kafka_1000,
    },
    Measurement {
        name: "server-1000",
        about: "1,000 clients at 1 Hz on a bus that keeps nothing",
        run: server::at_1hz,
    },
    Measurement {
        name: "server-flood",
        about: "large frames as fast as they are taken",
        run: server::flood,
    },
    Measurement {
        name: "analysis-replay",
        about: "a topic read from its beginning",
        run: analysis::run,
    },
    Measurement { name: "outage", about: "the broker goes away and comes back", run: outage::run },
    Measurement { name: "monitor-alone", about: "all in one process", run: alone::run },
    Measurement {
        name: "page-1",
        about: "the page with one host, in Chromium",
        run: page::one_host,
    },
    Measurement {
        name: "page-1000",
        about: "the fleet page with 1,000 hosts",
        run: page::thousand_hosts,
    },
    Measurement {
        name: "page-kafka-1000",
        about: "the same through Kafka",
        run: page::thousand_hosts_on_kafka,
    },
    Measurement {
        name: "history-size",
        about: "recorded data as segments of the history",
        run: history_size::run,
    },
    Measurement {
        name: "history-tiers",
        about: "a host's past on disk, all resolutions full",
        run: history_bytes::tiers,
    },
    Measurement {
        name: "history-replay",
        about: "a topic into the history, and what it writes",
        run: history_bytes::replay,
    },
    Measurement {
        name: "history-query",
        about: "the past asked for, beside a Prometheus",
        run: history_query::run,
    },
    Measurement {
        name: "history-reopen",
        about: "two gigabytes after kill -9",
        run: history_reopen::run,
    },
    Measurement {
        name: "history-ram",
        about: "memory of 1,000 hosts with and without a history",
        run: history_bytes::ram,
    },
    Measurement {
        name: "history-kills",
        about: "fifty kills of analysis, nothing lost",
        run: history_kills::run,
    },
    Measurement { name: "micro", about: "encoding, decoding, reading the kernel", run: micro::run },
];

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("MONITOR_LOG", "warn")).init();
    match settings::parse(std::env::args().skip(1)) {
        Ok(Command::Child(arguments)) => child::main(&arguments),
        Ok(Command::Report(settings)) => report(&settings),
        Err(words) => {
            eprintln!("{words}");
            ExitCode::from(2)
        }
    }
}

fn report(settings: &Settings) -> ExitCode {
    let names: Vec<_> = MEASUREMENTS.iter().map(|one| one.name).collect();
    let chosen: Vec<_> =
        MEASUREMENTS.iter().filter(|one| settings.chooses(one.name, &names)).collect();
    if settings.list || chosen.is_empty() {
        for one in MEASUREMENTS {
            println!("{:18} {}", one.name, one.about);
        }
        return ExitCode::from(if settings.list { 0 } else { 2 });
    }
    let start = Instant::now();
    let (mut table, mut noise) = (Table::default(), Noise::default());
    for one in chosen {
        noise.look();
        table.begin(one.name);
        eprintln!("-- {}: {} ({})", one.name, one.about, machine::load());
        match thread::contain(one.name, || (one.run)(settings, &mut table)) {
            Some(Ok(())) => {}
            Some(Err(words)) => table.failed(&words),
            None => table.failed("a helper gave up; its words are above"),
        }
    }
    noise.look();
    println!("\n{}\n", noise.words());
    println!("{}", table.markdown());
    eprintln!("measured in {:.0} s", start.elapsed().as_secs_f64());
    ExitCode::from(u8::from(table.has_failures()))
}
