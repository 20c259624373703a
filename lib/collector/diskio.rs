//! `diskio`: from `/proc/diskstats` (`Documentation/admin-guide/iostats.rst`).
//!
//! Sectors are 512 bytes whatever the device has (`SECTOR_SIZE` in `include/linux/blk_types.h`).
//! Which devices count is decided in `disk_name`. The kernel prints the busy time in 32 bits of
//! milliseconds: after 49.7 days of work it starts again, a counter's reset like any other.

use std::path::PathBuf;

use procfs::DiskStat;

use crate::metric::{MetricDef, Unit, Value};

use super::error::CollectError;
use super::filter::Filter;
use super::registration::{Collector, Context, Registration, counter};
use super::source::Source;
use super::text::Line;
use super::{Accumulator, disk_name};

/// Bytes in a sector of this file.
const SECTOR_BYTES: u64 = 512;

const READ_BYTES: MetricDef =
    counter("disk_read_bytes_total", Unit::Bytes, "Bytes read from the device.");
const WRITTEN_BYTES: MetricDef =
    counter("disk_written_bytes_total", Unit::Bytes, "Bytes written to the device.");
const READS: MetricDef =
    counter("disk_reads_total", Unit::Count, "Reads that the device completed.");
const WRITES: MetricDef =
    counter("disk_writes_total", Unit::Count, "Writes that the device completed.");
const BUSY: MetricDef =
    counter("disk_busy_seconds_total", Unit::Seconds, "Time with at least one request under way.");

/// Disks.
pub static REGISTRATION: Registration = Registration {
    name: "diskio",
    default_enabled: true,
    help: "bytes, operations and busy time of each disk",
    metrics: &[READ_BYTES, WRITTEN_BYTES, READS, WRITES, BUSY],
    build: |context| Box::new(DiskIo::new(context)),
};

struct DiskIo {
    source: Source,
    block: PathBuf,
    include_filtered: bool,
    filter: Filter,
}

impl DiskIo {
    fn new(context: &Context) -> Self {
        Self {
            source: Source::new(context.root.join("proc/diskstats")),
            block: context.root.join("sys/block"),
            include_filtered: context.include_filtered,
            filter: Filter::default(),
        }
    }
}

impl Collector for DiskIo {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let text = self.source.read()?;
        let names = text.lines().map(|line| name(&line));
        let included =
            self.filter.update(names.clone(), |names| disk_name::decide(names, &self.block));
        for ((line, name), included) in text.lines().zip(names).zip(included) {
            if !*included && !self.include_filtered {
                continue;
            }
            if let Some(disk) = out.take(parse(line)) {
                push(&disk, name, out);
            }
        }
        Ok(())
    }
}

/// The third column; a line that has none counts as a disk, so that it is seen to be wrong.
fn name<'a>(line: &Line<'a>) -> &'a str {
    line.fields().nth(2).unwrap_or_default()
}

fn push(disk: &DiskStat, name: &str, out: &mut Accumulator<'_>) {
    let device = [("device", name)];
    let bytes = |sectors: u64| Value::Unsigned(sectors.wrapping_mul(SECTOR_BYTES));
    out.push(&READ_BYTES, &device, bytes(disk.sectors_read));
    out.push(&WRITTEN_BYTES, &device, bytes(disk.sectors_written));
    out.push(&READS, &device, Value::Unsigned(disk.reads));
    out.push(&WRITES, &device, Value::Unsigned(disk.writes));
    out.push(&BUSY, &device, Value::Float(disk.time_in_progress as f64 / 1_000.0));
}

