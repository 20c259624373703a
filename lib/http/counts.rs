//! What the gate and the live streams count: every refusal, eviction and drop has a line here.

use crate::base::counter::Count;

crate::counters! {
    /// Counters of the http room.
    pub struct HttpCounts {
        connections: "http_connections_total", "Connections accepted.";
        connections_evicted: "http_connections_evicted_total", "Idle or slow connections closed to make room.";
        connections_refused: "http_connections_refused_total", "Connections answered 503 because all were busy.";
        accept_errors: "http_accept_errors_total", "Connections lost for want of descriptors or memory.";
        requests: "http_requests_total", "Requests whose head was complete.";
        requests_refused: "http_requests_refused_total", "Requests refused before any handler saw them.";
        requests_late: "http_requests_late_total", "Requests that did not come within their time.";
        answers: "http_answers_total", "Answers written to the end.";
        answers_failed: "http_answers_failed_total", "Requests that got a 5xx for want of an answer.";
        answers_abandoned: "http_answers_abandoned_total", "Answers whose viewer left or was too slow.";
        server_rebuilt: "http_server_rebuilt_total", "Times the inner server was started anew.";
        handlers_panicked: "http_handlers_panicked_total", "Panics contained in a handler; please report them.";
        viewers: "http_live_viewers", "Live streams open now.";
        viewers_joined: "http_live_viewers_joined_total", "Live streams opened.";
        viewers_left: "http_live_viewers_left_total", "Live streams that the viewer closed.";
        viewers_refused: "http_live_viewers_refused_total", "Live streams answered 503.";
        viewers_behind: "http_live_viewers_behind_total", "Live streams dropped: too much waited for the viewer.";
        viewers_stalled: "http_live_viewers_stalled_total", "Live streams dropped: the viewer took nothing for long.";
        updates: "http_live_updates_total", "Frames that came in for live streams.";
        updates_unwatched: "http_live_updates_unwatched_total", "Of those, frames that no viewer had asked for.";
        events: "http_live_events_total", "Events queued for viewers.";
    }
}

/// Counters that say how much was done and not that something was lost; people are shown the rest.
const ROUTINE: &[&str] = &[
    "http_connections_total",
    "http_requests_total",
    "http_answers_total",
    "http_live_viewers",
    "http_live_viewers_joined_total",
    "http_live_viewers_left_total",
    "http_live_updates_total",
    "http_live_updates_unwatched_total",
    "http_live_events_total",
];

impl HttpCounts {
    /// Refusals, evictions and drops alone.
    #[must_use]
    pub fn faults(&self) -> Vec<Count> {
        self.read().into_iter().filter(|count| !ROUTINE.contains(&count.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_leave_out_what_is_routine_and_nothing_else() {
        let counts = HttpCounts::new();
        let names: Vec<_> = counts.read().iter().map(|count| count.name).collect();
        assert!(ROUTINE.iter().all(|name| names.contains(name)));
        assert_eq!(counts.faults().len(), names.len() - ROUTINE.len());
    }
}
