//! Which server to try next, when, and what to say about it. Pure.
//!
//! Each host has an order of preference of its own, which follows from its name and the servers'
//! addresses: ten thousand clients with the same list begin evenly spread, and those of a server
//! that dies spread over all the others instead of falling upon the next in the list.
//!
//! Pauses grow with each server by itself. So whoever has one that works is there within half a
//! second of losing another, and with all of them gone each is asked ever more seldom. A server
//! that drains is left alone for a while, unless the others do not answer either.

use std::time::Duration;

use super::counts::ClientCounts;
use super::ending::Ending;
use super::machine::hash;
use crate::base::backoff::Backoff;
use crate::base::random;
use crate::base::throttle::Throttle;

/// The first wait after a failure is up to this long; and so is that for another server, when a
/// stream is lost that many others were lost with: 10,000 clients arrive at 20 in a millisecond.
const WAIT_FIRST: Duration = Duration::from_millis(500);

/// No wait is longer, except after a refusal.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A stream that lived this long was healthy: the next wait starts over.
const HEALTHY: Duration = Duration::from_secs(60);

/// After a stream that lived this long the other servers are asked at once, whatever they did
/// before. Shorter: two servers that both end every stream would be asked in turn without a pause.
const STEADY: Duration = Duration::from_secs(10);

/// Somebody has to change a version or a name first.
pub(super) const REFUSED_WAIT: Duration = Duration::from_secs(300);

/// A server that drains stops within 5 s, and starts again within as much.
const AVOIDED: Duration = Duration::from_secs(10);

/// The same words again are logged once in this time.
const LOG_PERIOD: Duration = Duration::from_secs(300);

/// The policy, from stream to stream.
#[derive(Debug)]
pub(super) struct Reconnect {
    /// In order of preference; at least one.
    places: Vec<Place>,
    /// The one to try now.
    at: usize,
}

/// One server. Times are monotonic.
#[derive(Debug)]
struct Place {
    address: String,
    backoff: Backoff,
    /// Not to be tried before.
    ready_at: Duration,
    /// It drains until about then.
    avoided_until: Duration,
    is_refusing: bool,
    said: String,
    throttle: Throttle,
}

impl Reconnect {
    /// For a host's choice among `servers`, `host:port` each.
    pub(super) fn new(servers: &[String], host: &str) -> Self {
        let mut places: Vec<Place> = servers.iter().map(|address| Place::new(address)).collect();
        places.sort_by_cached_key(|place| mixed(hash(&[host, &place.address])));
        Self { places, at: 0 }
    }

    /// Where to go now; empty when there is no server at all.
    pub(super) fn address(&self) -> &str {
        self.places.get(self.at).map_or("", |place| &place.address)
    }

    /// How many servers there are.
    pub(super) fn servers(&self) -> usize {
        self.places.len()
    }

    /// Whether another server could be tried at once, so that this one need not be waited for.
    pub(super) fn has_another(&self, now: Duration) -> bool {
        let others = self.places.iter().enumerate().filter(|(at, _)| *at != self.at);
        others.into_iter().any(|(_, place)| place.is_inviting(now))
    }

    /// How long to wait for the next try, which [`address`](Self::address) is for from now on;
    /// `None` when the client stops. The stream that is over was welcomed `lived` ago, or never.
    pub(super) fn after(
        &mut self,
        ending: &Ending,
        lived: Option<Duration>,
        now: Duration,
        counts: &ClientCounts,
    ) -> Option<Duration> {
        let is_alone = self.places.len() == 1;
        let place = self.places.get_mut(self.at)?;
        if lived.is_some_and(|lived| lived >= HEALTHY) {
            place.backoff.reset();
        }
        if lived.is_some() {
            // What is said next is news again.
            place.said.clear();
        }
        let mut rest = Duration::ZERO;
        match ending {
            Ending::Stopped => return None,
            Ending::Renewed => return Some(place.backoff.next_wait()),
            Ending::Drained(left) => {
                counts.connections_drained.increment();
                rest = *left;
                place.ready_at = now + rest + place.backoff.next_wait();
                place.avoided_until = now + rest + AVOIDED;
            }
            Ending::Refused(words) => {
                counts.connections_refused.increment();
                let minutes = REFUSED_WAIT.as_secs() / 60;
                place.say(&format!("{words}; trying it again every {minutes} minutes"));
                place.ready_at = now + REFUSED_WAIT;
            }
            Ending::Lost(words) => {
                let failed = &counts.connections_failed;
                if lived.is_some() { &counts.connections_lost } else { failed }.increment();
                place.say(words);
                place.ready_at = now + place.backoff.next_wait();
                if lived.is_some() && !is_alone {
                    rest = WAIT_FIRST.mul_f64(random::fraction());
                }
            }
        }
        place.is_refusing = matches!(ending, Ending::Refused(_));
        let from = now + rest;
        if lived.is_some_and(|lived| lived >= STEADY) {
            self.ask_anew(from);
        }
        Some(self.choose(from).saturating_sub(now))
    }

    /// What the others did before the stream that is over is an old story: each is asked once,
    /// soon.
    fn ask_anew(&mut self, soon: Duration) {
        let others = self.places.iter_mut().enumerate().filter(|(at, _)| *at != self.at);
        for (_, place) in others.filter(|(_, place)| !place.is_refusing) {
            place.ready_at = place.ready_at.min(soon);
        }
    }

    /// Moves to the one to try at `from` or later, and says when.
    fn choose(&mut self, from: Duration) -> Duration {
        let count = self.places.len();
        // The one that was lost comes last.
        let around = (1..=count).map(|step| (self.at + step) % count);
        let inviting = around.clone().find(|at| self.places[*at].is_inviting(from));
        let earliest = || around.min_by_key(|at| self.places[*at].ready_at);
        self.at = inviting.or_else(earliest).unwrap_or(self.at);
        self.places[self.at].ready_at.max(from)
    }
}

impl Place {
    fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            backoff: Backoff::new(WAIT_FIRST, WAIT_MAX),
            ready_at: Duration::ZERO,
            avoided_until: Duration::ZERO,
            is_refusing: false,
            said: String::new(),
            throttle: Throttle::new(LOG_PERIOD),
        }
    }

    /// Whether nothing speaks against it now.
    fn is_inviting(&self, now: Duration) -> bool {
        self.ready_at <= now && self.avoided_until <= now
    }

    fn say(&mut self, words: &str) {
        if words != self.said {
            words.clone_into(&mut self.said);
            self.throttle = Throttle::new(LOG_PERIOD);
        }
        match self.throttle.pass() {
            Some(0) => log::warn!("{words}"),
            Some(left_out) => log::warn!("{words} ({left_out} more tries)"),
            None => {}
        }
    }
}

/// Every bit of the hash depends on every bit of the words, the last ones too (the finalizer of
/// MurmurHash3, 64 bits).
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
#[path = "reconnect_tests.rs"]
mod tests;
