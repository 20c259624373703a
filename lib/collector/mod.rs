//! What can be read about this machine: one file, one fixture and one line in [`COLLECTORS`] per
//! source.
//!
//! A [`Set`] owns the enabled collectors and takes a reading of those metrics that are due. A
//! collector reads ([`source`]), parses (a pure function over the text, see [`text`]) and then
//! hands named values to an [`Accumulator`]; nothing else. Counters leave here as the kernel
//! counts them: rates are made in `analysis`. A collector only reads files and makes system
//! calls: no other program, no network, no privilege.
//!
//! In: kernel files under [`Context::root`]. Out: [`Samples`](crate::metric::Samples). Lost on the
//! way: what cannot be read or parsed; it silences its item, or its collector, alone, is an error
//! with file, line and item, and is counted in [`CollectorCounts`].
//!
//! # Which parser
//!
//! The `procfs` crate parses where it can be given one line or one small file, so that one bad
//! line costs only itself and our error can name the place. Where it takes a whole file of many
//! items, one unknown line fails them all, and it asks for memory per line; there we parse.
//!
//! | collector | file | parser |
//! |---|---|---|
//! | `cpu`, `cpu_core` | `stat` | own (1) |
//! | `memory` | `meminfo` | own (2) |
//! | `diskio` | `diskstats` | `DiskStat::from_line`, only for disks that are not filtered |
//! | `network` | `net/dev` | own (3) |
//! | `process_count` | the directory | own: `all_processes` opens every process |
//! | `load` | `loadavg` | `LoadAverage` |
//! | `uptime` | `uptime` | `Uptime` |
//!
//! 1. `KernelStats` fails as a whole on one bad line, insists on `btime` and `processes`, leaves
//!    out `intr`, copies every line, and knows a CPU by its position, which is not its number once
//!    another is offline.
//! 2. `Meminfo` insists on fields that no metric needs (`VmallocChunk`), fails as a whole on one
//!    unknown unit, and builds a map of some fifty strings at every reading.
//! 3. The parser of one line is private. The one of the whole file fails on `eth0:1234`, as old
//!    kernels write wide numbers, and loses the order of the interfaces.

mod accumulator;
pub mod cpu;
pub mod cpu_core;
mod disk_name;
pub mod diskio;
mod error;
mod fault_log;
mod filter;
mod interface_name;
mod interned;
pub mod load;
pub mod memory;
pub mod network;
pub mod process_count;
mod registration;
mod set;
pub mod source;
mod status;
#[cfg(test)]
mod tests;
pub mod text;
pub mod uptime;

pub use accumulator::{Accumulator, LABEL_LEN_MAX, SAMPLES_PER_READING_MAX};
pub use error::{BuildError, CollectError};
pub use registration::{COLLECTORS, Collector, Context, Registration, select};
pub use set::{PANICS_MAX, RETRY_AFTER, Reading, SLOW_RUN, Set, once};
pub use status::{CollectorCounts, State, Status};
