//! Syncing beside the writing: what the keeper has written is made to survive the loss of power by
//! a thread of its own, since a slow disk takes seconds for it and writing must not wait.
//!
//! At most one job is under way. Whatever is written after it was handed over counts as unsynced,
//! and is the next one's.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvError, Sender, bounded, never, select};

use super::disk::{SpoolError, Task};
use super::keeper::{Keeper, RETRY_INTERVAL};
use super::store::Spool;
use crate::base::quantity::format_duration;
use crate::base::stop::Stop;
use crate::base::thread::contain;

/// A sync that takes longer is told and counted, once: a disk that works takes a few seconds.
pub(super) const SYNC_LIMIT: Duration = Duration::from_secs(30);

/// What a job does, piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The contents of a file.
    File(u64),
    /// Which files there are.
    Names,
}

/// What did not become of a job, and why; nothing when all of it is done.
pub(super) type Failures = Vec<(Part, io::Error)>;

/// One sync on its way to the thread that does it.
pub(super) struct Job {
    parts: VecDeque<(Part, Task)>,
    failures: Failures,
}

impl Job {
    pub(super) fn new(parts: VecDeque<(Part, Task)>) -> Self {
        Self { parts, failures: Vec::new() }
    }

    /// Does the next part; false when there is none.
    pub(super) fn step(&mut self) -> bool {
        let Some((part, task)) = self.parts.pop_front() else { return false };
        let done = contain("syncing the spool", task);
        let done = done.unwrap_or_else(|| Err(io::Error::other("syncing it panicked")));
        // One file that cannot be synced keeps none of the others from it.
        self.failures.extend(done.err().map(|error| (part, error)));
        true
    }

    /// What became of the parts that were done.
    pub(super) fn end(self) -> Failures {
        self.failures
    }

    /// Nobody is there to do it.
    fn refused(self) -> Failures {
        let gone = || io::Error::other("the thread that syncs it has ended");
        self.parts.into_iter().map(|(part, _)| (part, gone())).collect()
    }
}

/// The keeper's end: hands jobs over, and hears what became of them.
pub(in crate::client) struct Syncer {
    jobs: Sender<Job>,
    ended: Receiver<Failures>,
    /// Has ended, and was not looked at yet.
    arrived: Option<Failures>,
    /// When the job that is under way was handed over.
    since: Option<Duration>,
    /// It was told that it takes long.
    is_late: bool,
}

/// The end of the thread that syncs.
pub(in crate::client) struct Syncing {
    pub(super) jobs: Receiver<Job>,
    pub(super) ended: Sender<Failures>,
}

/// Both ends; room for the one job that may be under way, so that neither waits for the other.
pub(in crate::client) fn pair() -> (Syncer, Syncing) {
    let ((jobs, to_do), (end, ended)) = (bounded(1), bounded(1));
    let syncer = Syncer { jobs, ended, arrived: None, since: None, is_late: false };
    (syncer, Syncing { jobs: to_do, ended: end })
}

