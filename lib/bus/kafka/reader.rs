//! Reading one partition: long polls, every answer checked for holes.

use std::sync::Arc;
use std::time::Duration;

use crate::base::throttle::Throttle;

use super::super::{Batch, BusError, Position, Reader, StoredRecord, Topic};
use super::fault::Fault;
use super::link::Link;
use super::session::{Edge, Fetched, Wanted};
use super::shared::Shared;

/// Longest that one fetch waits at the broker: what a stop may have to wait for.
const FETCH_WAIT_MAX: Duration = Duration::from_millis(500);

/// What a fetch asks for first. Above the broker's largest batch (`max.message.bytes`, 1 MiB and
/// 12 bytes by default), because a smaller one brings nothing, for ever (K15).
const FETCH_BYTES_FIRST: u32 = 2 * 1024 * 1024;

/// Where doubling ends: a topic whose `max.message.bytes` were set above this is not ours.
const FETCH_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// How often an offset is tried with new clients before what is there counts as unreadable.
const UNREADABLE_TRIES_MAX: u32 = 3;

/// A batch of unreadable records is skipped offset by offset; one line a period tells of it.
const SKIP_LOG_PERIOD: Duration = Duration::from_secs(10);

/// A place in a partition.
#[derive(Debug)]
pub(super) struct KafkaReader {
    shared: Arc<Shared>,
    link: Link,
    topic: Topic,
    partition: u32,
    /// Not turned into an offset yet.
    from: Option<Position>,
    next: u64,
    end_offset: u64,
    bytes_max: u32,
    unreadable_count: u32,
    gap: Option<(u64, u64)>,
    skip_log: Throttle,
}

impl KafkaReader {
    pub(super) fn new(shared: Arc<Shared>, topic: Topic, partition: u32, from: Position) -> Self {
        let link = Link::new(Arc::clone(&shared), topic);
        Self {
            shared,
            link,
            topic,
            partition,
            from: Some(from),
            next: 0,
            end_offset: 0,
            bytes_max: FETCH_BYTES_FIRST,
            unreadable_count: 0,
            gap: None,
            skip_log: Throttle::new(SKIP_LOG_PERIOD),
        }
    }

    /// One fetch; `None` when it is to be repeated at once.
    fn step(&mut self, wait: Duration) -> Result<Option<Vec<StoredRecord>>, BusError> {
        match self.fetch(wait) {
            Ok(fetched) => {
                self.link.succeeded();
                self.unreadable_count = 0;
                self.end_offset = fetched.end_offset;
                Ok(self.take(fetched))
            }
            Err(Fault::OffsetOutOfRange) => {
                self.reset().map_err(|fault| self.link.failed(fault))?;
                Ok(None)
            }
            Err(Fault::Unreadable { what }) if self.is_hopeless() => {
                self.skip_one(&what);
                self.link.renew();
                Ok(None)
            }
            Err(fault) => {
                self.shared.counts.read_failures.increment();
                Err(self.link.failed(fault))
            }
        }
    }

    fn fetch(&mut self, wait: Duration) -> Result<Fetched, Fault> {
        if let Some(from) = self.from {
            self.next = self.resolve(from)?;
            self.from = None;
        }
        let wanted = Wanted {
            partition: self.partition,
            offset: self.next,
            bytes_max: self.bytes_max,
            wait,
        };
        self.call("fetch", wait, move |session| session.fetch(wanted))
    }

    fn call<T: Send + 'static>(
        &mut self,
        what: &'static str,
        extra: Duration,
        work: impl FnOnce(&mut super::session::Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        // `read` has just made sure that there is a client.
        match self.link.client(Duration::ZERO) {
            Ok(client) => client.call(what, extra, work),
            Err(BusError::Stopped) => Err(Fault::Stopped),
            Err(error) => Err(Fault::Broken { what: error.to_string() }),
        }
    }

    fn edge(&mut self, edge: Edge) -> Result<Option<u64>, Fault> {
        let partition = self.partition;
        self.call("offsets", Duration::ZERO, move |session| session.offset(partition, edge))
    }

    fn resolve(&mut self, from: Position) -> Result<u64, Fault> {
        let (offset, since_ms) = match from {
            Position::Earliest => return Ok(self.edge(Edge::Earliest)?.unwrap_or(0)),
            Position::Offset(offset) => return Ok(offset),
            Position::SinceMs(since_ms) => (u64::MAX, since_ms),
            Position::OffsetOrSinceMs { offset, since_ms } => (offset, since_ms),
        };
        Ok(self.since(since_ms)?.min(offset))
    }

