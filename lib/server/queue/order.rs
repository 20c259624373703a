//! What of a queue goes next: live frames before those that have waited, so that what people look
//! at does not stand behind an hour that comes late.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Item;

/// So long after it was sampled a frame is live; one that waits longer has missed that.
const LIVE: Duration = Duration::from_secs(2);

/// Of so many items in a row one is not live, if there is one: those who look at a live page wait a
/// third longer, and nobody's past waits for ever.
const LATE_EVERY: u32 = 4;

/// The items of one queue.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Frames, in order of their arrival, which is its number.
    live: VecDeque<(u64, Item)>,
    /// Frames that were sampled long ago, and the records of sessions, by arrival.
    late: BTreeMap<u64, Item>,
    arrived: u64,
    /// While something that is not waits.
    live_in_a_row: u32,
}

impl Order {
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.late.is_empty()
    }

    pub(super) fn push(&mut self, item: Item) {
        self.arrived += 1;
        if item.delay().is_some_and(|delay| delay < LIVE) {
            self.live.push_back((self.arrived, item));
        } else {
            self.late.insert(self.arrived, item);
        }
    }

    /// The next item at `now`, monotonic. The record of a session never overtakes a frame, and a frame
    /// that may have been overtaken says so: readers take the others for being in order.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Item> {
        while let Some((_, item)) = self.live.front()
            && item.age(now) >= LIVE
            && let Some((number, item)) = self.live.pop_front()
        {
            self.late.insert(number, item);
        }
        let first_live = self.live.front().map(|(number, _)| *number);
        let first_late = self.late.first_key_value();
        let is_late_due = first_late.is_some_and(|(number, item)| match first_live {
            None => true,
            Some(live) if matches!(item, Item::Session { .. }) => *number < live,
            Some(_) => self.live_in_a_row + 1 >= LATE_EVERY,
        });
        if is_late_due {
            self.live_in_a_row = 0;
            let (_, mut item) = self.late.pop_first()?;
            if let Item::Frame(waiting) = &mut item {
                waiting.record.overtaken = true;
            }
            return Some(item);
        }
        self.live_in_a_row = if self.late.is_empty() { 0 } else { self.live_in_a_row + 1 };
        self.live.pop_front().map(|(_, item)| item)
    }
}
