//! The command line.

use std::time::Duration;

/// How long a cost at 1 Hz is watched; ten times the noise of one tick.
const WINDOW: Duration = Duration::from_secs(60);

/// What a program may take to reach its steady state before it is watched.
const SETTLE: Duration = Duration::from_secs(10);

/// What to do.
pub enum Command {
    Report(Settings),
    /// This process is a helper of a report: its name and arguments.
    Child(Vec<String>),
}

/// What to measure, and for how long.
pub struct Settings {
    words: Vec<String>,
    /// Only say what there is.
    pub list: bool,
    /// How long steady states are watched.
    pub window: Duration,
    /// How long is waited for a steady state.
    pub settle: Duration,
}

impl Settings {
    /// Whether a measurement is to be made: its whole name, or a part that is nobody's whole name.
    pub fn chooses(&self, name: &str, names: &[&str]) -> bool {
        let is_meant = |word: &String| {
            if names.contains(&word.as_str()) { name == word } else { name.contains(word.as_str()) }
        };
        self.words.is_empty() || self.words.iter().any(is_meant)
    }
}

/// Reads the command line; words in the error.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut settings = Settings { words: Vec::new(), list: false, window: WINDOW, settle: SETTLE };
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // cargo says it to every bench.
            "--bench" => {}
            "--child" => return Ok(Command::Child(arguments.collect())),
            "--list" => settings.list = true,
            "--seconds" => {
                let seconds = arguments.next().and_then(|text| text.parse::<u64>().ok());
                let seconds = seconds.filter(|seconds| (1..=3_600).contains(seconds));
                let seconds = seconds.ok_or("--seconds: expected a number from 1 to 3600")?;
                settings.window = Duration::from_secs(seconds);
                settings.settle = settings.settle.min(settings.window);
            }
            flag if flag.starts_with('-') => {
                return Err(format!("unknown flag '{flag}'; there are --list and --seconds N"));
            }
            word => settings.words.push(word.to_owned()),
        }
    }
    Ok(Command::Report(settings))
}
