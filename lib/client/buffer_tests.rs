//! The buffer against a plain model: sets of numbers, and a server that answers as it likes.

use crate::base::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::buffer::*;
use super::spool::Recovered;
use super::testing::frame;
use crate::metric::{Frame, Layout, SeqRange, SeriesKey, SessionId};

const SESSION: SessionId = SessionId(7);

fn layout(len: usize) -> Layout {
    (0..len).map(|n| SeriesKey::plain(&format!("series_{n}"))).collect()
}

fn sent_seq(outgoing: Option<Outgoing>) -> Option<u64> {
    match outgoing? {
        Outgoing::Frame { frame, .. } => Some(frame.seq),
        Outgoing::Dropped(declaration) => panic!("not expected: {declaration:?}"),
    }
}

/// Everything that goes without an ack, waiting as long as pacing asks for it.
fn sent_in_time(buffer: &mut Buffer, now_us: &mut u64) -> Vec<u64> {
    let mut sent = Vec::new();
    loop {
        match sent_seq(buffer.next(*now_us)) {
            Some(seq) => sent.push(seq),
            None => match buffer.take_paced_until_us() {
                Some(until_us) => *now_us = until_us,
                None => return sent,
            },
        }
    }
}

fn filled(frames: u64, window: u64) -> Buffer {
    let (mut buffer, layout) = (Buffer::new(SESSION, 1 << 20, window), layout(3));
    for seq in 1..=frames {
        assert_eq!(buffer.push(frame(SESSION, seq, &layout)), 0);
    }
    buffer
}

#[test]
fn frames_wait_until_they_are_acknowledged() {
    let mut buffer = filled(3, 300);
    buffer.start_stream();
    let sent: Vec<_> = std::iter::from_fn(|| sent_seq(buffer.next(5))).collect();
    assert_eq!(sent, [1, 2, 3]);
    assert!(!buffer.has_unsent() && !buffer.is_settled());
    let acked = buffer.acknowledge(1, &[(3, 3)], 3);
    assert_eq!(acked, Acked { frames: 2, beyond: false, echo_sent_us: Some(5) });
    assert_eq!(buffer.waiting_ranges(), [(2, 2)]);
    assert_eq!(buffer.first_seq(), 2);
    assert_eq!(buffer.acknowledge(3, &[], 0).frames, 1);
    assert!(buffer.is_settled());
    assert_eq!((buffer.first_seq(), buffer.account().bytes), (4, 0));
}

#[test]
fn an_ack_beyond_what_was_sent_takes_nothing_that_was_not() {
    let mut buffer = filled(4, 300);
    buffer.start_stream();
    assert_eq!(sent_seq(buffer.next(0)), Some(1));
    let acked = buffer.acknowledge(1_000, &[(9, 3), (2, u64::MAX)], u64::MAX);
    assert_eq!(acked, Acked { frames: 1, beyond: true, echo_sent_us: None });
    assert_eq!(buffer.waiting_ranges(), [(2, 4)]);
}

#[test]
fn a_new_stream_gets_everything_again_but_live_frames_first() {
    let mut buffer = filled(3, 300);
    buffer.start_stream();
    while buffer.next(0).is_some() {}
    buffer.acknowledge(1, &[], 1);
    buffer.start_stream();
    assert_eq!(sent_seq(buffer.next(0)), Some(2));
    assert_eq!(buffer.push(frame(SESSION, 4, &layout(3))), 0);
    let rest: Vec<_> = std::iter::from_fn(|| sent_seq(buffer.next(0))).collect();
    assert_eq!(rest, [4, 3]);
}

#[test]
fn backlog_is_paced_by_acks_and_leaves_room_for_live_frames() {
    let (mut buffer, mut now_us) = (filled(200, 300), 0);
    buffer.start_stream();
    assert_eq!(sent_in_time(&mut buffer, &mut now_us).len(), 75);
    buffer.push(frame(SESSION, 201, &layout(3)));
    assert_eq!(sent_in_time(&mut buffer, &mut now_us), [201]);
    buffer.acknowledge(32, &[], 0);
    assert_eq!(sent_in_time(&mut buffer, &mut now_us).last(), Some(&107));
}

