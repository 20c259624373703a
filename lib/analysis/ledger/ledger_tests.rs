//! The account against a whole small world, in which every frame's fate is known.

use crate::base::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};

use super::account::{LEDGER_RANGES_MAX, MISSING_RANGES_SHOWN_MAX};
use super::*;
use crate::metric::{SeqRange, SeqRanges};
use crate::wire::message::Schedule;

#[path = "ledger_world_tests.rs"]
mod world;

const SESSION: SessionId = SessionId(7);
const SECOND: Duration = Duration::from_secs(1);

fn record(first_seq: u64, sampled_through: u64, acked: &[SeqRange]) -> SessionRecord {
    SessionRecord {
        host: "h".into(),
        session: SESSION,
        server: "s".into(),
        time_ms: 0,
        first_seq,
        sampled_through,
        acked: acked.to_vec(),
        dropped: Vec::new(),
        boot_id: String::new(),
        catalogue: Vec::new(),
        labels: BTreeMap::new(),
        schedule: Schedule::default(),
        ended: None,
    }
}

fn ended(mut record: SessionRecord, why: &str) -> SessionRecord {
    record.ended = Some(why.to_owned());
    record
}

fn only(ledger: &HostLedger, now: Duration) -> SessionLedger {
    let sessions = ledger.sessions(now);
    assert_eq!(sessions.len(), 1);
    check_sum(&sessions[0].account, "");
    sessions[0].clone()
}

#[track_caller]
fn check_sum(account: &Ledger, what: &str) {
    let parts = account.stored + account.waiting + account.missing + account.dropped;
    assert_eq!(account.sampled, parts, "{what}: {account:?}");
}

fn frames(ledger: &mut HostLedger, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        ledger.frame(SESSION, seq, true, SECOND);
    }
}

#[test]
fn one_frame_deleted_by_the_bus_is_missing_and_one_sent_twice_is_doubled() {
    let mut ledger = HostLedger::default();
    ledger.record(&record(1, 0, &[]), SECOND).unwrap();
    frames(&mut ledger, [1, 2, 3, 5, 5, 6]);
    let before = only(&ledger, SECOND);
    assert_eq!((before.account.missing, before.account.waiting), (0, 1), "not settled yet");
    ledger.record(&record(1, 7, &[(1, 6)]), SECOND).unwrap();
    let after = only(&ledger, SECOND);
    let Ledger { sampled, acknowledged, stored, waiting, missing, doubled, .. } = after.account;
    assert_eq!((sampled, acknowledged, stored), (7, 6, 5));
    assert_eq!((waiting, missing, doubled), (1, 1, 1));
    let reason = "acknowledged, but not found in the bus".to_owned();
    assert_eq!(after.missing_ranges, [((4, 4), reason)]);
    // A gap stays open until it is filled.
    assert_eq!(ledger.frame(SESSION, 4, false, SECOND), Verdict::New);
    assert_eq!(only(&ledger, SECOND).account.missing, 0);
}

#[test]
fn a_client_that_goes_on_from_a_number_had_everything_before_it_acknowledged() {
    let mut ledger = HostLedger::default();
    ledger.record(&record(1, 0, &[]), SECOND).unwrap();
    frames(&mut ledger, [1, 2, 4]);
    // The server died before it told; the next one hears that the client holds 5 and later.
    ledger.note_gap();
    ledger.record(&record(5, 6, &[]), SECOND).unwrap();
    let session = only(&ledger, SECOND);
    assert_eq!((session.account.missing, session.account.waiting), (1, 2));
    assert!(session.missing_ranges[0].1.contains("gone from the bus"), "{session:?}");
}

#[test]
fn what_was_before_our_time_is_neither_sampled_nor_missing() {
    let mut ledger = HostLedger::default();
    frames(&mut ledger, [100, 101, 103]);
    assert_eq!(only(&ledger, SECOND).account.sampled, 4);
    ledger.record(&record(40, 105, &[(40, 104)]), SECOND).unwrap();
    let session = only(&ledger, SECOND);
    // 1 to 99 were settled before; 102 and 104 stood in the topic after 100 and are gone.
    let Ledger { sampled, stored, waiting, missing, .. } = session.account;
    assert_eq!((sampled, stored, waiting, missing), (6, 3, 1, 2));
    // One of before our time comes again: it is here now, once.
    assert_eq!(ledger.frame(SESSION, 60, false, SECOND), Verdict::New);
    assert_eq!(ledger.frame(SESSION, 60, false, SECOND), Verdict::Doubled);
    assert_eq!(only(&ledger, SECOND).account.sampled, 7);
}

#[test]
fn a_session_met_through_its_record_waits_for_what_is_not_settled() {
    let mut ledger = HostLedger::default();
    ledger.record(&record(40, 60, &[(40, 50), (55, 57)]), SECOND).unwrap();
    let Ledger { sampled, waiting, missing, .. } = only(&ledger, SECOND).account;
    assert_eq!((sampled, waiting, missing), (7, 7, 0));
}

