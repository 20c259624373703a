//! Frames as they arrived into the finest tier: one reading a second of every series.
//!
//! Of each second (`time_ms / 1000`) a series keeps the reading with the lowest number. Metrics
//! with the same interval keep the same frames; where one is watched at 20 Hz and the others
//! sampled once a second, the others keep the frame that they are in, wherever in the second it
//! is. A frame of which nothing is kept is thinned away, and leaves its trace in the extremes.

use std::collections::HashMap;
use std::sync::Arc;

use super::assemble::{self, Kept, Ranges};
use super::fold::{Before, Folding};
use super::segment::Segment;
use super::table::{Class, Table};
use super::tiers::SECOND_MS;
use crate::analysis::live::Row;
use crate::analysis::rate::KeyPool;
use crate::metric::SessionId;

/// Frames of one session, in order of arrival.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct SessionRows {
    pub(in crate::analysis) session: SessionId,
    /// Frames that were in an earlier chunk, by (`elapsed_us`, `seq`): rates begin at them.
    pub(in crate::analysis) before: Vec<Before>,
    pub(in crate::analysis) rows: Vec<Row>,
}

/// A chunk in the finest tier.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::analysis) struct Thinned {
    /// One for each session.
    pub(in crate::analysis) segments: Vec<Segment>,
    /// Frames of which no reading was kept.
    pub(in crate::analysis) thinned: u64,
}

/// Thins the frames of a chunk. Where every second has one frame nothing is derived.
pub(in crate::analysis) fn thin(sessions: Vec<SessionRows>, pool: &Arc<KeyPool>) -> Thinned {
    let mut done = Thinned::default();
    for SessionRows { session, before, rows } in sessions {
        let table = Table::of_rows(rows);
        let kept = lowest_of_seconds(&table);
        let all = kept.iter().flatten().all(|kept| *kept);
        let told = all && before.iter().all(|before| before.kept);
        let ranges = if told {
            Ranges::default()
        } else {
            let folding = Folding {
                table: &table,
                kept: &kept,
                before: &before,
                finer: &[],
                bucket_ms: u64::from(SECOND_MS),
                widen: false,
            };
            folding.run(pool)
        };
        let (segment, thinned) = assemble::segment(session, SECOND_MS, table, &kept, ranges);
        done.thinned += thinned;
        if !segment.groups.is_empty() {
            done.segments.push(segment);
        }
    }
    done
}

/// Of each class and second, the frame with the lowest number.
pub(in crate::analysis) fn lowest_of_seconds(table: &Table) -> Vec<Kept> {
    table.classes.iter().map(|class| lowest_of_class(table, class)).collect()
}

fn lowest_of_class(table: &Table, class: &Class) -> Kept {
    let second = |at: &u32| table.frames.time_ms[*at as usize] / u64::from(SECOND_MS);
    let seq = |place: usize| table.frames.seq[class.at[place] as usize];
    let mut kept = vec![false; class.len()];
    if class.at.is_sorted_by_key(second) {
        let mut first = 0;
        for run in class.at.chunk_by(|one, other| second(one) == second(other)) {
            let lowest = (first..first + run.len()).min_by_key(|place| seq(*place));
            lowest.into_iter().for_each(|place| kept[place] = true);
            first += run.len();
        }
        return kept;
    }
    // The server's clock, as the client knows it, stepped back.
    let mut lowest: HashMap<u64, usize> = HashMap::new();
    for (place, at) in class.at.iter().enumerate() {
        let best = lowest.entry(second(at)).or_insert(place);
        if seq(place) < seq(*best) {
            *best = place;
        }
    }
    lowest.into_values().for_each(|place| kept[place] = true);
    kept
}

#[cfg(test)]
#[path = "thin_tests.rs"]
pub(in crate::analysis::history) mod tests;
