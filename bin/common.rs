//! What all programs share: the log, the exit status, and how an error is told.

use std::process::ExitCode;

use clap::Args;
use env_logger::{Builder, Env, Target};

/// Exit status for an error that an operator has to mend; clap uses the same for wrong flags.
const EXIT_ERROR: u8 = 2;

/// Flags of every program.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogFlags {
    /// What is logged: error, warn, info, debug or trace, also per room (info,bus=debug)
    #[arg(long = "log", env = "MONITOR_LOG", value_name = "LEVEL", default_value = "info")]
    pub(crate) level: String,
}

/// Starts the log on standard error: time, level, room, words.
pub(crate) fn start_log(flags: &LogFlags) {
    // A short room name stands for its full path in the library.
    let filter: Vec<String> = flags
        .level
        .split(',')
        .map(|part| match part.split_once('=') {
            Some((room, level)) => format!("realtime_monitor::{room}={level}"),
            None => part.to_owned(),
        })
        .collect();
    Builder::from_env(Env::default().default_filter_or(filter.join(",")))
        .target(Target::Stderr)
        .format_timestamp_millis()
        .init();
}

/// Runs a program whose log has been started; an error is told with its causes.
pub(crate) fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(EXIT_ERROR)
        }
    }
}
