//! A ledger that cannot see a fault proves nothing: a bus that deletes one frame must show up as
//! `missing` 1, one that stores a frame twice as `doubled` 1, and a faithful one as neither.
//!
//! Client, server and analysis are the real ones, on the embedded bus; only its honesty is scripted.

use std::sync::Arc;

use realtime_monitor::analysis::view::{Ledger, SessionLedger};
use realtime_monitor::analysis::{self, HOSTS_MAX, LIVE_BYTES_MAX};
use realtime_monitor::base::clock::Real;
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::base::quantity::parse_duration;
use realtime_monitor::bus::embedded::EmbeddedBus;
use realtime_monitor::bus::{Bus, BusError, Position, Publisher, Reader, Receipt, Record, Topic};
use realtime_monitor::collector::{self, Context, Set};
use realtime_monitor::{client, server};

use super::deployment::SOON;
use crate::support::wait;

/// The frame that something happens to.
const SEQ: u64 = 7;

/// What the bus does with that frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Deleted,
    Doubled,
}

/// A bus that says of one frame that it is durable, and lies.
#[derive(Debug)]
struct FaultyBus {
    inner: Arc<EmbeddedBus>,
    fault: Fault,
}

#[derive(Debug)]
struct FaultyPublisher {
    inner: Box<dyn Publisher>,
    fault: Fault,
}

impl Bus for FaultyBus {
    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(FaultyPublisher { inner: self.inner.publisher(), fault: self.fault })
    }

    fn reader(&self, topic: Topic, partition: u32, from: Position) -> Box<dyn Reader> {
        self.inner.reader(topic, partition, from)
    }
}

impl Publisher for FaultyPublisher {
    fn begin(
        &mut self,
        topic: Topic,
        partition: u32,
        records: &[Record],
    ) -> Result<Receipt, BusError> {
        let copies = |record: &Record| match self.fault {
            _ if !is_the_frame(record) => 1,
            Fault::None => 1,
            Fault::Deleted => 0,
            Fault::Doubled => 2,
        };
        let stored: Vec<Record> = records
            .iter()
            .flat_map(|record| std::iter::repeat_n(record, copies(record)).cloned())
            .collect();
        self.inner.begin(topic, partition, &stored)
    }

    fn hurry(&mut self, topic: Topic, partition: u32) {
        self.inner.hurry(topic, partition);
    }
}

fn is_the_frame(record: &Record) -> bool {
    let value: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
    value["type"] == "frame" && value["seq"] == SEQ
}

/// Runs a client at 20 Hz over such a bus; the account when it has stopped and all is told.
fn account(fault: Fault) -> (Ledger, Vec<SessionLedger>) {
    let clock = Real::shared();
    let inner = EmbeddedBus::new(4, clock.clone());
    let bus: Arc<dyn Bus> = Arc::new(FaultyBus { inner: inner.clone(), fault });
    let config = analysis::Config {
        history: None,
        hosts_max: HOSTS_MAX,
        live_bytes_max: LIVE_BYTES_MAX,
        counts: CountSources(Vec::new()),
    };
    let analysis = analysis::start(config, &bus, clock.clone()).unwrap();
    let interval = parse_duration("50ms").unwrap();
    let server = server::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        insecure: false,
        name: "s1".into(),
        orders: server::Orders { interval, schedule: Vec::new(), collect: Vec::new() },
        counts: CountSources::default(),
    };
    let server = server::start(&server, bus, clock.clone()).unwrap();
    let config = client::Config {
        servers: vec![server.address().to_string()],
        host: "web-1".into(),
        root: "/".into(),
        labels: Default::default(),
        interval_min: interval,
        buffer_bytes: 1 << 20,
        spool: None,
        sampled_log: None,
    };
    let set = Set::new(&collector::select("default").unwrap(), Context::new("/"));
    let client = client::start(config, Box::new(set), clock).unwrap();
    let counts = client.counts();
    wait::until("enough frames acknowledged", SOON, || {
        (counts.frames_acked.get() > 5 * SEQ).then_some(())
    });
    client.stop();
    let sampled = counts.frames_sampled.get();

    let view = analysis.view();
    let report = wait::until("the account closes", SOON, || {
        let report = view.ledger();
        let sessions = report.hosts.get("web-1")?;
        let told = report.fleet.sampled == sampled && report.fleet.waiting == 0;
        (told && sessions[0].ended.is_some()).then(|| (report.fleet, sessions.clone()))
    });
    drop(server);
    inner.shutdown();
    report
}

#[test]
fn a_faithful_bus_shows_nothing() {
    let (fleet, _) = account(Fault::None);
    assert_eq!((fleet.missing, fleet.doubled, fleet.dropped), (0, 0, 0), "{fleet:?}");
    assert_eq!(fleet.stored, fleet.sampled);
}

#[test]
fn a_deleted_frame_is_missing() {
    let (fleet, sessions) = account(Fault::Deleted);
    assert_eq!((fleet.missing, fleet.doubled, fleet.dropped), (1, 0, 0), "{fleet:?}");
    assert_eq!(fleet.stored + 1, fleet.sampled);
    let [(range, reason)] = sessions[0].missing_ranges.as_slice() else { panic!("{sessions:?}") };
    assert_eq!(*range, (SEQ, SEQ));
    assert!(reason.contains("acknowledged"), "{reason}");
}

#[test]
fn a_frame_stored_twice_is_doubled_and_counted_once() {
    let (fleet, _) = account(Fault::Doubled);
    assert_eq!((fleet.missing, fleet.doubled, fleet.dropped), (0, 1, 0), "{fleet:?}");
    assert_eq!(fleet.stored, fleet.sampled);
}