fn parse(line: Line<'_>) -> Result<DiskStat, CollectError> {
    const EXPECTED: &str = "two numbers, a name and at least eleven counters";
    let item = line.fields().nth(2).unwrap_or("device");
    line.require_end(item)?;
    let disk = DiskStat::from_line(line.as_str());
    let disk = disk.map_err(|_| line.fault(item, EXPECTED, line.as_str()))?;
    // A counter of bytes that does not fit: no disk has moved 16 EiB.
    let sectors_max = u64::MAX / SECTOR_BYTES;
    if disk.sectors_read.max(disk.sectors_written) > sectors_max {
        return Err(line.fault(item, "fewer than 2^64 bytes", line.as_str()));
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree::{self, Tree, read};

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        tree::check(&REGISTRATION, "proc/diskstats", text, expected);
    }

    fn lines(device: &str, values: [&str; 5]) -> Vec<String> {
        let names = ["read_bytes", "written_bytes", "reads", "writes", "busy_seconds"];
        let line = |(name, value)| format!("disk_{name}_total{{device=\"{device}\"}} {value}");
        names.into_iter().zip(values).map(line).collect()
    }

    #[test]
    fn full_and_partial() {
        // 20 columns since Linux 5.5, 18 since 4.18, 14 before.
        let tree = Tree::new("diskio-full");
        tree.write(
            "proc/diskstats",
            "   7       0 loop0 9 0 9 9 0 0 0 0 0 9 9 0 0 0 0 0 0\n \
             254       0 vda 3 1 8 5 4 2 16 6 1 1500 7 1 2 3 4 5 6\n   \
             8       0 sda 30 1 80 5 40 2 160 6 1 15 7 1 2 3 4\n   \
             8      16 sdb 1 0 2 0 3 0 4 0 0 5 0\n",
        );
        let expected = [
            lines("vda", ["4096", "8192", "3", "4", "1.5"]),
            lines("sda", ["40960", "81920", "30", "40", "0.015"]),
            lines("sdb", ["1024", "2048", "1", "3", "0.005"]),
        ];
        assert_eq!(read(&mut tree.set(&REGISTRATION)), expected.concat());
        let mut all = tree.context();
        all.include_filtered = true;
        let reading = super::super::once(&[&REGISTRATION], all);
        assert_eq!(reading.samples.len(), 20);
    }

    #[test]
    fn a_disk_that_vanishes_and_returns() {
        let tree = Tree::new("diskio-vanish");
        let mut set = tree.set(&REGISTRATION);
        let (sda, sdb) = ("8 0 sda 1 0 0 0 1 0 0 0 0 0 0\n", "8 16 sdb 2 0 0 0 2 0 0 0 0 0 0\n");
        tree.write("proc/diskstats", &format!("{sda}{sdb}"));
        let both = read(&mut set);
        tree.write("proc/diskstats", sdb);
        assert_eq!(read(&mut set), lines("sdb", ["0", "0", "2", "2", "0.0"]));
        tree.write("proc/diskstats", &format!("{sda}{sdb}"));
        assert_eq!(read(&mut set), both);
    }

    #[test]
    fn torn_and_absurd() {
        check(
            "8 0\n8 0 sda 1 0 0 0 1 0 0 0 0 0\n8 0 sdb 1 0 0 x 1 0 0 0 0 0 0\n\
             8 0 sdc 1 0 99999999999999999 0 1 0 0 0 0 0 0\n8 0 sdd 1 0 0 0 1 0 0 0 0 0 1",
            &[
                "proc/diskstats:1: device: expected two numbers, a name and at least eleven \
                 counters, found '8 0'",
                "proc/diskstats:2: sda: expected two numbers, a name and at least eleven counters, \
                 found '8 0 sda 1 0 0 0 1 0 0 0 0 0'",
                "proc/diskstats:3: sdb: expected two numbers, a name and at least eleven counters, \
                 found '8 0 sdb 1 0 0 x 1 0 0 0 0 0 0'",
                "proc/diskstats:4: sdc: expected fewer than 2^64 bytes, \
                 found '8 0 sdc 1 0 99999999999999999 0 1 0 0 0 '",
                "proc/diskstats:5: sdd: expected a line that ends with a newline, \
                 found '8 0 sdd 1 0 0 0 1 0 0 0 0 0 1'",
            ],
        );
    }

    #[test]
    fn a_bad_line_leaves_the_others() {
        let tree = Tree::new("diskio-bad");
        tree.write("proc/diskstats", "8 0 sda 1 0 2 0 1 0 2 0 0 3 0\n8 16 sdb 1 torn\n");
        let reading = read(&mut tree.set(&REGISTRATION));
        assert_eq!(reading[..5], lines("sda", ["1024", "1024", "1", "1", "0.003"]));
        assert!(reading[5].starts_with("proc/diskstats:2: sdb: expected"), "{}", reading[5]);
    }

    #[test]
    fn missing() {
        check(" \n", &[]);
        tree::check(
            &REGISTRATION,
            "proc/other",
            "x",
            &["proc/diskstats: not on this kernel or not in this container"],
        );
    }
}
