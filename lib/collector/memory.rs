//! `memory`: from `/proc/meminfo` (`Documentation/filesystems/proc.rst`, "meminfo"), whose `kB`
//! are 1,024 bytes.

use crate::metric::{MetricDef, Unit, Value};

use super::Accumulator;
use super::error::CollectError;
use super::registration::{Collector, Context, Registration, gauge};
use super::source::Source;
use super::text::{Line, Text};

const fn bytes(name: &'static str, help: &'static str) -> MetricDef {
    gauge(name, Unit::Bytes, help)
}

/// In the order of [`FIELDS`].
static METRICS: [MetricDef; FIELDS.len()] = [
    bytes("memory_total_bytes", "Memory that the kernel manages (MemTotal)."),
    bytes("memory_free_bytes", "Memory used for nothing (MemFree)."),
    bytes(
        "memory_available_bytes",
        "Memory that programs can get without swapping (MemAvailable); before Linux 3.14, which \
         does not say, the estimate free + buffers + cached + reclaimable slab - shared.",
    ),
    bytes("memory_buffers_bytes", "Raw blocks of devices kept in memory (Buffers)."),
    bytes("memory_cached_bytes", "Contents of files kept in memory, shared included (Cached)."),
    bytes("memory_swap_total_bytes", "Size of all swap (SwapTotal)."),
    bytes("memory_swap_free_bytes", "Swap used for nothing (SwapFree)."),
    bytes("memory_dirty_bytes", "Contents of files to be written to their device (Dirty)."),
    bytes("memory_shared_bytes", "Shared memory and tmpfs (Shmem)."),
    bytes("memory_slab_reclaimable_bytes", "Kernel caches that can be given up (SReclaimable)."),
];

/// Names in the file, in the kernel's order.
const FIELDS: [&str; 10] = [
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Buffers",
    "Cached",
    "SwapTotal",
    "SwapFree",
    "Dirty",
    "Shmem",
    "SReclaimable",
];

const TOTAL: usize = 0;
const FREE: usize = 1;
const AVAILABLE: usize = 2;
const BUFFERS: usize = 3;
const CACHED: usize = 4;
const SHARED: usize = 8;
const SLAB_RECLAIMABLE: usize = 9;

/// Memory and swap.
pub static REGISTRATION: Registration = Registration {
    name: "memory",
    default_enabled: true,
    help: "memory and swap: total, available, free, buffers, cached, slab, dirty, shared",
    metrics: &METRICS,
    build: |context| Box::new(Memory::new(context)),
};

struct Memory {
    source: Source,
}

/// What a file says: the amount or the fault of each field; `None` for one that is not there.
type Amounts = [Option<Result<u64, CollectError>>; FIELDS.len()];

impl Memory {
    fn new(context: &Context) -> Self {
        Self { source: Source::new(context.root.join("proc/meminfo")) }
    }
}

impl Collector for Memory {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let text = self.source.read()?;
        let mut amounts = parse(text);
        if amounts[AVAILABLE].is_none() {
            amounts[AVAILABLE] = estimate_available(&amounts).map(Ok);
        }
        if amounts[TOTAL].is_none() {
            out.fault(text.fault("MemTotal", "a line 'MemTotal: ... kB'"));
        }
        for (def, amount) in METRICS.iter().zip(amounts) {
            if let Some(bytes) = amount.and_then(|result| out.take(result)) {
                out.push(def, &[], Value::Unsigned(bytes));
            }
        }
        Ok(())
    }
}

/// Every field that is there; the last of two lines with one name counts.
fn parse(text: Text<'_>) -> Amounts {
    let mut amounts = Amounts::default();
    for line in text.lines() {
        let Some((name, _)) = line.as_str().split_once(':') else { continue };
        if let Some(index) = FIELDS.iter().position(|known| *known == name) {
            amounts[index] = Some(parse_line(line, name));
        }
    }
    amounts
}

