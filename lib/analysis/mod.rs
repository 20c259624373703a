//! From the bus to what people look at: consume -> ledger -> live.
//!
//! ```text
//! bus reader (one thread per partition) -> ledger: seen before? drop, count
//!                                       -> live: newest samples of every series, 15 minutes
//!                                       -> update -> the one subscriber (http's fan-out thread)
//! ```
//!
//! - [`view`]: what the http room may ask, and the shapes it gets
//! - `rate`: the only place where counters become rates

pub mod view;
