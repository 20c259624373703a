//! Acks only after durable; the bus behind, failing, refusing; nothing lost, nothing unbounded.

use std::sync::Arc;
use std::time::Duration;

use realtime_monitor::base::clock::Real;
use realtime_monitor::base::thread;
use realtime_monitor::bus::BusError;
use realtime_monitor::bus::LateBus;
use realtime_monitor::metric::Declaration;
use realtime_monitor::server;
use realtime_monitor::wire::message::{FromClient, Status, ToClient};

use crate::bus::{Fault, ScriptedBus, Shared};
use crate::peer::{self, Event, LIMIT, Peer};
use crate::support::wait;
use crate::{Bench, config};

fn unavailable() -> Fault {
    Fault::Error(BusError::Unavailable { what: "nobody there".into() })
}

#[test]
fn an_ack_comes_only_after_the_bus_has_said_durable() {
    let bench = Bench::real();
    bench.bus.block();
    let mut peer = bench.welcome("web-1");
    peer.send_frames(1..=3);
    bench.wait_for("frames_in_total", 3);
    bench.bus.wait_for_calls(1);
    assert!(peer.try_next().is_none(), "an ack of what is not durable");
    assert_eq!((bench.count("frames_queued"), bench.count("frames_published_total")), (3, 0));
    bench.bus.release();
    let ack = peer.expect_ack(3);
    assert_eq!((ack.session, ack.echo_seq), (None, 3));
    assert!(ack.echo_received_us > 0 && ack.echo_received_us <= ack.server_time_us);
    assert_eq!(bench.bus.seqs("web-1"), [1, 2, 3]);
}

#[test]
fn the_first_ten_are_told_singly_and_then_every_32_or_after_five_seconds() {
    let (bench, clock) = Bench::scripted();
    let mut peer = bench.welcome("web-1");
    for seq in 1..=10 {
        peer.send_frame(seq);
        peer.expect_ack(seq);
    }
    peer.send_frames(11..=41);
    bench.wait_for("frames_published_total", 41);
    assert!(peer.try_next().is_none(), "31 frames are not 32");
    peer.send_frame(42);
    peer.expect_ack(42);
    peer.send_frame(43);
    bench.wait_for("frames_published_total", 43);
    clock.advance(Duration::from_secs(5));
    peer.expect_ack(43);
    assert_eq!(bench.count("acks_sent_total"), 12);
}

#[test]
fn a_bus_that_is_away_gets_the_same_batch_again() {
    let bench = Bench::real();
    let mut peer = bench.welcome("web-1");
    peer.send_frame(1);
    peer.expect_ack(1);
    bench.bus.fail([unavailable(), unavailable(), Fault::Panic, unavailable()]);
    peer.send_frames(2..=5);
    peer.expect_ack(5);
    assert_eq!(bench.bus.seqs("web-1"), [1, 2, 3, 4, 5]);
    assert_eq!(bench.count("publish_retries_total"), 4);
}

#[test]
fn an_unusable_bus_is_reported_and_tried_again() {
    let bench = Bench::real();
    let words = "the broker speaks version 4".to_owned();
    bench.bus.fail([Fault::Error(BusError::Unusable { what: words.clone() })]);
    let mut peer = bench.welcome("web-1");
    peer.send_frame(1);
    peer.expect_ack(1);
    assert_eq!(bench.server.as_ref().unwrap().failed().try_recv(), Ok(words));
}

#[test]
fn a_server_listens_before_its_bus_is_there() {
    let late = LateBus::new(4, 1);
    let clock = Real::shared();
    let server = server::start(&config(), Arc::new(late.clone()), clock).unwrap();
    let mut peer = Peer::welcome(&peer::environment(), server.address(), "web-1");
    peer.send_frames(1..=3);
    crate::wait::until("the frames", LIMIT, || {
        (server.counts().frames_in.get() == 3).then_some(())
    });
    let counts = server.counts();
    assert_eq!((counts.frames_published.get(), counts.publish_retries.get()), (0, 0));
    let bus = ScriptedBus::new();
    late.arrive(Arc::new(Shared(Arc::clone(&bus))));
    peer.expect_ack(3);
    assert_eq!(bus.seqs("web-1"), [1, 2, 3]);
}

