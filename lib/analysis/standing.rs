//! How the readers stand with the bus: the worst of them is what people see.

use std::sync::{Mutex, PoisonError};

use crate::analysis::view::BusState;

/// How the readers stand with the bus, by partition of the metrics.
#[derive(Debug)]
pub(in crate::analysis) struct Standing(Mutex<Vec<BusState>>);

impl Standing {
    /// Nothing was read yet.
    pub(in crate::analysis) fn new(partitions: u32) -> Self {
        let start = BusState::CatchingUp { behind_s: 0 };
        Self(Mutex::new(vec![start; partitions as usize]))
    }

    /// The worst of all partitions.
    pub(in crate::analysis) fn worst(&self) -> BusState {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let down = states.iter().find(|state| matches!(state, BusState::Down { .. }));
        let behind = states.iter().filter_map(|state| match state {
            BusState::CatchingUp { behind_s } => Some(*behind_s),
            _ => None,
        });
        match (down, behind.max()) {
            (Some(down), _) => down.clone(),
            (None, Some(behind_s)) => BusState::CatchingUp { behind_s },
            (None, None) => BusState::Ok,
        }
    }

    pub(in crate::analysis) fn set(&self, partition: u32, state: BusState) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = states.get_mut(partition as usize) {
            *place = state;
        }
    }
}
