//! The program on a host: schedule -> sampler -> buffer -> uplink.
//!
//! ```text
//! sampling (a collector set) --Samples--> sampler --Frame--> buffer --> uplink ==stream==> server
//!                                            ^               ^   ^         |
//!                                            +--- orders ----|---+-- acks -+
//!                                                            +--> spool (disk)
//! ```
//!
//! In: readings from a [`Sampling`], orders and acks from the server. Out: numbered frames. Lost
//! on the way: what the buffer has no room for, oldest first, declared to the server and counted;
//! and what no ack had covered when the client stopped, named exactly in the log.
//!
//! - [`schedule`]: the standing order, and what falls due when (pure)
//! - [`server_time`]: what time it is on the server (pure)
//! - [`buffer`]: frames wait until an ack covers them (pure); `shelf`, `gone`: what waits on disk
//!   and what is to be declared, as numbers
//! - [`spool`]: frames on disk, and the thread that writes them
//! - `sampler`: the thread that takes readings
//! - `conversation`, `reconnect`: what is said on a stream; where and when to open the next (no I/O)
//! - `uplink`: the thread that carries it, the only door to gRPC

pub mod buffer;
mod conversation;
mod counts;
mod ending;
mod gone;
mod grpc_words;
mod left;
mod machine;
mod orders;
mod reconnect;
mod sampled_log;
mod sampler;
pub mod schedule;
pub mod server_time;
mod shared;
mod shelf;
mod split;
pub mod spool;
mod start;
mod uplink;
mod uplink_setup;

#[cfg(test)]
mod buffer_tests;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod testing;

pub use counts::ClientCounts;
pub use sampler::{Offer, Sampling};
pub use spool::SpoolConfig;
pub use start::{Config, Handle, SERVERS_MAX, StartError, start};
