//! The whole state in one document: what `/` carries and what every live stream begins with.

use std::sync::{Arc, Mutex};

use super::body::Body;
use super::counts::HttpCounts;
use super::view::{
    self, HostLine, SnapshotDoc, StagesOnly, Summary, UnknownHost, Watched, WatchedHost,
    WatchedWindow, account,
};
use crate::analysis::view::View;
use crate::base::clock::SharedClock;
use crate::base::counter::Count;
use crate::metric::HostName;

/// Points of a sparkline.
const SPARK_POINTS_MAX: usize = 60;

/// Cells (rows x series) of all windows in one snapshot: at 7 bytes a cell about 6 MiB, which
/// leaves room for a thousand summary lines under the 8 MiB of an answer. 15 minutes at 1 Hz of 40
/// series are 36,000; at 20 Hz one host fits whole, and of more only the newest part is sent.
const WINDOW_CELLS_MAX: usize = 900_000;

/// What handlers and live streams need of the rest of the program.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) view: Arc<dyn View>,
    pub(crate) clock: SharedClock,
    /// This run of the program; event ids begin with it.
    pub(crate) run: String,
    pub(crate) version: String,
    /// Listening beyond loopback without TLS: the page says so, and nobody may delete anything.
    pub(crate) insecure: bool,
    pub(crate) counts: Arc<HttpCounts>,
    /// Held while a host is deleted: one at a time, because each waits for the store.
    pub(crate) deleting: Mutex<()>,
}

impl Context {
    pub(crate) fn server_time_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Refusals and drops of every room.
    pub(crate) fn fault_counts(&self) -> Vec<Count> {
        let mut counts = self.view.counts();
        counts.extend(self.counts.read());
        counts.retain(|count| count.is_fault);
        counts
    }

    /// The document as JSON.
    pub(crate) fn snapshot(&self, with_summary: bool, watched: &[HostName]) -> Body {
        let (hosts, sparks) = if with_summary {
            (self.view.hosts(), self.view.sparks(SPARK_POINTS_MAX))
        } else {
            Default::default()
        };
        let lines = hosts.iter().map(|summary| {
            let spark = sparks.get(&summary.host).map(Vec::as_slice);
            HostLine::with_spark(summary, spark)
        });
        let summary = with_summary.then(|| Summary::new(lines.collect()));
        let known: Vec<_> = watched
            .iter()
            .map(|host| (host, self.view.host(host), self.view.window(host).unwrap_or_default()))
            .collect();
        let cells_max = WINDOW_CELLS_MAX / watched.len().max(1);
        let hosts = known.iter().map(|(host, detail, window)| match detail {
            None => Watched::Unknown(UnknownHost::new(host)),
            Some(detail) => {
                let window = WatchedWindow::newest(window, cells_max);
                Watched::Known(Box::new(WatchedHost::new(detail, window)))
            }
        });
        view::to_body(&SnapshotDoc {
            server_time_ms: self.server_time_ms(),
            run: &self.run,
            version: &self.version,
            insecure: self.insecure,
            bus: view::bus(self.view.bus_state()),
            history: view::history(&self.view.history().state),
            ledger: account(&self.view.fleet_ledger()),
            stages: StagesOnly::new(&self.view.stages()),
            counts: view::counts(self.fault_counts()),
            summary,
            hosts: hosts.collect(),
        })
    }
}
