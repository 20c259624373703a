//! Frames wait here, numbered, until an ack covers them; bounded in bytes.
//!
//! At any time `sampled = acknowledged + waiting + dropped` ([`Buffer::account`]). What has to be
//! dropped is dropped oldest first and declared to the server, so that a hole is never a mystery.
//! Frames in flight go last: they are most likely safe already, and a frame both stored and
//! declared gone would puzzle the ledger. With a spool nothing is dropped that is on disk: it is
//! put away there and read back when its turn comes (`spooled`).
//!
//! On a new stream everything that waits is sent again, oldest first, but never ahead of what is
//! sampled meanwhile: live frames go at once, the backlog fills the gaps, and only so much of it
//! is in flight that a live frame finds neither the window nor the socket full of old ones.

mod earlier;
mod pace;
mod spooled;

use std::collections::{BTreeMap, HashMap};

use super::shelf::Shelf;
use crate::metric::{Declaration, Frame, Layout, SeqRange, SessionId};
pub(super) use earlier::{EARLIER_BARE_MAX, EARLIER_SESSIONS_MAX};
use pace::Pace;
use spooled::Spooled;
pub(super) use spooled::Writes;

/// Default of `--buffer`. A frame of 60 samples takes 60 x 16 bytes of values and about 300 of
/// itself, so this is 3,300 frames: 55 minutes at 1 Hz.
pub const BUFFER_BYTES_DEFAULT: u64 = 4 << 20;

/// Least that `--buffer` may be: four of the largest frames (2,000 samples x 16 bytes each).
pub const BUFFER_BYTES_MIN: u64 = 4 * 2_000 * 16;

/// What an allocation costs beside its contents (two words of `malloc`).
const ALLOC_BYTES: usize = 16;

/// The frames of one session that no ack has covered yet.
#[derive(Debug)]
pub struct Buffer {
    session: SessionId,
    bytes_max: usize,
    waiting: BTreeMap<u64, Entry>,
    bytes: usize,
    layouts: HashMap<usize, LayoutUse>,
    account: Account,
    /// What is gone, and what is on disk.
    own: Shelf,
    /// With a spool.
    spooled: Option<Box<Spooled>>,
    /// Frames from here on were sampled on this stream and go first.
    live_from: u64,
    next_live: u64,
    next_backlog: u64,
    pace: Pace,
}

/// Where every sampled frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Number of the last frame, which is how many there were.
    pub sampled: u64,
    /// Covered by an ack.
    pub acked: u64,
    /// Waiting for one.
    pub waiting: u64,
    /// Gone for good.
    pub dropped: u64,
    /// Dropped ranges whose declaration had to be forgotten.
    pub forgotten: u64,
    /// What the waiting frames take in memory.
    pub bytes: u64,
}

/// What may be sent next.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// A frame, with the word whether it was sent before on any stream.
    Frame {
        /// With `sent_ms` still as sampled.
        frame: Box<Frame>,
        /// It was on an earlier stream already.
        again: bool,
    },
    /// Frames that are gone.
    Dropped(Declaration),
}

/// What an ack did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acked {
    /// Frames it took out.
    pub frames: u64,
    /// It spoke of frames that were never sent; those stay.
    pub beyond: bool,
    /// When the frame that it echoes was sent on this stream, monotonic us.
    pub echo_sent_us: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    frame: Box<Frame>,
    bytes: usize,
    place: Place,
    sent_ever: bool,
    sent_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Unsent,
    Live,
    Backlog,
}

#[derive(Debug)]
struct LayoutUse {
    frames: usize,
    bytes: usize,
}

impl Buffer {
    /// An empty one for at most `bytes_max` of frames, of which at most `window` are in flight.
    #[must_use]
    pub fn new(session: SessionId, bytes_max: u64, window: u64) -> Self {
        Self {
            session,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            waiting: BTreeMap::new(),
            bytes: 0,
            layouts: HashMap::new(),
            account: Account::default(),
            own: Shelf::own(session),
            spooled: None,
            live_from: 1,
            next_live: 1,
            next_backlog: 1,
            pace: Pace::new(usize::try_from(window).unwrap_or(usize::MAX)),
        }
    }

    /// Takes the next frame, whose number must be the one after the last; drops the oldest when
    /// there is no room and it is not on disk, and says how many.
    pub fn push(&mut self, frame: Frame) -> u64 {
        let seq = frame.seq;
        debug_assert_eq!(seq, self.account.sampled + 1, "frames are numbered without holes");
        self.account.sampled = seq;
        let bytes = frame_bytes(&frame);
        self.bytes += bytes + self.layout_in(&frame.samples.layout);
        let entry = Entry {
            frame: Box::new(frame),
            bytes,
            place: Place::Unsent,
            sent_ever: false,
            sent_us: 0,
        };
        self.waiting.insert(seq, entry);
        if let Some(spooled) = &mut self.spooled {
            spooled.unwritten.insert(seq);
        }
        let mut dropped = 0;
        while self.bytes > self.bytes_max {
            let on_disk = self.oldest(|seq| self.own.kept.contains(seq));
            if on_disk.is_some_and(|seq| self.put_away(seq)) {
                continue;
            }
            let Some(oldest) = self.oldest(|_| true) else { break };
            self.drop_frame(self.session, oldest, "buffer full");
            dropped += 1;
        }
        dropped
    }

