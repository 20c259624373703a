//! The thread that owns the spool. Sampler and uplink never wait for the disk: frames wait in the
//! buffer until this thread has written them, and come back from here when their turn has come.
//! It does not wait for a sync either (`sync`), except for the last one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{never, select};

use super::SpoolConfig;
use super::disk::{Disk, FileDisk, SpoolError, Whole};
use super::store::{Opened, Segment, Spool};
use super::sync::Syncer;
use crate::base::stop::Stop;
use crate::base::thread::contain;
use crate::base::throttle::Throttle;
use crate::client::buffer::{Buffer, EARLIER_BARE_MAX, EARLIER_SESSIONS_MAX, Writes};
use crate::client::shared::Shared;
use crate::metric::{SeqRanges, SessionId};

/// What is written begins to be synced after this long at most, while anything waits and the sync
/// before it has ended.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// How often a disk that failed is tried again.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Of the second that this thread has at a stop (see `start.rs`), after this long nothing that was
/// written is waited for any more.
const LAST_SYNC_LIMIT: Duration = Duration::from_millis(900);

/// How often at most it is written down what became of earlier sessions' frames.
const STATES_INTERVAL: Duration = Duration::from_secs(1);

/// The same trouble is told once in this time.
const LOG_PERIOD: Duration = Duration::from_secs(300);

/// Opens the directory; a test has another.
type Opener = Box<dyn FnMut() -> Result<Box<dyn Disk>, SpoolError> + Send>;

