//! What a metric is: name, kind, unit, help.

/// How the numbers of a metric are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, except for a reset to a lower value. Named `*_total`.
    Counter,
    /// Any value at any time.
    Gauge,
}

/// Unit of a metric; base units only, as Prometheus asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// A plain count: processes, packets, operations.
    Count,
    /// A number without a unit, such as a load average.
    None,
}

/// One metric that a collector can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricDef {
    /// Prometheus name, base unit last, `_total` on counters.
    pub name: &'static str,
    /// How to read the numbers.
    pub kind: Kind,
    /// What they count.
    pub unit: Unit,
    /// One sentence for people.
    pub help: &'static str,
}

impl Kind {
    /// The word used in Prometheus text and in the catalogue.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

impl Unit {
    /// The word used in the catalogue.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Count => "count",
            Self::None => "",
        }
    }
}
