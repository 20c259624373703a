//! The sampler on a scripted clock.

use std::sync::Mutex;

use super::*;
use crate::base::clock::{Clock, Scripted};
use crate::base::stop;
use crate::client::buffer::Outgoing;
use crate::client::server_time::{RoundTrip, UNCERTAINTY_UNKNOWN_MS};
use crate::client::testing::{Script, shared};
use crate::wire::message::{Schedule, ScheduleEntry};

/// A whole second, so that the grid with phase 0 ticks at whole seconds from the start.
const START_US: u64 = 1_700_000_000_000_000;
const ALL: [&str; 3] = ["cpu_seconds_total", "memory_a_total", "memory_b_total"];

struct Bench {
    clock: Arc<Scripted>,
    shared: Arc<Shared>,
    sampler: Sampler,
    taken: Arc<Mutex<Vec<Vec<&'static str>>>>,
}

impl Bench {
    fn new(script: impl FnOnce(&Arc<Scripted>) -> Script) -> Self {
        let clock = Scripted::new(START_US);
        let shared = shared(&clock, 1 << 22, 300);
        let script = script(&clock);
        let taken = Arc::clone(&script.taken);
        let (grid, min) = (Grid::of_host(0), Duration::from_millis(50));
        let sampler = Sampler::new(Arc::clone(&shared), Box::new(script), grid, min, None);
        Self { clock, shared, sampler, taken }
    }

    fn quiet() -> Self {
        Self::new(|_| Script::new())
    }

    fn order(&mut self, entries: &[(&str, u32, u32)]) {
        let entry = |(pattern, interval_ms, lease_ms): &(&str, u32, u32)| ScheduleEntry {
            pattern: (*pattern).to_owned(),
            interval_ms: *interval_ms,
            lease_ms: *lease_ms,
        };
        let schedule = Schedule { revision: 1, entries: entries.iter().map(entry).collect() };
        self.shared.orders.replace(schedule, self.clock.monotonic());
        self.sampler.take_orders();
    }

    /// Lets time pass, waking the sampler when it asked to be woken.
    fn pass(&mut self, by: Duration) {
        let end = self.clock.monotonic() + by;
        while let Some(at) = self.sampler.wake_at().filter(|at| *at <= end) {
            self.clock.advance(at.saturating_sub(self.clock.monotonic()));
            self.sampler.tick();
        }
        self.clock.advance(end.saturating_sub(self.clock.monotonic()));
    }

    /// What was taken since the last time, and when: milliseconds since the start.
    fn frames(&self) -> Vec<(u64, Frame)> {
        let mut buffer = self.shared.buffer();
        buffer.start_stream();
        let mut frames = Vec::new();
        while let Some(Outgoing::Frame { frame, .. }) = buffer.next(0) {
            buffer.acknowledge(frame.seq, &[], 0);
            frames.push((frame.host_time_ms.wrapping_sub(START_US / 1_000), *frame));
        }
        frames
    }

    fn skipped(&self) -> u64 {
        self.shared.counts.ticks_skipped.get()
    }
}

#[test]
fn the_default_takes_everything_once_a_second() {
    let mut bench = Bench::quiet();
    bench.pass(Duration::from_millis(3_500));
    let frames = bench.frames();
    assert_eq!(frames.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1_000, 2_000, 3_000]);
    assert_eq!(*bench.taken.lock().unwrap(), vec![ALL.to_vec(); 3]);
    for (at, (ms, frame)) in frames.iter().enumerate() {
        assert_eq!((frame.seq, frame.elapsed_us), (at as u64 + 1, ms * 1_000));
        assert_eq!((frame.interval_ms, frame.uncertainty_ms), (1_000, UNCERTAINTY_UNKNOWN_MS));
    }
    assert_eq!(bench.skipped(), 0);
}

#[test]
fn what_coincides_is_one_frame_and_a_new_order_counts_at_once() {
    let mut bench = Bench::quiet();
    bench.order(&[("cpu", 100, 0), ("memory", 500, 0)]);
    bench.pass(Duration::from_millis(500));
    let cpu = vec!["cpu_seconds_total"];
    assert_eq!(*bench.taken.lock().unwrap(), [vec![cpu; 4], vec![ALL.to_vec()]].concat());
    bench.order(&[("cpu", 0, 0)]);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.frames().len(), 5);
    bench.order(&[("cpu", 50, 0)]);
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.frames().len(), 2, "the pause is nothing to catch up with");
    assert_eq!(bench.skipped(), 0);
}

#[test]
fn a_faster_order_has_no_ticks_before_it_came() {
    let mut bench = Bench::quiet();
    bench.pass(Duration::from_millis(1_930));
    bench.order(&[("*", 100, 0)]);
    bench.pass(Duration::from_millis(100));
    let at: Vec<u64> = bench.frames().into_iter().map(|(at, _)| at).collect();
    assert_eq!((at, bench.skipped()), (vec![1_000, 2_000], 0));
}

