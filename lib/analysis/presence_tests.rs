//! Live, stale, ended: by arrival, whatever the wall clocks say.

use super::*;
use crate::metric::{SeriesKey, Value};
use crate::wire::message::{Schedule, ScheduleEntry};

const BASE_MS: u64 = 1_700_000_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A frame sampled `at_ms` after the base and received `after_ms` later.
fn frame(session: u128, at_ms: u64, after_ms: u64, interval_ms: u32) -> FrameRecord {
    let time_ms = BASE_MS + at_ms;
    FrameRecord {
        host: "h".into(),
        server: "s".into(),
        received_ms: time_ms + after_ms,
        clock_wrong: false,
        overtaken: false,
        frame: Frame {
            session: SessionId(session),
            seq: 1,
            elapsed_us: 0,
            time_ms,
            uncertainty_ms: 0,
            host_time_ms: 0,
            interval_ms,
            sent_ms: time_ms + after_ms,
            samples: [(SeriesKey::plain("load1"), Value::Unsigned(1))].into_iter().collect(),
        },
    }
}

fn record(session: u128, at_ms: u64, ended: Option<&str>) -> SessionRecord {
    SessionRecord {
        host: "h".into(),
        session: SessionId(session),
        server: "s".into(),
        time_ms: BASE_MS + at_ms,
        first_seq: 1,
        sampled_through: 0,
        acked: Vec::new(),
        dropped: Vec::new(),
        boot_id: String::new(),
        catalogue: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        schedule: Schedule {
            revision: 1,
            entries: vec![ScheduleEntry { pattern: "*".into(), interval_ms: 5_000, lease_ms: 0 }],
        },
        ended: ended.map(str::to_owned),
    }
}

fn state(presence: &Presence, at_ms: u64) -> HostState {
    presence.state(ms(at_ms)).0
}

#[test]
fn three_intervals_without_a_frame_are_stale_but_never_less_than_two_seconds() {
    let mut presence = Presence::default();
    assert!(presence.frame(&frame(1, 0, 20, 1_000), 0, ms(100)));
    assert_eq!(
        (state(&presence, 3_100), state(&presence, 3_101)),
        (HostState::Live, HostState::Stale)
    );
    assert_eq!(presence.state(ms(3_101)).2, 3_001);
    presence.frame(&frame(1, 50, 20, 50), 0, ms(4_000));
    assert_eq!(
        (state(&presence, 6_000), state(&presence, 6_001)),
        (HostState::Live, HostState::Stale)
    );
    // A one-shot reading does not make the host a faster one.
    presence.frame(&frame(1, 60, 20, 0), 0, ms(7_000));
    assert_eq!(presence.interval_ms(), 50);
}

#[test]
fn the_schedule_tells_the_interval_until_a_frame_does() {
    let mut presence = Presence::default();
    assert!(presence.record(&record(1, 0, None), ms(0)));
    presence.frame(&frame(1, 10, 5, 0), 0, ms(20));
    assert_eq!((presence.interval_ms(), state(&presence, 15_000)), (5_000, HostState::Live));
    presence.frame(&frame(1, 1_000, 5, 1_000), 0, ms(1_005));
    assert_eq!(state(&presence, 15_000), HostState::Stale);
}

#[test]
fn backlog_and_replay_make_nobody_fresh() {
    let mut presence = Presence::default();
    // A client that was offline for ten minutes sends its oldest frames first.
    presence.frame(&frame(1, 0, 600_000, 1_000), 0, ms(5_000));
    assert_eq!(state(&presence, 5_000), HostState::Stale);
    assert_eq!(presence.state(ms(5_000)).2, 600_000, "it arrived as much earlier as it is late");
    // After a restart of analysis the topic is read again: this record is a minute old.
    let mut presence = Presence::default();
    presence.frame(&frame(1, 0, 20, 1_000), 60_000, ms(0));
    assert_eq!(state(&presence, 0), HostState::Stale);
    presence.frame(&frame(1, 60_000, 20, 1_000), 0, ms(10));
    assert_eq!(state(&presence, 10), HostState::Live);
    // Backlog in between does not make it older either.
    presence.frame(&frame(1, 0, 60_000, 1_000), 0, ms(20));
    assert_eq!(presence.state(ms(20)).2, 10);
}

