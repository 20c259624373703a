//! Self-counters: every frame, drop, refusal and error that a room counts.
//!
//! A room declares its counters with [`counters!`](crate::counters): a struct of [`Counter`]
//! fields, each with its metric name and a sentence, and a list of them for `/metrics`, the page
//! and the log.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows, or a level that is set ([`Counter::set`]) and named without `_total`.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    help: &'static str,
    is_fault: bool,
    value: AtomicU64,
}

/// One counter as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Metric name, unit last.
    pub name: Cow<'static, str>,
    /// One sentence for people; empty when the counter is another process's.
    pub help: Cow<'static, str>,
    /// It counts what went wrong or got lost, so people are shown it whenever it is not zero.
    pub is_fault: bool,
    /// Value when it was read.
    pub value: u64,
}

impl Counter {
    /// A counter at zero.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str, is_fault: bool) -> Self {
        Self { name, help, is_fault, value: AtomicU64::new(0) }
    }

    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// `count` more.
    pub fn add(&self, count: u64) {
        self.value.fetch_add(count, Ordering::Relaxed);
    }

    /// Sets a level.
    pub fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Name, help and value.
    #[must_use]
    pub fn read(&self) -> Count {
        Count {
            name: self.name.into(),
            help: self.help.into(),
            is_fault: self.is_fault,
            value: self.get(),
        }
    }
}

/// Counters of other rooms of the same process.
#[derive(Clone, Default)]
pub struct CountSources(pub Vec<CountSource>);

/// One room's counters, whenever they are asked for.
pub type CountSource = Arc<dyn Fn() -> Vec<Count> + Send + Sync>;

impl CountSources {
    /// Everything they count now.
    #[must_use]
    pub fn read(&self) -> Vec<Count> {
        self.0.iter().flat_map(|source| source()).collect()
    }
}

impl fmt::Debug for CountSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sources of counts", self.0.len())
    }
}

/// The word `fault` behind a counter of [`counters!`](crate::counters).
#[doc(hidden)]
#[macro_export]
macro_rules! is_fault {
    () => {
        false
    };
    (fault) => {
        true
    };
}

/// Declares a struct of counters with a constructor and a list. A counter of what went wrong or
/// got lost is marked with `fault`.
#[macro_export]
macro_rules! counters {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($field:ident: $metric:literal, $help:literal $(, $fault:ident)?;)+ }) => {
        $(#[$doc])*
        #[derive(Debug)]
        $vis struct $name {
            $(#[doc = $help] pub $field: $crate::base::counter::Counter,)+
        }

        impl $name {
            /// All of them at zero.
            #[must_use]
            $vis const fn new() -> Self {
                Self { $($field: $crate::base::counter::Counter::new(
                    $metric,
                    $help,
                    $crate::is_fault!($($fault)?),
                ),)+ }
            }

            /// All of them as they stand now, in the order in which they were declared.
            #[must_use]
            $vis fn read(&self) -> Vec<$crate::base::counter::Count> {
                vec![$(self.$field.read(),)+]
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

#[cfg(test)]
mod tests {
    counters! {
        struct TestCounts {
            frames_in: "test_frames_in_total", "Frames that came in.";
            queued: "test_queued_frames", "Frames waiting.", fault;
        }
    }

    #[test]
    fn counts_and_lists() {
        let counts = TestCounts::new();
        counts.frames_in.increment();
        counts.frames_in.add(4);
        counts.queued.set(2);
        let read: Vec<_> =
            counts.read().iter().map(|count| (count.name.to_string(), count.value)).collect();
        let expected = [("test_frames_in_total", 5), ("test_queued_frames", 2)];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value)));
        let faults: Vec<_> = counts.read().iter().map(|count| count.is_fault).collect();
        assert_eq!(faults, [false, true]);
    }
}
