//! Why a call into the crate did not do its work, sorted by what has to follow.

use super::super::BusError;

/// What went wrong in one call.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client is not to be used again; a new one may do better.
    Broken {
        /// What was tried and what came back.
        what: String,
    },
    /// The broker knows no partition of the topic (yet).
    TopicMissing,
    /// The broker rejected these very records; the client is fine.
    Rejected {
        /// The broker's word.
        what: String,
    },
    /// The wanted offset does not exist (any more); the client is fine.
    OffsetOutOfRange,
    /// What the broker sent cannot be read: compressed, corrupt, of another format.
    Unreadable {
        /// What it was.
        what: String,
    },
    /// Nothing but an operator can change this.
    Unusable {
        /// What was found, what was expected, what to do.
        what: String,
    },
    /// The bus was shut down.
    Stopped,
}

impl Fault {
    /// Whether the client that met this may be used again: only when the fault was told inside a
    /// proper answer.
    pub(super) fn leaves_client_usable(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::OffsetOutOfRange)
    }

    /// For the caller of the bus.
    pub(super) fn into_error(self) -> BusError {
        match self {
            Self::Broken { what } | Self::Unreadable { what } => BusError::Unavailable { what },
            Self::Rejected { what } => BusError::Refused { what },
            Self::Unusable { what } => BusError::Unusable { what },
            Self::Stopped => BusError::Stopped,
            Self::TopicMissing => {
                BusError::Unavailable { what: "the topic has no partitions yet".to_owned() }
            }
            Self::OffsetOutOfRange => {
                BusError::Unavailable { what: "the offset is out of range".to_owned() }
            }
        }
    }
}
