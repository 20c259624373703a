//! The enabled collectors, and readings of what is due.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::thread::contain;
use crate::base::throttle::Throttle;
use crate::metric::{MetricDef, Samples};

use super::accumulator::{Accumulator, Gathered, Previous};
use super::error::CollectError;
use super::fault_log::FaultLog;
use super::interned::Interned;
use super::registration::{Collector, Context, Registration};
use super::status::{CollectorCounts, State, Status};

/// How long a collector whose source is missing stays off: a module that is loaded later, or a
/// file system mounted later, is found within a minute.
pub const RETRY_AFTER: Duration = Duration::from_secs(60);

/// After this many panics a collector is not run any more. It is built anew after each, so that
/// one damaged state does not panic for ever.
pub const PANICS_MAX: u32 = 3;

/// A run that takes this long is logged and counted: five ticks at 20 Hz.
pub const SLOW_RUN: Duration = Duration::from_millis(250);

/// At most one line about a collector in this time, though its fault changes at every run.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// One reading.
#[derive(Debug)]
pub struct Reading {
    /// What was due and could be read. Equal series share one layout from reading to reading.
    pub samples: Samples,
    /// Collectors and what was wrong with them; the first eight faults of each.
    pub errors: Vec<(&'static str, CollectError)>,
    /// How long it took.
    pub duration: Duration,
}

/// Enabled collectors with all they keep between readings.
#[derive(Debug)]
pub struct Set {
    context: Context,
    members: Vec<Member>,
    interned: Interned,
    gathered: Gathered,
    counts: Arc<CollectorCounts>,
}

struct Member {
    registration: &'static Registration,
    collector: Box<dyn Collector>,
    previous: Previous,
    status: Status,
    log: FaultLog,
    slow: Throttle,
}

/// Reads everything that these collectors can take, once: what `monitor-client --once` prints.
#[must_use]
pub fn once(registrations: &[&'static Registration], context: Context) -> Reading {
    Set::new(registrations, context).collect(&|_| true)
}

impl Set {
    /// Builds the collectors; [`select`](super::select) chooses them by name.
    #[must_use]
    pub fn new(registrations: &[&'static Registration], mut context: Context) -> Self {
        context.user_hz = context.user_hz.max(1);
        let members = registrations.iter().map(|known| Member::new(known, &context)).collect();
        let (interned, gathered) = (Interned::default(), Gathered::default());
        Self { context, members, interned, gathered, counts: Arc::default() }
    }

    /// Reads every metric that `which` says is due. A collector runs only if one of its metrics
    /// is; what goes wrong with it leaves the others alone.
    #[must_use]
    pub fn collect(&mut self, which: &dyn Fn(&MetricDef) -> bool) -> Reading {
        let started = self.context.clock.monotonic();
        self.interned.make_room();
        self.gathered.reading += 1;
        self.gathered.ids.clear();
        let mut errors = Vec::new();
        for member in &mut self.members {
            let due = member.due(which);
            if due == 0 || !member.is_ready(started) {
                continue;
            }
            let run = Run {
                context: &self.context,
                interned: &mut self.interned,
                gathered: &mut self.gathered,
                counts: &self.counts,
            };
            member.run(due, run, &mut errors);
        }
        let len = self.gathered.values.len();
        self.counts.samples.add(len as u64);
        let in_state = |wanted: fn(&State) -> bool| {
            self.members.iter().filter(|member| wanted(&member.status.state)).count() as u64
        };
        self.counts.off.set(in_state(|state| matches!(state, State::Off { .. })));
        self.counts.dead.set(in_state(|state| matches!(state, State::Dead)));
        let layout = self.interned.layout(&self.gathered.ids);
        let values = std::mem::replace(&mut self.gathered.values, Vec::with_capacity(len));
        let duration = self.context.clock.monotonic().saturating_sub(started);
        Reading { samples: Samples { layout, values }, errors, duration }
    }

    /// The collectors, in the order in which they were given: the catalogue.
    pub fn catalogue(&self) -> impl Iterator<Item = &'static Registration> {
        self.members.iter().map(|member| member.registration)
    }

    /// Every metric that it can take.
    pub fn metrics(&self) -> impl Iterator<Item = &'static MetricDef> {
        self.catalogue().flat_map(|registration| registration.metrics)
    }

    /// What each collector says about itself.
    pub fn statuses(&self) -> impl Iterator<Item = &Status> {
        self.members.iter().map(|member| &member.status)
    }

    /// Counts of all collectors together; another thread may read them at any time.
    #[must_use]
    pub fn counts(&self) -> Arc<CollectorCounts> {
        Arc::clone(&self.counts)
    }

    /// Root of the file system that is read.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.context.root
    }
}

