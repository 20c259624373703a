//! Names, labels and forms; and that what is decoded for a name is all that it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::machine::session;
use super::world::{World, row};
use super::{BASE_MS, ask, spec};
use crate::analysis::history::Tier;
use crate::analysis::history::query::wanted::Wanted;
use crate::analysis::rate::Deriver;
use crate::analysis::view::{QueryForm, QuerySpec};
use crate::base::dice::Dice;
use crate::metric::{Samples, SeriesKey};

fn world() -> Arc<World> {
    let run = session(&mut Dice::new(5), 1, BASE_MS + 100, 900);
    let tiers = vec![Tier { bucket_ms: 1_000, keep_ms: 7_200_000 }];
    let mut world = World { now_ms: BASE_MS + 900_000, tiers, ..World::default() };
    world.hosts.insert("one".into(), vec![run]);
    world.build();
    Arc::new(world)
}

#[track_caller]
fn check(metrics: &[&str], labels: &[(&str, &str)], form: QueryForm, expected: &str) {
    let mut spec = spec(metrics, BASE_MS, BASE_MS + 900_000, 300);
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    spec.labels = labels.iter().map(owned).collect();
    spec.form = form;
    let answers = ask(&world(), &spec).unwrap();
    let names: Vec<&str> = answers[0].series.iter().map(|series| series.key.as_str()).collect();
    assert_eq!(names.join(" "), expected);
}

#[test]
fn sampled_names_stand_for_what_becomes_of_them() {
    let rate = QueryForm::Rate;
    check(&["processes"], &[], rate, "process_count");
    check(&["process_count", "processes"], &[], rate, "process_count");
    check(&["disk_busy_seconds_total"], &[], rate, "disk_busy_percent{device=\"sda\"}");
    let written = "disk_write_bytes_per_second disk_write_bytes_per_second{device=\"sda\"}";
    check(&["disk_written_bytes_total"], &[], rate, written);
    check(&["disk_write_*"], &[], rate, written);
    check(&["disk_written_*"], &[], rate, "");
    let user = [("mode", "user")];
    check(
        &["cpu_seconds_total", "cpu_usage_percent"],
        &user,
        rate,
        "cpu_mode_percent{mode=\"user\"}",
    );
    check(&["cpu_u*", "load1"], &[], rate, "cpu_usage_percent load1");
    check(&["memory_used_percent"], &[], rate, "memory_used_percent");
    check(&["nothing"], &[], rate, "");
    check(&[], &[], rate, "");
}

#[test]
fn raw_names_stand_for_themselves() {
    let raw = QueryForm::Raw;
    check(&["processes"], &[], raw, "processes");
    check(&["disk_written_bytes_total"], &[], raw, "disk_written_bytes_total{device=\"sda\"}");
    check(&["disk_b*"], &[], raw, "disk_busy_seconds_total{device=\"sda\"}");
    check(&["cpu_seconds_*"], &[("mode", "idle")], raw, "cpu_seconds_total{mode=\"idle\"}");
    // Derived values are no counters: they are what they are, by their whole name.
    check(
        &["cpu_usage_percent", "memory_*"],
        &[],
        raw,
        "cpu_usage_percent memory_available_bytes memory_total_bytes",
    );
    check(&["cpu_usage_*"], &[], raw, "");
}

/// Whatever is asked for, deriving from what is decoded gives what deriving from all gives.
#[test]
fn what_is_decoded_suffices() {
    let mut run = session(&mut Dice::new(9), 1, BASE_MS, 200);
    // Devices that do not count towards totals, and CPUs.
    for at in 0..run.rows.len() {
        let more = [
            ("cpu_core_seconds_total{cpu=\"0\",mode=\"idle\"}", at),
            ("cpu_core_seconds_total{cpu=\"0\",mode=\"user\"}", 2 * at),
            ("cpu_seconds_total{mode=\"guest\"}", at / 2),
            ("disk_read_bytes_total{device=\"sda1\"}", 7 * at),
            ("network_receive_bytes_total{interface=\"lo\"}", 9 * at),
        ];
        let more = more.map(|(key, value)| {
            (SeriesKey::parse(key).unwrap(), crate::metric::Value::Unsigned(value as u64))
        });
        let all: BTreeMap<_, _> = run.rows[at]
            .samples
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .chain(more)
            .collect();
        let old = &run.rows[at];
        run.rows[at] = row(old.seq, old.time_ms, old.elapsed_us, all.into_iter().collect());
    }
    let derive = |keep: &dyn Fn(&SeriesKey) -> bool, answer: &dyn Fn(&SeriesKey) -> bool| {
        let mut deriver = Deriver::new(Arc::default());
        let mut values = BTreeMap::new();
        for row in &run.rows {
            let kept = row.samples.iter().filter(|(key, _)| keep(key));
            let samples: Samples = kept.map(|(key, value)| (key.clone(), value)).collect();
            for (key, value) in deriver.derive(row.elapsed_us, &samples).named() {
                if answer(&key) {
                    values.insert((key.to_string(), row.seq), value);
                }
            }
        }
        values
    };
    let names = [
        "cpu_usage_percent",
        "cpu_mode_percent",
        "cpu_core_usage_percent",
        "memory_used_bytes",
        "memory_used_percent",
        "memory_total_bytes",
        "memory_available_bytes",
        "disk_*",
        "disk_read_bytes_per_second",
        "disk_write_bytes_per_second",
        "disk_busy_percent",
        "network_receive_bytes_per_second",
        "network_transmit_*",
        "process_count",
        "load1",
        "slow_per_second",
        "seventh",
        "cpu_seconds_total",
        "disk_written_bytes_total",
        "processes",
    ];
    let labels = [("mode", "user"), ("device", "sda"), ("interface", "lo"), ("cpu", "0")];
    for name in names {
        for label in std::iter::once(None).chain(labels.map(Some)) {
            let mut spec: QuerySpec = spec(&[name], 0, 1, 1);
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            spec.labels = label.map(owned).into_iter().collect();
            let wanted = Wanted::new(&spec);
            let pruned = derive(&|key| wanted.raw(key), &|key| wanted.derived(key));
            let all = derive(&|_| true, &|key| wanted.derived(key));
            assert_eq!(pruned, all, "{name} {label:?}");
            assert!(label.is_some() || !all.is_empty(), "{name}");
        }
    }
    let usage = Wanted::new(&spec(&["cpu_usage_percent"], 0, 1, 1));
    let needed = run.rows[0].samples.layout.iter().filter(|key| usage.raw(key)).count();
    assert!(needed <= 9, "no more than the modes of the CPU: {needed}");
}
