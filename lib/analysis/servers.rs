//! What has gone wrong on the servers, as they tell it: their counters have a place on the page
//! although they run elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::counter::Count;
use crate::wire::json::StagesRecord;

/// Servers remembered; the one not heard of for longest goes first. 64 of them take a million
/// clients.
const SERVERS_MAX: usize = 64;

/// The newest word of each server.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Servers(BTreeMap<Arc<str>, Told>);

#[derive(Debug)]
struct Told {
    counts: Vec<(String, u64)>,
    /// Monotonic.
    heard: Duration,
}

impl Servers {
    /// A server's record replaces the one before it: its counters run from its own start.
    pub(in crate::analysis) fn told(&mut self, record: StagesRecord, now: Duration) {
        self.0.insert(record.server, Told { counts: record.counts, heard: now });
        if self.0.len() > SERVERS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, told)| told.heard);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.0.remove(&name);
            }
        }
    }

    /// Their counters, added up by name.
    pub(in crate::analysis) fn counts(&self) -> Vec<Count> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, value) in self.0.values().flat_map(|told| &told.counts) {
            let sum = sums.entry(name).or_default();
            *sum = sum.saturating_add(*value);
        }
        let count = |(name, value): (&str, u64)| Count {
            name: name.to_owned().into(),
            help: "".into(),
            is_fault: true,
            value,
        };
        sums.into_iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(server: &str, value: u64) -> StagesRecord {
        let counts = vec![("server_frames_refused_total".to_owned(), value)];
        StagesRecord { server: server.into(), time_ms: 1, durable: Vec::new(), counts }
    }

    #[test]
    fn counters_of_servers_add_up_and_the_newest_word_counts() {
        let mut servers = Servers::default();
        servers.told(record("a", 5), Duration::from_secs(1));
        servers.told(record("b", 2), Duration::from_secs(1));
        servers.told(record("a", 7), Duration::from_secs(2));
        let counts = servers.counts();
        assert_eq!((counts.len(), counts[0].value), (1, 9));
    }

    #[test]
    fn only_so_many_servers_are_remembered() {
        let mut servers = Servers::default();
        for number in 0..=SERVERS_MAX as u64 {
            servers.told(record(&format!("s{number}"), 1), Duration::from_secs(number));
        }
        assert_eq!(servers.counts()[0].value, SERVERS_MAX as u64);
    }
}
