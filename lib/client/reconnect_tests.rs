//! The policy on a clock that only the test moves.

use std::collections::BTreeMap;

use super::*;
use crate::base::dice::Dice;

const SECOND: Duration = Duration::from_secs(1);

fn servers(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("monitor-{number}.example.org:50051")).collect()
}

fn lost() -> Ending {
    Ending::Lost("connection refused".into())
}

/// A policy and its clock.
struct Bench {
    policy: Reconnect,
    counts: ClientCounts,
    now: Duration,
}

impl Bench {
    fn new(count: usize) -> Self {
        let policy = Reconnect::new(&servers(count), "web-1");
        Self { policy, counts: ClientCounts::new(), now: 100 * SECOND }
    }

    /// A stream ended; the clock goes on to the next try. How long that took.
    fn ends(&mut self, ending: &Ending, lived: Option<Duration>) -> Duration {
        let wait = self.policy.after(ending, lived, self.now, &self.counts).unwrap();
        self.now += wait;
        wait
    }

    fn at(&self) -> String {
        self.policy.address().to_owned()
    }
}

#[test]
fn a_refusal_waits_five_minutes_and_a_loss_backs_off_to_thirty_seconds() {
    let mut bench = Bench::new(1);
    for _ in 0..20 {
        assert!(bench.ends(&lost(), None) <= WAIT_MAX);
    }
    let limit = |bench: &Bench| bench.policy.places[0].backoff.limit();
    assert_eq!(limit(&bench), WAIT_MAX);
    bench.ends(&lost(), Some(59 * SECOND));
    assert_eq!(limit(&bench), WAIT_MAX, "a short life is no health");
    assert!(bench.ends(&lost(), Some(HEALTHY)) <= WAIT_FIRST);
    assert_eq!(bench.ends(&Ending::Refused("name taken".into()), None), REFUSED_WAIT);
    assert_eq!(bench.policy.after(&Ending::Stopped, None, bench.now, &bench.counts), None);
    let counts = &bench.counts;
    assert_eq!((counts.connections_failed.get(), counts.connections_lost.get()), (20, 2));
    assert_eq!(counts.connections_refused.get(), 1);
}

#[test]
fn hosts_begin_spread_over_the_servers_and_so_do_those_of_one_that_dies() {
    let servers = servers(4);
    let (mut first, mut then) = (BTreeMap::new(), BTreeMap::new());
    for host in 0..10_000 {
        let mut bench = Bench::new(4);
        bench.policy = Reconnect::new(&servers, &format!("h{host}"));
        let begun = bench.at();
        *first.entry(begun.clone()).or_insert(0) += 1;
        if begun == servers[0] {
            bench.ends(&lost(), Some(HEALTHY));
            *then.entry(bench.at()).or_insert(0) += 1;
        }
    }
    // 2,500 and 833 are to be expected; four standard deviations are 173 and 94.
    assert!(first.len() == 4 && first.values().all(|n| (2_327..=2_673).contains(n)), "{first:?}");
    assert!(then.len() == 3 && then.values().all(|n| (739..=927).contains(n)), "{then:?}");
    let mut reversed = servers.clone();
    reversed.reverse();
    let order = |servers: &[String]| Reconnect::new(servers, "web-1").address().to_owned();
    assert_eq!(order(&servers), order(&reversed), "the order of the list says nothing");
}

#[test]
fn whoever_has_one_that_works_is_there_within_half_a_second() {
    let mut bench = Bench::new(2);
    for _ in 0..20 {
        let gone = bench.at();
        // The other one, asked in vain while this one was there, is back.
        let wait = bench.ends(&lost(), Some(12 * SECOND));
        assert!(bench.at() != gone && wait <= WAIT_FIRST, "{wait:?}");
        bench.now += 12 * SECOND;
    }
    // At the first start: at once.
    let mut bench = Bench::new(3);
    assert_eq!(
        (bench.ends(&lost(), None), bench.ends(&lost(), None)),
        (Duration::ZERO, Duration::ZERO)
    );
}

#[test]
fn with_all_of_them_gone_each_is_asked_ever_more_seldom() {
    for count in [2, 5] {
        let mut bench = Bench::new(count);
        let mut tries = BTreeMap::<_, usize>::new();
        let until = bench.now + 3_600 * SECOND;
        while bench.now < until {
            *tries.entry(bench.at()).or_default() += 1;
            bench.ends(&lost(), None);
        }
        // An hour has 240 pauses of 15 s, half of the longest; and some short ones before.
        assert!(
            tries.len() == count && tries.values().all(|n| (180..320).contains(n)),
            "{tries:?}"
        );
    }
}