/// What a member borrows from its set for one run.
struct Run<'a> {
    context: &'a Context,
    interned: &'a mut Interned,
    gathered: &'a mut Gathered,
    counts: &'a CollectorCounts,
}

impl Member {
    fn new(registration: &'static Registration, context: &Context) -> Self {
        Self {
            registration,
            collector: (registration.build)(context),
            previous: Previous::default(),
            status: Status::new(registration.name),
            log: FaultLog::new(LOG_PERIOD),
            slow: Throttle::new(LOG_PERIOD),
        }
    }

    /// A bit for each of its metrics that is due.
    fn due(&self, which: &dyn Fn(&MetricDef) -> bool) -> u64 {
        let metrics = self.registration.metrics.iter().enumerate();
        metrics.filter(|(_, def)| which(def)).fold(0, |due, (index, _)| due | 1 << index)
    }

    fn is_ready(&self, now: Duration) -> bool {
        match self.status.state {
            State::Ready => true,
            State::Off { retry_at } => now >= retry_at,
            State::Dead => false,
        }
    }

    fn run(&mut self, due: u64, run: Run<'_>, errors: &mut Vec<(&'static str, CollectError)>) {
        let name = self.registration.name;
        let started = run.context.clock.monotonic();
        let before = run.gathered.ids.len();
        let (previous, interned) = (&mut self.previous, run.interned);
        let mut out =
            Accumulator::new(self.registration, due, previous, interned, &mut *run.gathered);
        let outcome = contain(name, || self.collector.collect(&mut out));
        let (mut faults, mut faults_count) = out.finish();
        self.status.state = State::Ready;
        let failure = match outcome {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error),
            None => Some(self.rebuild(run.context, run.counts)),
        };
        let mut no_data = None;
        if let Some(error) = failure {
            // Half a run is no reading: what this call pushed is taken back.
            run.gathered.ids.truncate(before);
            run.gathered.values.truncate(before);
            if let CollectError::Unsupported { .. } = error {
                self.status.state = State::Off { retry_at: started + RETRY_AFTER };
            }
            if let CollectError::NoData { .. } = error {
                no_data = Some(error.to_string());
            } else {
                run.counts.failed_runs.increment();
                faults_count += 1;
                faults.insert(0, error);
            }
        }
        run.counts.runs.increment();
        run.counts.faults.add(faults_count);
        self.status.runs += 1;
        self.status.faults += faults_count;
        self.status.last_error = faults.first().map(ToString::to_string).or(no_data);
        if let Some((level, line)) = self.log.line(self.status.state, faults.first(), faults_count)
        {
            log::log!(level, "collector {name}: {line}");
        }
        errors.extend(faults.into_iter().map(|error| (name, error)));
        let took = run.context.clock.monotonic().saturating_sub(started);
        self.note_duration(took, run.counts);
    }

    /// After a panic: a new collector without the state that may be damaged, until it is too often.
    fn rebuild(&mut self, context: &Context, counts: &CollectorCounts) -> CollectError {
        counts.panics.increment();
        self.status.panics += 1;
        self.previous = Previous::default();
        let rebuilt = contain(self.registration.name, || (self.registration.build)(context));
        match rebuilt {
            Some(collector) if self.status.panics < PANICS_MAX => self.collector = collector,
            _ => self.status.state = State::Dead,
        }
        CollectError::Panicked { times: self.status.panics }
    }

    fn note_duration(&mut self, took: Duration, counts: &CollectorCounts) {
        self.status.last_duration = took;
        self.status.total_duration += took;
        if took >= SLOW_RUN {
            counts.slow_runs.increment();
            if self.slow.pass().is_some() {
                let name = self.registration.name;
                log::warn!("collector {name}: one run took {} ms", took.as_millis());
            }
        }
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Collectors need not be `Debug`; what they say about themselves is enough.
        f.debug_struct("Member").field("status", &self.status).finish_non_exhaustive()
    }
}
