//! Frames wait here, numbered, until an ack covers them; bounded in bytes.
//!
//! At any time `sampled = acknowledged + waiting + dropped` ([`Buffer::account`]). What has to be
//! dropped is dropped oldest first and declared to the server, so that a hole is never a mystery.
//! Frames in flight go last: they are most likely safe already, and a frame both stored and
//! declared gone would puzzle the ledger.
//!
//! On a new stream everything that waits is sent again, oldest first, but never ahead of what is
//! sampled meanwhile: live frames go at once, the backlog fills the gaps, and only so much of it
//! is in flight that a live frame finds neither the window nor the socket full of old ones.

use std::collections::{BTreeMap, HashMap};

use crate::metric::{Declaration, Frame, Layout, SeqRange, SessionId};

/// Default of `--buffer`. A frame of 60 samples takes 60 x 16 bytes of values and about 300 of
/// itself, so this is 3,300 frames: 55 minutes at 1 Hz.
pub const BUFFER_BYTES_DEFAULT: u64 = 4 << 20;

/// Least that `--buffer` may be: four of the largest frames (2,000 samples x 16 bytes each).
pub const BUFFER_BYTES_MIN: u64 = 4 * 2_000 * 16;

/// Backlog takes at most this part of the window, so that live frames always find room in the rest.
/// Acks may be as late as a server's history commits, 5 s: of 600 frames that is 60 a second.
const BACKLOG_PART: usize = 2;

/// Ranges of dropped frames that wait for an ack. They melt together when they touch, so this
/// many need as many stalls, each with acknowledged frames between.
const GONE_MAX: usize = 1_024;

/// What an allocation costs beside its contents (two words of `malloc`).
const ALLOC_BYTES: usize = 16;

/// The frames of one session that no ack has covered yet.
#[derive(Debug)]
pub struct Buffer {
    session: SessionId,
    bytes_max: usize,
    window: usize,
    waiting: BTreeMap<u64, Entry>,
    bytes: usize,
    layouts: HashMap<usize, LayoutUse>,
    gone: Vec<Gone>,
    account: Account,
    /// Frames from here on were sampled on this stream and go first.
    live_from: u64,
    next_live: u64,
    next_backlog: u64,
    in_flight: usize,
    backlog_in_flight: usize,
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

#[derive(Debug)]
struct Gone {
    range: SeqRange,
    reason: &'static str,
    sent: bool,
    sent_ever: bool,
}

impl Buffer {
    /// An empty one for at most `bytes_max` of frames, of which at most `window` are in flight.
    #[must_use]
    pub fn new(session: SessionId, bytes_max: u64, window: u64) -> Self {
        Self {
            session,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            window: usize::try_from(window).unwrap_or(usize::MAX),
            waiting: BTreeMap::new(),
            bytes: 0,
            layouts: HashMap::new(),
            gone: Vec::new(),
            account: Account::default(),
            live_from: 1,
            next_live: 1,
            next_backlog: 1,
            in_flight: 0,
            backlog_in_flight: 0,
        }
    }

    /// Takes the next frame, whose number must be the one after the last; drops the oldest when
    /// there is no room, and says how many.
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
        let mut dropped = 0;
        while self.bytes > self.bytes_max {
            let idle = self.waiting.iter().find(|(_, entry)| entry.place == Place::Unsent);
            let oldest = idle.or_else(|| self.waiting.iter().next()).map(|(seq, _)| *seq);
            let Some(oldest) = oldest else { break };
            self.drop_frame(oldest, "buffer full");
            dropped += 1;
        }
        dropped
    }

    /// Gives one frame up, for a reason that the server is told.
    pub fn drop_frame(&mut self, seq: u64, reason: &'static str) {
        if !self.remove(seq) {
            return;
        }
        self.account.dropped += 1;
        match self.gone.last_mut() {
            Some(last) if !last.sent_ever && last.reason == reason && last.range.1 + 1 == seq => {
                last.range.1 = seq;
            }
            _ => {
                let (sent, sent_ever) = (false, false);
                self.gone.push(Gone { range: (seq, seq), reason, sent, sent_ever });
            }
        }
        if self.gone.len() > GONE_MAX {
            self.gone.remove(0);
            self.account.forgotten += 1;
        }
    }

