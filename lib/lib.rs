//! Realtime Monitor: what happens on a host is in the browser tens of milliseconds later.
//!
//! ```text
//! collector -> client ==CommandStream==> server -> bus ==monitor_metrics==> analysis -> http -> browser
//!                     <==commands======
//! ```
//!
//! The rooms below stand in the order in which the data flows. Each room's first page says what
//! happens there, what comes in, what goes out and what may be lost on the way (and is counted).
//!
//! | room | what happens there |
//! |---|---|
//! | [`base`] | threads, clocks, backoff, counters, queues: what every room needs and nothing about monitoring |
//! | [`metric`] | the vocabulary: definitions, series, samples, frames; no I/O and no format |
//! | [`wire`] | the only place where values become bytes and back: protobuf, JSON records, Prometheus text |
//! | [`collector`] | one file, one fixture, one line in a slice per source under `/proc` and `/sys` |
//! | [`identity`] | host names: who may speak as whom |
//! | [`client`] | schedule -> sampler -> buffer -> uplink |
//! | [`bus`] | publish until durable, read from an offset; bytes only |
//! | [`server`] | intake -> forward -> acknowledge; the director says who samples what, how often |
//! | [`analysis`] | consume -> ledger -> live -> history; rates |
//! | [`http`] | gate -> routes -> view; the live stream |
//!
//! What must always hold, and the test that holds it:
//!
//! 1. Nothing below `bin/` reads arguments, the environment or a fixed path (`tests/tidy.rs`).
//! 2. Nothing blocks on a gRPC completion queue, nor while holding the live store's lock.
//! 3. Every queue, map, message and connection count has a named maximum; what is over it is
//!    refused or dropped, oldest first, and counted.
//! 4. At every room's boundary `in = out + refused + dropped + still queued`.
//! 5. A frame is acknowledged only after the bus says it is durable; a frame seen twice changes
//!    nothing.
//! 6. Rates exist only in `analysis/rate.rs`; everything before it carries counters as read.
//! 7. The wall clock labels, the monotonic clock measures.
//! 8. SIGTERM loses nothing that is acknowledged, takes at most five seconds, and names what an
//!    unspooled client had to leave. A second signal ends the process at once.
//! 9. No input from any socket or file ends a process.

pub mod analysis;
pub mod base;
pub mod bus;
pub mod client;
pub mod collector;
pub mod http;
pub mod identity;
pub mod metric;
pub mod server;
pub mod wire;