/// 20 frames a second, an hour of backlog, and acks that come every five seconds: every live frame
/// goes out at once, and the backlog shrinks faster than the hour has grown.
#[test]
fn late_acks_delay_no_live_frame_and_starve_no_backlog() {
    const BACKLOG: u64 = 3_600;
    let (mut buffer, layout) = (filled(BACKLOG, 600), layout(3));
    buffer.start_stream();
    let mut backlog_sent = 0;
    for tick in 1..=20 * 225 {
        let (live, now_us) = (BACKLOG + tick, tick * 50_000);
        buffer.push(frame(SESSION, live, &layout));
        assert_eq!(sent_seq(buffer.next(now_us)), Some(live), "tick {tick}");
        backlog_sent += std::iter::from_fn(|| sent_seq(buffer.next(now_us))).count() as u64;
        if tick % (20 * 5) == 0 {
            buffer.acknowledge(backlog_sent, &[(BACKLOG + 1, live)], live);
        }
    }
    assert_eq!(backlog_sent, BACKLOG, "in a sixteenth of an hour");
}

#[test]
fn after_a_stall_the_newest_go_first() {
    let mut buffer = filled(0, 10);
    let layout = layout(3);
    buffer.start_stream();
    for seq in 1..=20 {
        buffer.push(frame(SESSION, seq, &layout));
        buffer.next(0);
    }
    assert_eq!(buffer.next(0), None);
    buffer.acknowledge(4, &[], 0);
    buffer.push(frame(SESSION, 21, &layout));
    let sent: Vec<_> = std::iter::from_fn(|| sent_seq(buffer.next(0))).collect();
    assert_eq!(sent, [21, 11, 12]);
}

/// A server that has lost its bus has taken thirty frames when it gets no more; back again, it is
/// first sent what was sampled since.
#[test]
fn a_server_that_answers_nothing_gets_no_more_and_then_the_newest_first() {
    const SECOND_US: u64 = 1_000_000;
    let (mut buffer, layout) = (filled(0, 600), layout(3));
    buffer.start_stream();
    let tick = |buffer: &mut Buffer, seq: u64| -> Vec<u64> {
        buffer.push(frame(SESSION, seq, &layout));
        std::iter::from_fn(|| sent_seq(buffer.next(seq * SECOND_US))).collect()
    };
    for seq in 1..=30 {
        assert_eq!(tick(&mut buffer, seq), [seq]);
        buffer.acknowledge(seq, &[], seq);
    }
    let sent: Vec<u64> = (31..=600).flat_map(|seq| tick(&mut buffer, seq)).collect();
    let all_of_30_s: Vec<u64> = (31..=60).collect();
    assert_eq!(sent[..30], all_of_30_s);
    // One a minute, lest both wait for ever.
    assert_eq!(sent[30..], [120, 180, 240, 300, 360, 420, 480, 540, 600]);
    buffer.acknowledge(31, &[], 31);
    let sent = tick(&mut buffer, 601);
    assert_eq!((sent[0], sent[1], sent.len()), (601, 61, 18), "live, then the oldest");
    let sent = tick(&mut buffer, 602);
    assert_eq!((sent[0], sent.len()), (602, 17), "sixteen times as fast as time goes");
}

/// Where acks wait for a history of many GiB, commits are up to 20 s apart.
#[test]
fn acks_of_rare_commits_are_no_stall() {
    let (mut buffer, layout) = (filled(0, 600), layout(3));
    buffer.start_stream();
    for tick in 1..=100_u64 {
        buffer.push(frame(SESSION, tick, &layout));
        assert_eq!(sent_seq(buffer.next(tick * 1_000_000)), Some(tick));
        if tick % 22 == 0 {
            buffer.acknowledge(tick, &[], tick);
        }
    }
}

#[test]
fn a_full_buffer_drops_the_oldest_and_says_so() {
    let layout = layout(2_000);
    let mut buffer = Buffer::new(SESSION, 200_000, 300);
    let dropped: u64 = (1..=8).map(|seq| buffer.push(frame(SESSION, seq, &layout))).sum();
    let account = buffer.account();
    assert!(dropped > 0 && account.bytes <= 200_000, "{account:?}");
    assert_eq!((account.dropped, account.waiting), (dropped, 8 - dropped));
    buffer.start_stream();
    let Some(Outgoing::Dropped(declaration)) = buffer.next(0) else { panic!("no declaration") };
    assert_eq!(declaration.range, (1, dropped));
    assert_eq!((declaration.session, &*declaration.reason), (SESSION, "buffer full"));
    // Until an ack covers it, it is said again on every new stream.
    assert_eq!(buffer.first_seq(), 1);
    buffer.start_stream();
    assert!(matches!(buffer.next(0), Some(Outgoing::Dropped(again)) if again == declaration));
    buffer.acknowledge(dropped, &[], 0);
    buffer.start_stream();
    assert_eq!(sent_seq(buffer.next(0)), Some(dropped + 1));
}