    /// Gives one frame up, for a reason that the server is told.
    pub fn drop_frame(&mut self, session: SessionId, seq: u64, reason: &'static str) {
        if session == self.session && self.remove(seq) {
            self.account.dropped += 1;
            self.own.gone.add((seq, seq), reason);
            return;
        }
        self.give_up(session, &[(seq, seq)].into_iter().collect(), reason);
    }

    /// A new stream: nothing is in flight, and all that waits is backlog.
    pub fn start_stream(&mut self) {
        for entry in self.waiting.values_mut() {
            entry.place = Place::Unsent;
        }
        self.own.start_stream();
        self.start_stream_of_earlier();
        self.pace.start_stream();
        self.next_backlog = 1;
        self.begin_live();
    }

    /// From now on nothing waits for acks of what is before it: nothing more is sampled, and a
    /// server that makes frames durable every few seconds gets them all at once. What it does not
    /// read in time, HTTP/2 holds back.
    pub(super) fn hurry(&mut self) {
        self.pace.hurry();
    }

    /// Whether it was told to hurry.
    pub(super) fn is_hurried(&self) -> bool {
        self.pace.is_hurried()
    }

    /// What to send now, marked as sent at `now_us` (monotonic); `None` while the window is full,
    /// the server answers nothing, nothing waits, or what is next is on its way to or from the disk.
    pub fn next(&mut self, now_us: u64) -> Option<Outgoing> {
        if !self.pace.may_send(now_us) {
            // A server that does not keep up is served the newest first once it does.
            self.begin_live();
            return None;
        }
        if let Some((range, reason)) = self.own.gone.next() {
            let session = self.session;
            return Some(Outgoing::Dropped(Declaration { session, range, reason }));
        }
        if let Some(declaration) = self.next_earlier_declaration() {
            return Some(Outgoing::Dropped(declaration));
        }
        let live = self.waiting.range(self.next_live..).next().map(|(seq, _)| *seq);
        if let Some(seq) = live
            && self.may_send(seq, now_us)
        {
            self.next_live = seq + 1;
            return self.send(seq, Place::Live, now_us);
        }
        if !self.pace.may_send_backlog(now_us) {
            return None;
        }
        if let Some(frame) = self.next_recalled(now_us) {
            return Some(Outgoing::Frame { frame, again: false });
        }
        if self.is_recalling() {
            return None;
        }
        let mut backlog =
            self.waiting.range(self.next_backlog..self.live_from.max(self.next_backlog));
        let seq = backlog.find(|(_, entry)| entry.place == Place::Unsent).map(|(seq, _)| *seq)?;
        if !self.may_send(seq, now_us) {
            return None;
        }
        self.next_backlog = seq + 1;
        self.send(seq, Place::Backlog, now_us)
    }

    /// When to ask for the [`next`](Self::next) again because backlog is paced, monotonic us; said
    /// once after each time that it was asked for.
    pub fn take_paced_until_us(&mut self) -> Option<u64> {
        self.pace.take_held_until_us()
    }

    /// Takes out what an ack covers, as far as it was ever sent.
    pub fn acknowledge(&mut self, through: u64, ranges: &[SeqRange], echo_seq: u64) -> Acked {
        let echo = self.waiting.get(&echo_seq).filter(|entry| entry.place != Place::Unsent);
        let mut acked = Acked { echo_sent_us: echo.map(|entry| entry.sent_us), ..Acked::default() };
        for (first, last) in [(0, through)].iter().chain(ranges).filter(|(a, b)| a <= b) {
            acked.beyond |= *last > self.account.sampled;
            let covered = self.waiting.range(*first..=*last);
            let (sent, unsent): (Vec<_>, Vec<_>) =
                covered.map(|(seq, entry)| (*seq, entry.sent_ever)).partition(|(_, sent)| *sent);
            acked.beyond |= !unsent.is_empty();
            for (seq, _) in sent {
                acked.frames += u64::from(self.remove(seq));
            }
            let (frames, beyond) = self.own.acknowledge((*first, *last));
            self.landed(frames);
            acked.frames += frames;
            acked.beyond |= beyond;
        }
        self.account.acked += acked.frames;
        self.pace.answered(acked.frames);
        acked
    }

    /// Gives frames that were never sent a better time: `(time_ms, uncertainty_ms)` from their
    /// `elapsed_us`.
    pub fn retime(&mut self, better: impl Fn(&Frame) -> Option<(u64, u32)>) {
        for entry in self.waiting.values_mut().filter(|entry| !entry.sent_ever) {
            if let Some((time_ms, uncertainty_ms)) = better(&entry.frame) {
                entry.frame.time_ms = time_ms;
                entry.frame.uncertainty_ms = uncertainty_ms;
            }
        }
    }