    /// A new stream: nothing is in flight, and all that waits is backlog.
    pub fn start_stream(&mut self) {
        for entry in self.waiting.values_mut() {
            entry.place = Place::Unsent;
        }
        self.gone.dedup_by(|next, last| {
            // What was never said must not pass for said, so only equals melt.
            let melts = last.reason == next.reason
                && last.sent_ever == next.sent_ever
                && last.range.1 + 1 == next.range.0;
            if melts {
                last.range.1 = next.range.1;
            }
            melts
        });
        for gone in &mut self.gone {
            gone.sent = false;
        }
        (self.in_flight, self.backlog_in_flight) = (0, 0);
        self.next_backlog = 1;
        self.begin_live();
    }

    /// What to send now, marked as sent at `now_us` (monotonic); `None` while the window is full
    /// or nothing waits.
    pub fn next(&mut self, now_us: u64) -> Option<Outgoing> {
        if self.in_flight >= self.window {
            // A server that does not keep up is served the newest first once it does.
            self.begin_live();
            return None;
        }
        if let Some(gone) = self.gone.iter_mut().find(|gone| !gone.sent) {
            (gone.sent, gone.sent_ever) = (true, true);
            let (session, range, reason) = (self.session, gone.range, gone.reason.to_owned());
            return Some(Outgoing::Dropped(Declaration { session, range, reason }));
        }
        let live = self.waiting.range(self.next_live..).next().map(|(seq, _)| *seq);
        if let Some(seq) = live {
            self.next_live = seq + 1;
            return self.send(seq, Place::Live, now_us);
        }
        if self.backlog_in_flight >= (self.window / BACKLOG_PART).max(1) {
            return None;
        }
        let mut backlog =
            self.waiting.range(self.next_backlog..self.live_from.max(self.next_backlog));
        let seq = backlog.find(|(_, entry)| entry.place == Place::Unsent).map(|(seq, _)| *seq)?;
        self.next_backlog = seq + 1;
        self.send(seq, Place::Backlog, now_us)
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
            self.gone.retain_mut(|gone| {
                let covers_start = *first <= gone.range.0 && gone.sent_ever;
                if covers_start && gone.range.0 <= *last {
                    gone.range.0 = last.saturating_add(1);
                }
                gone.range.0 <= gone.range.1
            });
        }
        self.account.acked += acked.frames;
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
        let (waiting, bytes) = (self.waiting.len() as u64, self.bytes as u64);
        Account { waiting, bytes, ..self.account }
    }

    /// The oldest frame that is not settled yet, or the next one to be sampled: `Hello.first_seq`.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        let gone = self.gone.iter().map(|gone| gone.range.0).min();
        let waiting = self.waiting.keys().next().copied();
        [gone, waiting].into_iter().flatten().min().unwrap_or(self.account.sampled + 1)
    }

    /// Whether every frame is acknowledged and every loss is known to the server.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.gone.is_empty()
    }

    /// Whether something was not handed to this stream yet.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.in_flight < self.waiting.len() || self.gone.iter().any(|gone| !gone.sent)
    }

    /// The numbers of all frames that wait, as ranges.
    #[must_use]
    pub fn waiting_ranges(&self) -> Vec<SeqRange> {
        let mut ranges: Vec<SeqRange> = Vec::new();
        for seq in self.waiting.keys().copied() {
            match ranges.last_mut() {
                Some(last) if last.1 + 1 == seq => last.1 = seq,
                _ => ranges.push((seq, seq)),
            }
        }
        ranges
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
        self.in_flight += 1;
        self.backlog_in_flight += usize::from(place == Place::Backlog);
        Some(Outgoing::Frame { frame, again })
    }

    fn remove(&mut self, seq: u64) -> bool {
        let Some(entry) = self.waiting.remove(&seq) else { return false };
        self.bytes -= entry.bytes + self.layout_out(&entry.frame.samples.layout);
        self.in_flight -= usize::from(entry.place != Place::Unsent);
        self.backlog_in_flight -= usize::from(entry.place == Place::Backlog);
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
