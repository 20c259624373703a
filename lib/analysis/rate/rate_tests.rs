//! Counters become rates the same way however they are read; every formula; property tests.

use super::*;
use crate::base::dice::Dice;
use crate::metric::Samples;

fn deriver() -> Deriver {
    Deriver::new(Arc::default())
}

fn samples(pairs: &[(&str, f64)]) -> Samples {
    let key = |text: &str| SeriesKey::parse(text).unwrap();
    pairs.iter().map(|(text, value)| (key(text), Value::Float(*value))).collect()
}

fn counts(pairs: &[(&str, u64)]) -> Samples {
    let key = |text: &str| SeriesKey::parse(text).unwrap();
    pairs.iter().map(|(text, value)| (key(text), Value::Unsigned(*value))).collect()
}

fn get(step: &Step, key: &str) -> Option<f64> {
    let mut found = step.named().into_iter().filter(|(name, _)| name.as_str() == key);
    let value = found.next().map(|(_, value)| value);
    assert!(found.next().is_none(), "{key} came out twice");
    value
}

#[test]
fn cpu_usage_is_what_was_not_idle() {
    let reading = |user: f64, idle: f64, iowait: f64, guest: f64| {
        samples(&[
            ("cpu_seconds_total{mode=\"guest\"}", guest),
            ("cpu_seconds_total{mode=\"idle\"}", idle),
            ("cpu_seconds_total{mode=\"iowait\"}", iowait),
            ("cpu_seconds_total{mode=\"user\"}", user),
        ])
    };
    let mut deriver = deriver();
    let first = deriver.derive(0, &reading(10.0, 100.0, 5.0, 2.0));
    assert!(first.values.is_empty(), "the first reading yields nothing: {:?}", first.values);
    let step = deriver.derive(1_000_000, &reading(11.0, 102.0, 6.0, 2.5));
    // One of four seconds; guest is inside user and must not count twice.
    assert_eq!(get(&step, "cpu_usage_percent"), Some(25.0));
    assert_eq!(get(&step, "cpu_mode_percent{mode=\"idle\"}"), Some(50.0));
    assert_eq!(get(&step, "cpu_mode_percent{mode=\"guest\"}"), Some(12.5));
    // iowait steps back a little, as the kernel's may: no hole.
    let step = deriver.derive(2_000_000, &reading(12.0, 103.0, 5.99, 2.5));
    assert_eq!((get(&step, "cpu_usage_percent"), step.idle_steps_back), (Some(50.0), 1));
    // A reset is a hole of one step, counted.
    let step = deriver.derive(3_000_000, &reading(0.5, 1.0, 0.0, 0.0));
    assert_eq!((get(&step, "cpu_usage_percent"), step.resets), (None, 4));
    let step = deriver.derive(4_000_000, &reading(1.5, 1.0, 0.0, 0.0));
    assert_eq!(get(&step, "cpu_usage_percent"), Some(100.0));
    // Nothing passed: nothing to divide by.
    let step = deriver.derive(5_000_000, &reading(1.5, 1.0, 0.0, 0.0));
    assert_eq!(get(&step, "cpu_usage_percent"), None);
}

#[test]
fn each_cpu_has_its_usage() {
    let reading = |idle: f64, user: f64| {
        samples(&[
            ("cpu_core_seconds_total{cpu=\"3\",mode=\"idle\"}", idle),
            ("cpu_core_seconds_total{cpu=\"3\",mode=\"user\"}", user),
            ("cpu_core_seconds_total{cpu=\"4\",mode=\"idle\"}", 2.0 * idle),
        ])
    };
    let mut deriver = deriver();
    let _ = deriver.derive(0, &reading(1.0, 1.0));
    let step = deriver.derive(1_000_000, &reading(1.25, 1.75));
    assert_eq!(get(&step, "cpu_core_usage_percent{cpu=\"3\"}"), Some(75.0));
    assert_eq!(get(&step, "cpu_core_usage_percent{cpu=\"4\"}"), Some(0.0));
    assert_eq!(get(&step, "cpu_usage_percent"), None, "the machine was not asked");
}

