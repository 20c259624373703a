//! Where state lives: for every program that keeps some.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

/// The directory for state.
#[derive(Debug, Args)]
#[command(next_help_heading = "State")]
pub(crate) struct DataFlags {
    /// Directory for state, made for this user alone if it is missing; without it nothing is kept
    /// on disk, and the last quarter of an hour is read from the topic again after a restart
    #[arg(long, env = "MONITOR_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataFlags {
    /// The directory, which is there then.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn take(self) -> anyhow::Result<Option<PathBuf>> {
        if let Some(data) = &self.data {
            // Readable by nobody else: what a host does is its owner's business.
            let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
            made.with_context(|| {
                format!("cannot make '{}'; expected a directory that can be made", data.display())
            })?;
        }
        Ok(self.data)
    }
}
