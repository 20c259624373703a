//! The account against a plain set of numbers.

use crate::base::dice::Dice;
use std::collections::BTreeSet;

use super::*;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// An account whose first ten frames have been acknowledged.
fn settled_in(window: u64) -> Account {
    let mut account = Account::new(1, window);
    for seq in 1..=10 {
        account.frame_durable(seq, (seq, seconds(0)));
        assert_eq!(account.take_due(seconds(0)).unwrap().through, seq, "singly");
    }
    account
}

#[test]
fn acks_come_after_32_frames_a_quarter_of_the_window_or_five_seconds() {
    for (window, frames) in [(300, 32), (40, 10), (3, 1), (0, 1), (u64::MAX, 32)] {
        let mut account = settled_in(window);
        for seq in 11..11 + frames {
            assert!(!account.is_due(seconds(1)), "window {window}, frame {seq}");
            account.frame_durable(seq, (seq, seconds(1)));
        }
        let told = account.take_due(seconds(1)).unwrap();
        assert_eq!((told.through, told.ranges.len()), (10 + frames, 0), "window {window}");
        assert!(account.take_due(seconds(100)).is_none(), "nothing new, nothing said");
    }
    let mut account = settled_in(300);
    account.frame_durable(11, (11, seconds(1)));
    account.frame_durable(12, (12, seconds(4)));
    assert!(account.take_due(Duration::from_millis(5_999)).is_none());
    assert_eq!(account.take_due(seconds(6)).unwrap().echo, (12, 12));
}

/// What a bus made durable only after five seconds has waited long enough.
#[test]
fn the_five_seconds_are_counted_from_the_receipt_of_the_first_frame() {
    let mut account = settled_in(300);
    account.declare((11, 11), "buffer full".into());
    account.record_begun();
    account.frame_durable(13, (13, seconds(4)));
    account.frame_durable(12, (12, seconds(2)));
    assert!(account.take_due(Duration::from_millis(6_999)).is_none());
    assert_eq!(account.take_due(seconds(7)).unwrap().ranges, [(12, 13)]);
    account.frame_durable(14, (14, seconds(3)));
    assert!(account.is_due(seconds(8)), "at once");
}

#[test]
fn a_ping_asks_for_what_there_is_to_say() {
    let mut account = settled_in(300);
    account.ask();
    assert!(account.take_due(seconds(1)).is_none());
    account.frame_durable(11, (11, seconds(1)));
    account.ask();
    assert_eq!(account.take_due(seconds(1)).unwrap().through, 11);
}

#[test]
fn a_server_that_has_just_started_says_nothing_of_earlier_frames_it_did_not_see() {
    let mut account = Account::new(500, 300);
    assert_eq!(account.through(), 499);
    account.frame_durable(502, (1, seconds(0)));
    let told = account.take_due(seconds(0)).unwrap();
    assert_eq!((told.through, told.ranges), (499, vec![(502, 502)]));
}

#[test]
fn a_declaration_counts_only_once_it_is_published() {
    let mut account = Account::new(1, 300);
    account.declare((1, 3), "buffer full".into());
    account.declare((4, 9), "buffer full".into());
    assert!(account.take_due(seconds(9)).is_none());
    account.record_begun();
    account.declare((10, 10), "buffer full".into());
    assert!(account.take_due(seconds(9)).is_none());
    account.record_durable(seconds(9));
    assert_eq!(account.take_due(seconds(9)).unwrap().through, 9);
    assert!(account.has_pending());
    account.record_begun();
    account.record_refused();
    assert_eq!((account.through(), account.is_quiet()), (9, true));
    assert!(account.durable().is_empty(), "what is gone was never durable");
}

#[test]
fn declarations_are_bounded() {
    let mut account = Account::new(1, 300);
    let mut forgotten = 0;
    for round in 0..3 {
        for number in 0..DECLARATIONS_MAX as u64 {
            let seq = 1 + 2 * (number + round * DECLARATIONS_MAX as u64);
            assert!(!account.is_full());
            account.declare((seq, seq), "spool full".into());
        }
        assert!(account.is_full());
        account.record_begun();
        forgotten += account.record_durable(seconds(0));
    }
    assert_eq!(forgotten, 2 * DECLARATIONS_MAX);
    assert_eq!(account.declarations().count(), DECLARATIONS_MAX);
}

#[test]
fn acks_are_true_complete_and_never_late() {
    for seed in 1..=300_u64 {
        let mut dice = Dice::new(seed * 7_919);
        let (first, window) = (1 + dice.below(50), dice.below(200));
        let mut account = Account::new(first, window);
        let mut durable: BTreeSet<u64> = BTreeSet::new();
        let mut declared: BTreeSet<u64> = BTreeSet::new();
        let mut pending: BTreeSet<u64> = BTreeSet::new();
        let mut told: BTreeSet<u64> = (0..first).collect();
        let (mut now, mut silent_since, mut silent_frames) = (seconds(0), None, 0);
        for step in 0..400 {
            let place = format!("seed {seed}, step {step}");
            match dice.below(10) {
                0..6 => {
                    let seq = first + dice.below(300);
                    account.frame_durable(seq, (step, now));
                    durable.insert(seq);
                    silent_since.get_or_insert(now);
                    silent_frames += 1;
                }
                6 => {
                    let from = first + dice.below(300);
                    let to = from + dice.below(4);
                    account.declare((from, to), "gone".into());
                    pending.extend(from..=to);
                }
                7 => {
                    account.record_begun();
                    account.record_durable(now);
                    declared.append(&mut pending);
                }
                8 => now += Duration::from_millis(dice.below(2_000)),
                _ => account.ask(),
            }
            let known = |seq: &u64| *seq < first || durable.contains(seq) || declared.contains(seq);
            while let Some(ack) = account.take_due(now) {
                let said: Vec<u64> = (0..=ack.through)
                    .chain(ack.ranges.iter().flat_map(|(from, to)| *from..=*to))
                    .collect();
                assert!(said.iter().all(known), "{place}: {ack:?}");
                assert!(ack.ranges.len() <= ACK_RANGES_MAX, "{place}");
                assert!(ack.ranges.iter().all(|range| range.0 > ack.through + 1), "{place}");
                told.extend(said);
                (silent_since, silent_frames) = (None, 0);
            }
            assert!(silent_frames < (window / 4).clamp(1, 32), "{place}");
            assert!(silent_since.is_none_or(|since| now < since + ACK_DELAY_MAX), "{place}");
            let plain_through = (0..).take_while(known).last().unwrap();
            assert_eq!(account.through(), plain_through, "{place}");
        }
        account.ask();
        while let Some(ack) = account.take_due(now) {
            told.extend(0..=ack.through);
            told.extend(ack.ranges.iter().flat_map(|(from, to)| *from..=*to));
        }
        let missing: Vec<_> = durable.union(&declared).filter(|seq| !told.contains(seq)).collect();
        assert!(missing.is_empty(), "seed {seed}: never told {missing:?}");
        let expected: Vec<u64> = durable.iter().copied().collect();
        let counted: Vec<u64> = account.durable().iter().flat_map(|(a, b)| *a..=*b).collect();
        assert_eq!(counted, expected, "seed {seed}");
    }
}
