//! Everything this room counts.

crate::counters! {
    /// What a client counts; on its log at the end, and on `/metrics` of a process that has one.
    pub struct ClientCounts {
        frames_sampled: "client_frames_sampled_total", "Frames sampled and numbered.";
        frames_sent: "client_frames_sent_total", "Frames handed to a stream, counting those sent again.";
        frames_sent_again: "client_frames_sent_again_total", "Frames handed to a stream that were on an earlier one.";
        frames_acked: "client_frames_acked_total", "Frames that an ack covered.";
        frames_dropped: "client_frames_dropped_total", "Frames dropped for want of room.", fault;
        frames_waiting: "client_frames_waiting", "Frames waiting for an ack.";
        buffer_used: "client_buffer_bytes", "Memory that the waiting frames take.";
        declarations_forgotten: "client_declarations_forgotten_total", "Dropped ranges never declared.", fault;
        frames_spooled: "client_frames_spooled_total", "Frames written to the spool.";
        frames_recalled: "client_frames_recalled_total", "Frames read back from the spool.";
        frames_of_earlier_runs: "client_earlier_frames_waiting", "Frames of earlier runs in the spool that wait for an ack.";
        earlier_frames_acked: "client_earlier_frames_acked_total", "Frames of earlier runs that an ack covered.";
        spool_bytes: "client_spool_bytes", "Bytes that the spool takes on disk.";
        spool_syncs: "client_spool_syncs_total", "Times that the spool was brought safely to disk.";
        spool_syncs_late: "client_spool_syncs_late_total", "Syncs of the spool not done within 30 s, or by the end of a stop.", fault;
        spool_failures: "client_spool_failures_total", "Tries to write, sync or read the spool that failed.", fault;
        spool_torn_bytes: "client_spool_torn_bytes_total", "Bytes cut off the ends of spool files that were not written whole.", fault;
        spool_strange_files: "client_spool_strange_files_total", "Spool files of a later version, or unreadable; left alone.", fault;
        declarations_of_earlier_runs_forgotten: "client_earlier_declarations_forgotten_total", "Losses of earlier runs never declared.", fault;
        ticks_skipped: "client_ticks_skipped_total", "Ticks skipped because a reading or a pause outlasted them.", fault;
        readings_empty: "client_readings_empty_total", "Readings that gave no sample and no frame.";
        readings_failed: "client_readings_failed_total", "Readings that panicked; contained.", fault;
        metrics_clamped: "client_metrics_clamped_total", "Metrics ordered faster than --interval-min.";
        connections: "client_connections_total", "Streams that a server welcomed.";
        connections_failed: "client_connections_failed_total", "Streams that ended before a welcome.", fault;
        connections_lost: "client_connections_lost_total", "Welcomed streams that ended unasked.", fault;
        connections_drained: "client_connections_drained_total", "Streams left because their server asked to.";
        connections_refused: "client_connections_refused_total", "Streams that a server refused by version or name.", fault;
        uplink_panics: "client_uplink_panics_total", "Streams that a panic of this program ended; contained.", fault;
        messages_unknown: "client_messages_unknown_total", "Messages ignored: of a later version, or not expected now.";
        acks_beyond: "client_acks_beyond_total", "Acks that spoke of frames never sent.", fault;
        pings_unanswered: "client_pings_unanswered_total", "Pings left unanswered because too many came at once.", fault;
        clock_steps: "client_clock_steps_total", "Steps of the server time estimate by over 100 ms.", fault;
        sampled_log_failures: "client_sampled_log_failures_total", "Lines of --sampled-log that could not be written.", fault;
    }
}
