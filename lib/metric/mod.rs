//! The vocabulary: what a metric, a series, a sample and a frame are. No I/O and no format here;
//! [`wire`](crate::wire) turns these into bytes.
//!
//! A [`MetricDef`] says what a number means. A [`SeriesKey`] is one metric with its labels,
//! written canonically. A [`Frame`] is all that a client sampled at one instant, numbered by
//! `(host, session, seq)`: the unit of sending, acknowledging, storing and counting.

mod definition;
pub mod filter;
mod frame;
mod ranges;
mod series;

pub use definition::{Kind, MetricDef, Unit};
pub use frame::{Declaration, Frame, HostName, SAMPLES_PER_FRAME_MAX, Samples, SessionId};
pub use ranges::{SeqRange, SeqRanges};
pub use series::{Layout, SeriesKey, Value};
