//! The real page in a real browser: Debian's Chromium, driven by the scripts in `page/`, over the
//! real programs.
//!
//! Scripts look at the page; signals, kills and restarts are sent from here, in step with them.
//! Pictures go to `target/screenshots/`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that fails says where")]

mod support;

#[path = "page/history.rs"]
mod history;
#[path = "page/machine.rs"]
mod machine;
#[path = "page/running.rs"]
mod running;
#[path = "page/script.rs"]
mod script;
#[path = "page/seeded.rs"]
mod seeded;
#[path = "page/staleness.rs"]
mod staleness;
#[path = "page/thousand.rs"]
mod thousand;
