//! What analysis counts of itself. Of what came in,
//! `records = replayed + frames_stored + frames_doubled + frames_too_late + sessions + sessions_refused +
//! stages + skipped + undecodable + refused + panicked`.

use crate::counters;

counters! {
    /// Self-counters of the room.
    pub struct AnalysisCounts {
        records: "analysis_records_total", "Records read from the bus.";
        replayed: "analysis_records_replayed_total", "Records read again that were accounted for before a restart.";
        frames_stored: "analysis_frames_stored_total", "Frames seen for the first time.";
        frames_doubled: "analysis_frames_doubled_total", "Frames seen before, and removed.";
        frames_too_late: "analysis_frames_too_late_total", "Frames too late for their account.", fault;
        sessions: "analysis_sessions_total", "Session records taken over.";
        sessions_refused: "analysis_sessions_refused_total", "Session records too late or with absurd numbers.", fault;
        stages: "analysis_stages_total", "Records of servers' latencies.";
        skipped: "analysis_records_skipped_total", "Records of a type or version not known here.";
        undecodable: "analysis_records_undecodable_total", "Records that could not be read.", fault;
        refused: "analysis_records_refused_total", "Records whose key is not their host, or whose host is no name.", fault;
        panicked: "analysis_records_panicked_total", "Records given up because of a fault in here.", fault;
        backlog_frames: "analysis_backlog_frames_total", "Stored frames sent or read too late for the live latencies.";
        frames_too_old: "analysis_frames_too_old_total", "Stored frames older than the live window.";
        live_crowded_out: "analysis_live_frames_crowded_out_total", "Frames that left the window early to save memory.", fault;
        samples_refused: "analysis_samples_refused_total", "Samples of hosts with too many series.", fault;
        counter_resets: "analysis_resets_total", "Counters that went backwards: no rate for that step.", fault;
        idle_steps_back: "analysis_idle_steps_back_total", "Idle times that stepped back a little.";
        hosts_dropped: "analysis_hosts_dropped_total", "Hosts not seen for longest, dropped for new ones.", fault;
        sessions_folded: "analysis_sessions_folded_total", "Accounts closed because their host had too many sessions.", fault;
        updates_dropped: "analysis_updates_dropped_total", "Live updates the page's side was too slow for.", fault;
        bus_errors: "analysis_bus_errors_total", "Reads from the bus that failed.", fault;
        gap_offsets: "analysis_gap_offsets_total", "Records that were gone from the bus before they were read.", fault;
        live_bytes: "analysis_live_bytes", "Memory of the live window's frames.";
        hosts: "analysis_hosts", "Hosts known.";
    }
}