#[test]
fn what_is_in_flight_is_dropped_last() {
    let layout = layout(2_000);
    let mut buffer = Buffer::new(SESSION, 250_000, 300);
    buffer.start_stream();
    buffer.push(frame(SESSION, 1, &layout));
    buffer.next(0);
    for seq in 2..=8 {
        buffer.push(frame(SESSION, seq, &layout));
    }
    assert_eq!(buffer.waiting_ranges().first(), Some(&(1, 1)));
}

/// What the model knows of a waiting frame: on this stream, ever sent.
#[derive(Clone, Copy, Default)]
struct Sent {
    now: bool,
    ever: bool,
}

struct Model {
    waiting: BTreeMap<u64, Sent>,
    acked: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    declared: BTreeSet<u64>,
}

impl Model {
    fn new() -> Self {
        let (acked, gone, declared) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { waiting: BTreeMap::new(), acked, gone, declared }
    }

    fn pushed(&mut self, seq: u64, dropped: u64) {
        self.waiting.insert(seq, Sent::default());
        for _ in 0..dropped {
            let idle = self.waiting.iter().find(|(_, sent)| !sent.now);
            let oldest = *idle.or_else(|| self.waiting.iter().next()).unwrap().0;
            self.waiting.remove(&oldest);
            self.gone.insert(oldest);
        }
    }

    fn acknowledged(&mut self, seq: u64) {
        if self.waiting.get(&seq).is_some_and(|sent| sent.ever) {
            self.waiting.remove(&seq);
            self.acked.insert(seq);
        }
    }
}

fn one_turn(
    dice: &mut Dice,
    buffer: &mut Buffer,
    model: &mut Model,
    layouts: &[Layout],
    (seed, now_us): (u64, u64),
) {
    match dice.below(10) {
        0..=3 => {
            let layout = &layouts[dice.below(layouts.len() as u64) as usize];
            let seq = buffer.account().sampled + 1;
            let dropped = buffer.push(frame(SESSION, seq, layout));
            model.pushed(seq, dropped);
        }
        4..=7 => match buffer.next(now_us) {
            Some(Outgoing::Frame { frame, again }) => {
                let sent = model.waiting.get_mut(&frame.seq).expect("only what waits is sent");
                assert!(!sent.now, "seed {seed}: {} twice on one stream", frame.seq);
                assert_eq!(again, sent.ever, "seed {seed}");
                *sent = Sent { now: true, ever: true };
            }
            Some(Outgoing::Dropped(declaration)) => {
                for seq in declaration.range.0..=declaration.range.1 {
                    assert!(model.gone.contains(&seq), "seed {seed}: {seq} is not gone");
                    model.declared.insert(seq);
                }
            }
            None => {}
        },
        8 => {
            let through = dice.below(buffer.account().sampled + 3);
            let range = (through + dice.below(4), through + dice.below(9));
            buffer.acknowledge(through, &[range], 0);
            (0..=through).chain(range.0..=range.1).for_each(|seq| model.acknowledged(seq));
        }
        _ => {
            if dice.below(5) == 0 {
                buffer.start_stream();
                model.waiting.values_mut().for_each(|sent| sent.now = false);
            }
        }
    }
}