#[test]
fn a_refused_frame_stands_alone_and_its_hole_has_a_name() {
    let bench = Bench::real();
    bench.bus.block();
    bench.bus.refuse("\"seq\":7,");
    let mut peer = bench.welcome("web-1");
    peer.send_frames(1..=20);
    bench.wait_for("frames_in_total", 20);
    bench.bus.release();
    peer.expect_ack(20);
    let expected: Vec<u64> = (1..=20).filter(|seq| *seq != 7).collect();
    assert_eq!(bench.bus.seqs("web-1"), expected, "the others, each once and in order");
    assert_eq!(bench.count("frames_refused_total"), 1);
    let sessions = bench.bus.sessions();
    let named = sessions.iter().any(|record| {
        record.dropped == [((7, 7), "message too large".to_owned())]
            && !record.acked.iter().any(|(first, last)| (*first..=*last).contains(&7))
    });
    assert!(named, "{sessions:#?}");
}

#[test]
fn a_frame_too_large_as_json_is_declared_dropped() {
    let bench = Bench::real();
    let mut peer = bench.welcome("web-1");
    let mut large = peer::frame(peer.session, 2, 0);
    // 2,000 series of 600 bytes are 1.2 MB; announced a few at a time they pass as messages.
    let key = |at: u64| format!("{}_{at}", "x".repeat(600));
    let series = |at: u64| (realtime_monitor::metric::SeriesKey::plain(&key(at)), 1_u64);
    for part in 0..10 {
        let mut announcing = peer::frame(peer.session, 1, 0);
        announcing.samples = (part * 200..(part + 1) * 200)
            .map(series)
            .map(|(key, value)| (key, realtime_monitor::metric::Value::Unsigned(value)))
            .collect();
        peer.send(&FromClient::Frame(Box::new(announcing)));
    }
    large.samples = (0..2_000)
        .map(series)
        .map(|(key, value)| (key, realtime_monitor::metric::Value::Unsigned(value)))
        .collect();
    peer.send(&FromClient::Frame(Box::new(large)));
    peer.expect_ack(2);
    bench.wait_for("session_records_published_total", 2);
    let sessions = bench.bus.sessions();
    let dropped = &sessions.last().unwrap().dropped;
    assert!(dropped[0].0 == (2, 2) && dropped[0].1.contains("too large"), "{dropped:?}");
}

#[test]
fn a_declaration_is_published_before_it_is_acknowledged() {
    let bench = Bench::real();
    let mut peer = bench.welcome("web-1");
    bench.wait_for("session_records_published_total", 1);
    bench.bus.block();
    let session = peer.session;
    let reason = "buffer full".to_owned();
    peer.send(&FromClient::Dropped(Declaration { session, range: (1, 9), reason }));
    bench.bus.wait_for_calls(1);
    assert!(peer.try_next().is_none(), "an ack of what nobody knows yet");
    bench.bus.release();
    peer.expect_ack(9);
    let record = bench.bus.sessions().pop().unwrap();
    assert_eq!(record.dropped, [((1, 9), "buffer full".to_owned())]);
    assert_eq!((record.sampled_through, record.acked.len()), (9, 0));
}

