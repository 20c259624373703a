//! The Kafka bus: against a scripted broker that shows the crate's faults one by one (names begin
//! with the fault's number, as in the table of `lib/bus/kafka/mod.rs`), and against a real one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use realtime_monitor::{base, bus};

#[macro_use]
#[path = "../bus/contract.rs"]
mod contract;

#[path = "kafka/answers.rs"]
mod answers;
#[path = "support/broker.rs"]
mod broker;
#[path = "kafka/codec.rs"]
mod codec;
#[path = "kafka/reading.rs"]
mod reading;
#[path = "kafka/real.rs"]
mod real;
#[path = "kafka/scripted.rs"]
mod scripted;
#[path = "kafka/sending.rs"]
mod sending;
#[path = "kafka/starting.rs"]
mod starting;
