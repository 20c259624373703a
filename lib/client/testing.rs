//! What the tests of this room share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::buffer::Buffer;
use super::sampler::{Offer, Sampling};
use super::shared::Shared;
use crate::base::clock::{Scripted, SharedClock};
use crate::metric::{Frame, Kind, Layout, MetricDef, Samples, SeriesKey, SessionId, Unit, Value};

/// A frame with this layout whose values are all its number.
pub(super) fn frame(session: SessionId, seq: u64, layout: &Layout) -> Frame {
    let values = vec![Value::Unsigned(seq); layout.len()];
    Frame {
        session,
        seq,
        elapsed_us: seq * 1_000_000,
        time_ms: 1_700_000_000_000 + seq * 1_000,
        uncertainty_ms: 1,
        host_time_ms: 1_700_000_000_000 + seq * 1_000,
        interval_ms: 1_000,
        sent_ms: 0,
        samples: Samples { layout: Arc::clone(layout), values },
    }
}

/// Metrics of the [`Script`].
pub(super) const OFFERS: &[Offer] = &[
    Offer { collector: "cpu", metrics: &[counter("cpu_seconds_total")] },
    Offer { collector: "memory", metrics: &[counter("memory_a_total"), counter("memory_b_total")] },
];

const fn counter(name: &'static str) -> MetricDef {
    MetricDef { name, kind: Kind::Counter, unit: Unit::Count, help: "For tests." }
}

/// Readings as a test wants them; what was due is kept.
pub(super) struct Script {
    /// Names of the metrics of every reading.
    pub(super) taken: Arc<Mutex<Vec<Vec<&'static str>>>>,
    /// Runs during every reading, with its number.
    pub(super) during: Box<dyn FnMut(usize) + Send>,
    layouts: HashMap<Vec<&'static str>, Layout>,
}

impl Script {
    pub(super) fn new() -> Self {
        Self { taken: Arc::default(), during: Box::new(|_| {}), layouts: HashMap::new() }
    }
}

impl Sampling for Script {
    fn offers(&self) -> Vec<Offer> {
        OFFERS.to_vec()
    }

    fn collect(&mut self, due: &dyn Fn(&MetricDef) -> bool) -> Samples {
        let all = OFFERS.iter().flat_map(|offer| offer.metrics);
        let names: Vec<_> = all.filter(|def| due(def)).map(|def| def.name).collect();
        let number = {
            let mut taken = self.taken.lock().unwrap();
            taken.push(names.clone());
            taken.len()
        };
        (self.during)(number);
        let fresh = || names.iter().map(|name| SeriesKey::plain(name)).collect();
        let layout = Arc::clone(self.layouts.entry(names.clone()).or_insert_with(fresh));
        let values = vec![Value::Unsigned(number as u64); layout.len()];
        Samples { layout, values }
    }
}

/// A session of its own over a scripted clock.
pub(super) fn shared(clock: &Arc<Scripted>, bytes_max: u64, window: u64) -> Arc<Shared> {
    let session = SessionId(42);
    let clock: SharedClock = Arc::<Scripted>::clone(clock);
    Arc::new(Shared::new(session, clock, Buffer::new(session, bytes_max, window)))
}
