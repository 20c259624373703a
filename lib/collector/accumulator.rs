//! Takes what collectors say and makes a layout and its values of it.
//!
//! In the steady state a push compares two short texts with those of the reading before and
//! stores a number: no series is written, nothing is allocated.

use crate::metric::{MetricDef, SeriesKey, Value};

use super::error::CollectError;
use super::interned::{Interned, SeriesId};
use super::registration::Registration;

/// Most samples of one reading: five full frames, and 20 times a 64-CPU host with every collector
/// (640). What is over it is refused and counted.
pub const SAMPLES_PER_READING_MAX: usize = 10_000;

/// Longest value of a label: device names have at most 32 bytes in the kernel (`DISK_NAME_LEN`),
/// interface names 16 (`IFNAMSIZ`); doubled for bytes that were no text.
pub const LABEL_LEN_MAX: usize = 64;

/// Most faults of one run that are kept; the rest are only counted.
const FAULTS_KEPT_MAX: usize = 8;

/// What a reading has gathered so far, of all its collectors.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Numbers the readings from 1.
    pub(super) reading: u64,
    pub(super) ids: Vec<SeriesId>,
    pub(super) values: Vec<Value>,
}

/// What one collector pushed in its run before this, by position.
#[derive(Debug, Default)]
pub(super) struct Previous {
    generation: u64,
    pushes: Vec<Push>,
}

#[derive(Debug)]
struct Push {
    def: &'static MetricDef,
    /// Bit of the metric in the collector's registration.
    bit: u64,
    labels: Vec<Box<str>>,
    id: SeriesId,
}

/// Where one run of one collector puts its samples.
#[derive(Debug)]
pub struct Accumulator<'a> {
    registration: &'static Registration,
    /// A bit for each of the registration's metrics that is due.
    due: u64,
    position: usize,
    previous: &'a mut Previous,
    interned: &'a mut Interned,
    gathered: &'a mut Gathered,
    faults: Vec<CollectError>,
    faults_total: u64,
}

impl<'a> Accumulator<'a> {
    pub(super) fn new(
        registration: &'static Registration,
        due: u64,
        previous: &'a mut Previous,
        interned: &'a mut Interned,
        gathered: &'a mut Gathered,
    ) -> Self {
        if previous.generation != interned.generation() {
            *previous = Previous { generation: interned.generation(), pushes: Vec::new() };
        }
        let (faults, faults_total) = (Vec::new(), 0);
        Self { registration, due, position: 0, previous, interned, gathered, faults, faults_total }
    }

    /// One sample. `labels` are in the order in which the collector always gives those of this
    /// metric. What is not due is left out; a series twice in a reading, a value that is no
    /// number, a label over [`LABEL_LEN_MAX`] and a sample over [`SAMPLES_PER_READING_MAX`] are
    /// refused as faults.
    pub fn push(&mut self, def: &'static MetricDef, labels: &[(&'static str, &str)], value: Value) {
        let Some((bit, id)) = self.lookup(def, labels) else { return };
        if self.due & bit == 0 {
            return;
        }
        let refused = if self.gathered.ids.len() >= SAMPLES_PER_READING_MAX {
            Some("at most 10000 samples in one reading")
        } else if matches!(value, Value::Float(value) if !value.is_finite()) {
            Some("a finite number")
        } else if !self.interned.mark(id, self.gathered.reading) {
            Some("each series once in a reading")
        } else {
            None
        };
        if let Some(expected) = refused {
            let item = self.interned.key(id).to_string();
            return self.fault(CollectError::Refused { item, expected });
        }
        self.gathered.ids.push(id);
        self.gathered.values.push(value);
    }

    /// Reports one item that gave no sample; the others of this run stand.
    pub fn fault(&mut self, error: CollectError) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_KEPT_MAX {
            self.faults.push(error);
        }
    }

    /// Takes the value of a result, or reports its error.
    pub fn take<T>(&mut self, result: Result<T, CollectError>) -> Option<T> {
        result.map_err(|error| self.fault(error)).ok()
    }

    /// The faults of this run: the first few, and how many there were.
    pub(super) fn finish(self) -> (Vec<CollectError>, u64) {
        (self.faults, self.faults_total)
    }

    /// Bit and series of this push: those of the same position last time when they still fit.
    fn lookup(
        &mut self,
        def: &'static MetricDef,
        labels: &[(&'static str, &str)],
    ) -> Option<(u64, SeriesId)> {
        if let Some(push) = self.previous.pushes.get(self.position)
            && push.is(def, labels)
        {
            self.position += 1;
            return Some((push.bit, push.id));
        }
        self.learn(def, labels)
    }

    /// The slow way: a series that is new, or stands at another position than last time.
    fn learn(
        &mut self,
        def: &'static MetricDef,
        labels: &[(&'static str, &str)],
    ) -> Option<(u64, SeriesId)> {
        let metrics = self.registration.metrics;
        let refused = match metrics.iter().position(|known| known.name == def.name) {
            None => Err("a metric that its collector registers"),
            Some(_) if labels.iter().any(|(_, value)| value.len() > LABEL_LEN_MAX) => {
                Err("labels of at most 64 bytes")
            }
            Some(_) if self.position >= 2 * SAMPLES_PER_READING_MAX => {
                Err("at most 20000 samples of one collector")
            }
            Some(index) => Ok(1 << index),
        };
        let bit = match refused {
            Ok(bit) => bit,
            Err(expected) => {
                let item = def.name.to_owned();
                self.fault(CollectError::Refused { item, expected });
                return None;
            }
        };
        let id = self.interned.id(SeriesKey::labelled(def.name, labels));
        let values = labels.iter().map(|(_, value)| Box::from(*value)).collect();
        let push = Push { def, bit, labels: values, id };
        if let Some(old) = self.previous.pushes.get_mut(self.position) {
            *old = push;
        } else {
            self.previous.pushes.push(push);
        }
        self.position += 1;
        Some((bit, id))
    }
}

impl Push {
    fn is(&self, def: &'static MetricDef, labels: &[(&'static str, &str)]) -> bool {
        self.def.name == def.name
            && self.labels.len() == labels.len()
            && self.labels.iter().zip(labels).all(|(known, (_, value))| **known == **value)
    }
}
