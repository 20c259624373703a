//! Three accounts, session by session: what the clients wrote down, what the topic holds, what the
//! ledger says.
//!
//! One frame of a killed client may be in the first alone. A client writes a number down before it
//! puts the frame into its buffer, from where another thread writes it to the spool; only then it
//! may be sent. Killed in between, nobody else ever heard of that frame: whichever came first, the
//! line or the spool, one of them could be without the other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value;

use super::client::{Client, Fate};
use super::world::World;
use crate::support::deployment::{SOON, records};
use crate::support::points::METRIC;

/// What is looked at of a frame in the topic.
#[derive(Debug)]
pub struct Frame {
    pub host: String,
    pub time_ms: u64,
    pub uptime: f64,
}

#[derive(Debug)]
pub struct Topic {
    /// By session and number.
    pub frames: BTreeMap<(String, u64), Frame>,
    /// Frames that stand there once more.
    pub sent_again: u64,
    /// Of those, with another time.
    retimed: u64,
}

impl Topic {
    fn read(broker: &str) -> Self {
        let mut topic = Self { frames: BTreeMap::new(), sent_again: 0, retimed: 0 };
        for (host, record) in records(broker) {
            if record["type"] != "frame" {
                continue;
            }
            let number = |name: &str| record[name].as_u64().unwrap();
            let session = record["session"].as_str().unwrap().to_owned();
            let uptime = record["samples"][METRIC].as_f64().unwrap();
            let key = (session, number("seq"));
            let frame = Frame { host, time_ms: number("time_ms"), uptime };
            // The first counts. One that comes again may have another time: a frame that was
            // sampled before its client knew a server's clock waits with the time that its host
            // had in the spool, and with a better one in memory.
            match topic.frames.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(frame);
                }
                Entry::Occupied(first) => {
                    topic.sent_again += 1;
                    topic.retimed += u64::from(first.get().time_ms != frame.time_ms);
                }
            }
        }
        topic
    }

    /// How many frames of a session there are, and the largest number.
    fn of(&self, session: &str) -> (u64, u64) {
        let from = (session.to_owned(), 0);
        let own = self.frames.range(from..).take_while(|((known, _), _)| known == session);
        own.fold((0, 0), |(count, _), ((_, seq), _)| (count + 1, *seq))
    }
}

/// One session in the ledger.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    sampled: u64,
    stored: u64,
    waiting: u64,
    missing: u64,
    dropped: u64,
    tails_unknown: u64,
}

/// Sums over all sessions.
#[derive(Debug, Default)]
struct Sums {
    sessions: u64,
    sampled: u64,
    dropped: u64,
    missing: u64,
    /// Written down by a client that was killed before the spool had it.
    unwritten: u64,
    no_spool: Tails,
    full_disk: Tails,
}

/// Killed sessions that could lose what was in memory alone.
#[derive(Debug, Default)]
struct Tails {
    sessions: u64,
    /// Of these, how many say that nobody can tell.
    unknown: u64,
    /// Of which nobody ever heard.
    unheard: u64,
    /// Frames that only the client knew of.
    frames: u64,
}

impl Tails {
    fn add(&mut self, entry: Option<Told>, untold: u64) {
        self.sessions += 1;
        self.unknown += entry.map_or(0, |entry| entry.tails_unknown);
        self.unheard += u64::from(entry.is_none());
        self.frames += untold;
    }
}