#[test]
fn agrees_with_a_plain_model() {
    for seed in 1..=120 {
        let (mut dice, mut model) = (Dice::new(seed), Model::new());
        let layouts: Vec<Layout> = [3, 40, 200].into_iter().map(layout).collect();
        let (bytes_max, window) = (20_000 + dice.below(60_000), 1 + dice.below(40));
        let mut buffer = Buffer::new(SESSION, bytes_max, window);
        let mut now_us = 0;
        for _ in 0..600 {
            now_us += dice.below(2_000_000);
            one_turn(&mut dice, &mut buffer, &mut model, &layouts, (seed, now_us));
            let account = buffer.account();
            assert!(account.bytes <= bytes_max, "seed {seed}: {account:?}");
            assert_eq!(account.sampled, account.acked + account.waiting + account.dropped);
            assert_eq!(account.acked, model.acked.len() as u64, "seed {seed}");
            assert_eq!(account.dropped, model.gone.len() as u64, "seed {seed}");
            let waiting: Vec<u64> =
                buffer.waiting_ranges().into_iter().flat_map(|(a, b)| a..=b).collect();
            assert!(waiting.iter().eq(model.waiting.keys()), "seed {seed}: {waiting:?}");
            let in_flight = model.waiting.values().filter(|sent| sent.now).count() as u64;
            assert!(in_flight <= window, "seed {seed}: {in_flight} in flight");
        }
        settles_with_an_honest_server(&mut buffer, &mut model, (seed, now_us));
    }
}

/// Whatever has happened: a server that takes and acknowledges everything ends up knowing all.
fn settles_with_an_honest_server(
    buffer: &mut Buffer,
    model: &mut Model,
    (seed, mut now_us): (u64, u64),
) {
    buffer.start_stream();
    loop {
        let Some(outgoing) = buffer.next(now_us) else {
            match buffer.take_paced_until_us() {
                Some(until_us) => now_us = until_us,
                None => break,
            }
            continue;
        };
        let range = match outgoing {
            Outgoing::Frame { frame, .. } => {
                assert!(model.waiting.remove(&frame.seq).is_some(), "seed {seed}");
                model.acked.insert(frame.seq);
                (frame.seq, frame.seq)
            }
            Outgoing::Dropped(declaration) => {
                model.declared.extend(declaration.range.0..=declaration.range.1);
                declaration.range
            }
        };
        buffer.acknowledge(0, &[range], 0);
    }
    assert!(buffer.is_settled(), "seed {seed}");
    assert!(model.waiting.is_empty() && model.gone == model.declared, "seed {seed}");
    assert_eq!(buffer.account().bytes, 0, "seed {seed}");
}

/// The disk is slow, and gives what it was asked for when there is another stream.
#[test]
fn what_was_read_for_the_stream_before_keeps_nothing_from_this_one() {
    const OLD: SessionId = SessionId(6);
    let (mut buffer, layout) = (Buffer::new(SESSION, 1 << 20, 2_000), layout(3));
    let waiting = [(1, 200)].into_iter().collect();
    let (last, tail_unknown, gone) = (200, false, Vec::new());
    buffer.use_spool();
    buffer.found(vec![Recovered { session: OLD, last, tail_unknown, waiting, gone }]);
    buffer.set_writes(Writes::Good);
    buffer.announce();
    buffer.start_stream();
    let read = |(session, (from, to)): (SessionId, SeqRange)| {
        let frames = (from..=to).map(|seq| frame(session, seq, &layout)).collect();
        (session, frames)
    };
    let mut now_us = 0;
    let mut give = |buffer: &mut Buffer, (session, frames): (SessionId, Vec<Frame>)| {
        buffer.recalled(session, frames);
        let next = || {
            now_us += 70_000;
            sent_seq(buffer.next(now_us))
        };
        std::iter::from_fn(next).collect::<Vec<u64>>()
    };
    let first = read(buffer.wanted().unwrap());
    assert_eq!(give(&mut buffer, first).len(), 64);
    let late = read(buffer.wanted().unwrap());
    buffer.start_stream();
    let mut sent = give(&mut buffer, late);
    while let Some(wanted) = buffer.wanted() {
        sent.extend(give(&mut buffer, read(wanted)));
    }
    sent.sort_unstable();
    assert!(sent.into_iter().eq(1..=200), "each once on this stream");
}

#[test]
fn layouts_are_counted_once_while_they_are_shared() {
    let (mut buffer, shared) = (Buffer::new(SESSION, 1 << 20, 300), layout(100));
    buffer.push(frame(SESSION, 1, &shared));
    let one = buffer.account().bytes;
    buffer.push(frame(SESSION, 2, &shared));
    let two = buffer.account().bytes;
    let copy: Layout = Arc::from(shared.to_vec());
    buffer.push(frame(SESSION, 3, &copy));
    assert!(two - one < one);
    assert_eq!(buffer.account().bytes, two + one);
}
