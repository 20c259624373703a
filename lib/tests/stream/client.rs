//! The real client against the real server: every frame it sampled is durable, whatever happens
//! between the two.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use realtime_monitor::base::clock::Real;
use realtime_monitor::bus::BusError;
use realtime_monitor::client::{self, Offer, Sampling};
use realtime_monitor::metric::{Kind, MetricDef, Samples, SeriesKey, Unit, Value};
use realtime_monitor::server::{Config, Orders};

use crate::bus::{Fault, ScriptedBus};
use crate::peer::LIMIT;
use crate::support::wait;
use crate::{Bench, config};

const METRICS: &[MetricDef] = &[MetricDef {
    name: "ticks_total",
    kind: Kind::Counter,
    unit: Unit::Count,
    help: "Readings taken.",
}];

/// A source that counts its readings.
struct Ticks(u64);

impl Sampling for Ticks {
    fn offers(&self) -> Vec<Offer> {
        vec![Offer { collector: "ticks", metrics: METRICS }]
    }

    fn collect(&mut self, due: &dyn Fn(&MetricDef) -> bool) -> Samples {
        self.0 += 1;
        let reading = (SeriesKey::plain("ticks_total"), Value::Unsigned(self.0));
        if due(&METRICS[0]) { Samples::from_iter([reading]) } else { Samples::from_iter([]) }
    }
}

/// Twenty frames a second.
fn fast() -> Config {
    let interval = Duration::from_millis(50);
    Config { orders: Orders { interval, ..config().orders }, ..config() }
}

fn start_client(bench: &Bench) -> client::Handle {
    start_client_of(bench.address, Duration::from_millis(50))
}

/// The real client, host `web-1`, with a source that counts its readings.
pub fn start_client_of(server: SocketAddr, interval_min: Duration) -> client::Handle {
    let config = client::Config {
        servers: vec![server.to_string()],
        host: "web-1".into(),
        root: PathBuf::from("/nothing"),
        labels: [("rack".to_owned(), "7".to_owned())].into(),
        interval_min,
        buffer_bytes: 1 << 20,
        spool: None,
        sampled_log: None,
    };
    client::start(config, Box::new(Ticks(0)), Real::shared()).unwrap()
}

#[track_caller]
fn wait_for_frames(bus: &ScriptedBus, count: usize) {
    wait::until(&format!("{count} frames"), LIMIT, || {
        (bus.seqs("web-1").len() >= count).then_some(())
    });
}

/// Stops the client; what it sampled is what the bus has, and it knows.
#[track_caller]
fn check_nothing_lost(client: client::Handle, bus: &ScriptedBus) {
    let (session, counts) = (client.session(), client.counts());
    client.stop();
    let sampled = counts.frames_sampled.get();
    assert_eq!((counts.frames_waiting.get(), counts.frames_acked.get()), (0, sampled));
    let durable: BTreeSet<u64> = bus.seqs("web-1").into_iter().collect();
    assert!(durable.into_iter().eq(1..=sampled), "{sampled} sampled: {:?}", bus.seqs("web-1"));
    wait::until("the last word of the session", LIMIT, || {
        let record = bus.sessions().pop()?;
        let told = record.ended.as_ref().is_some_and(|ended| ended.starts_with("bye"));
        (told && record.session == session && record.sampled_through == sampled).then_some(())
    });
}

#[test]
fn every_frame_sampled_is_durable_and_acknowledged() {
    let bench = Bench::start(&fast(), ScriptedBus::new(), Real::shared());
    let client = start_client(&bench);
    wait_for_frames(&bench.bus, 40);
    let record = bench.bus.sessions().remove(0);
    assert_eq!(record.catalogue[0].metrics[0].name, "ticks_total");
    assert_eq!(record.labels["rack"], "7");
    check_nothing_lost(client, &bench.bus);
    assert_eq!(bench.count("streams_failed_total"), 0);
    let seqs = bench.bus.seqs("web-1");
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "each once, in order");
}

#[test]
fn a_server_that_is_restarted_loses_nothing() {
    let bus = ScriptedBus::new();
    let mut first = Bench::start(&fast(), Arc::clone(&bus), Real::shared());
    let client = start_client(&first);
    wait_for_frames(&bus, 20);
    let address = first.address;
    first.stop();
    let again = Config { listen: address, ..fast() };
    let second = Bench::start(&again, Arc::clone(&bus), Real::shared());
    let before = bus.seqs("web-1").len();
    second.wait_for("sessions_welcomed_total", 1);
    wait_for_frames(&bus, before + 20);
    check_nothing_lost(client, &bus);
}

#[test]
fn a_bus_that_stops_fails_and_returns_loses_nothing() {
    let bench = Bench::start(&fast(), ScriptedBus::new(), Real::shared());
    let client = start_client(&bench);
    wait_for_frames(&bench.bus, 10);
    bench.bus.block();
    bench.bus.wait_for_calls(1);
    let in_hand = bench.count("frames_in_total");
    bench.wait_for("frames_in_total", in_hand + 20);
    bench.bus.fail(vec![Fault::Error(BusError::Unavailable { what: "gone".into() }); 3]);
    bench.bus.release();
    wait_for_frames(&bench.bus, in_hand as usize + 30);
    check_nothing_lost(client, &bench.bus);
}
