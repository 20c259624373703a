//! The whole room: bytes in, answers out.

use crate::base::dice::Dice;
use std::time::Duration;

use super::testing::{BASE_MS, Handed, ScriptedBus, frame, frame_bytes, session, session_bytes};
use super::view::{BusState, HostState, Ledger, SUMMARY_COLUMNS};
use super::*;
use crate::base::clock::Scripted;
use crate::base::counter::CountSources;
use crate::bus::{Position, StoredRecord};
use crate::metric::SessionId;

/// Beyond this a test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Room {
    bus: Arc<ScriptedBus>,
    clock: Arc<Scripted>,
    handle: Handle,
}

fn config() -> Config {
    let (hosts_max, live_bytes_max) = (HOSTS_MAX, LIVE_BYTES_MAX);
    Config { hosts_max, live_bytes_max, history: None, counts: CountSources::default() }
}

fn room_with(config: Config) -> Room {
    let bus = Arc::new(ScriptedBus::default());
    let clock = Scripted::new(BASE_MS * 1_000);
    let handle = start(config, &handed(&bus), clock.clone()).unwrap();
    Room { bus, clock, handle }
}

fn handed(bus: &Arc<ScriptedBus>) -> Arc<dyn Bus> {
    Arc::new(Handed(bus.clone()))
}

impl Room {
    fn count(&self, name: &str) -> u64 {
        let counts = self.handle.view().counts();
        counts.iter().find(|count| count.name == name).unwrap().value
    }

    /// Nothing that came in is unaccounted for.
    fn check_counts(&self) {
        let kinds = [
            "records_replayed",
            "frames_stored",
            "frames_doubled",
            "frames_too_late",
            "sessions",
            "sessions_refused",
            "stages",
            "records_skipped",
            "records_undecodable",
            "records_refused",
            "records_panicked",
        ];
        let sum: u64 = kinds.iter().map(|kind| self.count(&format!("analysis_{kind}_total"))).sum();
        assert_eq!(self.count("analysis_records_total"), sum);
    }

    /// Waits for what the consumer does after it has taken a batch over.
    fn wait_for(&self, what: &str, until: impl Fn(&dyn View) -> bool) {
        let (_stopper, stop) = stop::pair();
        let view = self.handle.view();
        for _ in 0..PATIENCE.as_millis() {
            if until(view.as_ref()) {
                return;
            }
            assert!(!stop.wait(Duration::from_millis(1)));
        }
        panic!("{what} did not happen");
    }
}

#[test]
fn a_hosts_frames_are_seen_in_every_answer() {
    let room = room_with(config());
    let view = room.handle.view();
    let updates = view.subscribe();
    view.watch(true);
    room.bus.write(session_bytes(&session("web-1", 9, 0)));
    for seq in 1..=20 {
        room.bus.write(frame_bytes(&frame("web-1", 9, seq)));
    }
    room.bus.write(frame_bytes(&frame("web-1", 9, 20)));
    room.bus.write(session_bytes(&session("web-1", 9, 20)));
    room.bus.wait_taken();

    let update = updates.iter().take(20).last().unwrap();
    assert_eq!((&*update.host, update.seq, update.consumed_ms), ("web-1", 20, BASE_MS));
    assert_eq!(update.summary[0], Some(25.0));
    let cpu =
        update.values.iter().find(|(key, _)| key.as_str() == "cpu_mode_percent{mode=\"idle\"}");
    assert_eq!(cpu.map(|(_, value)| *value), Some(75.0));
    assert!(updates.is_empty(), "the doubled frame is no news");

    let hosts = view.hosts();
    assert_eq!((hosts.len(), &*hosts[0].host, hosts[0].interval_ms), (1, "web-1", 1_000));
    assert_eq!(hosts[0].time_ms, Some(BASE_MS + 20_000));
    let expected = [25.0, 51.0, 1_020.0, 2_000.0].map(Some);
    assert_eq!(hosts[0].values[..4], expected);
    assert_eq!(hosts[0].labels["rack"], "7");
    let detail = view.host("web-1").unwrap();
    assert_eq!((&*detail.boot_id, detail.schedule.len()), ("boot", 1));
    assert_eq!(detail.sessions[0].account.doubled, 1);
    let window = view.window("web-1").unwrap();
    assert_eq!((window.time_ms.len(), window.session_starts_ms.len()), (20, 1));
    let rate = window.series.iter().find(|(key, _)| key.name() == SUMMARY_COLUMNS[6]).unwrap();
    assert_eq!((rate.1[0], rate.1[1]), (None, Some(100.0)));
    assert_eq!(view.newest(None, 15)["web-1"].rows.len(), 15);
    assert_eq!(view.newest(Some("web-1"), 3)["web-1"].rows.last().unwrap().1[8], Some(20.0));
    assert_eq!(view.sparks(60)["web-1"].len(), 19, "the first reading has no rate");
    assert!(view.host("web-2").is_none() && view.window("web-2").is_none());
    let fleet = view.fleet_ledger();
    assert_eq!((fleet.sampled, fleet.stored, fleet.missing, fleet.doubled), (20, 20, 0, 1));
    assert_eq!(view.ledger().hosts["web-1"][0].account, fleet);
    assert_eq!(room.count("analysis_frames_doubled_total"), 1);
    room.check_counts();
}

