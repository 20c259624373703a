//! `/api/metrics`: the newest samples of every metric, by collector.

use std::collections::BTreeMap;

use serde::Serialize;

use super::number::Number;
use crate::analysis::view::{Newest, SUMMARY_COLUMNS, SummaryValues};
use crate::metric::HostName;

/// The whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct NewestDoc<'a> {
    hosts: BTreeMap<&'a str, HostNewest>,
}

/// One host; every list newest last. A sample with a part missing is left out whole, because its
/// readers expect every key.
#[derive(Debug, Default, Serialize)]
struct HostNewest {
    cpu: Vec<Cpu>,
    memory: Vec<Memory>,
    diskio: Vec<DiskIo>,
    network: Vec<Network>,
    process_count: Vec<Processes>,
}

#[derive(Debug, Serialize)]
struct Cpu {
    time_ms: u64,
    usage_percent: Number,
}

#[derive(Debug, Serialize)]
struct Memory {
    time_ms: u64,
    used_bytes: Number,
    total_bytes: Number,
    used_percent: Number,
}

#[derive(Debug, Serialize)]
struct DiskIo {
    time_ms: u64,
    read_bytes_per_second: Number,
    write_bytes_per_second: Number,
}

#[derive(Debug, Serialize)]
struct Network {
    time_ms: u64,
    receive_bytes_per_second: Number,
    transmit_bytes_per_second: Number,
}

#[derive(Debug, Serialize)]
struct Processes {
    time_ms: u64,
    count: Number,
}

impl<'a> NewestDoc<'a> {
    /// At most `samples_max` of each metric; the view may give more frames, because metrics may
    /// have different intervals.
    pub(crate) fn new(newest: &'a BTreeMap<HostName, Newest>, samples_max: usize) -> Self {
        let hosts = newest.iter().map(|(host, newest)| (&**host, by_metric(newest, samples_max)));
        Self { hosts: hosts.collect() }
    }
}

fn by_metric(newest: &Newest, samples_max: usize) -> HostNewest {
    HostNewest {
        cpu: last(newest, samples_max, |time_ms, get| {
            Some(Cpu { time_ms, usage_percent: get("cpu_usage_percent")? })
        }),
        memory: last(newest, samples_max, |time_ms, get| {
            Some(Memory {
                time_ms,
                used_bytes: get("memory_used_bytes")?,
                total_bytes: get("memory_total_bytes")?,
                used_percent: get("memory_used_percent")?,
            })
        }),
        diskio: last(newest, samples_max, |time_ms, get| {
            Some(DiskIo {
                time_ms,
                read_bytes_per_second: get("disk_read_bytes_per_second")?,
                write_bytes_per_second: get("disk_write_bytes_per_second")?,
            })
        }),
        network: last(newest, samples_max, |time_ms, get| {
            Some(Network {
                time_ms,
                receive_bytes_per_second: get("network_receive_bytes_per_second")?,
                transmit_bytes_per_second: get("network_transmit_bytes_per_second")?,
            })
        }),
        process_count: last(newest, samples_max, |time_ms, get| {
            Some(Processes { time_ms, count: get("process_count")? })
        }),
    }
}

/// The newest samples that are whole, oldest first.
fn last<T>(
    newest: &Newest,
    samples_max: usize,
    take: impl Fn(u64, &dyn Fn(&str) -> Option<Number>) -> Option<T>,
) -> Vec<T> {
    let whole = newest
        .rows
        .iter()
        .rev()
        .filter_map(|(time_ms, values)| take(*time_ms, &|name| column(values, name)));
    let mut samples: Vec<T> = whole.take(samples_max).collect();
    samples.reverse();
    samples
}

fn column(values: &SummaryValues, name: &str) -> Option<Number> {
    let at = SUMMARY_COLUMNS.iter().position(|column| *column == name)?;
    values[at].and_then(Number::exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_samples_newest_last() {
        let mut rows = Vec::new();
        for time_ms in 1..=20 {
            let mut values: SummaryValues = [Some(1.0); SUMMARY_COLUMNS.len()];
            values[0] = (time_ms % 2 == 0).then_some(time_ms as f64 + 0.25);
            // Half a disk reading is none; NaN is none.
            values[5] = None;
            values[8] = Some(f64::NAN);
            rows.push((time_ms, values));
        }
        let newest = BTreeMap::from([(HostName::from("web"), Newest { rows })]);
        let bytes = super::super::to_bytes(&NewestDoc::new(&newest, 2));
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"hosts\":{\"web\":{\
             \"cpu\":[{\"time_ms\":18,\"usage_percent\":18.25},{\"time_ms\":20,\"usage_percent\":20.25}],\
             \"memory\":[\
             {\"time_ms\":19,\"used_bytes\":1,\"total_bytes\":1,\"used_percent\":1},\
             {\"time_ms\":20,\"used_bytes\":1,\"total_bytes\":1,\"used_percent\":1}],\
             \"diskio\":[],\
             \"network\":[\
             {\"time_ms\":19,\"receive_bytes_per_second\":1,\"transmit_bytes_per_second\":1},\
             {\"time_ms\":20,\"receive_bytes_per_second\":1,\"transmit_bytes_per_second\":1}],\
             \"process_count\":[]}}}"
        );
    }
}
