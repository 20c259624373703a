//! A frame: everything that was sampled on one host at one instant.

use std::fmt;
use std::sync::Arc;

use super::series::{Layout, SeriesKey, Value};

/// Most samples in one frame; a larger reading is split into frames with consecutive numbers.
/// A 64-CPU host with per-CPU series has 640; this leaves room for three times that.
pub const SAMPLES_PER_FRAME_MAX: usize = 2_000;

/// The name of a host, its identity everywhere; see [`identity`](crate::identity) for the rule.
pub type HostName = Arc<str>;

/// One run of a client process: 128 random bits, new at each start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u128);

/// Readings in the order of their layout; both always have the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// The series, shared by all frames that have the same.
    pub layout: Layout,
    /// Their values.
    pub values: Vec<Value>,
}

/// All samples a client took at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Run of the client.
    pub session: SessionId,
    /// Number inside the session, from 1, without holes.
    pub seq: u64,
    /// `CLOCK_MONOTONIC` since the session's start; rates inside a session use this alone.
    pub elapsed_us: u64,
    /// When it was sampled: estimated server time, Unix ms.
    pub time_ms: u64,
    /// How far the estimate can be off.
    pub uncertainty_ms: u32,
    /// When it was sampled by the host's own clock, Unix ms.
    pub host_time_ms: u64,
    /// Shortest interval at which this host is sampled now; 0 for a one-shot reading.
    pub interval_ms: u32,
    /// When it was handed to the stream: estimated server time, Unix ms. A frame that is sent
    /// again after a lost connection carries the newer time.
    pub sent_ms: u64,
    /// The readings.
    pub samples: Samples,
}

/// A client's word that frames are gone for good, published like a frame so that a hole is never
/// a mystery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Run of the client.
    pub session: SessionId,
    /// First and last number that are gone, inclusive.
    pub range: super::SeqRange,
    /// Why: `buffer full`, `spool full`, ...
    pub reason: String,
}

impl SessionId {
    /// 32 lower-case hexadecimal digits back into a number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !digits {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Samples {
    /// Pairs of series and value.
    pub fn iter(&self) -> impl Iterator<Item = (&SeriesKey, Value)> {
        self.layout.iter().zip(self.values.iter().copied())
    }

    /// The value of one series, by its canonical text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        self.iter().find(|(series, _)| series.as_str() == key).map(|(_, value)| value)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl FromIterator<(SeriesKey, Value)> for Samples {
    fn from_iter<I: IntoIterator<Item = (SeriesKey, Value)>>(pairs: I) -> Self {
        let (layout, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        Self { layout: layout.into(), values }
    }
}
