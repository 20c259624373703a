//! What the store of the past counts.

use crate::counters;

counters! {
    /// Counters of the store of the past.
    pub struct HistoryCounts {
        chunks: "history_chunks_total", "Chunks of hosts that were closed.";
        points: "history_points_total", "Frames that are kept, one a second at most.";
        thinned: "history_frames_thinned_total", "Frames of a second that already had one.";
        too_old: "history_frames_too_old_total", "Frames older than anything is kept.", fault;
        unnamed: "history_samples_unnamed_total", "Samples not kept: too many names of series.", fault;
        refused: "history_segments_refused_total", "Segments too large to be written.", fault;
        commits: "history_commits_total", "Transactions committed.";
        commit_failures: "history_commit_failures_total", "Transactions that the disk did not take.", fault;
        committed_bytes: "history_committed_bytes_total", "Bytes of segments committed.";
        logged_bytes: "history_logged_bytes_total", "Bytes written to the log of a bus that keeps nothing.";
        merged: "history_segments_merged_total", "Small segments made into larger ones.";
        rolled: "history_segments_rolled_total", "Segments made for coarser resolutions.";
        expired: "history_segments_expired_total", "Segments deleted because of their age.";
        shortened: "history_segments_shortened_total", "Segments deleted early to stay under --history-max.", fault;
        rewinds: "history_rewinds_total", "Times the bus was read again because the disk had not taken enough.", fault;
        corrupt: "history_rows_corrupt_total", "Rows and segments that were not as they had been written.", fault;
        set_aside: "history_files_set_aside_total", "Files that could not be used and were made anew.", fault;
        topics_anew: "history_topics_anew_total", "Partitions that were made anew under a running or stopped analysis.", fault;
        pending_bytes: "history_pending_bytes", "Bytes of closed chunks that wait for the disk.";
        file_bytes: "history_file_bytes", "Size of the file.";
        used_bytes: "history_used_bytes", "Bytes in use inside the file.";
    }
}
