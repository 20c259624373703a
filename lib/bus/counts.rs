//! What a bus counts about itself.

use crate::counters;

counters! {
    /// The counters of one bus, embedded or Kafka; what does not apply stays zero.
    pub struct BusCounts {
        published_records: "bus_published_records_total", "Records that a publisher was told are durable.";
        published_bytes: "bus_published_bytes_total", "Keys and values of the records that are durable.";
        publish_requests: "bus_publish_requests_total", "Requests that carried records to the broker.";
        publish_failures: "bus_publish_failures_total", "Requests with records that failed and were left to be sent again.", fault;
        split_batches: "bus_split_batches_total", "Batches that the broker rejected as a whole and that were divided.";
        refused_records: "bus_refused_records_total", "Records that will never be taken: too large, or rejected one by one.", fault;
        read_records: "bus_read_records_total", "Records that were handed to readers.";
        read_bytes: "bus_read_bytes_total", "Keys and values that were handed to readers.";
        read_failures: "bus_read_failures_total", "Reads that failed and are tried again.", fault;
        gap_offsets: "bus_gap_offsets_total", "Offsets that a reader wanted and that were gone.", fault;
        skipped_offsets: "bus_skipped_offsets_total", "Offsets that a reader left out because nothing readable comes from them.", fault;
        offset_resets: "bus_offset_resets_total", "Readers set to the oldest record because their offset was gone.", fault;
        clients_made: "bus_clients_made_total", "Kafka clients that were made.";
        calls_given_up: "bus_calls_given_up_total", "Calls that were given up with their client because no answer came in time.", fault;
        abandoned_threads: "bus_abandoned_threads", "Threads of given-up calls that have not ended yet.", fault;
        evicted_events: "bus_evicted_events_total", "Events that left the embedded ring to make room for newer ones.";
    }
}
