//! Client.

pub mod buffer;
pub mod schedule;
pub mod server_time;

#[cfg(test)]
mod buffer_tests;
#[cfg(test)]
mod schedule_tests;
#[cfg(test)]
mod testing;
