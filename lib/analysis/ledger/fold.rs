//! An account under its bound: what lies lowest is counted once and for all.

use super::account::{Account, Around, Before, LEDGER_RANGES_MAX, SILENCE_MAX};
use super::sets;
use crate::metric::SeqRanges;

impl Account {
    /// Keeps every set under its bound: what lies lowest is counted once and for all.
    pub(super) fn bound(&mut self) {
        let before = match &self.before {
            Before::Known(set) => set.as_slice(),
            Before::Open { .. } => &[],
        };
        let sets = [&self.stored, &self.declared, &self.settled].map(SeqRanges::as_slice);
        let longest = sets.into_iter().fold(before, |a, b| if b.len() > a.len() { b } else { a });
        if longest.len() > LEDGER_RANGES_MAX {
            // Half of it, so that this does not happen with every frame.
            let middle = longest[longest.len() / 2].0;
            self.fold_below(middle);
        }
    }

    fn fold_below(&mut self, floor: u64) {
        let lower = Self {
            stored: sets::below(&self.stored, floor),
            declared: sets::below(&self.declared, floor),
            settled: sets::below(&self.settled, floor),
            before: Before::Known(match &self.before {
                Before::Known(before) => sets::below(before, floor),
                Before::Open { first, .. } => {
                    sets::single((1, first.unwrap_or(1).saturating_sub(1).min(floor - 1)))
                }
            }),
            top: self.top.min(floor - 1),
            floor: self.floor,
            ..Self::default()
        };
        // Whatever still waits down there is given up with the rest.
        let around = Around { now: SILENCE_MAX, replaced: true };
        super::add(&mut self.folded, &lower.tally(around).ledger);
        self.floor = floor;
        for set in [&mut self.stored, &mut self.declared, &mut self.settled] {
            *set = sets::from(set, floor);
        }
        if let Before::Known(before) = &mut self.before {
            *before = sets::from(before, floor);
        }
        self.doubt.numbers = sets::from(&self.doubt.numbers, floor);
    }
}
