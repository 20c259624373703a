//! The real programs, a real broker: from `/proc` to the API, through outages, on every route.
//!
//! These tests start programs and brokers and load the machine, so they run one at a time.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test that fails says where; the parts are one crate"
)]

mod support;

use support::deployment;

#[path = "system/alone.rs"]
mod alone;
#[path = "system/commands.rs"]
mod commands;
#[path = "system/faults.rs"]
mod faults;
#[path = "system/full.rs"]
mod full;
#[path = "system/history.rs"]
mod history;
#[path = "system/killed.rs"]
mod killed;
#[path = "system/loads.rs"]
mod loads;
#[path = "system/outage.rs"]
mod outage;
#[path = "system/pipeline.rs"]
mod pipeline;
#[path = "system/several.rs"]
mod several;
#[path = "system/stopping.rs"]
mod stopping;
#[path = "system/times.rs"]
mod times;
