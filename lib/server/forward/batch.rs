//! Records on their way to the bus.

use crate::bus::{Receipt, Record};
use crate::server::encode::Sent;

/// Records and what is to be done when they are durable.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Which batch of its lane it is, from 1 on; its parts share it.
    pub(super) number: u64,
    pub(super) records: Vec<Record>,
    pub(super) sent: Vec<Sent>,
    /// Keys and values.
    pub(super) bytes: usize,
}

/// A batch that the bus has.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) number: u64,
    pub(super) sent: Vec<Sent>,
    pub(super) bytes: usize,
    pub(super) receipt: Receipt,
}

impl Batch {
    pub(super) fn push(&mut self, record: Record, sent: Sent) {
        self.bytes += record.key.len() + record.value.len();
        self.records.push(record);
        self.sent.push(sent);
    }

    /// The bus has it; the records themselves are not needed any more.
    pub(super) fn handed_over(self, receipt: Receipt) -> InFlight {
        let Self { number, sent, bytes, .. } = self;
        InFlight { number, sent, bytes, receipt }
    }

    /// The second half, taken off; `None` when there is but one record.
    pub(super) fn split(&mut self) -> Option<Self> {
        if self.records.len() < 2 {
            return None;
        }
        let half = self.records.len() / 2;
        let records = self.records.split_off(half);
        let sent = self.sent.split_off(half);
        let bytes = records.iter().map(|record| record.key.len() + record.value.len()).sum();
        self.bytes -= bytes;
        Some(Self { number: self.number, records, sent, bytes })
    }
}
