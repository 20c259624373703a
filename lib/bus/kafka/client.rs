//! One Kafka client on a thread of its own, so that a call which does not come back can be given
//! up: the crate's timeouts are 120 s and cannot be changed (K01).
//!
//! One thread, one client, one call at a time. A call that fails, panics or is given up is the
//! client's last (K03, K04, K05): dropping the handle ends the thread, or leaves it to end by
//! itself when it hangs.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::base::quantity::format_duration;
use crate::base::thread::{self, Joined};

use super::super::Topic;
use super::fault::Fault;
use super::session::Session;
use super::shared::Shared;

/// A session's work and what becomes of its result; tells whether the session may go on.
type Job = Box<dyn FnOnce(&mut Session) -> bool + Send>;

/// Handle to a client's thread.
pub(super) struct Client {
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    thread: Option<Joined>,
    /// Has not come back from a call.
    stuck: bool,
}

impl Client {
    /// Probes the brokers, makes a client and loads the metadata of `topic`; also gives the
    /// topic's number of partitions, which may be 0.
    pub(super) fn open(shared: &Arc<Shared>, topic: Topic) -> Result<(Self, u32), Fault> {
        let (jobs, queue) = bounded::<Job>(1);
        let (opened, answer) = bounded(1);
        let brokers = shared.config.brokers.clone();
        let name = shared.topic_name(topic).to_owned();
        let limits = shared.probe_limits();
        let thread = thread::spawn("kafka", move || {
            let mut session = match Session::open(&brokers, &name, limits) {
                Ok((session, partitions)) => {
                    let _ = opened.send(Ok(partitions));
                    session
                }
                Err(fault) => {
                    let _ = opened.send(Err(fault));
                    return;
                }
            };
            for job in queue {
                if !job(&mut session) {
                    return;
                }
            }
        })?;
        shared.counts.clients_made.increment();
        let mut client = Self {
            shared: Arc::clone(shared),
            jobs: Some(jobs),
            thread: Some(thread),
            stuck: false,
        };
        let partitions = client.wait(&answer, Duration::ZERO, "connecting")?;
        Ok((client, partitions))
    }

    /// Runs `work` on the client's thread and waits for its result: the configured limit, plus
    /// `extra` if the broker was asked to wait.
    pub(super) fn call<T: Send + 'static>(
        &mut self,
        what: &'static str,
        extra: Duration,
        work: impl FnOnce(&mut Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        if self.shared.stop.is_stopped() {
            return Err(Fault::Stopped);
        }
        let (done, answer) = bounded(1);
        let job: Job = Box::new(move |session| {
            let result = work(session);
            let goes_on = result.as_ref().err().is_none_or(Fault::leaves_client_usable);
            let _ = done.send(result);
            goes_on
        });
        let queued = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        if !queued {
            return Err(Fault::Broken { what: "the Kafka client has ended".to_owned() });
        }
        self.wait(&answer, extra, what)
    }

    fn wait<T>(
        &mut self,
        answer: &Receiver<Result<T, Fault>>,
        extra: Duration,
        what: &str,
    ) -> Result<T, Fault> {
        let shared = &self.shared;
        let limit = shared.config.call_limit + extra;
        let late = shared.clock.at(shared.clock.monotonic() + limit);
        select! {
            recv(answer) -> result => result.unwrap_or_else(|_| Err(Fault::Broken {
                what: format!("{what}: the kafka crate panicked; the log has its words"),
            })),
            recv(late) -> _ => {
                self.stuck = true;
                shared.counts.calls_given_up.increment();
                let (at, limit) = (shared.config.brokers.join(", "), format_duration(limit));
                let what = format!("Kafka at {at}: {what}: given up, no answer within {limit}");
                Err(Fault::Broken { what })
            }
            recv(shared.stop.channel()) -> _ => {
                self.stuck = true;
                Err(Fault::Stopped)
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // First: the loop ends when it comes back, and with it the client.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            if self.stuck { self.shared.abandon(thread) } else { thread.join() }
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("stuck", &self.stuck).finish_non_exhaustive()
    }
}
