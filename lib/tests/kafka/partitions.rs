//! K10, and what goes wrong in one partition of several: in the crate, one partition without a
//! leader fails a call for all, and a broker that fails takes the confirmations of the others with
//! it. Ours name one partition each.

use std::sync::Arc;

use realtime_monitor::bus::kafka::{KafkaBus, KafkaConfig};
use realtime_monitor::bus::{Bus, BusError, Position, Topic};

use super::codec::Output;
use super::scripted::{Cue, FETCH, METADATA, OFFSETS, PRODUCE, Scripted, VERSIONS};
use super::{PATIENCE, SHORT, config, connect, contract, record};

const NOT_LEADER: i16 = 6;
const TOPIC: &str = "monitor_metrics";

fn start() -> (Scripted, Arc<KafkaBus>) {
    let broker = Scripted::start();
    let bus = connect(KafkaConfig { call_limit: SHORT, ..config(&broker.address()) }).unwrap();
    let _ = broker.seen.try_iter().count();
    (broker, bus)
}

#[test]
fn k10_a_partition_without_leader_takes_no_confirmation_of_another() {
    let (broker, bus) = start();
    broker.state().leaderless.insert(2);
    let mut publisher = bus.publisher();
    for (value, partition) in [(b"a", 0), (b"b", 1), (b"c", 3), (b"d", 0)] {
        publisher.publish(Topic::Metrics, partition, &[record(value)]).unwrap();
        match publisher.publish(Topic::Metrics, 2, &[record(value)]) {
            Err(BusError::Unavailable { what }) => {
                assert!(what.contains("partition 2") && what.contains("no leader"), "{what}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(broker.values(0), [b"a", b"d"]);
    assert_eq!((broker.values(1).len(), broker.values(2).len(), broker.values(3).len()), (1, 0, 1));
    let sent = broker.seen.try_iter().filter(|kind| *kind == PRODUCE).count();
    assert_eq!(sent, 4, "nothing was sent twice, nothing to where no leader is");

    // And reading, from its start and at once; the partition comes back with its leader.
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
    assert_eq!(contract::read(reader.as_mut(), PATIENCE).records.len(), 2);
    broker.state().leaderless.clear();
    publisher.publish(Topic::Metrics, 2, &[record(b"e")]).unwrap();
    assert_eq!(broker.values(2), [b"e"]);
}

#[test]
fn k10_a_partition_that_fails_leaves_the_others_stored_once() {
    let (broker, bus) = start();
    broker.state().failing.insert(2, NOT_LEADER);
    let mut publisher = bus.publisher();
    let answers: Vec<_> = (0..4_u32)
        .map(|partition| publisher.publish(Topic::Metrics, partition, &[record(b"a")]))
        .collect();
    for (partition, answer) in answers.iter().enumerate() {
        let stored = broker.values(partition as i32).len();
        assert_eq!((answer.is_ok(), stored), (partition != 2, usize::from(partition != 2)));
    }
    broker.state().failing.clear();
    publisher.publish(Topic::Metrics, 2, &[record(b"a")]).unwrap();
    assert!((0..4).all(|partition| broker.values(partition).len() == 1));
}

/// Confirmations for several partitions are no answer to a request that named one: it is sent
/// again, and neither the success of the one nor the error of the other counts.
#[test]
fn k10_k11_a_partial_success_over_partitions_is_no_confirmation() {
    let confirmation = |partitions: &[(i32, i16, i64)]| {
        let output = Output::default().i32(1).string(TOPIC).i32(partitions.len() as i32);
        let each = |out: Output, (id, code, offset): &(i32, i16, i64)| {
            out.i32(*id).i16(*code).i64(*offset)
        };
        partitions.iter().fold(output, each).0
    };
    for partitions in [
        &[(0, 0, 7), (1, NOT_LEADER, -1)][..],
        &[(1, NOT_LEADER, -1), (0, 0, 7)],
        &[(1, 0, 7)],
        &[(0, 0, 7), (0, 0, 8)],
    ] {
        let (broker, bus) = start();
        broker.cue(PRODUCE, Cue::Body(confirmation(partitions)));
        bus.publisher().publish(Topic::Metrics, 0, &[record(b"a")]).unwrap();
        assert_eq!(broker.values(0), [b"a"], "{partitions:?}");
        assert_eq!(bus.counts().publish_failures.get(), 1, "{partitions:?}");
    }
}

#[test]
fn metadata_without_any_leader_is_told_and_waited_out() {
    let broker = Scripted::start();
    broker.state().leaderless.extend([0, 1, 2, 3]);
    match connect(config(&broker.address())) {
        Err(BusError::Unavailable { what }) => assert!(what.contains("no leader"), "{what}"),
        other => panic!("{other:?}"),
    }
    broker.state().leaderless.clear();
    let bus = connect(config(&broker.address())).unwrap();
    broker.state().leaderless.insert(0);
    let answer = bus.publisher().publish(Topic::Metrics, 0, &[record(b"a")]);
    assert!(matches!(answer, Err(BusError::Unavailable { .. })), "{answer:?}");
    broker.state().leaderless.clear();
    bus.publisher().publish(Topic::Metrics, 0, &[record(b"a")]).unwrap();
    assert_eq!(broker.values(0), [b"a"]);
}

/// More partitions than the programs were started with are left alone.
#[test]
fn partitions_that_are_added_change_nothing() {
    let (broker, bus) = start();
    let mut publisher = bus.publisher();
    publisher.publish(Topic::Metrics, 3, &[record(b"a")]).unwrap();
    broker.state().topics.insert(TOPIC.to_owned(), (0..9).collect());
    broker.cue(PRODUCE, Cue::Close);
    publisher.publish(Topic::Metrics, 3, &[record(b"b")]).unwrap();
    assert_eq!((broker.values(3).len(), bus.partitions(Topic::Metrics)), (2, 4));
    let mut reader = bus.reader(Topic::Metrics, 3, Position::Earliest);
    assert_eq!(contract::read(reader.as_mut(), PATIENCE).records.len(), 2);
}

/// Wherever in an answer the connection ends: what was being done is done by the next client.
#[test]
fn k03_a_connection_that_closes_in_the_middle_of_an_answer_is_replaced() {
    for bytes in [0, 3, 4, 7, 11, 20, 30] {
        let (broker, bus) = start();
        broker.cue(PRODUCE, Cue::Cut(bytes));
        bus.publisher().publish(Topic::Metrics, 0, &[record(b"a")]).unwrap();
        // The broker had stored it already: at least once.
        assert_eq!(broker.values(0), [b"a", b"a"], "{bytes} bytes of the answer");
        for kind in [VERSIONS, METADATA, OFFSETS, FETCH] {
            broker.cue(kind, Cue::Cut(bytes));
        }
        let mut reader = bus.reader(Topic::Metrics, 0, Position::Earliest);
        let batch = contract::read(reader.as_mut(), PATIENCE);
        assert_eq!((batch.records.len(), batch.gap), (2, None), "{bytes} bytes of an answer");
        assert!(bus.counts().read_failures.get() > 0 || bus.counts().clients_made.get() > 2);
    }
}

/// Where the crate tells the number, it is compared; elsewhere K05's rule holds.
#[test]
fn k05_an_answer_with_another_number_is_not_taken() {
    let (broker, bus) = start();
    broker.store(0, b"a");
    broker.cue(FETCH, Cue::WrongCorrelation);
    let mut reader = bus.reader(Topic::Metrics, 0, Position::Offset(0));
    match reader.read(PATIENCE) {
        Err(BusError::Unavailable { what }) => assert!(what.contains("another request"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(contract::read(reader.as_mut(), PATIENCE).records.len(), 1);

    broker.cue(VERSIONS, Cue::WrongCorrelation);
    let answer = bus.publisher().publish(Topic::Metrics, 0, &[record(b"b")]);
    assert!(matches!(answer, Err(BusError::Unusable { .. })), "{answer:?}");
}

/// Lengths inside a body, as opposed to that of the answer: counts of topics and partitions, the
/// length of a name. (A count for which there is no memory ends the process: the crate reserves it,
/// and no caller can prevent that; see the table in `lib/bus/kafka/mod.rs`.)
#[test]
fn k04_lengths_inside_an_answer_that_cannot_be_end_one_client_at_most() {
    let confirmation = |topics: i32, name: i16, partitions: i32| {
        let start = Output::default().i32(topics).i16(name);
        let named = Output([start.0, TOPIC.as_bytes().to_vec()].concat());
        named.i32(partitions).i32(0).i16(0).i64(7).0
    };
    let length = TOPIC.len() as i16;
    for body in [
        confirmation(-1, length, 1),
        confirmation(2, length, 1),
        confirmation(1, i16::MAX, 1),
        confirmation(1, length, -1),
        confirmation(1, length, i32::MIN),
        confirmation(1, length, 1_000),
        Vec::new(),
    ] {
        let (broker, bus) = start();
        broker.cue(PRODUCE, Cue::Body(body.clone()));
        bus.publisher().publish(Topic::Metrics, 0, &[record(b"a")]).unwrap();
        assert_eq!(broker.values(0), [b"a"], "after {body:?}");
        assert_eq!(bus.counts().publish_failures.get(), 1, "{body:?} is no confirmation");
    }
}

#[test]
fn k04_sizes_inside_a_fetch_that_cannot_be_bring_nothing_and_lose_nothing() {
    let answer = |size: i32, set: &[u8]| {
        let head = Output::default().i32(1).string(TOPIC).i32(1).i32(0).i16(0);
        [head.i64(1).i32(size).0, set.to_vec()].concat()
    };
    let message = |size: i32| [Output::default().i64(0).i32(size).0, vec![0; 30]].concat();
    for body in [
        answer(-1, &[]),
        answer(i32::MIN, &[]),
        answer(i32::MAX, &[1, 2, 3]),
        answer(42, &message(-1)),
        answer(42, &message(i32::MAX)),
        answer(42, &message(0)),
        answer(42, &message(3)),
        answer(42, &message(30)),
    ] {
        let (broker, bus) = start();
        broker.store(0, b"a");
        broker.cue(FETCH, Cue::Body(body.clone()));
        let mut reader = bus.reader(Topic::Metrics, 0, Position::Offset(0));
        let batch = contract::read(reader.as_mut(), PATIENCE);
        let values: Vec<_> = batch.records.iter().map(|record| record.value.as_slice()).collect();
        assert_eq!((values, batch.gap), (vec![&b"a"[..]], None), "after {body:?}");
    }
}
