//! Every order of Hello, answer, end and time, against what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn host() -> HostName {
    "web-1".into()
}

fn session(number: u128) -> SessionId {
    SessionId(number)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn nobody_held(_: StreamId) -> bool {
    false
}

#[test]
fn the_same_session_takes_over_at_once() {
    let mut names = Names::default();
    assert_eq!(names.claim(&host(), session(1), 10, at(0)), [Decision::Welcome(10)]);
    let decisions = names.claim(&host(), session(1), 11, at(1));
    assert!(matches!(&decisions[0], Decision::Replace { stream: 10, same_session: true, .. }));
    assert_eq!(decisions[1..], [Decision::Welcome(11)]);
    assert!(names.left(&host(), 10).is_empty(), "the old stream no longer has the name");
    assert!(names.left(&host(), 11).is_empty());
    assert_eq!(names.claim(&host(), session(2), 12, at(2)), [Decision::Welcome(12)]);
}

#[test]
fn another_session_waits_for_the_answer_and_is_refused() {
    let mut names = Names::default();
    names.claim(&host(), session(1), 10, at(0));
    let Decision::Ping(10, nonce) = names.claim(&host(), session(2), 11, at(5))[0] else {
        panic!("the holder is pinged");
    };
    assert!(names.answered(&host(), 10, nonce + 1).is_empty(), "another ping's answer");
    assert!(names.answered(&host(), 11, nonce).is_empty(), "not from the holder");
    let third = names.claim(&host(), session(3), 12, at(6));
    assert!(matches!(&third[..], [Decision::Refuse(12, _)]));
    let decisions = names.answered(&host(), 10, nonce);
    let [Decision::Refuse(11, words)] = &decisions[..] else { panic!("{decisions:?}") };
    assert!(words.contains("'web-1'") && words.contains("--host"), "{words}");
    assert!(names.tick(at(60), nobody_held).is_empty());
}

#[test]
fn a_silent_holder_loses_after_three_seconds_unless_it_is_held_back_here() {
    let mut names = Names::default();
    names.claim(&host(), session(1), 10, at(0));
    names.claim(&host(), session(2), 11, at(5));
    assert!(names.tick(at(7), nobody_held).is_empty());
    assert!(names.tick(at(9), |stream| stream == 10).is_empty());
    assert!(names.tick(at(11), nobody_held).is_empty());
    let decisions = names.tick(at(12), nobody_held);
    assert!(matches!(&decisions[0], Decision::Replace { stream: 10, same_session: false, .. }));
    assert_eq!(decisions[1..], [Decision::Welcome(11)]);
}

#[test]
fn the_end_of_the_holder_lets_the_challenger_in() {
    let mut names = Names::default();
    names.claim(&host(), session(1), 10, at(0));
    names.claim(&host(), session(2), 11, at(5));
    assert_eq!(names.left(&host(), 10), [Decision::Welcome(11)]);
    assert!(names.tick(at(60), nobody_held).is_empty());
    names.claim(&host(), session(3), 12, at(70));
    assert!(names.left(&host(), 12).is_empty(), "the challenger gives up");
    assert!(names.tick(at(80), nobody_held).is_empty());
}

/// What became of each stream, as its client would see it.
#[derive(Default)]
struct World {
    waiting: BTreeMap<StreamId, Duration>,
    welcomed: BTreeSet<StreamId>,
    pings: Vec<(StreamId, u64)>,
}

impl World {
    fn apply(&mut self, decisions: Vec<Decision>, place: &str) {
        for decision in decisions {
            match decision {
                Decision::Welcome(stream) => {
                    assert!(self.waiting.remove(&stream).is_some(), "{place}: {stream} twice");
                    self.welcomed.insert(stream);
                }
                Decision::Ping(stream, nonce) => self.pings.push((stream, nonce)),
                Decision::Refuse(stream, _) => {
                    assert!(self.waiting.remove(&stream).is_some(), "{place}: {stream}");
                }
                Decision::Replace { stream, .. } => {
                    let was = self.welcomed.remove(&stream);
                    assert!(was || self.waiting.remove(&stream).is_some(), "{place}: {stream}");
                }
            }
        }
        assert!(self.welcomed.len() <= 1, "{place}: two have the name: {:?}", self.welcomed);
        assert!(
            self.waiting.is_empty() || self.welcomed.len() == 1,
            "{place}: somebody waits for a name that nobody has"
        );
    }
}

#[test]
fn at_most_one_has_the_name_and_nobody_waits_longer_than_three_seconds() {
    for seed in 1..=500_u64 {
        let mut state = seed * 7_919;
        let mut dice = |limit: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % limit
        };
        let (mut names, mut world, mut now) = (Names::default(), World::default(), at(0));
        for step in 1..200_u64 {
            let place = format!("seed {seed}, step {step}");
            let decisions = match dice(6) {
                0 | 1 => {
                    world.waiting.insert(step, now);
                    names.claim(&host(), session(u128::from(dice(4))), step, now)
                }
                2 => match world.pings.pop() {
                    Some((stream, nonce)) => names.answered(&host(), stream, nonce),
                    None => Vec::new(),
                },
                3 => match world.welcomed.pop_first() {
                    Some(stream) => names.left(&host(), stream),
                    None => Vec::new(),
                },
                4 => match world.waiting.pop_first() {
                    Some((stream, _)) => names.left(&host(), stream),
                    None => Vec::new(),
                },
                _ => {
                    now += Duration::from_millis(dice(2_000));
                    names.tick(now, nobody_held)
                }
            };
            world.apply(decisions, &place);
            world.apply(names.tick(now, nobody_held), &place);
            for (stream, since) in &world.waiting {
                assert!(now < *since + ANSWER_LIMIT, "{place}: stream {stream} still waits");
            }
        }
        for stream in std::mem::take(&mut world.welcomed) {
            world.apply(names.left(&host(), stream), "the end");
        }
    }
}