#[test]
fn a_lease_ends_by_our_own_clock() {
    let mut bench = Bench::quiet();
    bench.order(&[("*", 1_000, 0), ("cpu", 100, 1_000)]);
    bench.clock.set_wall_us(5);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.frames().len(), 10);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.frames().len(), 3);
}

#[test]
fn collect_takes_a_frame_now() {
    let mut bench = Bench::quiet();
    bench.clock.advance(Duration::from_millis(123));
    bench.shared.orders.collect(vec!["mem*_a*".into(), "nothing".into()]);
    bench.sampler.take_orders();
    let frames = bench.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].0, frames[0].1.interval_ms), (123, 0));
    assert_eq!(*bench.taken.lock().unwrap(), [["memory_a_total"]]);
    bench.shared.orders.collect(vec!["nothing".into()]);
    bench.sampler.take_orders();
    assert_eq!((bench.frames().len(), bench.shared.counts.readings_empty.get()), (0, 1));
}

#[test]
fn a_reading_that_outlasts_its_ticks_skips_them_and_counts() {
    let mut bench = Bench::new(|clock| {
        let (mut script, clock) = (Script::new(), Arc::clone(clock));
        script.during = Box::new(move |number| {
            if number == 2 {
                clock.advance(Duration::from_millis(350));
            }
        });
        script
    });
    bench.order(&[("cpu", 100, 0)]);
    bench.pass(Duration::from_millis(800));
    let at: Vec<u64> = bench.frames().into_iter().map(|(at, _)| at).collect();
    assert_eq!(at, [100, 200, 550, 600, 700, 800]);
    assert_eq!(bench.skipped(), 2, "300 and 400; 500 came late");
}

#[test]
fn a_stop_of_two_minutes_is_one_late_frame_and_no_burst() {
    let mut bench = Bench::quiet();
    bench.pass(Duration::from_secs(1));
    bench.clock.advance(Duration::from_millis(120_500));
    bench.sampler.tick();
    bench.pass(Duration::from_millis(2_500));
    let at: Vec<u64> = bench.frames().into_iter().map(|(at, _)| at).collect();
    assert_eq!(at, [1_000, 121_500, 122_000, 123_000, 124_000]);
    assert_eq!(bench.skipped(), 119);
}

#[test]
fn ticks_follow_the_servers_clock_and_its_steps_skip_nothing() {
    let mut bench = Bench::quiet();
    let mut server = |ahead_us: i64| {
        bench.shared.server_time().new_server();
        let sent_us = micros(bench.clock.monotonic());
        let time_us = (START_US + sent_us).wrapping_add_signed(ahead_us);
        let trip = RoundTrip {
            sent_us,
            server_received_us: time_us,
            server_sent_us: time_us,
            received_us: sent_us,
        };
        let wall_us = bench.clock.wall_us();
        bench.shared.server_time().observe(trip, wall_us);
        bench.pass(Duration::from_secs(3));
        bench.frames().into_iter().map(|(_, frame)| frame.time_ms % 1_000).collect::<Vec<_>>()
    };
    assert_eq!(server(3_600_000_300).len(), 4, "one at the step, then three");
    assert_eq!(server(0), [0, 0, 0]);
    assert_eq!(server(-300_000_000_400), [0, 0, 0]);
    assert_eq!(bench.skipped(), 0);
}

#[test]
fn a_panicking_reading_is_contained() {
    let mut bench = Bench::new(|_| {
        let mut script = Script::new();
        script.during = Box::new(|number| assert!(number != 2, "expected by this test"));
        script
    });
    bench.pass(Duration::from_secs(3));
    let seqs: Vec<u64> = bench.frames().into_iter().map(|(_, frame)| frame.seq).collect();
    assert_eq!((seqs, bench.shared.counts.readings_failed.get()), (vec![1, 2], 1));
}

#[test]
fn the_sampled_log_has_every_frame() {
    let path = std::env::temp_dir().join(format!("client-sampled-{}", std::process::id()));
    let mut bench = Bench::quiet();
    bench.sampler.log = Some(SampledLog::open(&path).unwrap());
    bench.pass(Duration::from_secs(2));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let start_ms = START_US / 1_000;
    let line = |seq: u64| format!("{:032x} {seq} {}\n", 42, start_ms + seq * 1_000);
    assert_eq!(text, line(1) + &line(2));
}

#[test]
fn the_thread_waits_for_orders_ticks_and_the_stop() {
    let Bench { clock, shared, sampler, taken } = Bench::quiet();
    let (stopper, stop) = stop::pair();
    let thread = crate::base::thread::spawn("test-sampler", move || sampler.run(&stop)).unwrap();
    let limit = Duration::from_secs(10);
    assert!(clock.wait_for_timers(1, limit));
    clock.advance(Duration::from_secs(1));
    assert!(clock.wait_for_timers(2, limit));
    shared.orders.collect(vec!["cpu".into()]);
    assert!(clock.wait_for_timers(3, limit));
    assert_eq!(*taken.lock().unwrap(), [ALL.to_vec(), vec!["cpu_seconds_total"]]);
    assert!(shared.uplink_woken().0.try_recv().is_ok(), "the uplink was woken");
    drop(stopper);
    thread.join();
}
