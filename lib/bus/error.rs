//! What can go wrong on a bus, in words for people.

use std::fmt;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusError {
    /// Not reachable, or it ended the call; trying again may help.
    Unavailable {
        /// What was tried, what came back, what to do.
        what: String,
    },
    /// Not reached since the start of the process; whoever connects it has told why.
    NotYet {
        /// What the last try brought.
        what: String,
    },
    /// These records will never be accepted (too large, corrupt by the broker's word).
    Refused {
        /// What the broker said.
        what: String,
    },
    /// The bus cannot be used at all as it is; an operator has to act (wrong version, no topic).
    Unusable {
        /// What was found, what was expected, what to do.
        what: String,
    },
    /// The process is stopping.
    Stopped,
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { what }
            | Self::NotYet { what }
            | Self::Refused { what }
            | Self::Unusable { what } => f.write_str(what),
            Self::Stopped => f.write_str("the bus is stopping"),
        }
    }
}

impl std::error::Error for BusError {}
