//! A set of collectors that do what a file tells them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Scripted;
use crate::collector::tests::tree::{Tree, read};
use crate::collector::{
    Accumulator, CollectError, Collector, Context, PANICS_MAX, RETRY_AFTER, Registration,
    SAMPLES_PER_READING_MAX, Set, State,
};
use crate::metric::{Kind, MetricDef, SeriesKey, Unit, Value};

const fn def(name: &'static str) -> MetricDef {
    MetricDef { name, kind: Kind::Gauge, unit: Unit::None, help: "For tests." }
}

const LEFT: MetricDef = def("left");
const RIGHT: MetricDef = def("right");
const STEADY: MetricDef = def("steady");
const STRANGER: MetricDef = def("stranger");

static OBEDIENT: Registration = Registration {
    name: "obedient",
    default_enabled: true,
    help: "does what the file 'script' says",
    metrics: &[LEFT, RIGHT],
    build: |context| Box::new(Obedient { script: context.root.join("script") }),
};

static CONSTANT: Registration = Registration {
    name: "constant",
    default_enabled: true,
    help: "always the same",
    metrics: &[STEADY],
    build: |_| Box::new(Constant),
};

struct Obedient {
    script: PathBuf,
}

struct Constant;

impl Collector for Constant {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        out.push(&STEADY, &[], Value::Unsigned(1));
        Ok(())
    }
}

impl Collector for Obedient {
    fn collect(&mut self, out: &mut Accumulator<'_>) -> Result<(), CollectError> {
        let path = self.script.clone();
        let script = std::fs::read_to_string(&path).unwrap_or_default();
        for line in script.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["left", value] => out.push(&LEFT, &[], number(value)),
                ["right", label, value] => out.push(&RIGHT, &[("at", label)], number(value)),
                ["stranger"] => out.push(&STRANGER, &[], number("1")),
                ["fault", item] => out.fault(broken(path.clone(), item)),
                ["broken"] => return Err(broken(path, "all")),
                ["empty"] => return Err(CollectError::NoData { path }),
                ["unsupported"] => return Err(CollectError::Unsupported { path }),
                ["panic"] => panic!("expected by this test"),
                _ => unreachable!("{line}"),
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::Float(text.parse().unwrap()), Value::Unsigned)
}

fn broken(path: PathBuf, item: &str) -> CollectError {
    let (item, found) = (item.to_owned(), String::new());
    CollectError::Parse { path, line: 1, item, expected: "order", found }
}

fn set(tree: &Tree) -> (Set, Arc<Scripted>) {
    let clock = Scripted::new(0);
    let context = Context { clock: clock.clone(), ..tree.context() };
    (Set::new(&[&OBEDIENT, &CONSTANT], context), clock)
}

/// What the set says when the script says this.
#[track_caller]
fn check(set: &mut Set, tree: &Tree, script: &str, expected: &[&str]) {
    tree.write("script", script);
    assert_eq!(read(set), expected, "after: {script}");
}

#[test]
fn a_collector_that_fails_loses_its_own_samples_only() {
    let tree = Tree::new("set-fails");
    let (mut set, _) = set(&tree);
    check(&mut set, &tree, "left 1\nright a 2\n", &["left 1", "right{at=\"a\"} 2", "steady 1"]);
    let broken = "script:1: all: expected order, found nothing";
    check(&mut set, &tree, "left 3\nbroken\n", &["steady 1", broken]);
    check(&mut set, &tree, "left 3\nempty\n", &["steady 1"]);
    let torn = "script:1: b: expected order, found nothing";
    check(&mut set, &tree, "left 4\nfault b\n", &["left 4", "steady 1", torn]);
    check(&mut set, &tree, "left 5\n", &["left 5", "steady 1"]);
    let counts = set.counts();
    assert_eq!((counts.runs.get(), counts.failed_runs.get(), counts.faults.get()), (10, 1, 2));
    assert_eq!(set.statuses().map(|status| status.faults).collect::<Vec<_>>(), [2, 0]);
    assert!(set.statuses().all(|status| status.last_error.is_none()));
}

#[test]
fn a_collector_that_panics_is_dead_after_the_third_time() {
    let tree = Tree::new("set-panics");
    let (mut set, _) = set(&tree);
    for times in 1..=PANICS_MAX {
        check(&mut set, &tree, "left 1\n", &["left 1", "steady 1"]);
        let words = format!("panicked, {times} times by now");
        check(&mut set, &tree, "left 1\npanic\n", &["steady 1", &words]);
    }
    check(&mut set, &tree, "left 1\n", &["steady 1"]);
    assert_eq!(set.statuses().next().map(|status| status.state), Some(State::Dead));
    assert_eq!((set.counts().panics.get(), set.counts().dead.get()), (3, 1));
}

