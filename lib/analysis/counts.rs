//! What analysis counts of itself. Of what came in,
//! `records = frames_stored + frames_doubled + frames_too_late + sessions + sessions_refused +
//! stages + skipped + undecodable + refused + panicked`.

use std::fmt;
use std::sync::Arc;

use crate::base::counter::Count;
use crate::counters;

counters! {
    /// Self-counters of the room.
    pub struct AnalysisCounts {
        records: "analysis_records_total", "Records read from the bus.";
        frames_stored: "analysis_frames_stored_total", "Frames that were seen for the first time.";
        frames_doubled: "analysis_frames_doubled_total", "Frames that had been seen before and were removed.";
        frames_too_late: "analysis_frames_too_late_total", "Frames whose part of the account was closed before they came.";
        sessions: "analysis_sessions_total", "Session records taken over.";
        sessions_refused: "analysis_sessions_refused_total", "Session records with numbers that cannot be meant, or of a closed account.";
        stages: "analysis_stages_total", "Records of servers' latencies.";
        skipped: "analysis_records_skipped_total", "Records of a type or version that this program does not know.";
        undecodable: "analysis_records_undecodable_total", "Records that could not be read.";
        refused: "analysis_records_refused_total", "Records refused because their key is not their host, or the host's name is none.";
        panicked: "analysis_records_panicked_total", "Records given up because of a fault in this program.";
        backlog_frames: "analysis_backlog_frames_total", "Of the stored frames, those sent or read too late for the live latencies.";
        frames_too_old: "analysis_frames_too_old_total", "Of the stored frames, those older than the live window.";
        live_crowded_out: "analysis_live_frames_crowded_out_total", "Frames that left the live window early because of a limit on memory.";
        samples_refused: "analysis_samples_refused_total", "Samples refused because their host has too many series.";
        counter_resets: "analysis_counter_resets_total", "Counters that went backwards: no rate for that step.";
        idle_steps_back: "analysis_idle_steps_back_total", "Idle or iowait times that stepped back a little, as the kernel's may.";
        hosts_dropped: "analysis_hosts_dropped_total", "Hosts not seen for longest, dropped for new ones; their accounts went into the fleet's.";
        sessions_folded: "analysis_sessions_folded_total", "Session accounts closed because their host has too many.";
        updates_dropped: "analysis_updates_dropped_total", "Live updates that the page's side was too slow for.";
        bus_errors: "analysis_bus_errors_total", "Reads from the bus that failed.";
        gap_offsets: "analysis_gap_offsets_total", "Records that were gone from the bus before they were read.";
        live_bytes: "analysis_live_bytes", "Memory of the live window's frames.";
        hosts: "analysis_hosts", "Hosts known.";
    }
}

/// Counts of another room of the same process.
pub type CountSource = Arc<dyn Fn() -> Vec<Count> + Send + Sync>;

/// The other rooms' counts.
#[derive(Clone, Default)]
pub struct CountSources(pub Vec<CountSource>);

impl fmt::Debug for CountSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sources of counts", self.0.len())
    }
}

impl CountSources {
    /// Everything they count now.
    #[must_use]
    pub fn read(&self) -> Vec<Count> {
        self.0.iter().flat_map(|source| source()).collect()
    }
}
