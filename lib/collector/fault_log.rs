//! What the log says about one collector: a line when a fault appears, changes or goes, and none
//! while it lasts.

use std::time::Duration;

use log::Level;

use crate::base::throttle::Throttle;

use super::error::CollectError;
use super::status::State;

/// What was said last, and when.
#[derive(Debug)]
pub(super) struct FaultLog {
    /// The fault that was logged; empty when the log says that all is well.
    said: String,
    throttle: Throttle,
}

impl FaultLog {
    /// At most one line each `period`, though the fault changes at every run.
    pub(super) fn new(period: Duration) -> Self {
        Self { said: String::new(), throttle: Throttle::new(period) }
    }

    /// The line to write after a run with this first fault of so many.
    pub(super) fn line(
        &mut self,
        state: State,
        first: Option<&CollectError>,
        faults_count: u64,
    ) -> Option<(Level, String)> {
        let key = first.map(CollectError::fault_key).unwrap_or_default();
        // What the throttle holds back is compared again after the next run: the last state is
        // always said in the end.
        if key == self.said || self.throttle.pass().is_none() {
            return None;
        }
        self.said = key;
        let Some(error) = first else { return Some((Level::Info, "well again".to_owned())) };
        Some(match state {
            State::Off { .. } => (Level::Info, format!("off, asked again every minute: {error}")),
            State::Dead => (Level::Error, format!("not run any more: {error}; please report this")),
            State::Ready if faults_count > 1 => {
                (Level::Warn, format!("{error} (and {} more)", faults_count - 1))
            }
            State::Ready => (Level::Warn, error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn fault(item: &str, found: &str) -> CollectError {
        let (path, item, found) = (PathBuf::from("x"), item.to_owned(), found.to_owned());
        CollectError::Parse { path, line: 1, item, expected: "order", found }
    }

    #[test]
    fn says_a_fault_once_until_it_changes_or_goes() {
        let mut log = FaultLog::new(Duration::ZERO);
        let mut say =
            |fault: Option<&CollectError>| log.line(State::Ready, fault, 1).map(|(_, line)| line);
        assert_eq!(say(None), None);
        let first = "x:1: a: expected order, found '1'".to_owned();
        assert_eq!(say(Some(&fault("a", "1"))), Some(first));
        assert_eq!(say(Some(&fault("a", "2"))), None, "the same place");
        assert!(say(Some(&fault("b", "2"))).is_some(), "another item");
        assert_eq!(say(None).as_deref(), Some("well again"));
        assert_eq!(say(None), None);
    }

    #[test]
    fn a_fault_that_changes_all_the_time_does_not_fill_the_log() {
        let mut log = FaultLog::new(Duration::from_secs(3_600));
        let lines = (0..100).filter(|number| {
            let fault = fault(&number.to_string(), "");
            log.line(State::Ready, Some(&fault), 1).is_some()
        });
        assert_eq!(lines.count(), 1);
    }
}