#[test]
fn memory_used_is_total_less_available() {
    let mut deriver = deriver();
    let both = counts(&[("memory_available_bytes", 250), ("memory_total_bytes", 1_000)]);
    let step = deriver.derive(0, &both);
    assert_eq!(get(&step, "memory_used_bytes"), Some(750.0));
    assert_eq!(get(&step, "memory_used_percent"), Some(75.0));
    assert_eq!(get(&step, "memory_available_bytes"), Some(250.0));
    assert_eq!(step.summary[1..4], [Some(75.0), Some(750.0), Some(1_000.0)]);
    // The total is sampled less often; it has not changed meanwhile.
    let step = deriver.derive(1, &counts(&[("memory_available_bytes", 1_100)]));
    assert_eq!(get(&step, "memory_used_bytes"), Some(0.0), "never below zero");
    assert_eq!(get(&step, "memory_total_bytes"), None, "not of this frame");
    // Without an available figure (kernels before 3.14) nothing is made up.
    let step = Deriver::new(Arc::default()).derive(0, &counts(&[("memory_total_bytes", 9)]));
    assert_eq!(get(&step, "memory_used_bytes"), None);
}

#[test]
fn totals_leave_out_what_would_count_twice() {
    let reading = |at: u64| {
        counts(&[
            ("disk_read_bytes_total{device=\"sda\"}", 100 * at),
            ("disk_read_bytes_total{device=\"sda1\"}", 100 * at),
            ("disk_written_bytes_total{device=\"sda\"}", 7 * at),
            ("network_receive_bytes_total{interface=\"eth0\"}", 50 * at),
            ("network_receive_bytes_total{interface=\"eth1\"}", 5 * at),
            ("network_receive_bytes_total{interface=\"lo\"}", 1_000 * at),
            ("network_transmit_bytes_total{interface=\"lo\"}", 1_000 * at),
        ])
    };
    let mut deriver = deriver();
    let _ = deriver.derive(0, &reading(1));
    let step = deriver.derive(500_000, &reading(2));
    assert_eq!(get(&step, "disk_read_bytes_per_second"), Some(200.0));
    assert_eq!(get(&step, "disk_read_bytes_per_second{device=\"sda1\"}"), Some(200.0));
    assert_eq!(get(&step, "disk_write_bytes_per_second"), Some(14.0));
    assert_eq!(get(&step, "disk_write_bytes_per_second{device=\"sda\"}"), Some(14.0));
    assert_eq!(get(&step, "network_receive_bytes_per_second"), Some(110.0));
    assert_eq!(get(&step, "network_transmit_bytes_per_second"), None, "only lo: nothing");
    assert_eq!(
        get(&step, "network_receive_bytes_per_second{interface=\"lo\"}"),
        Some(2_000.0),
        "collected, so it has its own series"
    );
}

#[test]
fn where_nothing_remains_everything_counts() {
    let reading = |at: u64| {
        counts(&[
            ("disk_read_bytes_total{device=\"dm-0\"}", 10 * at),
            ("network_receive_bytes_total{interface=\"lo\"}", 1_000 * at),
            ("network_receive_bytes_total{interface=\"veth1\"}", 30 * at),
        ])
    };
    let mut deriver = deriver();
    let _ = deriver.derive(0, &reading(1));
    let step = deriver.derive(1_000_000, &reading(2));
    assert_eq!(get(&step, "disk_read_bytes_per_second"), Some(10.0));
    assert_eq!(get(&step, "network_receive_bytes_per_second"), Some(30.0), "but never lo");
}

#[test]
fn every_other_series_has_its_name() {
    let reading = |at: u64| {
        counts(&[
            ("processes", 123),
            ("load1", 2),
            ("uptime_seconds", 99),
            ("processes_running", 4),
            ("context_switches_total", 500 * at),
            ("network_receive_errors_total{interface=\"eth0\"}", at),
            ("disk_reads_total{device=\"sda\"}", 8 * at),
            ("disk_busy_seconds_total{device=\"sda\"}", 3 * at),
            ("cpu_usage_percent", 77),
            ("x_total{a=\"q\\\"\\\\\"}", at),
        ])
    };
    let mut deriver = deriver();
    let first = deriver.derive(0, &reading(0));
    assert_eq!(get(&first, "process_count"), Some(123.0), "gauges need no reading before");
    let step = deriver.derive(2_000_000, &reading(1));
    assert_eq!(step.summary[8..], [Some(123.0), Some(2.0), Some(99.0)]);
    assert_eq!(get(&step, "processes"), None);
    assert_eq!(get(&step, "load1"), Some(2.0));
    assert_eq!(get(&step, "processes_running"), Some(4.0));
    assert_eq!(get(&step, "context_switches_per_second"), Some(250.0));
    assert_eq!(get(&step, "network_receive_errors_per_second{interface=\"eth0\"}"), Some(0.5));
    assert_eq!(get(&step, "disk_reads_per_second{device=\"sda\"}"), Some(4.0));
    assert_eq!(get(&step, "disk_busy_percent{device=\"sda\"}"), Some(100.0), "clamped");
    assert_eq!(get(&step, "cpu_usage_percent"), None, "a derived name cannot be taken");
    assert_eq!(get(&step, "x_per_second{a=\"q\\\"\\\\\"}"), Some(0.5));
}

