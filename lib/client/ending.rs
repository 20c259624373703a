//! Why a stream is over.

use std::time::Duration;

/// Why a stream is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client stops.
    Stopped,
    /// The server asked us to go elsewhere; there after this time at the earliest, because the
    /// server ended the stream before the moment that this client had chosen to leave.
    Drained(Duration),
    /// Series or layouts of this stream are used up; a new one starts empty.
    Renewed,
    /// Version, name or kind of the other side do not fit; trying it again at once is pointless.
    Refused(String),
    /// Anything else.
    Lost(String),
}
