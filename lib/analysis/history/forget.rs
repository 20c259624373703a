//! A host is forgotten on request: its past, its accounts, its words about itself.
//!
//! What stays is its name and the offset up to which its records were read, so that reading the
//! topic again does not bring it back. Frames that come after that are a new host's.

use std::sync::PoisonError;

use super::archive::Archive;
use super::index::Entry;
use super::put::host_row;
use super::store::{HostId, StoreError};
use crate::analysis::hosts::Host;
use crate::analysis::view::QueryError;
use crate::metric::HostName;

/// Segments deleted in one transaction: 90 days of a host are some 200.
const SEGMENTS_PER_COMMIT: usize = 1_000;

impl Archive {
    /// Forgets a host; false when it was not known here. `known`: it as it is in memory.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(in crate::analysis) fn delete(
        &self,
        host: &str,
        known: Option<&Host>,
    ) -> Result<bool, QueryError> {
        let entry = self.index.get(host).filter(|entry| !entry.deleted);
        if entry.is_none() && known.is_none() {
            return Ok(false);
        }
        let name: HostName = host.into();
        let entry = entry.unwrap_or_else(|| self.index.get_or_number(&name));
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // From here on whoever handles its records waits until it is gone.
        if let Some(known) = known {
            known.lock().departed = true;
        }
        let deleted = self.delete_rows(&name, entry, known);
        match deleted {
            Ok(entry) => {
                self.pending.drop_host(host);
                self.index.set(name, entry);
                Ok(true)
            }
            Err(error) => {
                if let Some(known) = known {
                    known.lock().departed = false;
                }
                Err(QueryError::Store(error.to_string()))
            }
        }
    }

    /// Whether a record is of before its host was forgotten: it does not bring the host back.
    pub(in crate::analysis) fn is_forgotten(
        &self,
        host: &str,
        partition: u32,
        offset: u64,
    ) -> bool {
        let Some(entry) = self.index.get(host).filter(|entry| entry.deleted) else { return false };
        let epoch = self.lane(partition).map_or(0, |lane| lane.epoch());
        entry.epoch == epoch && entry.through.is_some_and(|through| offset <= through)
    }

    fn delete_rows(
        &self,
        name: &HostName,
        entry: Entry,
        known: Option<&Host>,
    ) -> Result<Entry, StoreError> {
        let read = known.and_then(|known| known.lock().track.through);
        let epoch = self.lane(self.partition_of(name)).map_or(0, |lane| lane.epoch());
        let entry = Entry {
            id: entry.id,
            through: read.max(entry.through.filter(|_| entry.epoch == epoch)),
            epoch,
            deleted: true,
            ..Entry::default()
        };
        loop {
            let mut commit = self.store.write()?;
            let is_all = commit.delete_host_data(HostId(entry.id), SEGMENTS_PER_COMMIT)?;
            commit.put_host(HostId(entry.id), &host_row(name, &entry, &self.tiers))?;
            commit.commit()?;
            if is_all {
                return Ok(entry);
            }
        }
    }
}
