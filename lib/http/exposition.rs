//! `/metrics`: this program's own counters, the account of frames and how many hosts there are,
//! as Prometheus text 0.0.4 or, if it is asked for, OpenMetrics 1.0. What hosts send is in
//! `/api/query`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::snapshot::Context;
use super::view::state_word;
use crate::analysis::view::{HostState, Ledger};

/// Every name begins with it.
const PREFIX: &str = "monitor_";

/// One of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus text exposition format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The one that a scraper's `Accept` asks for.
    pub(crate) fn accepted(accept: Option<&str>) -> Self {
        let open = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        if open { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Series of one name.
struct Family {
    help: String,
    /// Labels with their braces, or nothing, and the value.
    samples: Vec<(String, u64)>,
}

/// Everything, as it is now.
pub(crate) fn text(context: &Context, format: Format) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut counts = context.view.counts();
    counts.extend(context.counts.read());
    for count in counts {
        let (name, labels) = match count.name.find('{') {
            Some(at) => count.name.split_at(at),
            None => (&*count.name, ""),
        };
        let family = family(&mut families, name, &count.help);
        match family.samples.iter_mut().find(|(known, _)| known == labels) {
            Some((_, value)) => *value += count.value,
            None => family.samples.push((labels.to_owned(), count.value)),
        }
    }
    let help = "Frames of all hosts by what became of them; /api/ledger has each host and session.";
    for (account, frames) in accounts(&context.view.fleet_ledger()) {
        let labels = format!("{{account=\"{account}\"}}");
        family(&mut families, "ledger_frames", help).samples.push((labels, frames));
    }
    let hosts = context.view.hosts();
    for state in [HostState::Live, HostState::Stale, HostState::Ended] {
        let count = hosts.iter().filter(|host| host.state == state).count() as u64;
        let labels = format!("{{state=\"{}\"}}", state_word(state));
        family(&mut families, "hosts", "Hosts that are known.").samples.push((labels, count));
    }
    let mut out = String::new();
    families.iter().for_each(|(name, family)| write(name, family, format, &mut out));
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn family<'f>(
    families: &'f mut BTreeMap<String, Family>,
    name: &str,
    help: &str,
) -> &'f mut Family {
    let found = families.entry(name.to_owned());
    let found = found.or_insert_with(|| Family { help: String::new(), samples: Vec::new() });
    if found.help.is_empty() {
        help.clone_into(&mut found.help);
    }
    found
}

fn accounts(ledger: &Ledger) -> [(&'static str, u64); 9] {
    [
        ("sampled", ledger.sampled),
        ("acknowledged", ledger.acknowledged),
        ("stored", ledger.stored),
        ("thinned", ledger.thinned),
        ("waiting", ledger.waiting),
        ("missing", ledger.missing),
        ("doubled", ledger.doubled),
        ("dropped", ledger.dropped),
        ("tails_unknown", ledger.tails_unknown),
    ]
}

/// What only grows has a name that ends with `_total`; OpenMetrics calls the family without it.
fn write(name: &str, family: &Family, format: Format, out: &mut String) {
    let plain = name.strip_suffix("_total");
    let kind = if plain.is_some() { "counter" } else { "gauge" };
    let called = plain.filter(|_| format == Format::OpenMetrics).unwrap_or(name);
    let help = match &*family.help {
        "" => "Counted by another program of the fleet.".to_owned(),
        help => help.replace('\\', "\\\\").replace('"', "'"),
    };
    // Writing into a String cannot fail.
    let _ = writeln!(out, "# HELP {PREFIX}{called} {help}");
    let _ = writeln!(out, "# TYPE {PREFIX}{called} {kind}");
    for (labels, value) in &family.samples {
        let _ = writeln!(out, "{PREFIX}{name}{labels} {value}");
    }
}