#[test]
fn servers_that_take_everybody_in_and_throw_them_out_are_no_busy_loop() {
    let mut bench = Bench::new(2);
    let until = bench.now + 3_600 * SECOND;
    let mut tries = 0;
    while bench.now < until {
        tries += 1;
        bench.ends(&lost(), Some(Duration::ZERO));
    }
    assert!(tries < 700, "{tries}");
}

#[test]
fn a_draining_server_is_left_alone_while_there_is_another() {
    let mut bench = Bench::new(2);
    let draining = bench.at();
    let rest = Duration::from_millis(700);
    assert_eq!(bench.ends(&Ending::Drained(rest), Some(5 * SECOND)), rest, "spread by the drain");
    let other = bench.at();
    assert_ne!(other, draining);
    assert_eq!(bench.counts.connections_drained.get(), 1);
    bench.now += 3 * SECOND;
    // If that one drains as well, the first may have come back already.
    assert_eq!(bench.ends(&Ending::Drained(rest), Some(3 * SECOND)), rest);
    assert_eq!(bench.at(), draining);
    bench.ends(&lost(), None);
    // Three servers: whatever happens, none of the others is passed over.
    let mut bench = Bench::new(3);
    let draining = bench.at();
    bench.ends(&Ending::Drained(Duration::ZERO), Some(5 * SECOND));
    let second = bench.at();
    bench.ends(&lost(), None);
    assert!(bench.at() != draining && bench.at() != second);
    // A lone server is asked again, a little later.
    let mut bench = Bench::new(1);
    let wait = bench.ends(&Ending::Drained(rest), Some(5 * SECOND));
    assert!((rest..=rest + WAIT_FIRST).contains(&wait), "{wait:?}");
}

#[test]
fn one_that_refuses_is_not_asked_for_five_minutes_and_the_others_are() {
    let mut bench = Bench::new(2);
    let refusing = bench.at();
    assert_eq!(bench.ends(&Ending::Refused("version".into()), None), Duration::ZERO);
    let other = bench.at();
    assert_ne!(other, refusing);
    let begun = bench.now;
    while bench.at() != refusing {
        assert!(bench.ends(&lost(), Some(20 * SECOND)) <= WAIT_MAX);
    }
    assert!(bench.now >= begun + REFUSED_WAIT);
}

#[test]
fn another_one_is_at_hand_or_not() {
    let mut bench = Bench::new(2);
    assert!(bench.policy.has_another(bench.now));
    assert!(!Bench::new(1).policy.has_another(bench.now));
    bench.ends(&Ending::Refused("version".into()), None);
    assert!(!bench.policy.has_another(bench.now));
}

/// Whatever happens: the wait is bounded, a server that is known to work and does not drain is
/// never passed over for longer than half a second, nobody is refused twice within five minutes.
#[test]
fn any_sequence_of_endings_keeps_the_promises() {
    for seed in 1..=300 {
        let mut dice = Dice::new(seed);
        let count = 2 + dice.below(3) as usize;
        let mut bench = Bench::new(count);
        let mut refused_at = BTreeMap::<String, Duration>::new();
        for round in 0..200 {
            let at = bench.at();
            let what = format!("seed {seed}, round {round}");
            if let Some(before) = refused_at.remove(&at) {
                assert!(bench.now >= before + REFUSED_WAIT, "{what}");
            }
            let lived = (dice.below(2) == 0).then(|| Duration::from_millis(dice.below(90_000)));
            bench.now += lived.unwrap_or_default();
            let ending = match dice.below(10) {
                0 => Ending::Drained(Duration::from_millis(dice.below(2_000))),
                1 if lived.is_none() => {
                    refused_at.insert(at.clone(), bench.now);
                    Ending::Refused("version".into())
                }
                _ => lost(),
            };
            let is_steady = lived.is_some_and(|lived| lived >= STEADY);
            let wait = bench.ends(&ending, lived);
            let drain = if let Ending::Drained(rest) = ending { rest } else { Duration::ZERO };
            let is_refused_by_all = refused_at.len() == count;
            assert!(is_refused_by_all || wait <= drain + WAIT_MAX, "{what}: {wait:?}");
            if is_steady && refused_at.is_empty() {
                assert!(wait <= drain + WAIT_FIRST && bench.at() != at, "{what}: {wait:?}");
            }
        }
    }
}
