//! A session from Hello to its end.

use super::*;
use crate::wire::message::EarlierSession;

const OWN: SessionId = SessionId(7);
const OLD: SessionId = SessionId(3);
const TORN: SessionId = SessionId(2);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(in crate::server) fn hello() -> Hello {
    Hello {
        protocol: 1,
        host: "web-1".into(),
        machine_id_hash: 0,
        session: OWN,
        boot_id: "boot".into(),
        labels: BTreeMap::new(),
        catalogue: Vec::new(),
        interval_min_ms: 50,
        window_frames: 300,
        earlier_sessions: vec![
            EarlierSession { session: OLD, range: (40, 50), tail_unknown: false },
            EarlierSession { session: TORN, range: (1, 9), tail_unknown: true },
        ],
        version: "1".into(),
        first_seq: 5,
    }
}

fn session() -> Session {
    let hello = hello();
    let described = Described {
        host: hello.host.clone(),
        id: OWN,
        boot_id: hello.boot_id.clone(),
        labels: BTreeMap::new(),
        catalogue: Arc::default(),
        schedule: Schedule::default(),
    };
    Session::new(&hello, described, at(0))
}

fn record(session: &mut Session, of: SessionId) -> SessionRecord {
    session.begin_record(of, &"here".into(), 1_000).unwrap()
}

#[test]
fn records_tell_what_is_known_of_each_session() {
    let mut session = session();
    session.frame_received(OWN, 5);
    session.frame_received(OWN, 6);
    assert!(session.frame_durable(OWN, 5, (99, at(0)), at(0)), "the first ten are told singly");
    let own = record(&mut session, OWN);
    assert_eq!((own.first_seq, own.sampled_through, own.acked), (5, 6, vec![(5, 5)]));
    assert_eq!((&*own.host, own.ended), ("web-1", None));
    let earlier = record(&mut session, OLD);
    assert_eq!((earlier.first_seq, earlier.sampled_through), (40, 50));
    assert!(earlier.ended.unwrap().starts_with("its client ended; session"));
    let torn = record(&mut session, TORN).ended.unwrap();
    assert!(torn.starts_with("its client ended while its disk failed; session"), "{torn}");
    session.bye(9, "");
    session.end("connection lost");
    let own = record(&mut session, OWN);
    assert_eq!((own.sampled_through, own.ended.as_deref()), (9, Some("bye")));
}

#[test]
fn acks_name_the_session_unless_it_is_the_own_one() {
    let mut session = session();
    session.frame_received(OLD, 40);
    session.frame_received(OWN, 5);
    session.frame_durable(OLD, 40, (1, at(0)), at(0));
    session.frame_durable(OWN, 5, (2, at(0)), at(0));
    let (of, told) = session.take_ack(at(0)).unwrap();
    assert_eq!((of, told.through, told.echo), (None, 5, (5, 2)));
    let (of, told) = session.take_ack(at(0)).unwrap();
    assert_eq!((of, told.through), (Some(OLD), 40));
    assert!(session.take_ack(at(0)).is_none());
}

#[test]
fn a_record_has_one_place_in_the_queue() {
    let mut session = session();
    assert!(session.claim_record(OWN) && !session.claim_record(OWN));
    assert!(session.claim_record(OLD) && !session.claim_record(SessionId(99)));
    record(&mut session, OWN);
    assert!(session.claim_record(OWN), "free again once it was taken out");
}

#[test]
fn a_refused_frame_is_declared_with_its_reason() {
    let mut session = session();
    session.frame_received(OWN, 5);
    session.frame_refused(OWN, 5, "too large");
    assert!(!session.is_quiet());
    let own = record(&mut session, OWN);
    assert_eq!(own.dropped, [((5, 5), "too large".to_owned())]);
    assert!(own.acked.is_empty());
    assert_eq!(session.record_durable(OWN, at(1)), (false, 0));
    assert_eq!(session.take_ack(at(1)).unwrap().1.through, 5);
    assert!(session.is_quiet());
}

#[test]
fn time_brings_records_pings_and_late_acks() {
    let mut session = session();
    assert_eq!(session.tick(at(9)), Due::default());
    assert_eq!(session.tick(at(10)).records, [OWN, OLD, TORN]);
    record(&mut session, OLD);
    record(&mut session, TORN);
    assert_eq!(session.tick(at(20)).records, [OWN], "nothing new of the earlier one");
    assert!(session.tick(at(30)).ping);
    assert!(!session.tick(at(31)).ping);
    session.answered(Status { nonce: 1, sampled_through: 70, ..Status::default() });
    assert_eq!(session.status().unwrap().nonce, 1);
    assert_eq!(record(&mut session, OWN).sampled_through, 70);
}

#[test]
fn a_closing_session_is_told_everything_at_once() {
    let mut session = session();
    for seq in 5..40 {
        session.frame_received(OWN, seq);
    }
    for seq in 5..16 {
        session.frame_durable(OWN, seq, (1, at(0)), at(0));
        let _ = session.take_ack(at(0));
    }
    assert!(session.take_ack(at(0)).is_none(), "the eleventh waits for others");
    session.bye(39, "stopping");
    assert_eq!(session.take_ack(at(0)).unwrap().1.through, 15);
    for seq in 16..40 {
        assert!(!session.is_quiet());
        assert!(session.frame_durable(OWN, seq, (1, at(0)), at(0)));
        assert_eq!(session.take_ack(at(0)).unwrap().1.through, seq);
    }
    assert!(session.is_quiet());
}

/// Readers give a session up of which nobody speaks for a minute: what waits at its client for the
/// frames of another one is not to be forgotten meanwhile.
#[test]
fn what_waits_for_its_turn_is_told_of_in_time() {
    let mut session = session();
    let mut told = BTreeMap::new();
    for second in 0..=180 {
        for id in session.tick(at(second)).records {
            record(&mut session, id);
            let silent = second - told.insert(id, second).unwrap_or(0);
            assert!(silent < 60, "{id} after {silent} s");
        }
        if second == 100 {
            for seq in 40..=50 {
                session.frame_durable(OLD, seq, (1, at(100)), at(100));
            }
        }
    }
    assert!(told[&TORN] > 120 && told[&OLD] < 120, "nothing of the other one waits any more");
}