/// Waits until the account is closed, then looks at every session of every client.
pub fn everything_is_accounted_for(world: &mut World) -> Topic {
    let topic = Topic::read(world.broker_address());
    let stored = topic.frames.len() as u64;
    // A session that ended without a word is given up a minute after it was last heard of.
    let ledger = world.wait_until("the ledger closes", 4 * SOON, |world| {
        let ledger = world.ledger()?;
        let fleet = &ledger["fleet"];
        let is_told = world.clients.iter().all(|client| is_told(client, &ledger));
        (fleet["stored"] == stored && fleet["waiting"] == 0 && is_told).then_some(ledger)
    });
    let fleet = &ledger["fleet"];
    assert_eq!(fleet["doubled"], topic.sent_again, "counted twice: {fleet}");
    let mut sums = Sums::default();
    for client in &world.clients {
        for (session, sampled) in &client.truth.runs {
            let fate = client.fates[session];
            let entry = entry(&ledger, &client.host, session);
            let what = format!("{} {session}: {sampled} sampled, {fate:?}, {entry:?}", client.host);
            assert_session(&topic, (session, *sampled), entry, &what);
            assert_fate(client, *sampled, fate, entry, &what, &mut sums);
        }
        let known = ledger["hosts"][&client.host]["sessions"].as_array().unwrap().len();
        assert!(known <= client.truth.runs.len(), "{}: sessions of nobody", client.host);
    }
    assert!(sums.no_spool.sessions > 0, "the client without a spool was never killed");
    eprintln!("{} connections cut; {:?}", world.cuts(), world.faults);
    let (again, retimed) = (topic.sent_again, topic.retimed);
    eprintln!(
        "{stored} frames, {again} sent again ({retimed} with another time) and removed; {sums:?}"
    );
    topic
}

/// Whether of every session that a kill ended without a spool it is known that its tail is not.
fn is_told(client: &Client, ledger: &Value) -> bool {
    let killed = client.fates.iter().filter(|(_, fate)| fate.is_killed && !client.has_spool());
    let mut entries = killed.filter_map(|(session, _)| entry(ledger, &client.host, session));
    entries.all(|entry| entry.tails_unknown == 1)
}

fn entry(ledger: &Value, host: &str, session: &str) -> Option<Told> {
    let sessions = ledger["hosts"][host]["sessions"].as_array()?;
    let own = sessions.iter().find(|it| it["session"] == *session)?;
    let number = |name: &str| own[name].as_u64().unwrap();
    Some(Told {
        sampled: number("sampled"),
        stored: number("stored"),
        waiting: number("waiting"),
        missing: number("missing"),
        dropped: number("dropped"),
        tails_unknown: number("tails_unknown"),
    })
}

/// What holds for every session.
#[track_caller]
fn assert_session(topic: &Topic, run: (&String, u64), entry: Option<Told>, what: &str) {
    let (session, sampled) = run;
    let (count, last) = topic.of(session);
    let entry = entry.unwrap_or_default();
    assert!(last <= sampled, "the topic has frames that nobody sampled: {what}");
    assert_eq!(entry.stored, count, "stored is what the topic holds: {what}");
    assert!(entry.sampled <= sampled, "more than was sampled: {what}");
    let told = entry.stored + entry.dropped + entry.missing + entry.waiting;
    assert_eq!(entry.sampled, told, "the classes add up: {what}");
}

/// What holds for how it ended.
#[track_caller]
fn assert_fate(
    client: &Client,
    sampled: u64,
    fate: Fate,
    entry: Option<Told>,
    what: &str,
    sums: &mut Sums,
) {
    let (is_known, found) = (entry.is_some(), entry);
    let entry = entry.unwrap_or_default();
    let untold = sampled - entry.sampled;
    sums.sessions += 1;
    sums.sampled += sampled;
    sums.dropped += entry.dropped;
    sums.missing += entry.missing;
    if !fate.is_killed {
        assert_eq!(entry.stored, sampled, "stopped by SIGTERM: {what}");
    } else if !client.has_spool() {
        assert_eq!(u64::from(is_known), entry.tails_unknown, "no spool: {what}");
        sums.no_spool.add(found, untold);
    } else if !fate.was_full {
        assert_eq!((entry.missing, entry.dropped), (0, 0), "spooled: {what}");
        assert_eq!(entry.tails_unknown, 0, "spooled: {what}");
        assert!(untold <= 1, "spooled: {what}");
        sums.unwritten += untold;
    } else {
        // What was in memory alone is gone: named, or its number said to be unknown.
        let is_honest = untold <= 1 || !is_known || entry.tails_unknown == 1;
        assert!(is_honest, "frames gone without a word: {what}");
        sums.full_disk.add(found, untold);
    }
}
