//! What one frame gave: its derived values and their names.

use std::sync::Arc;

use super::plan::Plan;
use crate::analysis::view::{SUMMARY_COLUMNS, SummaryValues};
use crate::metric::SeriesKey;

/// What one frame gave.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct Step {
    /// Names of the values; empty before the first frame.
    pub(in crate::analysis) plan: Arc<Plan>,
    pub(in crate::analysis) values: Vec<Derived>,
    /// The summary columns of this frame alone.
    pub(in crate::analysis) summary: SummaryValues,
    /// Counters that went backwards.
    pub(in crate::analysis) resets: u64,
    /// Idle times that stepped back a little, taken as standing still.
    pub(in crate::analysis) idle_steps_back: u64,
    /// Samples refused because the host has too many series.
    pub(in crate::analysis) refused: u64,
}

/// One derived value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::analysis) struct Derived {
    /// Place among the plan's outputs.
    pub(in crate::analysis) output: u32,
    /// The time that a rate or a share was taken over, from the reading before; at most 71
    /// minutes (`u32::MAX`). 0: a reading of an instant.
    pub(in crate::analysis) over_us: u32,
    /// Finite.
    pub(in crate::analysis) value: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            plan: Arc::default(),
            values: Vec::new(),
            summary: [None; SUMMARY_COLUMNS.len()],
            resets: 0,
            idle_steps_back: 0,
            refused: 0,
        }
    }
}

impl Step {
    /// The values with their names.
    pub(in crate::analysis) fn named(&self) -> Vec<(SeriesKey, f64)> {
        let outputs = &self.plan.outputs;
        self.values.iter().map(|got| (outputs[got.output as usize].clone(), got.value)).collect()
    }

    /// Nothing yet, by this plan.
    pub(super) fn begin(&mut self, plan: &Arc<Plan>) {
        if !Arc::ptr_eq(&self.plan, plan) {
            self.plan = plan.clone();
        }
        self.values.clear();
        self.values.reserve(plan.outputs.len());
        self.summary = [None; SUMMARY_COLUMNS.len()];
        (self.resets, self.idle_steps_back, self.refused) = (0, 0, plan.refused);
    }

    /// A reading of an instant.
    pub(super) fn put(&mut self, output: u32, value: f64) {
        self.put_over(output, value, 0);
    }

    /// What was taken over some time.
    pub(super) fn put_over(&mut self, output: u32, value: f64, over_us: u64) {
        if !value.is_finite() {
            return;
        }
        if let Some(column) = self.summary.get_mut(output as usize) {
            *column = Some(value);
        }
        let over_us = u32::try_from(over_us).unwrap_or(u32::MAX);
        self.values.push(Derived { output, over_us, value });
    }
}
