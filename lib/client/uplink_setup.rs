//! What the uplink is told at the start: where to, and as whom.

use std::path::PathBuf;

use super::machine::Machine;
use crate::metric::{HostName, SessionId};
use crate::wire::PROTOCOL;
use crate::wire::message::{CatalogueEntry, Hello};

/// Everything that stays the same from stream to stream.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// `host:port` each; at least one.
    pub(super) servers: Vec<String>,
    pub(super) host: HostName,
    pub(super) root: PathBuf,
    pub(super) machine: Machine,
    pub(super) catalogue: Vec<CatalogueEntry>,
    pub(super) interval_min_ms: u32,
    pub(super) window_frames: u64,
}

impl Setup {
    /// The first message of a stream; `first_seq` is for the conversation to fill in.
    pub(super) fn hello(&self, session: SessionId) -> Hello {
        Hello {
            protocol: PROTOCOL,
            host: self.host.clone(),
            machine_id_hash: self.machine.id_hash,
            session,
            boot_id: self.machine.boot_id.clone(),
            labels: self.machine.labels.clone(),
            catalogue: self.catalogue.clone(),
            interval_min_ms: self.interval_min_ms,
            window_frames: self.window_frames,
            earlier_sessions: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            first_seq: 1,
        }
    }
}