/// What the thread owns.
pub(in crate::client) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) config: SpoolConfig,
    pub(super) syncer: Syncer,
    opener: Opener,
    /// Opened and locked, not read yet.
    disk: Option<Box<dyn Disk>>,
    spool: Option<Spool>,
    /// It panicked; never again in this run.
    is_broken: bool,
    retry_at: Option<Duration>,
    reread_at: Option<Duration>,
    pub(super) sync_at: Option<Duration>,
    states_at: Duration,
    throttle: Throttle,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("spool", &self.spool).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Locks the directory. The kernel's `boot_id` tells what a later run finds after the loss of
    /// power from what it finds after a kill.
    ///
    /// # Errors
    /// What an operator has to change. A disk that is full or read-only is none: that may pass.
    pub(in crate::client) fn new(
        shared: Arc<Shared>,
        config: SpoolConfig,
        boot_id: &str,
        syncer: Syncer,
    ) -> Result<Self, SpoolError> {
        let (dir, boot_id): (PathBuf, String) = (config.dir.clone(), boot_id.to_owned());
        let opener = move || -> Result<Box<dyn Disk>, SpoolError> {
            Ok(Box::new(FileDisk::open(&dir, &boot_id)?))
        };
        Self::with(shared, config, syncer, Box::new(opener))
    }

    fn with(
        shared: Arc<Shared>,
        config: SpoolConfig,
        syncer: Syncer,
        mut opener: Opener,
    ) -> Result<Self, SpoolError> {
        let disk = match opener() {
            Ok(disk) => Some(disk),
            // Told and tried again by the first turn.
            Err(SpoolError::Failing(..)) => None,
            Err(error) => return Err(error),
        };
        shared.buffer().use_spool();
        Ok(Self {
            shared,
            config,
            syncer,
            opener,
            disk,
            spool: None,
            is_broken: false,
            retry_at: None,
            reread_at: None,
            sync_at: None,
            states_at: Duration::ZERO,
            throttle: Throttle::new(LOG_PERIOD),
        })
    }

    /// Writes, reads and syncs until it is time to stop; then once more.
    pub(in crate::client) fn run(mut self, stop: &Stop) {
        let shared = Arc::clone(&self.shared);
        loop {
            self.contained(Self::turn);
            let timer = self.wake_at().map_or_else(never, |at| shared.clock.at(at));
            let synced = self.syncer.ended();
            select! {
                recv(synced) -> failures => self.syncer.arrived(failures),
                recv(stop.channel()) -> _ => break,
                recv(shared.keeper_woken()) -> _ => {}
                recv(timer) -> _ => {}
            }
        }
        self.contained(Self::last_turn);
    }

    /// When there is something to do, whoever else has something or not.
    fn wake_at(&self) -> Option<Duration> {
        let sync_at = if self.syncer.is_busy() { self.syncer.late_at() } else { self.sync_at };
        [self.retry_at, self.reread_at, sync_at].into_iter().flatten().min()
    }

    fn contained(&mut self, turn: fn(&mut Self)) {
        if self.is_broken || contain("the spool", || turn(self)).is_some() {
            return;
        }
        (self.is_broken, self.spool, self.disk) = (true, None, None);
        (self.retry_at, self.reread_at, self.sync_at) = (None, None, None);
        self.syncer.forget();
        // Frames wait in memory alone from here on: a kill must not look as if it had taken none.
        let (own, opener) = (self.shared.session, &mut self.opener);
        contain("the spool", || opener().map(|mut disk| disk.mark(own, Whole::Unknown)));
        self.shared.buffer().set_unreadable();
        self.set_writes(Writes::Failing);
    }

    /// Does what there is to do now.
    fn turn(&mut self) {
        let now = self.shared.clock.monotonic();
        if self.spool.is_none() && self.retry_at.is_none_or(|at| at <= now) {
            self.open(now);
        }
        let Some(mut spool) = self.spool.take() else { return };
        self.look_after_sync(&mut spool, now);
        if self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = None;
            let done = self.write(&mut spool, now).and_then(|()| self.tidy(&mut spool, now));
            spool.set_whole(done.is_ok());
            self.tell(done.map_err(|error| SpoolError::Failing(self.config.dir.clone(), error)));
        }
        if self.reread_at.is_none_or(|at| at <= now) {
            self.reread_at = None;
            self.read_back(&mut spool, now);
        }
        self.start_sync(&mut spool, now);
        self.count(&spool);
        self.spool = Some(spool);
    }

    /// Everything to the disk; what is settled leaves nothing behind.
    fn last_turn(&mut self) {
        let until = self.shared.clock.monotonic() + LAST_SYNC_LIMIT;
        self.retry_at = None;
        self.states_at = Duration::ZERO;
        self.turn();
        let Some(mut spool) = self.spool.take() else { return };
        let (own, is_settled) = (self.shared.session, self.shared.buffer().is_settled());
        let done = if is_settled {
            // Nothing is left to say of this run.
            spool.remove_done(|_| false, &[own])
        } else {
            self.write_state(&mut spool, own, None)
        };
        if let Err(error) = done.and_then(|()| self.sync_last(&mut spool, until)) {
            self.shared.counts.spool_failures.increment();
            log::error!("the spool {}: {error}", self.config.dir.display());
        }
    }

    /// Opens the directory and reads what earlier runs left.
    fn open(&mut self, now: Duration) {
        let disk = self.disk.take().map_or_else(|| (self.opener)(), Ok);
        let opened = disk.and_then(|disk| {
            let opened = Spool::open(disk, self.shared.session, self.config.bytes_max);
            opened.map_err(|error| SpoolError::Failing(self.config.dir.clone(), error))
        });
        let (spool, Opened { sessions, torn_bytes, strange_files }) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.tell(Err(error)),
        };
        let counts = &self.shared.counts;
        counts.spool_torn_bytes.add(torn_bytes);
        counts.spool_strange_files.add(strange_files);
        if torn_bytes > 0 {
            log::warn!("the spool had {torn_bytes} bytes behind its last whole records: cut off");
        }
        let waiting: u64 = sessions.iter().map(|session| session.waiting.count()).sum();
        if !sessions.is_empty() {
            // A run that was killed before it had synced left that to us.
            self.sync_at = Some(now);
            let runs = sessions.len();
            log::info!("the spool holds {waiting} frames of {runs} earlier runs to be sent");
        }
        {
            let mut buffer = self.shared.buffer();
            buffer.found(sessions);
            buffer.set_writes(Writes::Good);
        }
        self.states_at = now;
        self.spool = Some(spool);
        self.shared.wake_uplink();
    }

    /// Says how it stands, when that has changed.
    pub(super) fn tell(&mut self, result: Result<(), SpoolError>) {
        let before = self.shared.buffer().writes();
        match result {
            Ok(()) => {
                if before == Some(Writes::Failing) {
                    log::info!("the spool {} takes frames again", self.config.dir.display());
                    self.set_writes(Writes::Good);
                }
            }
            Err(error) => {
                self.retry_at = Some(self.shared.clock.monotonic() + RETRY_INTERVAL);
                self.shared.counts.spool_failures.increment();
                if let Some(left_out) = self.throttle.pass() {
                    let seconds = RETRY_INTERVAL.as_secs();
                    log::error!(
                        "{error}: frames wait in memory alone; tried again every {seconds} s \
                         ({left_out} failures before)"
                    );
                }
                self.set_writes(Writes::Failing);
            }
        }
    }

    fn set_writes(&self, writes: Writes) {
        self.shared.buffer().set_writes(writes);
        self.shared.wake_uplink();
    }

    /// Writes every frame that is not on disk yet.
    fn write(&mut self, spool: &mut Spool, now: Duration) -> std::io::Result<()> {
        loop {
            let batch = self.shared.buffer().take_batch();
            if batch.frames.is_empty() {
                return Ok(());
            }
            let written = match spool.write(&batch.frames, &batch.state, batch.is_state_due) {
                Ok(written) => written,
                Err(error) => {
                    self.shared.buffer().state_not_written(self.shared.session);
                    return Err(error);
                }
            };
            self.shared.counts.frames_spooled.add(written.frames.count());
            self.shared.buffer().written(&written.frames, &written.refused);
            self.shared.wake_uplink();
            self.sync_at.get_or_insert(now + SYNC_INTERVAL);
            self.make_room(spool)?;
        }
    }

    /// Gives up what is oldest until a segment may be written again.
    fn make_room(&mut self, spool: &mut Spool) -> std::io::Result<()> {
        while let Some(number) = spool.overfull() {
            self.lose(spool, number, "spool full")?;
        }
        Ok(())
    }

    /// Removes a file; what waits in it is declared, and that is written down before.
    fn lose(
        &mut self,
        spool: &mut Spool,
        number: u64,
        reason: &'static str,
    ) -> std::io::Result<()> {
        let Some(segment) = spool.segment(number) else { return Ok(()) };
        let session = segment.session;
        let dropped = self.shared.buffer().give_up(session, &segment.frames, reason);
        if dropped > 0 {
            self.shared.counts.frames_dropped.add(dropped);
            log::warn!("{reason}: {dropped} frames of session {session} are gone, and declared");
            self.shared.wake_uplink();
        }
        self.write_state(spool, session, Some(number))?;
        spool.remove(number)
    }

    fn write_state(
        &mut self,
        spool: &mut Spool,
        session: SessionId,
        going: Option<u64>,
    ) -> std::io::Result<()> {
        let Some(state) = self.shared.buffer().take_state(session) else { return Ok(()) };
        let written = spool.write_state(session, &state, going);
        if written.is_err() {
            self.shared.buffer().state_not_written(session);
        }
        written
    }

    /// Removes what is settled, writes down what became of earlier sessions, keeps to the limits.
    fn tidy(&mut self, spool: &mut Spool, now: Duration) -> std::io::Result<()> {
        let finished = self.shared.buffer().take_finished();
        if !finished.is_empty() {
            log::info!("{} earlier runs are delivered", finished.len());
        }
        let is_done =
            |segment: &Segment| !self.shared.buffer().needs(segment.session, &segment.frames);
        spool.remove_done(is_done, &finished)?;
        let (full, bare) = self.shared.buffer().earlier_sessions();
        for session in &full[..full.len().saturating_sub(EARLIER_SESSIONS_MAX)] {
            let own = spool.segments.iter().filter(|segment| segment.session == *session);
            let numbers: Vec<u64> = own.map(|segment| segment.number).collect();
            for number in numbers {
                self.lose(spool, number, "too many earlier runs")?;
            }
        }
        for session in &bare[..bare.len().saturating_sub(EARLIER_BARE_MAX)] {
            log::warn!("too many earlier runs: what session {session} lost is not declared");
            self.shared.buffer().forget(*session);
        }
        if now >= self.states_at {
            let changed = self.shared.buffer().changed();
            for session in changed {
                self.states_at = now + STATES_INTERVAL;
                self.write_state(spool, session, None)?;
                self.sync_at.get_or_insert(now + SYNC_INTERVAL);
            }
        }
        Ok(())
    }

    /// Reads what the uplink will send next.
    fn read_back(&mut self, spool: &mut Spool, now: Duration) {
        let Some((session, range)) = self.shared.buffer().wanted() else { return spool.rest() };
        match spool.read(session, range) {
            Ok(back) => {
                self.shared.counts.frames_recalled.add(back.frames.len() as u64);
                let mut buffer = self.shared.buffer();
                buffer.recalled(session, back.frames);
                self.damaged(&mut buffer, session, &back.damaged);
            }
            Err(error) => {
                self.shared.counts.spool_failures.increment();
                self.reread_at = Some(now + RETRY_INTERVAL);
                if let Some(left_out) = self.throttle.pass() {
                    let dir = self.config.dir.display();
                    log::error!("cannot read the spool {dir}: {error} ({left_out} times before)");
                }
                self.shared.buffer().set_unreadable();
            }
        }
        self.shared.wake_uplink();
    }

    fn damaged(&self, buffer: &mut Buffer, session: SessionId, numbers: &SeqRanges) {
        let dropped = buffer.give_up(session, numbers, "damaged on disk");
        if dropped > 0 {
            self.shared.counts.frames_dropped.add(dropped);
            log::error!("{dropped} frames of session {session} were damaged on disk");
        }
    }

    fn count(&self, spool: &Spool) {
        let (earlier, forgotten) = {
            let buffer = self.shared.buffer();
            (buffer.earlier_waiting(), buffer.earlier_forgotten())
        };
        let counts = &self.shared.counts;
        counts.spool_bytes.set(spool.bytes());
        counts.frames_of_earlier_runs.set(earlier);
        counts.declarations_of_earlier_runs_forgotten.set(forgotten);
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