#[test]
fn what_is_not_supported_is_asked_again_a_minute_later() {
    let tree = Tree::new("set-unsupported");
    let (mut set, clock) = set(&tree);
    let off = "script: not on this kernel or not in this container";
    check(&mut set, &tree, "unsupported\n", &["steady 1", off]);
    assert_eq!(set.counts().off.get(), 1);
    clock.advance(RETRY_AFTER - Duration::from_millis(1));
    check(&mut set, &tree, "left 1\n", &["steady 1"]);
    clock.advance(Duration::from_millis(1));
    check(&mut set, &tree, "unsupported\n", &["steady 1", off]);
    clock.advance(RETRY_AFTER);
    check(&mut set, &tree, "left 1\n", &["left 1", "steady 1"]);
    assert_eq!(set.counts().off.get(), 0);
}

#[test]
fn only_what_is_due_is_taken_and_only_what_is_needed_runs() {
    let tree = Tree::new("set-due");
    let (mut set, _) = set(&tree);
    tree.write("script", "left 1\nright a 2\nright b 3\n");
    let mut take = |names: &[&str]| {
        let reading = set.collect(&|def| names.contains(&def.name));
        reading.samples.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(take(&["right"]), ["right{at=\"a\"}", "right{at=\"b\"}"]);
    assert_eq!(take(&["left", "steady"]), ["left", "steady"]);
    assert_eq!(take(&["steady"]), ["steady"]);
    assert_eq!(take(&[]), [""; 0]);
    assert_eq!(set.statuses().map(|status| status.runs).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(set.metrics().map(|def| def.name).collect::<Vec<_>>(), ["left", "right", "steady"]);
}

#[test]
fn what_must_not_travel_is_refused() {
    let tree = Tree::new("set-refused");
    let (mut set, _) = set(&tree);
    let once = "left: expected each series once in a reading";
    check(&mut set, &tree, "left 1\nleft 2\n", &["left 1", "steady 1", once]);
    for wrong in ["NaN", "inf", "-inf"] {
        let finite = "left: expected a finite number";
        check(&mut set, &tree, &format!("left {wrong}\n"), &["steady 1", finite]);
    }
    let stranger = "stranger: expected a metric that its collector registers";
    check(&mut set, &tree, "stranger\nleft 1\n", &["left 1", "steady 1", stranger]);
    let long = format!("right {} 1\n", "x".repeat(65));
    let label = "right: expected labels of at most 64 bytes";
    check(&mut set, &tree, &long, &["steady 1", label]);
    let many: String =
        (0..SAMPLES_PER_READING_MAX + 20).map(|at| format!("right {at} 1\n")).collect();
    tree.write("script", &many);
    let reading = set.collect(&|_| true);
    assert_eq!(reading.samples.len(), SAMPLES_PER_READING_MAX);
    assert_eq!(reading.errors.len(), 8 + 1, "the first eight of one, and the one of the other");
    assert_eq!(set.statuses().map(|status| status.faults).max(), Some(6 + 20));
}

/// Against a plain model: a reading is the list of what was pushed, whatever was pushed before.
#[test]
fn readings_equal_a_plain_list() {
    for seed in 1..=20_u64 {
        let tree = Tree::new("set-model");
        let (mut set, _) = set(&tree);
        let mut state = seed;
        let mut layouts = BTreeMap::new();
        for tick in 0..100 {
            let mut random = |below: u64| {
                // xorshift64 (Marsaglia 2003).
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let mut labels: Vec<u64> = (0..5).filter(|_| random(4) > 0).collect();
            if random(2) == 1 {
                labels.reverse();
            }
            let lines = labels.iter().map(|label| (format!("right {label} {tick}\n"), *label));
            let script: String = lines.map(|(line, _)| line).collect();
            tree.write("script", &format!("left {tick}\n{script}"));
            let due = random(8);
            let reading = set.collect(&|def| match def.name {
                "left" => due & 1 > 0,
                "right" => due & 2 > 0,
                _ => due & 4 > 0,
            });
            let mut model = Vec::new();
            if due & 1 > 0 {
                model.push((SeriesKey::plain("left"), Value::Unsigned(tick)));
            }
            for label in labels.iter().filter(|_| due & 2 > 0) {
                let key = SeriesKey::labelled("right", &[("at", &label.to_string())]);
                model.push((key, Value::Unsigned(tick)));
            }
            if due & 4 > 0 {
                model.push((SeriesKey::plain("steady"), Value::Unsigned(1)));
            }
            let got: Vec<_> =
                reading.samples.iter().map(|(key, value)| (key.clone(), value)).collect();
            assert_eq!(got, model, "seed {seed}, tick {tick}");
            // The same series as in the reading before: the same layout, not an equal one.
            let keys: Vec<_> = model.iter().map(|(key, _)| key.to_string()).collect();
            if let Some((last, known)) =
                layouts.insert(keys, (tick, reading.samples.layout.clone()))
                && last + 1 == tick
            {
                assert!(Arc::ptr_eq(&known, &reading.samples.layout), "seed {seed}, tick {tick}");
            }
        }
    }
}
