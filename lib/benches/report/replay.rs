//! Analysis reading a topic that is made up as fast as it can be read: JSON records of many hosts
//! over the whole live window.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::Sender;
use realtime_monitor::analysis::{self, Config, HOSTS_MAX, LIVE_BYTES_MAX};
use realtime_monitor::base::clock::Real;
use realtime_monitor::base::counter::CountSources;
use realtime_monitor::base::thread;
use realtime_monitor::bus::{Bus, StoredRecord, partition_of};
use realtime_monitor::metric::{Frame, HostName, Samples, SessionId};
use realtime_monitor::wire::json::{FrameRecord, encode_frame};
use serde_json::json;

use super::super::made_up::{BATCH_RECORDS, PARTITIONS, TopicMadeUp};
use super::super::support::fleet;
use super::super::usage;

/// `--hosts N --seconds N`: one frame a second of each.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let hosts = super::number(arguments, "--hosts")?;
    let seconds = super::number(arguments, "--seconds")?;
    let pss_before = usage::pss_bytes(std::process::id());
    let (bus, makers) = TopicMadeUp::new(hosts * seconds / u64::from(PARTITIONS));
    let read = Arc::clone(&bus.read);
    let bus: Arc<dyn Bus> = Arc::new(bus);
    let config = Config {
        history: None,
        hosts_max: HOSTS_MAX,
        live_bytes_max: LIVE_BYTES_MAX,
        counts: CountSources::default(),
    };
    let handle =
        analysis::start(config, &bus, Real::shared()).map_err(|error| error.to_string())?;
    let maker = thread::spawn("maker", move || make(hosts, seconds, &makers));
    let maker = maker.map_err(|error| error.to_string())?;
    let result = super::serve(&json!({ "pss_bytes": pss_before }), || {
        let threads = usage::own_threads();
        let consuming = threads.iter().filter(|(name, _)| name.starts_with("consume"));
        json!({
            "records_read": read.load(Relaxed),
            "consume_us": consuming.map(|(_, time)| time.as_micros() as u64).sum::<u64>(),
            "pss_bytes": usage::pss_bytes(std::process::id()),
            "frames_in_a_window": handle.view().window("bench-0000").map(|w| w.time_ms.len()),
        })
    });
    maker.abandon();
    result
}

/// Makes every record in the order in which a topic would have it.
fn make(hosts: u64, seconds: u64, makers: &[Sender<Vec<StoredRecord>>]) {
    let layout = fleet::layout();
    let start_ms = Real::shared().wall_ms() - seconds * 1_000;
    let names: Vec<HostName> = (0..hosts).map(|host| format!("bench-{host:04}").into()).collect();
    let mut waiting: Vec<Vec<StoredRecord>> = makers.iter().map(|_| Vec::new()).collect();
    let mut offsets = vec![0; makers.len()];
    for second in 0..seconds {
        for (number, host) in (0_u64..).zip(&names) {
            let time_ms = start_ms + second * 1_000 + number * 1_000 / hosts;
            let frame = Frame {
                session: SessionId(u128::from(number) + 1),
                seq: second + 1,
                elapsed_us: second * 1_000_000 + 1,
                time_ms,
                uncertainty_ms: 1,
                host_time_ms: time_ms,
                interval_ms: 1_000,
                sent_ms: time_ms,
                samples: Samples {
                    layout: layout.clone(),
                    // Hosts are not at the same place of the same course.
                    values: fleet::values(&layout, second + 1 + number * 17),
                },
            };
            let record = FrameRecord {
                host: host.clone(),
                server: "bench".into(),
                received_ms: time_ms + 1,
                clock_wrong: false,
                overtaken: false,
                frame,
            };
            let mut value = Vec::with_capacity(4_096);
            encode_frame(&record, &mut value);
            let key = host.as_bytes().to_vec();
            let at = partition_of(&key, PARTITIONS) as usize;
            waiting[at].push(StoredRecord { offset: offsets[at], key, value });
            offsets[at] += 1;
            if waiting[at].len() == BATCH_RECORDS {
                let _ = makers[at].send(std::mem::take(&mut waiting[at]));
            }
        }
    }
    for (waiting, maker) in waiting.into_iter().zip(makers) {
        let _ = maker.send(waiting);
    }
}
