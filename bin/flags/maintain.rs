//! What can be done to a history besides keeping it: `check` and `backup`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use realtime_monitor::analysis::history;
use realtime_monitor::base::clock::Real;
use realtime_monitor::base::quantity::format_bytes;
use realtime_monitor::base::stop;

use super::data::history_dir;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Maintain {
    /// Read everything that is kept and verify it; exit status 1 if something is not right. No
    /// other process may use it meanwhile
    Check {
        /// The directory for state, as it was given to monitor-analysis or monitor
        #[arg(long, env = "MONITOR_DATA", value_name = "DIR")]
        data: PathBuf,
    },
    /// Copy what is kept, as it is at one instant, while it is in use or not
    Backup {
        /// The directory for state, as it was given to monitor-analysis or monitor
        #[arg(long, env = "MONITOR_DATA", value_name = "DIR")]
        data: PathBuf,
        /// Directory for the copy; to be used as the 'history' of another directory for state
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
}

impl Maintain {
    /// Does it.
    ///
    /// # Errors
    /// What is not right, in words.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check { data } => check(&history_dir(&data)),
            Self::Backup { data, to } => backup(&history_dir(&data), &to),
        }
    }
}

fn check(dir: &Path) -> anyhow::Result<()> {
    let report = history::check(dir, &mut |bytes| show(&format!("{} read", format_bytes(bytes))))?;
    end_line();
    log::info!("{report}");
    report.problems.iter().for_each(|problem| log::error!("{problem}"));
    anyhow::ensure!(report.problems.is_empty(), "the history in '{}' is damaged", dir.display());
    Ok(())
}

fn backup(dir: &Path, to: &Path) -> anyhow::Result<()> {
    let to = std::path::absolute(to).with_context(|| format!("'{}' is no path", to.display()))?;
    let stop = stop::on_signals().context("cannot install signal handlers")?;
    let mut progress = |bytes| show(&format!("{} copied", format_bytes(bytes)));
    let bytes = history::backup(dir, &to, (Real::shared().wall_ms(), &stop), &mut progress)?;
    end_line();
    log::info!("{} copied to '{}'", format_bytes(bytes), to.display());
    Ok(())
}

/// Progress, for somebody who watches.
fn show(words: &str) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let _ = write!(out, "\r{words}  ");
    }
}

fn end_line() {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let _ = writeln!(out);
    }
}