#[test]
fn what_cannot_be_used_is_counted_and_stops_nothing() {
    let room = room_with(config());
    let write = |key: &str, value: &str| {
        let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        room.bus.write(StoredRecord { offset: 0, key, value });
    };
    write("web-1", "not JSON");
    write("web-1", "{\"v\":1,\"type\":\"frame\",\"host\":\"web-1\"}");
    write("web-1", "{\"v\":2,\"type\":\"frame\",\"host\":\"web-1\"}");
    write("web-1", "{\"v\":1,\"type\":\"weather\"}");
    let mut wrong_key = frame_bytes(&frame("web-1", 1, 1));
    wrong_key.key = b"web-2".to_vec();
    room.bus.write(wrong_key);
    room.bus.write(frame_bytes(&frame("<b>web</b>", 1, 1)));
    let mut absurd = session("web-1", 1, 0);
    absurd.sampled_through = u64::MAX;
    room.bus.write(session_bytes(&absurd));
    room.bus.write(frame_bytes(&frame("web-1", 1, 1)));
    room.bus.wait_taken();
    for (kind, count) in [
        ("records_undecodable", 2),
        ("records_skipped", 2),
        ("records_refused", 2),
        ("sessions_refused", 1),
        ("frames_stored", 1),
    ] {
        assert_eq!(room.count(&format!("analysis_{kind}_total")), count, "{kind}");
    }
    room.check_counts();
}

#[test]
fn mutated_records_never_panic() {
    let room = room_with(config());
    let mut dice = Dice::new(0x2545_f491_4f6c_dd1d);
    let whole = [frame_bytes(&frame("web-1", 1, 1)), session_bytes(&session("web-1", 1, 5))];
    for round in 0..3_000 {
        let mut record = whole[round % 2].clone();
        for _ in 0..=dice.below(3) {
            let at = dice.below(record.value.len() as u64) as usize;
            match dice.below(3) {
                0 => record.value[at] = b"0123456789{}[]\",:e-."[dice.below(20) as usize],
                1 => record.value.truncate(at + 1),
                _ => record.value.insert(at, b'9'),
            }
        }
        room.bus.write(record);
    }
    room.bus.wait_taken();
    assert_eq!(room.count("analysis_records_panicked_total"), 0);
    assert!(room.count("analysis_records_undecodable_total") > 1_000);
    room.check_counts();
    let view = room.handle.view();
    let _ = (view.window("web-1"), view.host("web-1"), view.newest(None, 9));
    let Ledger { sampled, stored, waiting, missing, dropped, .. } = view.fleet_ledger();
    assert_eq!(sampled, stored + waiting + missing + dropped);
}

#[test]
fn a_bus_that_is_down_is_told_in_words_and_tried_again() {
    let room = room_with(config());
    room.bus.set_down(Some("localhost:9094 refuses connections; start it with make kafka"));
    room.wait_for("Down", |view| match view.bus_state() {
        BusState::Down { detail } => detail.contains("make kafka"),
        _ => false,
    });
    room.bus.set_down(None);
    room.bus.write(frame_bytes(&frame("web-1", 1, 1)));
    room.bus.wait_taken();
    room.wait_for("Ok", |view| view.bus_state() == BusState::Ok);
    assert!(room.count("analysis_bus_errors_total") > 0);
    assert_eq!(room.bus.asked(), [Position::SinceMs(BASE_MS - 15 * 60 * 1_000)]);
}

