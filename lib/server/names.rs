//! One live session per host: who speaks under a name, and what happens when two want to. Pure:
//! streams are numbers here, and every call returns what is to be done.
//!
//! The same session coming back takes its name at once: its old stream is dead, whatever the
//! kernel says. Another session has to wait: the one that holds the name is pinged, and keeps the
//! name if it answers within three seconds.

use std::collections::HashMap;
use std::time::Duration;

use crate::metric::{HostName, SessionId};

/// How long the session that holds a name has to show that it lives.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Number of a stream, unique in this process.
pub(super) type StreamId = u64;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The stream has the name now.
    Welcome(StreamId),
    /// Ask for a sign of life with this nonce.
    Ping(StreamId, u64),
    /// The stream does not get the name.
    Refuse(StreamId, String),
    /// The stream loses the name: to a newer stream of its own session, or to another session.
    Replace { stream: StreamId, same_session: bool, words: String },
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    stream: StreamId,
    session: SessionId,
}

#[derive(Debug)]
struct Challenge {
    claim: Claim,
    nonce: u64,
    until: Duration,
}

#[derive(Debug)]
struct Holder {
    claim: Claim,
    challenge: Option<Challenge>,
}

/// Who has which name.
#[derive(Debug, Default)]
pub(super) struct Names {
    hosts: HashMap<HostName, Holder>,
    /// Hosts with a challenge: few, and all that time can change.
    challenged: Vec<HostName>,
    nonces: u64,
}

impl Names {
    /// A stream has said Hello under a checked name.
    pub(super) fn claim(
        &mut self,
        host: &HostName,
        session: SessionId,
        stream: StreamId,
        now: Duration,
    ) -> Vec<Decision> {
        let claim = Claim { stream, session };
        let Some(holder) = self.hosts.get_mut(host) else {
            self.hosts.insert(host.clone(), Holder { claim, challenge: None });
            return vec![Decision::Welcome(stream)];
        };
        if holder.claim.session == session {
            let old = std::mem::replace(&mut holder.claim, claim);
            let mut decisions = vec![replaced(old.stream, host), Decision::Welcome(stream)];
            // It is back, which is more than an answer to a ping.
            decisions.extend(self.settle(host, true));
            return decisions;
        }
        if let Some(challenge) = &mut holder.challenge {
            if challenge.claim.session == session {
                let old = std::mem::replace(&mut challenge.claim, claim);
                return vec![replaced(old.stream, host)];
            }
            return vec![refusal(stream, host, "two other sessions already dispute it")];
        }
        self.nonces += 1;
        let (nonce, until) = (self.nonces, now + ANSWER_LIMIT);
        let held_by = holder.claim.stream;
        holder.challenge = Some(Challenge { claim, nonce, until });
        self.challenged.push(host.clone());
        vec![Decision::Ping(held_by, nonce)]
    }

    /// A stream has answered a ping.
    pub(super) fn answered(
        &mut self,
        host: &HostName,
        stream: StreamId,
        nonce: u64,
    ) -> Vec<Decision> {
        let asked = self.hosts.get(host).is_some_and(|holder| {
            holder.claim.stream == stream
                && holder.challenge.as_ref().is_some_and(|challenge| challenge.nonce == nonce)
        });
        if asked { self.settle(host, true) } else { Vec::new() }
    }

    /// A stream has ended.
    pub(super) fn left(&mut self, host: &HostName, stream: StreamId) -> Vec<Decision> {
        let Some(holder) = self.hosts.get_mut(host) else { return Vec::new() };
        if holder.claim.stream != stream {
            if holder.challenge.as_ref().is_some_and(|other| other.claim.stream == stream) {
                holder.challenge = None;
                self.challenged.retain(|other| other != host);
            }
            return Vec::new();
        }
        match holder.challenge.take() {
            Some(challenge) => {
                holder.claim = challenge.claim;
                self.challenged.retain(|other| other != host);
                vec![Decision::Welcome(challenge.claim.stream)]
            }
            None => {
                self.hosts.remove(host);
                Vec::new()
            }
        }
    }

    /// Time has passed. `is_held` says that this server itself keeps a stream from being read, so
    /// that its silence proves nothing: it gets its three seconds once it is read again.
    pub(super) fn tick(
        &mut self,
        now: Duration,
        is_held: impl Fn(StreamId) -> bool,
    ) -> Vec<Decision> {
        let mut over = Vec::new();
        for host in &self.challenged {
            let Some(holder) = self.hosts.get_mut(host) else { continue };
            let Some(challenge) = &mut holder.challenge else { continue };
            if is_held(holder.claim.stream) {
                challenge.until = now + ANSWER_LIMIT;
            } else if challenge.until <= now {
                over.push(host.clone());
            }
        }
        over.iter().flat_map(|host| self.settle(host, false)).collect()
    }

    /// Ends the challenge of a name, for or against the one that holds it.
    fn settle(&mut self, host: &HostName, holder_lives: bool) -> Vec<Decision> {
        let Some(holder) = self.hosts.get_mut(host) else { return Vec::new() };
        let Some(challenge) = holder.challenge.take() else { return Vec::new() };
        self.challenged.retain(|other| other != host);
        if holder_lives {
            let why = format!("session {} uses it and answers", holder.claim.session);
            return vec![refusal(challenge.claim.stream, host, &why)];
        }
        let old = std::mem::replace(&mut holder.claim, challenge.claim);
        let words = format!(
            "session {} took the name '{host}' because this one did not answer for {} s",
            challenge.claim.session,
            ANSWER_LIMIT.as_secs()
        );
        vec![
            Decision::Replace { stream: old.stream, same_session: false, words },
            Decision::Welcome(challenge.claim.stream),
        ]
    }
}

fn replaced(stream: StreamId, host: &HostName) -> Decision {
    let words = format!("a newer stream of the same session of '{host}' has taken over");
    Decision::Replace { stream, same_session: true, words }
}

fn refusal(stream: StreamId, host: &HostName, why: &str) -> Decision {
    let words = format!(
        "the name '{host}' is taken: {why}; if these are two machines, give one of them another \
         name with --host"
    );
    Decision::Refuse(stream, words)
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