#[test]
fn any_split_of_a_counter_into_readings_gives_the_same_total() {
    for seed in 1..300_u64 {
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let start = dice.below(u64::MAX / 2);
        let mut truth = vec![(0_u64, start)];
        for _ in 0..50 {
            let (at, value) = truth[truth.len() - 1];
            // Suspended: the counter and CLOCK_MONOTONIC stand still together.
            truth.push((at + 1 + dice.below(2_000_000), value + dice.below(1 << 30)));
        }
        let mut deriver = deriver();
        let (mut sum, mut first, mut last) = (0.0, None, (0, 0));
        for (at, value) in truth {
            // Other series come and go in between; this one is read now and then.
            let _ = deriver.derive(at, &counts(&[("other_total", at)]));
            if dice.below(3) > 0 {
                continue;
            }
            let step = deriver.derive(at, &counts(&[("n_total", value), ("processes", 1)]));
            let rate = get(&step, "n_per_second");
            assert_eq!(rate.is_none(), first.is_none(), "seed {seed}: only the first has no rate");
            sum += rate.unwrap_or_default() * (at - last.0) as f64 / 1e6;
            first.get_or_insert(value);
            last = (at, value);
        }
        let grown = (last.1 - first.unwrap_or(last.1)) as f64;
        assert!((sum - grown).abs() <= grown * 1e-9, "seed {seed}: {sum} is not {grown}");
    }
}

#[test]
fn a_reset_or_a_wrap_costs_one_step_and_is_never_negative() {
    for seed in 1..200_u64 {
        let mut dice = Dice::new(seed * 7_919);
        let mut deriver = deriver();
        let (mut value, mut expected_resets, mut resets) = (u64::from(u32::MAX) - 500, 0, 0);
        for at in 0..100_u64 {
            let before = value;
            value = match dice.below(20) {
                0 => dice.below(10),
                1 => (value + 400) % (1 << 32),
                _ => value + dice.below(1_000),
            };
            expected_resets += u64::from(at > 0 && value < before);
            let step = deriver.derive(at * 1_000_000, &counts(&[("n_total", value)]));
            resets += step.resets;
            let rate = get(&step, "n_per_second");
            assert!(rate.is_none_or(|rate| rate >= 0.0), "seed {seed}: {rate:?}");
            assert_eq!(rate.is_none(), at == 0 || value < before, "seed {seed}, {before} {value}");
        }
        assert_eq!(resets, expected_resets, "seed {seed}");
    }
}

#[test]
fn too_many_series_are_refused_until_idle_ones_make_room() {
    let layout = |from: usize| -> Samples {
        let key = |at: usize| SeriesKey::labelled("x_total", &[("n", &at.to_string())]);
        (from..from + 1_500).map(|at| (key(at), Value::Unsigned(1))).collect()
    };
    let mut deriver = deriver();
    assert_eq!(deriver.derive(0, &layout(0)).refused, 0);
    assert_eq!(deriver.derive(1, &layout(1_500)).refused, 0);
    let step = deriver.derive(2, &layout(3_000));
    assert_eq!(step.refused, 500);
    let mut kept = layout(3_000);
    step.plan.keep(&mut kept);
    assert_eq!((kept.len(), kept.layout.len()), (1_000, 1_000));
    let later = 3 + SERIES_IDLE_US;
    assert_eq!(deriver.derive(later, &layout(5_000)).refused, 0, "the old ones were idle");
}
