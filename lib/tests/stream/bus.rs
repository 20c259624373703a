//! A bus that does as it is told: blocks, fails a number of times, refuses marked records.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use realtime_monitor::bus::{
    Batch, Bus, BusError, Position, Publisher, Reader, Receipt, Record, Topic, partition_of,
};
use realtime_monitor::wire::json::{self, FrameRecord, RecordDecoder, SessionRecord, StagesRecord};

pub const PARTITIONS: u32 = 4;

/// Everything durable, in order, and the orders of the test.
#[derive(Debug, Default)]
pub struct ScriptedBus {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<(Topic, u32, Record)>,
    batches: Vec<usize>,
    blocked: bool,
    inside: usize,
    faults: VecDeque<Fault>,
    refused: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Fault {
    Error(BusError),
    Panic,
}

impl ScriptedBus {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Every call waits until [`release`](Self::release).
    pub fn block(&self) {
        self.lock().blocked = true;
    }

    pub fn release(&self) {
        self.lock().blocked = false;
        self.changed.notify_all();
    }

    /// The next calls with metrics fail like this, one after another.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// Batches with a record that holds these words are refused.
    pub fn refuse(&self, words: &str) {
        self.lock().refused = Some(words.to_owned());
    }

    /// Waits until as many calls are blocked.
    #[track_caller]
    pub fn wait_for_calls(&self, calls: usize) {
        let guard = self.lock();
        let limit = Duration::from_secs(20);
        let (state, _) = self
            .changed
            .wait_timeout_while(guard, limit, |state| state.inside < calls)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(state.inside >= calls, "{} calls wait, expected {calls}", state.inside);
    }

    pub fn frames(&self) -> Vec<FrameRecord> {
        self.decoded(|record| match record {
            json::Record::Frame(frame) => Some(*frame),
            _ => None,
        })
    }

    pub fn sessions(&self) -> Vec<SessionRecord> {
        self.decoded(|record| match record {
            json::Record::Session(session) => Some(*session),
            _ => None,
        })
    }

    pub fn stages(&self) -> Vec<StagesRecord> {
        self.decoded(|record| match record {
            json::Record::Stages(stages) => Some(stages),
            _ => None,
        })
    }

    /// Numbers of a host's frames, in the order in which they became durable.
    pub fn seqs(&self, host: &str) -> Vec<u64> {
        let frames = self.frames();
        frames.iter().filter(|frame| &*frame.host == host).map(|frame| frame.frame.seq).collect()
    }

    /// How many records each batch had.
    pub fn batches(&self) -> Vec<usize> {
        self.lock().batches.clone()
    }

    fn decoded<T>(&self, pick: impl Fn(json::Record) -> Option<T>) -> Vec<T> {
        let state = self.lock();
        let mut decoder = RecordDecoder::new();
        let mut decode = |(topic, partition, record): &(Topic, u32, Record)| {
            let count = if *topic == Topic::Metrics { PARTITIONS } else { 1 };
            assert_eq!(partition_of(&record.key, count), *partition, "the host's partition");
            pick(decoder.decode(&record.value).unwrap())
        };
        state.records.iter().filter_map(&mut decode).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, topic: Topic, partition: u32, records: &[Record]) -> Result<(), BusError> {
        let mut state = self.lock();
        state.inside += 1;
        self.changed.notify_all();
        state = self
            .changed
            .wait_while(state, |state| state.blocked)
            .unwrap_or_else(PoisonError::into_inner);
        state.inside -= 1;
        if topic == Topic::Metrics {
            match state.faults.pop_front() {
                Some(Fault::Error(error)) => return Err(error),
                Some(Fault::Panic) => {
                    drop(state);
                    panic!("scripted by the test");
                }
                None => {}
            }
        }
        if let Some(words) = &state.refused {
            let holds = |record: &Record| {
                record.value.windows(words.len()).any(|window| window == words.as_bytes())
            };
            if records.iter().any(holds) {
                return Err(BusError::Refused { what: "message too large".into() });
            }
        }
        state.batches.push(records.len());
        state.records.extend(records.iter().map(|record| (topic, partition, record.clone())));
        self.changed.notify_all();
        Ok(())
    }
}

/// As rooms share it: [`Bus`] is implemented for the handle, so that publishers can hold one.
#[derive(Debug, Clone)]
pub struct Shared(pub Arc<ScriptedBus>);

#[derive(Debug)]
struct ScriptedPublisher(Arc<ScriptedBus>);

impl Bus for Shared {
    fn partitions(&self, topic: Topic) -> u32 {
        if topic == Topic::Metrics { PARTITIONS } else { 1 }
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(ScriptedPublisher(Arc::clone(&self.0)))
    }

    fn reader(&self, _: Topic, _: u32, _: Position) -> Box<dyn Reader> {
        Box::new(NoReader)
    }
}

impl Publisher for ScriptedPublisher {
    fn begin(
        &mut self,
        topic: Topic,
        partition: u32,
        records: &[Record],
    ) -> Result<Receipt, BusError> {
        self.0.publish(topic, partition, records).map(|()| Receipt::durable())
    }
}

#[derive(Debug)]
struct NoReader;

impl Reader for NoReader {
    fn read(&mut self, _: Duration) -> Result<Batch, BusError> {
        Ok(Batch::default())
    }

    fn taken(&mut self, _: u64) {}
}