#[test]
fn a_goodbye_settles_everything_and_a_silent_end_nothing() {
    let mut ledger = HostLedger::default();
    ledger.record(&record(1, 0, &[]), SECOND).unwrap();
    frames(&mut ledger, [1, 2]);
    ledger.record(&ended(record(1, 4, &[(1, 2)]), "bye: SIGTERM"), SECOND).unwrap();
    let session = only(&ledger, SECOND);
    assert_eq!((session.account.missing, session.account.waiting), (2, 0));
    assert_eq!(session.ended.as_deref(), Some("bye: SIGTERM"));
    assert_eq!(session.account.tails_unknown, 0);
    assert!(session.missing_ranges[0].1.contains("the client stopped"), "{session:?}");

    let mut ledger = HostLedger::default();
    ledger.record(&record(1, 0, &[]), SECOND).unwrap();
    frames(&mut ledger, [1, 2]);
    ledger.record(&ended(record(1, 4, &[(1, 2)]), "stream reset"), SECOND).unwrap();
    let session = only(&ledger, 60 * SECOND);
    assert_eq!((session.account.missing, session.account.waiting), (0, 2));
    let words = session.ended.unwrap();
    assert!(words.contains("stream reset") && words.contains("tail unknown"), "{words}");
    assert!(words.contains("after frame 4"), "{words}");
    assert_eq!(ledger.total(60 * SECOND).tails_unknown, 1, "the fleet's line says so, too");
    // It was the network, and the client is back.
    ledger.record(&record(3, 9, &[]), SECOND).unwrap();
    assert_eq!(only(&ledger, SECOND).ended, None);
    // Nobody heard of it for more than an hour.
    let session = only(&ledger, 3_700 * SECOND);
    assert_eq!((session.account.missing, session.account.waiting), (7, 0));
    assert!(session.ended.unwrap().contains("tail unknown"));
}

/// A record of one of several servers.
fn of(server: &str, mut record: SessionRecord) -> SessionRecord {
    record.server = server.into();
    record
}

#[test]
fn a_session_that_moves_to_another_server_is_one_account() {
    let mut ledger = HostLedger::default();
    let tell = |ledger: &mut HostLedger, record| ledger.record(&record, SECOND).unwrap();
    tell(&mut ledger, of("a", record(1, 0, &[])));
    frames(&mut ledger, 1..=6);
    tell(&mut ledger, of("a", record(1, 7, &[(1, 5)])));
    // `a` hangs; the client heard of 4 and goes to `b`, which gets 5 and 6 again.
    tell(&mut ledger, of("b", record(5, 8, &[])));
    frames(&mut ledger, 5..=9);
    let session = only(&ledger, SECOND);
    assert_eq!((session.account.sampled, session.account.stored), (9, 9));
    assert_eq!((session.account.doubled, session.account.acknowledged), (2, 5));
    // Half a minute later `a` finds out, or goes on telling what it knew.
    tell(&mut ledger, of("a", ended(record(1, 7, &[(1, 6)]), "the connection was lost")));
    let session = only(&ledger, SECOND);
    assert_eq!((session.ended, session.account.tails_unknown), (None, 0), "`b` carries it on");
    assert_eq!(session.account.acknowledged, 6);
    tell(&mut ledger, of("b", ended(record(5, 9, &[(5, 9)]), "the connection was lost")));
    tell(&mut ledger, of("a", record(1, 7, &[(1, 6)])));
    let session = only(&ledger, SECOND);
    assert!(session.ended.unwrap().starts_with("the connection was lost; tail unknown"));
    // Back to `a`, which is new and knows nothing; the end is told on one of them alone.
    tell(&mut ledger, of("a", record(10, 9, &[])));
    assert_eq!(only(&ledger, SECOND).ended, None);
    frames(&mut ledger, [10]);
    tell(&mut ledger, of("a", ended(record(10, 10, &[(10, 10)]), "bye: SIGTERM")));
    tell(&mut ledger, of("b", ended(record(5, 9, &[(5, 9)]), "the connection was lost")));
    let session = only(&ledger, SECOND);
    assert_eq!(session.ended.as_deref(), Some("bye: SIGTERM"));
    let Ledger { sampled, stored, acknowledged, waiting, missing, .. } = session.account;
    assert_eq!((sampled, stored, acknowledged, waiting, missing), (10, 10, 10, 0, 0));
}

