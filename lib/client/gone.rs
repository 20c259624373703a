//! What a session has to declare: ranges of frames that are gone, until an ack covers the word.

use std::borrow::Cow;

use crate::metric::SeqRange;

/// Ranges of dropped frames that wait for an ack. They melt together when they touch, so this
/// many need as many stalls, each with acknowledged frames between.
const GONE_MAX: usize = 1_024;

/// The declarations of one session.
#[derive(Debug, Default)]
pub(super) struct Gone {
    list: Vec<Item>,
    forgotten: u64,
}

#[derive(Debug)]
struct Item {
    range: SeqRange,
    reason: Cow<'static, str>,
    sent: bool,
    sent_ever: bool,
}

impl Gone {
    /// These frames are gone.
    pub(super) fn add(&mut self, range: SeqRange, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        match self.list.last_mut() {
            Some(last)
                if !last.sent_ever && last.reason == reason && last.range.1 + 1 == range.0 =>
            {
                last.range.1 = range.1;
            }
            _ => {
                let (sent, sent_ever) = (false, false);
                self.list.push(Item { range, reason, sent, sent_ever });
            }
        }
        if self.list.len() > GONE_MAX {
            self.list.remove(0);
            self.forgotten += 1;
        }
    }

    /// A new stream knows of none.
    pub(super) fn start_stream(&mut self) {
        self.list.dedup_by(|next, last| {
            // What was never said must not pass for said, so only equals melt.
            let melts = last.reason == next.reason
                && last.sent_ever == next.sent_ever
                && last.range.1 + 1 == next.range.0;
            if melts {
                last.range.1 = next.range.1;
            }
            melts
        });
        self.list.iter_mut().for_each(|item| item.sent = false);
    }

    /// What to declare next on this stream, marked as said.
    pub(super) fn next(&mut self) -> Option<(SeqRange, String)> {
        let item = self.list.iter_mut().find(|item| !item.sent)?;
        (item.sent, item.sent_ever) = (true, true);
        Some((item.range, item.reason.to_string()))
    }

    /// An ack covers these numbers, as far as they were declared.
    pub(super) fn acknowledge(&mut self, (first, last): SeqRange) {
        self.list.retain_mut(|item| {
            let covers_start = first <= item.range.0 && item.sent_ever;
            if covers_start && item.range.0 <= last {
                item.range.0 = last.saturating_add(1);
            }
            item.range.0 <= item.range.1
        });
    }

    /// Whether something was not said on this stream yet.
    pub(super) fn has_unsent(&self) -> bool {
        self.list.iter().any(|item| !item.sent)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The lowest number.
    pub(super) fn first(&self) -> Option<u64> {
        self.list.iter().map(|item| item.range.0).min()
    }

    /// Every range with its reason.
    pub(super) fn list(&self) -> Vec<(SeqRange, String)> {
        self.list.iter().map(|item| (item.range, item.reason.to_string())).collect()
    }

    /// Ranges that were too many and will never be declared.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
