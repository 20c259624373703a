//! What the store counts of itself.

crate::counters! {
    /// Since the store was opened.
    pub(in crate::analysis) struct StoreCounts {
        commits: "history_commits_total", "Transactions of the history that are on the disk.";
        commit_failures: "history_commit_failures_total",
            "Transactions of the history that the disk did not take; they are tried again.", fault;
        reopened: "history_reopened_total",
            "Times the history's file was opened anew after the disk refused something.", fault;
        read_bytes: "history_read_bytes_total", "Bytes read from the history's file.";
        written_bytes: "history_written_bytes_total", "Bytes written to the history's file.";
        syncs: "history_syncs_total", "Times the history's file was forced to the disk.";
    }
}
