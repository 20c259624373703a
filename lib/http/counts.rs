//! What the gate and the live streams count: every refusal, eviction and drop has a line here.

crate::counters! {
    /// Counters of the http room.
    pub struct HttpCounts {
        connections: "http_connections_total", "Connections accepted.";
        connections_evicted: "http_connections_evicted_total", "Idle or slow connections closed to make room.", fault;
        connections_refused: "http_connections_refused_total", "Connections answered 503 because all were busy.", fault;
        accept_errors: "http_accept_errors_total", "Connections lost for want of descriptors or memory.", fault;
        requests: "http_requests_total", "Requests whose head was complete.";
        requests_refused: "http_requests_refused_total", "Requests refused before any handler saw them.", fault;
        requests_late: "http_requests_late_total", "Requests that did not come within their time.", fault;
        answers: "http_answers_total", "Answers written to the end.";
        answers_failed: "http_answers_failed_total", "Requests that got a 5xx for want of an answer.", fault;
        answers_abandoned: "http_answers_abandoned_total", "Answers whose viewer left or was too slow.";
        queries: "http_queries_total", "Questions to the past that had their turn.";
        queries_refused: "http_queries_refused_total", "Questions to the past answered 503 because others took too long.", fault;
        hosts_deleted: "http_hosts_deleted_total", "Hosts that were forgotten because somebody asked for it.";
        server_rebuilt: "http_server_rebuilt_total", "Times the inner server was started anew.", fault;
        handlers_panicked: "http_handlers_panicked_total", "Panics contained in a handler; please report them.", fault;
        viewers: "http_live_viewers", "Live streams open now.";
        viewers_joined: "http_live_viewers_joined_total", "Live streams opened.";
        viewers_left: "http_live_viewers_left_total", "Live streams that the viewer closed.";
        viewers_refused: "http_live_viewers_refused_total", "Live streams answered 503.", fault;
        viewers_behind: "http_live_viewers_behind_total", "Live streams dropped: too much waited for the viewer.", fault;
        viewers_stalled: "http_live_viewers_stalled_total", "Live streams dropped: the viewer took nothing for long.", fault;
        updates: "http_live_updates_total", "Frames that came in for live streams.";
        updates_unwatched: "http_live_updates_unwatched_total", "Of those, frames that no viewer had asked for.";
        events: "http_live_events_total", "Events queued for viewers.";
    }
}
