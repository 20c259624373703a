//! What every room needs and what says nothing about monitoring.
//!
//! - [`thread`]: named threads that are joined when their handle is dropped
//! - [`stop`]: the one signal that ends a program, and the channel that carries it
//! - [`clock`]: monotonic and wall time, real or scripted by a test
//! - [`backoff`]: how long to wait before trying again
//! - [`counter`]: self-counters: every drop and refusal has one
//! - [`throttle`]: one log line per period instead of a flood
//! - [`histogram`]: latencies, any percentile
//! - [`quantity`]: durations and sizes as people write them: `500ms`, `4MiB`
//! - [`random`]: session numbers and jitter from the kernel

pub mod backoff;
pub mod clock;
pub mod counter;
#[cfg(test)]
pub(crate) mod dice;
pub mod histogram;
pub mod quantity;
pub mod random;
pub mod stop;
pub mod thread;
pub mod throttle;