#[test]
fn after_a_restart_windows_and_accounts_are_the_same() {
    let room = room_with(config());
    for host in ["web-1", "web-2"] {
        room.bus.write(session_bytes(&session(host, 9, 0)));
        for seq in (1..=300).filter(|seq| seq % 50 != 7) {
            room.bus.write(frame_bytes(&frame(host, 9, seq)));
        }
        room.bus.write(session_bytes(&session(host, 9, 200)));
    }
    room.bus.wait_taken();
    let again = start(config(), &handed(&room.bus), room.clock.clone()).unwrap();
    let (old, new) = (room.handle.view(), again.view());
    room.wait_for("the warm-up", |_| new.fleet_ledger() == old.fleet_ledger());
    assert_eq!(new.ledger(), old.ledger());
    assert_eq!(new.fleet_ledger().missing, 8);
    assert_eq!(new.window("web-2"), old.window("web-2"));
    assert_eq!(new.newest(None, 15), old.newest(None, 15));
    assert_eq!(new.sparks(60), old.sparks(60));
}

#[test]
fn a_silent_host_is_stale_by_arrival_and_a_replayed_one_was_never_fresh() {
    let room = room_with(config());
    let view = room.handle.view();
    let state = |host: &str| view.host(host).unwrap().summary;
    room.wait_for("the end of the topic", |view| view.bus_state() == BusState::Ok);
    room.clock.advance(Duration::from_secs(10));
    room.bus.write(frame_bytes(&frame("web-1", 1, 10)));
    room.bus.wait_taken();
    assert_eq!((state("web-1").state, state("web-1").age_ms), (HostState::Live, 0));
    // Somebody sets the clock; nothing of that matters.
    room.clock.set_wall_us(1);
    room.clock.advance(Duration::from_secs(3));
    assert_eq!(state("web-1").state, HostState::Live);
    room.clock.advance(Duration::from_millis(1));
    assert_eq!((state("web-1").state, state("web-1").age_ms), (HostState::Stale, 3_001));

    // A minute later analysis is started again and reads this frame from the topic.
    let clock = Scripted::new((BASE_MS + 70_000) * 1_000);
    let again = start(config(), &handed(&room.bus), clock).unwrap();
    room.wait_for("the replay", |_| again.view().host("web-1").is_some());
    let summary = again.view().host("web-1").unwrap().summary;
    assert_eq!((summary.state, summary.age_ms), (HostState::Stale, 60_000));
    assert_eq!(again.view().stages().consumed.count, 0, "and its latency is none");
    assert_eq!(view.stages().consumed.count, 1);
    assert_eq!(view.stages().sent.max_ms, 2.0);
}

#[test]
fn hosts_are_bounded_and_the_fleets_account_keeps_those_that_went() {
    let room = room_with(Config { hosts_max: 10, ..config() });
    for number in 0..25 {
        room.clock.advance(Duration::from_secs(1));
        room.bus.write(frame_bytes(&frame(&format!("host-{number:02}"), 1, 1)));
        room.bus.wait_taken();
    }
    let view = room.handle.view();
    let names: Vec<_> = view.hosts().iter().map(|host| host.host.to_string()).collect();
    let expected: Vec<_> = (15..25).map(|number| format!("host-{number:02}")).collect();
    assert_eq!(names, expected, "those seen last stay");
    assert_eq!((view.fleet_ledger().stored, view.ledger().fleet.stored), (25, 25));
    assert_eq!(room.count("analysis_hosts_dropped_total"), 15);
    room.check_counts();
}

#[test]
fn memory_is_bounded_and_windows_get_shorter() {
    let room = room_with(Config { live_bytes_max: 24 * 1024, ..config() });
    for seq in 1..=900 {
        for host in ["web-1", "web-2", "web-3", "web-4"] {
            room.bus.write(frame_bytes(&frame(host, 1, seq)));
        }
    }
    room.bus.wait_taken();
    let bytes = room.count("analysis_live_bytes");
    // Open rows are not dropped: at most a block of each host beyond the limit.
    assert!(bytes < 24 * 1024 + 4 * 33 * 256, "{bytes}");
    let rows = room.handle.view().window("web-1").unwrap().time_ms.len();
    assert!((1..900).contains(&rows), "{rows}");
    assert!(room.count("analysis_live_frames_crowded_out_total") > 0);
}