#[test]
fn what_the_next_run_says_outweighs_a_server_that_noticed_late() {
    let mut ledger = HostLedger::default();
    ledger.record(&of("a", record(1, 0, &[])), SECOND).unwrap();
    frames(&mut ledger, 1..=3);
    ledger.record(&of("a", record(3, 3, &[(3, 3)])), SECOND).unwrap();
    // Its machine died; the next run brings frame 2 again by way of `b`.
    let words = "its client ended; session 8 brings what it left";
    ledger.record(&of("b", ended(record(2, 4, &[]), words)), SECOND).unwrap();
    frames(&mut ledger, [2, 3, 4]);
    let late = ended(record(3, 3, &[(3, 3)]), "the connection was lost");
    ledger.record(&of("a", late), SECOND).unwrap();
    let session = only(&ledger, SECOND);
    assert_eq!(session.ended.as_deref(), Some(words));
    assert_eq!((session.account.tails_unknown, session.account.doubled), (0, 2));
}

#[test]
fn a_session_that_another_one_replaced_is_given_up_after_a_while() {
    let mut ledger = HostLedger::default();
    ledger.record(&record(1, 0, &[]), SECOND).unwrap();
    ledger.record(&record(1, 3, &[]), SECOND).unwrap();
    ledger.frame(SessionId(8), 1, true, 2 * SECOND);
    let old = |ledger: &HostLedger, at| ledger.sessions(at)[1].clone();
    assert_eq!(old(&ledger, 50 * SECOND).account.waiting, 3, "it may be in a spool");
    let given_up = old(&ledger, 70 * SECOND);
    assert_eq!((given_up.account.waiting, given_up.account.missing), (0, 3));
    assert!(given_up.ended.unwrap().contains("tail unknown"));
    // The spool was slow.
    assert_eq!(ledger.frame(SESSION, 2, false, 71 * SECOND), Verdict::New);
    assert_eq!(old(&ledger, 71 * SECOND).account.missing, 0);
    let spooled = ended(record(3, 3, &[]), "its client ended; session 8 brings what it left");
    ledger.record(&spooled, 72 * SECOND).unwrap();
    assert!(!old(&ledger, 72 * SECOND).ended.unwrap().contains("tail unknown"));
}

#[test]
fn what_a_client_with_a_failing_disk_left_has_an_unknown_tail() {
    let mut ledger = HostLedger::default();
    ledger.record(&record(1, 0, &[]), SECOND).unwrap();
    frames(&mut ledger, 1..=3);
    let words = "its client ended while its disk failed; session 8 brings what it left";
    ledger.record(&ended(record(3, 3, &[]), words), SECOND).unwrap();
    // A server that notices late that the stream is gone knows no better.
    ledger.record(&ended(record(3, 3, &[]), "stream reset"), SECOND).unwrap();
    let session = only(&ledger, SECOND);
    assert!(session.ended.unwrap().starts_with(&format!("{words}; tail unknown")));
    assert_eq!((session.account.stored, session.account.tails_unknown), (3, 1));
}

#[test]
fn the_bound_on_ranges_folds_the_lowest_and_keeps_the_sum() {
    let mut ledger = HostLedger::default();
    ledger.record(&record(1, 0, &[]), SECOND).unwrap();
    let last = 4 * LEDGER_RANGES_MAX as u64;
    frames(&mut ledger, (1..=last).filter(|seq| seq % 2 == 0));
    let session = only(&ledger, SECOND);
    assert_eq!((session.account.sampled, session.account.stored), (last, last / 2));
    assert!(session.account.missing > 0 && session.account.waiting > 0, "{session:?}");
    assert!(session.missing_ranges.len() <= MISSING_RANGES_SHOWN_MAX);
    assert!(session.missing_ranges[0].1.contains("not kept one by one"), "{session:?}");
    assert_eq!(ledger.frame(SESSION, 1, false, SECOND), Verdict::TooLate);
    ledger.record(&record(1, last, &[(1, last)]), SECOND).unwrap();
    let session = only(&ledger, SECOND);
    assert_eq!((session.account.missing, session.account.waiting), (last / 2, 0));
}

#[test]
fn too_many_sessions_fold_into_the_hosts_total_and_are_still_recognised() {
    let mut ledger = HostLedger::default();
    let sessions = SESSIONS_PER_HOST_MAX as u128 + 10;
    for session in 0..sessions {
        for seq in [1, 2, 2] {
            ledger.frame(SessionId(session), seq, true, SECOND);
        }
    }
    let total = ledger.total(SECOND);
    check_sum(&total, "");
    assert_eq!((total.stored, total.doubled), (2 * sessions as u64, sessions as u64));
    assert_eq!((ledger.sessions(SECOND).len(), ledger.folded_sessions()), (64, 10));
    assert_eq!(ledger.frame(SessionId(0), 1, true, SECOND), Verdict::TooLate);
    assert_eq!(ledger.total(SECOND), total);
}

#[test]
fn absurd_numbers_are_refused_whole() {
    let mut ledger = HostLedger::default();
    let words = ledger.record(&record(1, u64::MAX, &[]), SECOND).unwrap_err();
    assert!(words.contains("expected at most"), "{words}");
    assert_eq!(ledger.frame(SESSION, u64::MAX, true, SECOND), Verdict::TooLate);
    assert_eq!(ledger.total(SECOND), Ledger::default());
}