    /// Where every frame is.
    #[must_use]
    pub fn account(&self) -> Account {
        let waiting = self.waiting.len() as u64 + self.own.away.count();
        let (bytes, forgotten) = (self.bytes as u64, self.own.gone.forgotten());
        Account { waiting, bytes, forgotten, ..self.account }
    }

    /// The oldest frame that is not settled yet, or the next one to be sampled: `Hello.first_seq`.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        let waiting = self.waiting.keys().next().copied();
        let gone_or_away = [self.own.gone.first(), self.own.away.first()];
        let first = gone_or_away.into_iter().flatten().chain(waiting).min();
        first.unwrap_or(self.account.sampled + 1)
    }

    /// Whether every frame is acknowledged and every loss is known to the server.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.own.is_settled()
    }

    /// Whether something was not handed to this stream yet.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        let waiting = self.waiting.len() as u64 + self.own.away.count();
        let in_flight = self.pace.in_flight() as u64 - self.earlier_in_flight();
        in_flight < waiting || self.own.gone.has_unsent() || self.has_earlier()
    }

    /// The numbers of all frames that wait, as ranges.
    #[must_use]
    pub fn waiting_ranges(&self) -> Vec<SeqRange> {
        let mut ranges = self.own.away.clone();
        ranges.extend(self.waiting.keys().map(|seq| (*seq, *seq)));
        ranges.as_slice().to_vec()
    }

    /// The oldest frame in memory of those that may leave it, if possible one that is not in flight.
    fn oldest(&self, may_leave: impl Fn(u64) -> bool) -> Option<u64> {
        let mut those = self.waiting.iter().filter(|(seq, _)| may_leave(**seq));
        let first = those.next()?;
        let mut from_first = std::iter::once(first).chain(those);
        let idle = from_first.find(|(_, entry)| entry.place == Place::Unsent);
        Some(*idle.unwrap_or(first).0)
    }

    fn begin_live(&mut self) {
        self.live_from = self.account.sampled + 1;
        self.next_live = self.live_from;
    }

    fn send(&mut self, seq: u64, place: Place, now_us: u64) -> Option<Outgoing> {
        let entry = self.waiting.get_mut(&seq)?;
        let again = std::mem::replace(&mut entry.sent_ever, true);
        (entry.place, entry.sent_us) = (place, now_us);
        let frame = entry.frame.clone();
        match place {
            Place::Backlog => self.pace.sent_backlog(frame.interval_ms, now_us),
            Place::Live | Place::Unsent => self.pace.sent_live(now_us),
        }
        Some(Outgoing::Frame { frame, again })
    }

    fn remove(&mut self, seq: u64) -> bool {
        let Some(entry) = self.waiting.remove(&seq) else { return false };
        self.bytes -= entry.bytes + self.layout_out(&entry.frame.samples.layout);
        if entry.place != Place::Unsent {
            self.pace.landed(entry.place == Place::Backlog);
        }
        if let Some(spooled) = &mut self.spooled {
            spooled.unwritten.remove_range((seq, seq));
            // Whatever becomes of it, the disk is to know.
            self.own.kept.remove_range((seq, seq));
            self.own.is_changed = true;
        }
        true
    }

    /// What one more frame with this layout adds: all of it for the first, nothing for the rest.
    fn layout_in(&mut self, layout: &Layout) -> usize {
        let bytes = layout_bytes(layout);
        let first = LayoutUse { frames: 0, bytes };
        let shared = self.layouts.entry(layout.as_ptr().addr()).or_insert(first);
        shared.frames += 1;
        if shared.frames == 1 { bytes } else { 0 }
    }

    fn layout_out(&mut self, layout: &Layout) -> usize {
        let address = layout.as_ptr().addr();
        let Some(shared) = self.layouts.get_mut(&address) else { return 0 };
        shared.frames -= 1;
        if shared.frames > 0 {
            return 0;
        }
        self.layouts.remove(&address).map_or(0, |shared| shared.bytes)
    }
}

/// What a frame takes: itself, its values, and twice its place in the tree, whose nodes are at
/// least half full.
fn frame_bytes(frame: &Frame) -> usize {
    let values = frame.samples.values.capacity() * size_of::<crate::metric::Value>();
    size_of::<Frame>() + values + 2 * ALLOC_BYTES + 2 * size_of::<(u64, Entry)>()
}

/// What a layout takes: its list and the text of its series, each an allocation of its own.
fn layout_bytes(layout: &Layout) -> usize {
    let key = |key: &crate::metric::SeriesKey| {
        size_of::<crate::metric::SeriesKey>() + key.as_str().len() + 2 * ALLOC_BYTES
    };
    layout.iter().map(key).sum::<usize>() + 2 * ALLOC_BYTES + size_of::<(usize, LayoutUse)>() * 2
}