fn parse_line(line: Line<'_>, name: &str) -> Result<u64, CollectError> {
    line.require_end(name)?;
    let mut fields = line.fields().skip(1);
    let (number, unit) = (fields.next(), fields.next());
    let kib = line.unsigned(number, name)?;
    if unit != Some("kB") {
        return Err(line.fault(name, "a number of kB", line.as_str()));
    }
    kib.checked_mul(1_024).ok_or_else(|| line.fault(name, "less than 2^64 bytes", line.as_str()))
}

/// What free(1) of that time called free: everything that is kept only as long as nobody needs
/// the memory. Shared memory is inside `Cached` and has nowhere to go.
fn estimate_available(amounts: &Amounts) -> Option<u64> {
    let known = |index: usize| amounts[index].as_ref().and_then(|amount| amount.as_ref().ok());
    let needed = known(FREE)?.saturating_add(*known(BUFFERS)?).saturating_add(*known(CACHED)?);
    // Absent before Linux 2.6.19 and 2.6.32.
    let slab = known(SLAB_RECLAIMABLE).copied().unwrap_or_default();
    let shared = known(SHARED).copied().unwrap_or_default();
    Some(needed.saturating_add(slab).saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        tree::check(&REGISTRATION, "proc/meminfo", text, expected);
    }

    #[test]
    fn full() {
        check(
            "MemTotal:       24684084 kB\nMemFree:  20 kB\nMemAvailable: 30 kB\nBuffers: 4 kB\n\
             Cached: 5 kB\nSwapCached: 6 kB\nActive(anon): 1 kB\nSwapTotal: 7 kB\n\
             SwapFree: 8 kB\nDirty: 9 kB\nShmem: 10 kB\nSReclaimable: 11 kB\n\
             HugePages_Total:       0\n",
            &[
                "memory_total_bytes 25276502016",
                "memory_free_bytes 20480",
                "memory_available_bytes 30720",
                "memory_buffers_bytes 4096",
                "memory_cached_bytes 5120",
                "memory_swap_total_bytes 7168",
                "memory_swap_free_bytes 8192",
                "memory_dirty_bytes 9216",
                "memory_shared_bytes 10240",
                "memory_slab_reclaimable_bytes 11264",
            ],
        );
    }

    #[test]
    fn partial() {
        check(
            "MemTotal: 100 kB\nMemFree: 20 kB\nBuffers: 10 kB\nCached: 30 kB\nShmem: 5 kB\n",
            &[
                "memory_total_bytes 102400",
                "memory_free_bytes 20480",
                "memory_available_bytes 56320",
                "memory_buffers_bytes 10240",
                "memory_cached_bytes 30720",
                "memory_shared_bytes 5120",
            ],
        );
        check(
            "MemTotal: 100 kB\nMemFree: 20 kB\n",
            &["memory_total_bytes 102400", "memory_free_bytes 20480"],
        );
    }

    #[test]
    fn torn() {
        check(
            "MemTotal: 100 kB\nMemFree:\nMemAvailable: 3",
            &[
                "memory_total_bytes 102400",
                "proc/meminfo:2: MemFree: expected a whole number of at most 64 bits, found nothing",
                "proc/meminfo:3: MemAvailable: expected a line that ends with a newline, \
                 found 'MemAvailable: 3'",
            ],
        );
    }

    #[test]
    fn absurd() {
        check(
            "MemTotal: 18446744073709551615 kB\nMemFree: 1 MB\nMemAvailable: x kB\nBuffers: 1 kB\n\
             Cached: 1 kB\n",
            &[
                "memory_buffers_bytes 1024",
                "memory_cached_bytes 1024",
                "proc/meminfo:1: MemTotal: expected less than 2^64 bytes, \
                 found 'MemTotal: 18446744073709551615 kB'",
                "proc/meminfo:2: MemFree: expected a number of kB, found 'MemFree: 1 MB'",
                "proc/meminfo:3: MemAvailable: expected a whole number of at most 64 bits, found 'x'",
            ],
        );
        check(
            "hello\n",
            &["proc/meminfo: MemTotal: expected a line 'MemTotal: ... kB', found nothing"],
        );
    }

    #[test]
    fn missing() {
        tree::check(
            &REGISTRATION,
            "proc/other",
            "x",
            &["proc/meminfo: not on this kernel or not in this container"],
        );
    }
}
