//! Hello and what follows from it: who is welcome under which name.

use std::sync::{Arc, MutexGuard};

use super::names::{Decision, StreamId};
use super::session::{Described, SEQ_MAX, Session};
use super::stream::{End, EndKind, Stream};
use super::streams::{REGULAR, Registry, Streams};
use crate::identity;
use crate::wire::PROTOCOL;
use crate::wire::message::{CatalogueEntry, Hello, Status, Welcome};

/// Catalogues that are kept to be shared: a fleet has as many as it has versions and flags.
const CATALOGUES_SHARED_MAX: usize = 16;

impl Streams {
    /// The first message of a stream. It is welcome once its name is its own: at once, or after
    /// the other session under that name had its chance to answer.
    pub(super) fn hello(&self, stream: &Arc<Stream>, hello: &Hello) -> Result<(), End> {
        let refuse = |kind: EndKind, words: String| {
            self.counts.sessions_refused.increment();
            log::warn!("{}: '{}' refused: {words}", stream.peer, hello.host.escape_debug());
            Err(End { kind, words })
        };
        if hello.protocol != PROTOCOL {
            return refuse(EndKind::Version, version_words(hello));
        }
        let host = match identity::host_name(&hello.host) {
            Ok(host) => host,
            Err(words) => return refuse(EndKind::BadName, words),
        };
        let last = hello.earlier_sessions.iter().map(|it| it.range.1).max();
        if hello.first_seq.max(last.unwrap_or(0)) > SEQ_MAX {
            let words = format!("a frame number above {SEQ_MAX}");
            return Err(End { kind: EndKind::Garbage, words });
        }
        let now = self.clock.monotonic();
        let mut registry = self.lock();
        let described = Described {
            host: host.clone(),
            id: hello.session,
            boot_id: hello.boot_id.clone(),
            labels: hello.labels.clone(),
            catalogue: registry.shared(&hello.catalogue),
            schedule: self.director.schedule(&host),
        };
        stream.lock().session = Some(Session::new(hello, described, now));
        let decisions = registry.names.claim(&host, hello.session, stream.id, now);
        self.apply(registry, decisions);
        Ok(())
    }

    /// A client answered a ping.
    pub(super) fn answered(&self, stream: &Stream, status: Status) {
        self.counts.statuses_in.increment();
        let mut state = stream.lock();
        let Some(session) = state.session.as_mut() else { return };
        session.answered(status);
        let host = session.described.host.clone();
        drop(state);
        if status.nonce & REGULAR == 0 {
            let mut registry = self.lock();
            let decisions = registry.names.answered(&host, stream.id, status.nonce);
            self.apply(registry, decisions);
        }
    }

    /// Lets go of the registry and does what was decided.
    pub(super) fn apply(&self, registry: MutexGuard<'_, Registry>, decisions: Vec<Decision>) {
        let find = |id: &StreamId| registry.streams.get(id).cloned();
        let found: Vec<_> = decisions
            .into_iter()
            .filter_map(|decision| {
                let id = match &decision {
                    Decision::Welcome(id) | Decision::Ping(id, _) | Decision::Refuse(id, _) => id,
                    Decision::Replace { stream, .. } => stream,
                };
                Some((find(id)?, decision))
            })
            .collect();
        drop(registry);
        for (stream, decision) in found {
            self.carry_out(&stream, decision);
        }
    }

    fn carry_out(&self, stream: &Arc<Stream>, decision: Decision) {
        let now = self.clock.monotonic();
        let mut state = stream.lock();
        let Some(session) = &state.session else { return };
        let (host, id) = (session.described.host.clone(), session.described.id);
        let mut ids = session.ids();
        // The own one last: a reader that meets them all here takes the last for the newest.
        ids.rotate_left(1);
        match decision {
            Decision::Welcome(_) => {
                let schedule = session.described.schedule.clone();
                state.order_welcome(Welcome {
                    protocol: PROTOCOL,
                    server: self.name.to_string(),
                    server_time_us: 0,
                    schedule,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                });
                state.order_collect(self.director.first(&host));
                drop(state);
                self.counts.sessions_welcomed.increment();
                log::info!("{host}: session {id} from {} is welcome", stream.peer);
                ids.into_iter().for_each(|session| self.publish_record(stream, session));
            }
            Decision::Ping(_, nonce) => {
                state.order_ping(nonce);
                drop(state);
                log::info!("{host}: another session wants the name; asking {}", stream.peer);
            }
            Decision::Refuse(_, words) => {
                self.counts.sessions_refused.increment();
                log::warn!("{host}: {}: session {id} refused: {words}", stream.peer);
                state.end(EndKind::NameTaken, words, now);
                drop(state);
            }
            Decision::Replace { same_session, words, .. } => {
                self.counts.sessions_replaced.increment();
                log::warn!("{host}: {}: session {id} ended: {words}", stream.peer);
                state.superseded = same_session;
                state.end(EndKind::Replaced, words, now);
                drop(state);
            }
        }
        stream.wake();
    }
}

impl Registry {
    /// The same catalogue as another client's, if there is one.
    fn shared(&mut self, catalogue: &Vec<CatalogueEntry>) -> Arc<Vec<CatalogueEntry>> {
        if let Some(known) = self.catalogues.iter().find(|known| ***known == *catalogue) {
            return Arc::clone(known);
        }
        let new = Arc::new(catalogue.clone());
        if self.catalogues.len() == CATALOGUES_SHARED_MAX {
            self.catalogues.pop_front();
        }
        self.catalogues.push_back(Arc::clone(&new));
        new
    }
}

fn version_words(hello: &Hello) -> String {
    let (older, advice) = if hello.protocol < PROTOCOL {
        ("client", "install a newer client")
    } else {
        ("server", "install a newer server first")
    };
    format!(
        "the client ({}) speaks protocol {}, this server ({}) {PROTOCOL}; the {older} is older: \
         {advice}",
        hello.version.escape_debug(),
        hello.protocol,
        env!("CARGO_PKG_VERSION"),
    )
}
