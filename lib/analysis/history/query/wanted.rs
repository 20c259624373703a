//! Which series a query asks for, and which sampled ones these are made of.
//!
//! In the form of rates a name that is sampled stands for what [`rate`](crate::analysis::rate)
//! makes of it: `disk_read_bytes_total` is answered as `disk_read_bytes_per_second`,
//! `cpu_seconds_total` as `cpu_mode_percent`, `processes` as `process_count`. Raw, it stands for
//! itself as read, and only whole names stand for derived values.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::analysis::rate::{Labels, derived_name, gauge_name, is_needed};
use crate::analysis::view::{QueryForm, QuerySpec};
use crate::metric::SeriesKey;

/// Metric names whose answer is remembered; a host has some forty.
const NAMES_MAX: usize = 4_096;

/// What a query asks for.
#[derive(Debug)]
pub(in crate::analysis) struct Wanted {
    names: Vec<Name>,
    labels: Vec<(String, String)>,
    raw: bool,
    /// Whether series of a sampled metric are needed, whatever their labels.
    needed: RefCell<HashMap<String, bool>>,
}

#[derive(Debug)]
struct Name {
    text: String,
    is_prefix: bool,
}

impl Name {
    fn is(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&self.text) } else { self.text == name }
    }
}

impl Wanted {
    /// What `query` asks for.
    pub(in crate::analysis) fn new(query: &QuerySpec) -> Self {
        let raw = query.form == QueryForm::Raw;
        let name = |metric: &String| match metric.strip_suffix('*') {
            Some(text) => Name { text: text.to_owned(), is_prefix: true },
            None if raw => Name { text: metric.clone(), is_prefix: false },
            None => Name { text: derived_name(metric).into_owned(), is_prefix: false },
        };
        let names = query.metrics.iter().map(name).collect();
        Self { names, labels: query.labels.clone(), raw, needed: RefCell::default() }
    }

    /// Whether the readings of a sampled series are needed.
    pub(in crate::analysis) fn raw(&self, key: &SeriesKey) -> bool {
        let name = key.name();
        let known = self.needed.borrow().get(name).copied();
        let by_name = known.unwrap_or_else(|| {
            // Without its labels: some modes of a CPU are needed and others are not.
            let found = self.is_needed(&SeriesKey::plain(name), |_| true);
            let mut needed = self.needed.borrow_mut();
            if needed.len() < NAMES_MAX {
                needed.insert(name.to_owned(), found);
            }
            found
        });
        by_name && (self.labels.is_empty() || self.is_needed(key, |labels| self.fit(key, labels)))
    }

    /// Whether the extremes of a derived value are needed.
    pub(in crate::analysis) fn derived(&self, key: &SeriesKey) -> bool {
        self.answers_derived(key) || self.as_sampled(key).is_some()
    }

    /// Whether a derived value is asked for by its name.
    pub(super) fn answers_derived(&self, key: &SeriesKey) -> bool {
        self.by_name(key.name(), self.raw) && self.fit(key, Labels::Own)
    }

    /// Whether a sampled series is asked for as read.
    pub(super) fn answers_raw(&self, key: &SeriesKey) -> bool {
        self.raw && self.by_name(key.name(), false) && self.fit(key, Labels::Own)
    }

    /// Whether readings are asked for as they are.
    pub(super) fn is_raw(&self) -> bool {
        self.raw
    }

    /// The sampled series that a derived reading of an instant is, if it is asked for as read.
    pub(super) fn as_sampled(&self, key: &SeriesKey) -> Option<SeriesKey> {
        let labelled = key.as_str().len() > key.name().len();
        let name = if labelled { key.name() } else { gauge_name(key.name()) };
        let same = name == key.name();
        let sampled = if same { key.clone() } else { SeriesKey::plain(name) };
        self.answers_raw(&sampled).then_some(sampled)
    }

    /// By name alone; what is whole, or also what begins so.
    fn by_name(&self, name: &str, whole: bool) -> bool {
        self.names.iter().any(|wanted| !(whole && wanted.is_prefix) && wanted.is(name))
    }

    fn is_needed(&self, key: &SeriesKey, fits: impl Fn(Labels) -> bool) -> bool {
        self.raw && self.by_name(key.name(), false) && fits(Labels::Own)
            || is_needed(key, |name, labels| self.by_name(name, self.raw) && fits(labels))
    }

    /// Whether a series with all, none or any of the labels of `key` can be asked for.
    fn fit(&self, key: &SeriesKey, labels: Labels) -> bool {
        self.labels.is_empty()
            || match labels {
                Labels::None => false,
                Labels::Any => true,
                Labels::Own => {
                    let has = key.labels();
                    let is_there = |(name, value): &(String, String)| {
                        has.iter().any(|(label, text)| label == name && text == value)
                    };
                    self.labels.iter().all(is_there)
                }
            }
    }
}