    /// The offset of the first record of this age or younger.
    fn since(&mut self, ms: u64) -> Result<u64, Fault> {
        let earliest = self.edge(Edge::Earliest)?.unwrap_or(0);
        let before = self.edge(Edge::Before(ms))?;
        // The broker answers with its end when `ms` lies in its future: a clock is wrong. Reading
        // too much is harmless, skipping is not.
        let latest = self.edge(Edge::Latest)?;
        Ok(before.filter(|_| before != latest).unwrap_or(earliest).max(earliest))
    }

    /// The offset is gone: on at the oldest record, never at the newest (K18).
    fn reset(&mut self) -> Result<(), Fault> {
        let earliest = self.edge(Edge::Earliest)?.unwrap_or(0);
        let latest = self.edge(Edge::Latest)?.unwrap_or(earliest);
        let (wanted, at) = (self.next, self.place());
        self.shared.counts.offset_resets.increment();
        if wanted < earliest {
            log::warn!("{at}: offsets {wanted} to {} are gone (retention)", earliest - 1);
            self.add_gap(wanted, earliest - 1);
        } else if wanted > latest {
            log::warn!(
                "{at}: offset {wanted} was wanted but the topic ends at {latest}: it was made \
                 anew; reading from {earliest}"
            );
            // What is missing of the former topic nobody can know: at least this one.
            self.add_gap(wanted, wanted);
        }
        (self.next, self.end_offset) = (earliest, latest);
        Ok(())
    }

    /// Moves on behind what was fetched; `None` when another fetch has to come first.
    fn take(&mut self, fetched: Fetched) -> Option<Vec<StoredRecord>> {
        let (Some(first), Some(last)) = (fetched.records.first(), fetched.records.last()) else {
            if fetched.end_offset <= self.next {
                return Some(Vec::new());
            }
            self.nothing_came();
            return None;
        };
        if first.offset > self.next {
            let (from, to) = (self.next, first.offset - 1);
            log::warn!("{}: offsets {from} to {to} were left out by the broker", self.place());
            self.add_gap(from, to);
        }
        self.next = last.offset + 1;
        self.bytes_max = FETCH_BYTES_FIRST;
        let counts = &self.shared.counts;
        counts.read_records.add(fetched.records.len() as u64);
        let bytes = fetched.records.iter().map(|record| record.key.len() + record.value.len());
        counts.read_bytes.add(bytes.sum::<usize>() as u64);
        Some(fetched.records)
    }

    /// There are records but none came: the next batch is larger than what was asked for (K15).
    fn nothing_came(&mut self) {
        if self.bytes_max < FETCH_BYTES_MAX {
            self.bytes_max *= 2;
            return;
        }
        self.bytes_max = FETCH_BYTES_FIRST;
        self.skip_one("nothing comes from there");
    }

    /// Compressed by another producer, corrupt, or of a format the crate does not read: that
    /// fails the whole answer (K19). After some tries it is left, offset by offset, because
    /// nothing tells where the batch ends.
    fn is_hopeless(&mut self) -> bool {
        self.unreadable_count += 1;
        self.unreadable_count >= UNREADABLE_TRIES_MAX
    }

    fn skip_one(&mut self, why: &str) {
        let offset = self.next;
        if let Some(left_out) = self.skip_log.pass() {
            let before = if left_out > 0 { format!(" ({left_out} before)") } else { String::new() };
            log::warn!("{}: offset {offset} is skipped{before}: {why}", self.place());
        }
        self.shared.counts.skipped_offsets.increment();
        self.add_gap(offset, offset);
        self.next += 1;
    }

    fn add_gap(&mut self, first: u64, last: u64) {
        self.shared.counts.gap_offsets.add(last - first + 1);
        let (from, to) = self.gap.unwrap_or((first, last));
        self.gap = Some((from.min(first), to.max(last)));
    }

    fn place(&self) -> String {
        format!("{}/{}", self.shared.topic_name(self.topic), self.partition)
    }
}

impl Reader for KafkaReader {
    fn read(&mut self, wait: Duration) -> Result<Batch, BusError> {
        let clock = Arc::clone(&self.shared.clock);
        let deadline = clock.monotonic().saturating_add(wait);
        loop {
            let left = deadline.saturating_sub(clock.monotonic());
            self.link.client(left)?;
            let left = deadline.saturating_sub(clock.monotonic());
            let records = self.step(left.min(FETCH_WAIT_MAX))?;
            let is_over = clock.monotonic() >= deadline;
            let has_news = records.as_ref().is_some_and(|r| !r.is_empty() || self.gap.is_some());
            if has_news || is_over {
                let records = records.unwrap_or_default();
                let (end_offset, gap) = (self.end_offset, self.gap.take());
                return Ok(Batch { records, end_offset, gap });
            }
        }
    }

    fn taken(&mut self, _offset: u64) {
        // The broker has made it durable itself.
    }
}