#[test]
fn an_end_is_an_end_until_the_session_or_another_is_back() {
    let mut presence = Presence::default();
    presence.frame(&frame(1, 0, 20, 1_000), 0, ms(0));
    presence.record(&record(1, 100, Some("stream reset")), ms(100));
    let (state_now, reason, _) = presence.state(ms(100));
    assert_eq!((state_now, reason.as_deref()), (HostState::Ended, Some("stream reset")));
    // It had gone to another server already.
    assert!(!presence.frame(&frame(1, 1_000, 20, 1_000), 0, ms(1_000)));
    assert_eq!(state(&presence, 1_000), HostState::Live);
    presence.record(&record(1, 2_000, Some("bye: SIGTERM")), ms(2_000));
    presence.frame(&frame(1, 1_900, 300, 1_000), 0, ms(2_001));
    assert_eq!(state(&presence, 2_001), HostState::Ended, "one under way does not revive it");
    // An older session's words change nothing; a new session's do.
    assert!(!presence.record(&record(9, 2_100, Some("its client ended")), ms(2_100)));
    assert!(presence.record(&record(2, 3_000, None), ms(2_200)));
    assert_eq!(
        (presence.session(), state(&presence, 2_200).eq(&HostState::Ended)),
        (SessionId(2), false)
    );
}

#[test]
fn a_server_that_notices_late_does_not_end_what_another_carries_on() {
    let mut presence = Presence::default();
    presence.frame(&frame(1, 0, 1, 1_000), 0, ms(1));
    let of = |first_seq, at_ms, ended| SessionRecord { first_seq, ..record(1, at_ms, ended) };
    presence.record(&of(1, 0, None), ms(2));
    presence.record(&of(9, 1_000, None), ms(1_000));
    presence.record(&of(1, 1_100, Some("the connection was lost")), ms(1_100));
    assert_eq!(state(&presence, 1_200), HostState::Live);
    presence.record(&of(9, 1_300, Some("the connection was lost")), ms(1_300));
    assert_eq!(state(&presence, 1_400), HostState::Ended);
    presence.record(&of(1, 1_500, None), ms(1_500));
    assert_eq!(state(&presence, 1_600), HostState::Ended);
    // Another session begins anew.
    presence.record(&record(2, 1_700, None), ms(1_700));
    assert_eq!(state(&presence, 1_800), HostState::Live);
    presence.record(&record(2, 1_900, Some("the connection was lost")), ms(1_900));
    assert_eq!(state(&presence, 2_000), HostState::Ended);
}

#[test]
fn two_sessions_in_turn_for_ten_seconds_are_two_machines() {
    let mut presence = Presence::default();
    let two = |presence: &Presence| presence.state(ms(0)).1.is_some();
    for second in 0..=12 {
        for session in [1, 2] {
            presence.frame(&frame(session, second * 1_000, 20, 1_000), 0, ms(second * 1_000));
        }
        assert_eq!(two(&presence), second > 11, "second {second}");
    }
    // One of them stops.
    for second in 13..=60 {
        presence.frame(&frame(2, second * 1_000, 20, 1_000), 0, ms(second * 1_000));
    }
    assert!(!two(&presence));
}

/// A client was restarted while its server had no bus: what is new goes ahead of what has waited.
#[test]
fn frames_that_were_overtaken_bring_no_earlier_session_back() {
    let mut presence = Presence::default();
    presence.frame(&frame(1, 0, 20, 1_000), 0, ms(0));
    for at in 0..8 {
        let now_ms = 30_000 + 100 * at;
        presence.frame(&frame(2, now_ms, 20, 100), 0, ms(now_ms));
        let old = FrameRecord { overtaken: true, ..frame(1, 1_000 + 1_000 * at, 20, 1_000) };
        assert!(!presence.frame(&old, 0, ms(now_ms)));
        assert_eq!((presence.session(), presence.interval_ms()), (SessionId(2), 100));
    }
    assert_eq!(presence.state(ms(31_000)).1, None, "two machines use this name");
    // Of the session that is there it may be all that comes, on a slow line.
    let slow = FrameRecord { overtaken: true, ..frame(2, 33_000, 2_500, 1_000) };
    assert!(!presence.frame(&slow, 0, ms(35_500)));
    assert_eq!(presence.interval_ms(), 1_000);
}

#[test]
fn a_restart_is_no_second_machine() {
    let mut presence = Presence::default();
    for (session, at_ms) in [(1, 0), (1, 1_000), (2, 1_500), (1, 1_400), (2, 2_000), (2, 60_000)] {
        presence.frame(&frame(session, at_ms, 20, 1_000), 0, ms(at_ms));
    }
    assert_eq!(presence.state(ms(60_000)).1, None);
    assert_eq!(presence.session(), SessionId(2));
}