#[test]
fn records_lost_by_the_bus_are_counted_and_give_the_missing_their_reason() {
    let room = room_with(config());
    room.bus.write(session_bytes(&session("web-1", 9, 0)));
    room.bus.write(frame_bytes(&frame("web-1", 9, 1)));
    room.bus.wait_taken();
    room.bus.set_down(Some("gone"));
    for seq in 2..=6 {
        room.bus.write(frame_bytes(&frame("web-1", 9, seq)));
    }
    room.bus.lose(5);
    room.bus.write(session_bytes(&session("web-1", 9, 6)));
    room.bus.set_down(None);
    room.bus.wait_taken();
    let ledger = &room.handle.view().ledger().hosts["web-1"][0];
    let why = "acknowledged, but gone from the bus before it was read".to_owned();
    assert_eq!(ledger.missing_ranges, [((2, 4), why)]);
    assert_eq!(room.count("analysis_gap_offsets_total"), 3);
}

/// Back from a while without its bus, a server publishes what has just come before what has waited.
/// Whoever begins to read between the two has not missed what stands before.
#[test]
fn a_start_behind_frames_that_went_ahead_calls_none_of_them_missing() {
    let room = room_with(config());
    for seq in [3, 4, 7, 5] {
        let mut record = frame("web-1", 9, seq);
        record.overtaken = seq < 7;
        room.bus.write(frame_bytes(&record));
    }
    room.bus.write(session_bytes(&session("web-1", 9, 8)));
    room.bus.wait_taken();
    let account = room.handle.view().ledger().hosts["web-1"][0].account;
    // The sixth went ahead, or was lost; the eighth was lost, for the seventh was in its place.
    assert_eq!((account.stored, account.missing, account.waiting), (4, 1, 0));
}

#[test]
fn a_new_session_shows_nothing_of_the_old_one() {
    let room = room_with(config());
    for seq in 1..=3 {
        room.bus.write(frame_bytes(&frame("web-1", 1, seq)));
    }
    let mut second = frame("web-1", 2, 1);
    second.frame.time_ms += 5_000;
    second.frame.sent_ms += 5_000;
    second.received_ms += 5_000;
    room.bus.write(frame_bytes(&second));
    room.bus.wait_taken();
    let summary = room.handle.view().host("web-1").unwrap().summary;
    assert_eq!((summary.session, summary.values[0]), (SessionId(2), None));
    assert_eq!(summary.values[8], Some(1.0));
}

#[test]
fn other_rooms_counts_are_among_the_counts() {
    let other = || {
        vec![crate::base::counter::Counter::new("other_total", "Of another room.", false).read()]
    };
    let counts = CountSources(vec![Arc::new(other)]);
    let room = room_with(Config { counts, ..config() });
    assert_eq!(room.count("other_total"), 0);
    assert!(room.handle.counts().records.get() == 0);
}

#[test]
fn on_the_embedded_bus_a_publish_returns_when_the_frame_is_in_the_account() {
    use crate::bus::embedded::EmbeddedBus;
    use crate::bus::{Record, Topic, partition_of};
    use crate::wire::json::{StagesRecord, encode_stages};

    let clock = Scripted::new(BASE_MS * 1_000);
    let embedded = EmbeddedBus::new(4, clock.clone());
    let bus: Arc<dyn Bus> = embedded.clone();
    let handle = start(config(), &bus, clock).unwrap();
    let view = handle.view();
    let mut publisher = bus.publisher();
    for seq in 1..=50 {
        for host in ["web-1", "web-2", "web-3", "web-4", "web-5"] {
            let StoredRecord { key, value, .. } = frame_bytes(&frame(host, 1, seq));
            let partition = partition_of(&key, 4);
            publisher.publish(Topic::Metrics, partition, &[Record { key, value }]).unwrap();
        }
        assert_eq!(view.fleet_ledger().stored, 5 * seq);
    }
    let mut value = Vec::new();
    let stages = StagesRecord {
        server: "s".into(),
        time_ms: 1,
        durable: vec![(1_500, 3)],
        counts: Vec::new(),
    };
    encode_stages(&stages, &mut value);
    publisher.publish(Topic::Events, 0, &[Record { key: b"s".to_vec(), value }]).unwrap();
    let (_stopper, stop) = stop::pair();
    while handle.counts().stages.get() == 0 {
        assert!(!stop.wait(Duration::from_millis(1)));
    }
    embedded.shutdown();
}
