//! `network`: from `/proc/net/dev` (proc(5)); which interfaces count is decided in
//! `interface_name`.
//!
//! `proc/net` is a link to `self/net`. Under `/` that is right: the interfaces of this machine, or
//! of the container this program runs in. Under another root, such as a host's file system mounted
//! in a container, "self" is still this program with its own interfaces; the host's are those of
//! its process 1, `proc/1/net`. Where that cannot be read (`hidepid`, a tree of files) it is
//! `proc/net` again.

use std::path::{Path, PathBuf};

use crate::metric::{MetricDef, Unit, Value};

use super::Accumulator;
use super::error::CollectError;
use super::filter::Filter;
use super::interface_name::{self, Places};
use super::registration::{Collector, Context, Registration, counter};
use super::source::Source;
use super::text::Line;

/// Columns of each direction that are taken: bytes, packets, errors, drops.
const TAKEN: usize = 4;

/// Column in which transmitting begins: receiving has bytes, packets, errs, drop, fifo, frame,
/// compressed, multicast.
const TRANSMIT_FROM: usize = 8;

/// Receiving, then transmitting, in the order of the columns.
static METRICS: [MetricDef; 2 * TAKEN] = [
    counter("network_receive_bytes_total", Unit::Bytes, "Bytes received."),
    counter("network_receive_packets_total", Unit::Count, "Packets received."),
    counter("network_receive_errors_total", Unit::Count, "Packets received with an error."),
    counter("network_receive_drops_total", Unit::Count, "Packets received and dropped."),
    counter("network_transmit_bytes_total", Unit::Bytes, "Bytes transmitted."),
    counter("network_transmit_packets_total", Unit::Count, "Packets transmitted."),
    counter("network_transmit_errors_total", Unit::Count, "Packets that failed to be transmitted."),
    counter("network_transmit_drops_total", Unit::Count, "Packets dropped before transmission."),
];

/// Network interfaces.
pub static REGISTRATION: Registration = Registration {
    name: "network",
    default_enabled: true,
    help: "bytes, packets, errors and drops of each network interface, both ways",
    metrics: &METRICS,
    build: |context| Box::new(Network::new(context)),
};

struct Network {
    source: Source,
    places: Places,
    include_filtered: bool,
    filter: Filter,
}

impl Network {
    fn new(context: &Context) -> Self {
        let net = net_dir(&context.root);
        Self {
            source: Source::new(net.join("dev")),
            places: Places { net, class: context.root.join("sys/class/net") },
            include_filtered: context.include_filtered,
            filter: Filter::default(),
        }
    }
}

/// The directory whose `dev` lists the host's interfaces.
fn net_dir(root: &Path) -> PathBuf {
    let of_init = root.join("proc/1/net");
    let is_foreign = root != Path::new("/");
    // Opened, not only looked up: what is there may still not be ours to read.
    if is_foreign && std::fs::File::open(of_init.join("dev")).is_ok() {
        return of_init;
    }
    root.join("proc/net")
}

impl Collector for Network {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let text = self.source.read()?;
        let lines = text.lines().filter(|line| !is_heading(line));
        let names = text.lines().filter(|line| !is_heading(line)).map(|line| name(&line));
        let included =
            self.filter.update(names.clone(), |names| interface_name::decide(names, &self.places));
        for ((line, name), included) in lines.zip(names).zip(included) {
            if !*included && !self.include_filtered {
                continue;
            }
            let Some(counters) = out.take(parse(line)) else { continue };
            for (def, counter) in METRICS.iter().zip(counters) {
                out.push(def, &[("interface", name)], Value::Unsigned(counter));
            }
        }
        Ok(())
    }
}

/// The two lines with the names of the columns are the only ones with bars.
fn is_heading(line: &Line<'_>) -> bool {
    line.as_str().contains('|')
}

/// What stands before the colon, which the kernel allows in no name; empty when there is none.
fn name<'a>(line: &Line<'a>) -> &'a str {
    line.as_str().split_once(':').map_or("", |(name, _)| name.trim())
}

