//! The history against the topic: a point where there are frames, none where there is none, and in
//! each the lowest and the highest value, as far as the history keeps them apart: to 0.1 %.

use std::time::Duration;

use super::account::Topic;
use super::world::World;
use crate::support::points;

/// Compares everything since the beginning.
#[track_caller]
pub fn agrees_with(world: &World, topic: &Topic, elapsed: Duration) {
    let frames = topic.frames.values().map(|frame| (&*frame.host, frame.time_ms, frame.uptime));
    let expected = points::of(frames);
    let answered = points::answered(world.page, elapsed.as_secs() / 60 + 2);
    assert_eq!(answered.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let mut count = 0;
    for (host, points) in &expected {
        let answer = &answered[host];
        let (have, want): (Vec<_>, Vec<_>) = (answer.keys().collect(), points.keys().collect());
        assert_eq!(have, want, "{host}: points of the history, points of the topic");
        for (start_ms, (low, high)) in points {
            let (min, max) = answer[start_ms];
            let is_same =
                (below(*low)..=*low).contains(&min) && (*high..=above(*high)).contains(&max);
            assert!(is_same, "{host}, {start_ms}: {min} to {max}, in the topic {low} to {high}");
        }
        count += points.len();
    }
    eprintln!("{count} points of {} hosts agree with the topic", expected.len());
}

/// A double's upper 22 bits are kept of extremes, rounded away from what lies between.
const KEPT_BITS: u64 = !((1 << 42) - 1);

fn below(value: f64) -> f64 {
    f64::from_bits(value.to_bits() & KEPT_BITS)
}

fn above(value: f64) -> f64 {
    f64::from_bits((value.to_bits() & KEPT_BITS) + !KEPT_BITS + 1)
}