impl Syncing {
    /// Does what it gets until it is time to stop, or the keeper has ended.
    pub(in crate::client) fn run(self, stop: &Stop) {
        loop {
            let job = select! {
                recv(stop.channel()) -> _ => return,
                recv(self.jobs) -> job => job,
            };
            let Ok(mut job) = job else { return };
            while job.step() {}
            if self.ended.send(job.end()).is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Syncer {
    /// Fires when a job has ended; its word goes to [`Syncer::arrived`].
    pub(super) fn ended(&self) -> Receiver<Failures> {
        self.ended.clone()
    }

    pub(super) fn arrived(&mut self, failures: Result<Failures, RecvError>) {
        match failures {
            Ok(failures) => self.arrived = Some(failures),
            // The thread has ended, and with it what it was at; nothing comes from there any more.
            Err(RecvError) => self.ended = never(),
        }
    }

    /// Whether a job is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.since.is_some()
    }

    /// When the job that is under way takes too long.
    pub(super) fn late_at(&self) -> Option<Duration> {
        self.since.filter(|_| !self.is_late).map(|since| since + SYNC_LIMIT)
    }

    /// Whatever is under way is of no interest any more.
    pub(super) fn forget(&mut self) {
        (self.arrived, self.since) = (None, None);
    }

    /// Hands a job over, while none is under way; false when nobody takes it.
    pub(super) fn start(&mut self, job: Job, now: Duration) -> bool {
        (self.since, self.is_late) = (Some(now), false);
        let refused = self.jobs.try_send(job).err();
        self.arrived = refused.map(|refused| refused.into_inner().refused());
        self.arrived.is_none()
    }

    /// What became of the job that was under way, and for how long it was, if it has ended.
    fn take(&mut self, now: Duration) -> Option<(Failures, Duration)> {
        let failures = self.arrived.take().or_else(|| self.ended.try_recv().ok())?;
        let since = self.since.take()?;
        Some((failures, now.saturating_sub(since)))
    }
}

impl Spool {
    /// What makes all that was written survive the loss of power; nothing if it does already.
    /// From here on it counts as synced, until [`Spool::synced`] says that it is not.
    pub(super) fn sync(&mut self) -> Option<Job> {
        let mut parts = VecDeque::new();
        for number in std::mem::take(&mut self.unsynced) {
            parts.push_back((Part::File(number), self.disk.sync(number)));
        }
        if std::mem::take(&mut self.names_unsynced) {
            parts.push_back((Part::Names, self.disk.sync_names()));
        }
        (!parts.is_empty()).then(|| Job::new(parts))
    }

    /// What could not be synced is unsynced again.
    ///
    /// # Errors
    /// The file system's, of the first part that still matters: a file that was removed meanwhile
    /// does not.
    pub(super) fn synced(&mut self, failures: Failures) -> io::Result<()> {
        let mut first = Ok(());
        for (part, error) in failures {
            match part {
                Part::File(number) => {
                    let Some(segment) = self.segment_mut(number) else { continue };
                    // The kernel may have let go of what it could not write: nothing is added.
                    segment.is_torn = true;
                    self.writer = None;
                    self.unsynced.insert(number);
                }
                Part::Names => self.names_unsynced = true,
            }
            first = first.and(Err(error));
        }
        first
    }
}

impl Keeper {
    /// Looks whether the sync that is under way has ended, or takes too long.
    pub(super) fn look_after_sync(&mut self, spool: &mut Spool, now: Duration) {
        if self.syncer.late_at().is_some_and(|at| at <= now) {
            self.tell_late(SYNC_LIMIT, "it goes on");
        }
        let Some(result) = self.take_sync(spool, now) else { return };
        if let Err(error) = result {
            // What was written may be lost without a word by now: later frames go elsewhere.
            spool.set_whole(false);
            self.sync_at.get_or_insert(now + RETRY_INTERVAL);
            self.tell(Err(SpoolError::Failing(self.config.dir.clone(), error)));
        }
    }

    /// Begins to make what was written survive the loss of power, if that is due, anything waits
    /// and the last sync has ended.
    pub(super) fn start_sync(&mut self, spool: &mut Spool, now: Duration) {
        if self.syncer.is_busy() || self.sync_at.is_none_or(|at| at > now) {
            return;
        }
        self.sync_at = None;
        if self.shared.buffer().needs_any()
            && let Some(job) = spool.sync()
            && !self.syncer.start(job, now)
        {
            self.shared.wake_keeper();
        }
    }

    /// Syncs everything, as far as that is done `until` then; what is not is told and counted.
    /// Nothing comes after it: if all of it is, that is marked.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn sync_last(&mut self, spool: &mut Spool, until: Duration) -> io::Result<()> {
        let begun = self.shared.clock.monotonic();
        let timer = self.shared.clock.at(until);
        loop {
            let now = self.shared.clock.monotonic();
            match self.take_sync(spool, now) {
                Some(result) => result?,
                None if self.syncer.is_busy() => {
                    let ended = self.syncer.ended();
                    select! {
                        recv(ended) -> failures => self.syncer.arrived(failures),
                        recv(timer) -> _ => {
                            self.tell_late(until.saturating_sub(begun), "not waited for");
                            return Ok(());
                        }
                    }
                }
                None => match spool.sync() {
                    Some(job) => drop(self.syncer.start(job, now)),
                    None => return spool.seal_own(),
                },
            }
        }
    }

    fn take_sync(&mut self, spool: &mut Spool, now: Duration) -> Option<io::Result<()>> {
        let is_late = self.syncer.is_late;
        let (failures, took) = self.syncer.take(now)?;
        if is_late {
            log::info!("the sync of the spool has ended after {}", format_duration(took));
        }
        let result = spool.synced(failures);
        if result.is_ok() {
            self.shared.counts.spool_syncs.increment();
            spool.seal_earlier();
        }
        Some(result)
    }

    fn tell_late(&mut self, limit: Duration, and: &str) {
        self.syncer.is_late = true;
        self.shared.counts.spool_syncs_late.increment();
        let (dir, limit) = (self.config.dir.display(), format_duration(limit));
        log::error!(
            "the spool {dir}: a sync is not done after {limit}, {and}; what it is about would be \
             lost with the power"
        );
    }
}
