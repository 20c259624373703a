//! The thread that writes all live streams.
//!
//! It waits for the first of: a frame, a viewer, the end of a batch, the next heartbeat, the stop.
//! Only while some viewer does not take what is written for it, it waits for that connection
//! instead and looks at the rest every 20 ms.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Command;
use super::render::{self, Batch, States};
use super::viewer::{Gone, Viewer};
use crate::analysis::view::LiveUpdate;
use crate::base::stop::Stop;
use crate::http::snapshot::Context;
use crate::metric::HostName;

/// Frames that come within this time of the last event go out together. The first one after a
/// quiet time goes at once.
const BATCH_TIME_MIN: Duration = Duration::from_millis(8);
const BATCH_TIME_MAX: Duration = Duration::from_millis(100);

/// For each viewer the batches get this much longer, so that there are at most 4,000 writes a
/// second up to 400 viewers (about 5 us each: 2 % of a core).
const BATCH_TIME_PER_VIEWER: Duration = Duration::from_micros(250);

/// Most frames in one event; what is left goes into the next one, at once.
const BATCH_UPDATES_MAX: usize = 4_096;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How often the rest is looked at while a viewer's connection is being waited for.
const BLOCKED_WAIT: Duration = Duration::from_millis(20);

/// The thread's state.
#[derive(Debug)]
pub(super) struct Fanout {
    context: Arc<Context>,
    commands: Receiver<Command>,
    updates: Receiver<Arc<LiveUpdate>>,
    is_subscribed: bool,
    /// Instead of `updates` while a batch's time runs.
    no_updates: Receiver<Arc<LiveUpdate>>,
    batch: Vec<Arc<LiveUpdate>>,
    /// Until then frames are left to gather.
    batch_until: Duration,
    heartbeat_at: Duration,
    viewers: Vec<Viewer>,
    /// How many viewers watch a host.
    watched: HashMap<HostName, usize>,
    summaries: usize,
    states: States,
    has_newcomers: bool,
    events: Arc<AtomicU64>,
}

impl Fanout {
    pub(super) fn new(
        context: Arc<Context>,
        commands: Receiver<Command>,
        events: Arc<AtomicU64>,
    ) -> Self {
        let now = context.clock.monotonic();
        Self {
            updates: context.view.subscribe(),
            is_subscribed: true,
            context,
            commands,
            no_updates: never(),
            batch: Vec::new(),
            batch_until: now,
            heartbeat_at: now + HEARTBEAT_INTERVAL,
            viewers: Vec::new(),
            watched: HashMap::new(),
            summaries: 0,
            states: States::default(),
            has_newcomers: false,
            events,
        }
    }

    /// Until `stop`.
    pub(super) fn run(mut self, stop: &Stop) {
        while !stop.is_stopped() {
            if self.viewers.iter().any(Viewer::is_blocked) {
                self.wait_for_viewers();
            } else if !self.wait(stop) {
                return;
            }
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            let now = self.context.clock.monotonic();
            if now >= self.batch_until {
                self.gather();
                if !self.batch.is_empty() {
                    self.flush(now);
                }
            }
            if now >= self.heartbeat_at {
                self.heartbeat(now);
            }
        }
    }

    /// Waits for anything but a viewer's connection; false when it is time to stop.
    fn wait(&mut self, stop: &Stop) -> bool {
        let now = self.context.clock.monotonic();
        let gathers = now < self.batch_until;
        let updates = if gathers { &self.no_updates } else { &self.updates };
        let wake_at =
            if gathers { self.batch_until.min(self.heartbeat_at) } else { self.heartbeat_at };
        let timer = self.context.clock.at(wake_at);
        select! {
            recv(stop.channel()) -> _ => return false,
            recv(self.commands) -> command => match command {
                Ok(command) => self.obey(command),
                // The door is gone, and nobody joins any more.
                Err(_) => self.commands = never(),
            },
            recv(updates) -> update => match update {
                Ok(update) => self.batch.push(update),
                Err(_) => self.lose_updates(),
            },
            recv(timer) -> _ => {}
        }
        true
    }

    /// Waits until a blocked connection takes something, for a short time.
    fn wait_for_viewers(&mut self) {
        let now = self.context.clock.monotonic();
        let left = self.heartbeat_at.saturating_sub(now).min(BLOCKED_WAIT);
        let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let blocked = self.viewers.iter().filter(|viewer| viewer.is_blocked());
        let mut watched: Vec<_> = blocked
            .map(|viewer| PollFd::from_borrowed_fd(viewer.stream.as_fd(), PollFlags::OUT))
            .collect();
        // An error shows again when the viewer is written to.
        let _ = poll(&mut watched, Some(&timeout));
        let now = self.context.clock.monotonic();
        self.for_each(|viewer| if viewer.is_blocked() { viewer.write(now) } else { Ok(()) });
    }

    fn lose_updates(&mut self) {
        // Somebody else subscribed, or analysis started anew; the next heartbeat asks again, so
        // that two who displace each other do not spin.
        log::warn!("http: the stream of frames ended; asking for a new one");
        self.updates = never();
        self.is_subscribed = false;
    }

