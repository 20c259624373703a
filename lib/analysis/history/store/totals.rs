//! How much the segments of each tier take, counted along with every commit: asking redb would
//! mean walking the whole file.

use std::collections::BTreeMap;

use super::error::StoreError;
use super::pieces;
use super::rows::{Fields, Writer};

/// What the segments of one tier are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::analysis) struct TierUsage {
    /// How many.
    pub(in crate::analysis) segments: u64,
    /// Their bytes as they were given.
    pub(in crate::analysis) bytes: u64,
    /// What they take in the file.
    pub(in crate::analysis) used_bytes: u64,
}

/// By width of bucket, ms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Totals(pub(super) BTreeMap<u32, TierUsage>);

impl Totals {
    pub(super) fn add(&mut self, bucket_ms: u32, len: usize) {
        let tier = self.0.entry(bucket_ms).or_default();
        tier.segments += 1;
        tier.bytes += len as u64;
        tier.used_bytes += pieces::used_bytes(len);
    }

    pub(super) fn remove(&mut self, bucket_ms: u32, len: usize) {
        let tier = self.0.entry(bucket_ms).or_default();
        tier.segments = tier.segments.saturating_sub(1);
        tier.bytes = tier.bytes.saturating_sub(len as u64);
        tier.used_bytes = tier.used_bytes.saturating_sub(pieces::used_bytes(len));
        if tier.segments == 0 {
            self.0.remove(&bucket_ms);
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Writer::default();
        for (bucket_ms, tier) in &self.0 {
            bytes.u32(*bucket_ms);
            bytes.u64(tier.segments);
            bytes.u64(tier.bytes);
            bytes.u64(tier.used_bytes);
        }
        bytes.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut fields = Fields::new("the row of totals", bytes);
        let mut totals = BTreeMap::new();
        while !fields.is_empty() {
            let bucket_ms = fields.u32()?;
            let tier = TierUsage {
                segments: fields.u64()?,
                bytes: fields.u64()?,
                used_bytes: fields.u64()?,
            };
            totals.insert(bucket_ms, tier);
        }
        Ok(Self(totals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_and_removed_leaves_nothing() {
        let mut totals = Totals::default();
        let sizes = [0, 1, 5_000, 130_000];
        for len in sizes {
            totals.add(1_000, len);
            totals.add(10_000, len);
        }
        assert_eq!(Totals::from_bytes(&totals.to_bytes()).unwrap(), totals);
        assert_eq!(totals.0[&1_000].bytes, 135_001);
        for len in sizes {
            totals.remove(1_000, len);
        }
        assert_eq!(totals.0.keys().copied().collect::<Vec<_>>(), [10_000]);
        assert!(Totals::from_bytes(&[1, 2, 3]).unwrap_err().is_corrupt());
    }
}