/// Receiving and transmitting. Before Linux 2.6.38 a wide number follows the colon without a blank.
fn parse(line: Line<'_>) -> Result<[u64; 2 * TAKEN], CollectError> {
    let Some((name, columns)) = line.as_str().split_once(':') else {
        return Err(line.fault("interface", "a name, a colon and its counters", line.as_str()));
    };
    let name = name.trim();
    line.require_end(name)?;
    let mut columns = columns.split_ascii_whitespace();
    let mut counters = [0; 2 * TAKEN];
    for (index, (counter, def)) in counters.iter_mut().zip(&METRICS).enumerate() {
        if index == TAKEN {
            // `nth` counts from where the first half ended.
            let _ = columns.nth(TRANSMIT_FROM - TAKEN - 1);
        }
        *counter = line.unsigned(columns.next(), format_args!("{} of {name}", def.name))?;
    }
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::tree::{self, Tree, read};

    const HEADING: &str = "Inter-|   Receive                  |  Transmit\n \
                           face |bytes    packets errs drop|bytes    packets errs drop\n";

    #[track_caller]
    fn check(lines: &str, expected: &[&str]) {
        tree::check(&REGISTRATION, "proc/net/dev", &format!("{HEADING}{lines}"), expected);
    }

    fn expected(interface: &str, values: [u64; 8]) -> Vec<String> {
        let line = |(def, value): (&MetricDef, u64)| {
            format!("{}{{interface=\"{interface}\"}} {value}", def.name)
        };
        METRICS.iter().zip(values).map(line).collect()
    }

    #[test]
    fn full_and_partial() {
        let tree = Tree::new("network-full");
        let lines = "    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  \
                     eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth1:21 22 23 24 0 0 0 0 29 30 31 32\n";
        tree.write("proc/net/dev", &format!("{HEADING}{lines}"));
        let (eth0, eth1) = ([1, 2, 3, 4, 9, 10, 11, 12], [21, 22, 23, 24, 29, 30, 31, 32]);
        let both = [expected("eth0", eth0), expected("eth1", eth1)].concat();
        assert_eq!(read(&mut tree.set(&REGISTRATION)), both);
        let all = Context { include_filtered: true, ..tree.context() };
        assert_eq!(super::super::once(&[&REGISTRATION], all).samples.len(), 24);
    }

    #[test]
    fn under_a_foreign_root_the_interfaces_are_those_of_process_one() {
        let tree = Tree::new("network-root");
        tree.write("proc/net/dev", "self: 1 1 1 1 0 0 0 0 1 1 1 1\n");
        tree.write("proc/1/net/dev", "host: 2 2 2 2 0 0 0 0 2 2 2 2\n");
        assert_eq!(read(&mut tree.set(&REGISTRATION)), expected("host", [2; 8]));
        tree.remove("proc/1/net/dev");
        assert_eq!(read(&mut tree.set(&REGISTRATION)), expected("self", [1; 8]));
    }

    #[test]
    fn an_interface_that_vanishes_and_returns() {
        let tree = Tree::new("network-vanish");
        let mut set = tree.set(&REGISTRATION);
        let (eth0, tun0) = ("eth0: 1 1 1 1 0 0 0 0 1 1 1 1\n", "tun0: 2 2 2 2 0 0 0 0 2 2 2 2\n");
        for _ in 0..2 {
            tree.write("proc/net/dev", &format!("{HEADING}{tun0}{eth0}"));
            let both = [expected("tun0", [2; 8]), expected("eth0", [1; 8])].concat();
            assert_eq!(read(&mut set), both);
            tree.write("proc/net/dev", &format!("{HEADING}{eth0}"));
            assert_eq!(read(&mut set), expected("eth0", [1; 8]));
        }
    }

    #[test]
    fn torn_and_absurd() {
        check(
            "garbage\neth0: 1 2 3 4 0 0 0 0 5 6 7\neth1: 1 -2 3 4\neth2: 1 1 1 1 0 0 0 0 1 1 1 1",
            &[
                "proc/net/dev:3: interface: expected a name, a colon and its counters, found 'garbage'",
                "proc/net/dev:4: network_transmit_drops_total of eth0: expected a whole number of \
                 at most 64 bits, found nothing",
                "proc/net/dev:5: network_receive_packets_total of eth1: expected a whole number of \
                 at most 64 bits, found '-2'",
                "proc/net/dev:6: eth2: expected a line that ends with a newline, \
                 found 'eth2: 1 1 1 1 0 0 0 0 1 1 1 1'",
            ],
        );
        let long = "x".repeat(65);
        check(
            &format!("{long}: 1 1 1 1 0 0 0 0 1 1 1 1\n"),
            &METRICS.each_ref().map(|def| {
                format!("{}: expected labels of at most 64 bytes", def.name).leak() as &str
            }),
        );
    }

    #[test]
    fn missing() {
        check("", &[]);
        tree::check(
            &REGISTRATION,
            "proc/other",
            "x",
            &["proc/net/dev: not on this kernel or not in this container"],
        );
    }
}