    fn obey(&mut self, command: Command) {
        let now = self.context.clock.monotonic();
        match command {
            Command::Join(viewer) => {
                self.summaries += usize::from(viewer.subscription.summary);
                for host in &viewer.subscription.hosts {
                    *self.watched.entry(host.clone()).or_default() += 1;
                }
                // Before its snapshot is made: nothing is missed in between.
                self.context.view.watch(true);
                self.viewers.push(*viewer);
                self.has_newcomers = true;
                self.context.counts.viewers_joined.increment();
                self.context.counts.viewers.set(self.viewers.len() as u64);
            }
            Command::Snapshot(id, snapshot) => {
                let mut snapshot = Some(snapshot);
                self.for_each(|viewer| match snapshot.take_if(|_| viewer.id == id) {
                    Some(snapshot) => {
                        viewer.begin(snapshot, now);
                        viewer.write(now)
                    }
                    None => Ok(()),
                });
            }
            Command::Leave(id) => {
                self.for_each(|viewer| if viewer.id == id { Err(Gone::Left) } else { Ok(()) });
            }
        }
    }

    /// Takes what has come in.
    fn gather(&mut self) {
        let room = BATCH_UPDATES_MAX.saturating_sub(self.batch.len());
        self.batch.extend(self.updates.try_iter().take(room));
    }

    /// Writes one event to everybody who wants something of the batch.
    fn flush(&mut self, now: Duration) {
        let updates = std::mem::take(&mut self.batch);
        let is_full = updates.len() >= BATCH_UPDATES_MAX;
        self.batch_until = if is_full { now } else { now + self.batch_time() };
        let counts = Arc::clone(&self.context.counts);
        counts.updates.add(updates.len() as u64);
        if self.viewers.is_empty() {
            counts.updates_unwatched.add(updates.len() as u64);
            return;
        }
        let context = Arc::clone(&self.context);
        let with_summary = self.summaries > 0;
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        let pushed_ms = context.clock.wall_ms();
        let is_watched = |host: &HostName| self.watched.contains_key(host);
        let id = (context.run.as_str(), number);
        let mut batch = Batch::new(id, pushed_ms, &updates, with_summary, is_watched);
        let wanted = updates.iter().filter(|update| with_summary || is_watched(&update.host));
        let wanted: Vec<_> = wanted.collect();
        counts.updates_unwatched.add((updates.len() - wanted.len()) as u64);
        self.for_each(|viewer| match batch.event_for(&viewer.subscription) {
            Some(event) => {
                counts.events.increment();
                viewer.push(&event, now)?;
                viewer.write(now)
            }
            None => Ok(()),
        });
        for update in wanted {
            context.view.pushed(update, pushed_ms);
        }
    }

    fn batch_time(&self) -> Duration {
        if self.viewers.is_empty() {
            return BATCH_TIME_MAX;
        }
        let viewers = u32::try_from(self.viewers.len()).unwrap_or(u32::MAX);
        let wished = BATCH_TIME_PER_VIEWER.saturating_mul(viewers);
        wished.clamp(BATCH_TIME_MIN, BATCH_TIME_MAX)
    }

    fn heartbeat(&mut self, now: Duration) {
        // After a pause of the whole process the missed ones are not made up for.
        self.heartbeat_at = (self.heartbeat_at + HEARTBEAT_INTERVAL).max(now);
        let context = Arc::clone(&self.context);
        if !self.is_subscribed {
            self.updates = context.view.subscribe();
            self.is_subscribed = true;
        }
        self.for_each(|viewer| viewer.check(now));
        if self.viewers.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.has_newcomers);
        let json = self.states.heartbeat(&context, self.viewers.len(), all);
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        let event = render::event(&context.run, number, "heartbeat", &json);
        self.for_each(|viewer| {
            context.counts.events.increment();
            viewer.push(&event, now)?;
            viewer.write(now)
        });
    }

    /// Does something with every viewer and lets go of those for whom it fails.
    fn for_each(&mut self, mut act: impl FnMut(&mut Viewer) -> Result<(), Gone>) {
        let counts = &self.context.counts;
        let mut at = 0;
        while at < self.viewers.len() {
            let Err(gone) = act(&mut self.viewers[at]) else {
                at += 1;
                continue;
            };
            match gone {
                Gone::Left => counts.viewers_left.increment(),
                Gone::Behind => counts.viewers_behind.increment(),
                Gone::Stalled => counts.viewers_stalled.increment(),
            }
            let viewer = self.viewers.swap_remove(at);
            log::debug!("http: live viewer {} is gone: {gone:?}", viewer.id);
            self.summaries -= usize::from(viewer.subscription.summary);
            for host in &viewer.subscription.hosts {
                if let Some(count) = self.watched.get_mut(host) {
                    *count -= 1;
                    if *count == 0 {
                        self.watched.remove(host);
                    }
                }
            }
            counts.viewers.set(self.viewers.len() as u64);
            self.context.view.watch(!self.viewers.is_empty());
        }
    }
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
