//! What this room counts.

use crate::counters;

counters! {
    /// Everything the server counts. Two balances hold at any moment and are tested:
    /// `frames_in = frames_published + frames_refused + frames_abandoned + frames_queued`, and
    /// `streams_opened = streams_refused + streams_ended + streams_open`.
    pub struct ServerCounts {
        streams_opened: "server_streams_opened_total", "Streams that clients opened.";
        streams_refused: "server_streams_refused_total", "Streams refused because there were too many, or the server was stopping.", fault;
        streams_ended: "server_streams_ended_total", "Streams that ended, for whatever reason.";
        streams_open: "server_streams_open", "Streams open now.";
        sessions_welcomed: "server_sessions_welcomed_total", "Sessions that were welcomed.";
        sessions_refused: "server_sessions_refused_total", "Sessions refused for their version, their name, or another session under it.", fault;
        sessions_replaced: "server_sessions_replaced_total", "Streams that gave way to a newer stream under their name.";
        streams_failed: "server_streams_failed_total", "Streams ended because of what the client sent or did not send.", fault;
        messages_unknown: "server_messages_unknown_total", "Messages of a later version, ignored.", fault;
        frames_in: "server_frames_in_total", "Frames received.";
        frames_published: "server_frames_published_total", "Frames that became durable.";
        frames_refused: "server_frames_refused_total", "Frames the bus will never take (too large, or by its word); declared dropped.", fault;
        frames_abandoned: "server_frames_abandoned_total", "Frames left behind, unacknowledged, when their stream or the server ended; the client sends them again.";
        frames_queued: "server_frames_queued", "Frames received and not yet durable.";
        queue_bytes: "server_queue_bytes", "Memory held by what waits for the bus.";
        streams_held: "server_streams_held_total", "Times a stream was held back because the bus was behind.", fault;
        clocks_wrong: "server_clocks_wrong_total", "Frames from more than five minutes ahead, stored at the time they were received.", fault;
        values_omitted: "server_values_omitted_total", "Values left out of records because JSON has no word for them.", fault;
        declarations_in: "server_declarations_in_total", "Declarations by clients that frames are gone.";
        declarations_forgotten: "server_declarations_forgotten_total", "Published declarations that later session records no longer repeat.", fault;
        records_published: "server_session_records_published_total", "Session records that became durable.";
        records_refused: "server_session_records_refused_total", "Session records the bus will never take.", fault;
        batches_published: "server_batches_published_total", "Batches that became durable.";
        bytes_published: "server_published_bytes_total", "Keys and values in those batches.";
        publish_retries: "server_publish_retries_total", "Times a batch had to be sent again because the bus was not available.", fault;
        stages_published: "server_stages_published_total", "Stage histograms published.";
        stages_lost: "server_stages_lost_total", "Stage histograms that could not be published.", fault;
        acks_sent: "server_acks_sent_total", "Acknowledgements sent.";
        pings_sent: "server_pings_sent_total", "Pings sent.";
        statuses_in: "server_statuses_in_total", "Answers to pings.";
    }
}
