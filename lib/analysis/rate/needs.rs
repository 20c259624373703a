//! The formulas of `plan.rs` read backwards: which sampled series a derived value is made of.

use std::borrow::Cow;

use super::plan::{self, Mode};
use crate::analysis::view::SUMMARY_COLUMNS;
use crate::metric::SeriesKey;

/// Labels of a derived series that a sampled one is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) enum Labels {
    /// Those of the sampled series, or some of them.
    Own,
    /// None.
    None,
    /// Any: it is a part of what others are a share of.
    Any,
}

/// Name of what a sampled metric becomes; its own when it stays what it is.
pub(in crate::analysis) fn derived_name(sampled: &str) -> Cow<'_, str> {
    if let Some(column) = plan::summary_gauge(sampled) {
        return SUMMARY_COLUMNS[column as usize].into();
    }
    match sampled {
        plan::CPU_SECONDS => plan::CPU_SHARE.into(),
        plan::CPU_CORE_SECONDS => plan::CPU_CORE_USAGE.into(),
        plan::BUSY => plan::BUSY_SHARE.into(),
        written if written == plan::RENAMED.0 => plan::RENAMED.1.into(),
        _ => match sampled.strip_suffix("_total") {
            Some(base) => format!("{base}_per_second").into(),
            None => sampled.into(),
        },
    }
}

/// Name of the gauge that a derived reading of an instant was sampled as.
pub(in crate::analysis) fn gauge_name(derived: &str) -> &str {
    plan::gauge_of(derived).unwrap_or(derived)
}

/// Whether a sampled series is needed for any derived value that is wanted; `wanted` is asked for
/// names, with the labels that the derived series would have.
pub(in crate::analysis) fn is_needed(
    key: &SeriesKey,
    wanted: impl Fn(&str, Labels) -> bool,
) -> bool {
    let name = key.name();
    let column = |column: u32| wanted(SUMMARY_COLUMNS[column as usize], Labels::None);
    match name {
        plan::CPU_SECONDS => {
            let counts = key.label("mode").is_none_or(|mode| Mode::named(&mode) != Mode::Apart);
            let shares = if counts { Labels::Any } else { Labels::Own };
            wanted(plan::CPU_SHARE, shares) || counts && column(plan::CPU_USAGE)
        }
        plan::CPU_CORE_SECONDS => wanted(plan::CPU_CORE_USAGE, Labels::Own),
        "memory_total_bytes" | "memory_available_bytes" => {
            wanted(name, Labels::Own)
                || column(plan::MEMORY_USED)
                || column(plan::MEMORY_USED_PERCENT)
        }
        _ => wanted(&derived_name(name), Labels::Own) || plan::total_of(name).is_some_and(column),
    }
}

/// How many sampled series a derived value is made of at least.
pub(in crate::analysis) fn sources_min(derived: &str) -> u64 {
    match derived {
        // Eight modes since Linux 2.6.11.
        plan::CPU_SHARE => 8,
        name if name == SUMMARY_COLUMNS[plan::CPU_USAGE as usize] => 8,
        name if name == SUMMARY_COLUMNS[plan::MEMORY_USED as usize] => 2,
        name if name == SUMMARY_COLUMNS[plan::MEMORY_USED_PERCENT as usize] => 2,
        _ => 1,
    }
}