/// With the bus stopped, a client that sends as fast as it can is held back: what the server keeps
/// is bounded, the client waits, and when the bus returns nothing is missing or doubled.
#[test]
fn a_stopped_bus_holds_clients_back_and_loses_nothing() {
    const FRAMES: u64 = 20_000;
    let bench = Bench::real();
    bench.bus.block();
    let (mut flood, mut calm) = (bench.welcome("flood"), bench.welcome("calm"));
    let (tell, told) = crossbeam_channel::bounded(1);
    let sender = thread::spawn("flood", move || {
        for seq in 1..=FRAMES {
            let frame = peer::frame(flood.session, seq, 60);
            flood.send(&FromClient::Frame(Box::new(frame)));
        }
        let _ = tell.send(flood);
    })
    .unwrap();
    wait::until("the flood is held back", Duration::from_secs(60), || {
        (bench.count("streams_held_total") > 0).then_some(())
    });
    let held_at = bench.count("frames_in_total");
    assert!(held_at < FRAMES, "{held_at} frames taken, all of them");
    let bytes = bench.count("queue_bytes");
    assert!(bytes <= 8 << 20, "{bytes} bytes wait");
    // Another partition's host is not affected, and commands still reach the one that is held.
    calm.send_frame(1);
    bench.wait_for("frames_in_total", held_at + 1);
    assert!(told.try_recv().is_err(), "the client could send everything");
    bench.bus.release();
    let flood = told.recv_timeout(Duration::from_secs(60)).unwrap();
    sender.join();
    flood.expect_ack(FRAMES);
    calm.expect_ack(1);
    assert!(bench.bus.seqs("flood").into_iter().eq(1..=FRAMES), "each once, in order");
    assert!(bench.bus.batches().iter().any(|records| *records > 100), "batches grow with the load");
    assert_eq!(bench.count("frames_queued"), 0);
}

#[test]
fn session_records_pings_and_stages_come_in_time() {
    let (bench, clock) = Bench::scripted();
    let mut peer = bench.welcome("web-1");
    bench.wait_for("session_records_published_total", 1);
    peer.send_frame(1);
    peer.expect_ack(1);
    bench.wait_for("stages_published_total", 1);
    for round in 2..=3 {
        clock.advance(Duration::from_secs(10));
        bench.wait_for("session_records_published_total", round);
    }
    clock.advance(Duration::from_secs(10));
    let nonce = peer.expect_ping();
    // Else the next one would find its place in the queue taken.
    bench.wait_for("session_records_published_total", 4);
    let status = Status { nonce, sampled_through: 77, ..Status::default() };
    peer.send(&FromClient::Status(status));
    bench.wait_for("statuses_in_total", 1);
    clock.advance(Duration::from_secs(10));
    bench.wait_for("session_records_published_total", 5);
    let record = bench.bus.sessions().pop().unwrap();
    assert_eq!((&*record.host, &*record.server, record.ended), ("web-1", "here", None));
    assert_eq!((record.first_seq, record.sampled_through), (1, 77));
    assert_eq!(record.acked, [(1, 1)]);
    assert_eq!(record.schedule.entries.len(), 2);
    let stages = bench.bus.stages();
    assert_eq!(stages[0].durable.iter().map(|(_, count)| count).sum::<u32>(), 1);
}

#[test]
fn a_clock_far_ahead_is_corrected_and_flagged() {
    let (bench, _clock) = Bench::scripted();
    let mut peer = bench.welcome("web-1");
    let now_ms = 1_000_000;
    for (seq, time_ms) in [(1, now_ms + 300_000), (2, now_ms + 300_001), (3, 5)] {
        let mut frame = peer::frame(peer.session, seq, 1);
        frame.time_ms = time_ms;
        peer.send(&FromClient::Frame(Box::new(frame)));
    }
    peer.expect_ack(3);
    let stored: Vec<_> = bench
        .bus
        .frames()
        .iter()
        .map(|record| (record.frame.time_ms, record.clock_wrong))
        .collect();
    assert_eq!(stored, [(now_ms + 300_000, false), (now_ms, true), (5, false)]);
    assert_eq!(bench.count("clocks_wrong_total"), 1);
}

#[test]
fn five_hundred_streams_at_once() {
    let bench = Bench::real();
    let mut peers = Vec::new();
    for number in 0..500 {
        let mut peer = bench.silent(&format!("h{number}"));
        peer.hello();
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.expect_welcome();
    }
    for seq in 1..=20 {
        peers.iter_mut().for_each(|peer| peer.send_frame(seq));
    }
    for peer in &mut peers {
        peer.send(&FromClient::Bye { last_seq: 20, reason: String::new() });
        loop {
            match peer.next() {
                Event::Message(ToClient::Ack(ack)) if ack.through == 20 => break,
                Event::Message(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(bench.count("frames_published_total"), 500 * 20);
    assert_eq!(bench.count("streams_open"), 500);
    assert_eq!(bench.bus.frames().len(), 500 * 20);
}
