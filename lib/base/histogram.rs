//! Latencies in log-linear buckets: constant memory, any percentile within 6 %.
//!
//! Values are microseconds. Below 16 us every value has its own bucket; above, each power of two
//! is divided into 16. One hour is the last bucket's start.

/// Buckets inside one power of two.
const SUB: u64 = 16;

/// 16 exact ones, then 16 for each power of two from 2^4 up to 2^32 us (71 minutes).
const BUCKETS: usize = 16 + 28 * 16;

/// How often each latency was seen.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty one (about 1.9 KiB).
    #[must_use]
    pub fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, max_us: 0 }
    }

    /// Counts one latency.
    pub fn record(&mut self, us: u64) {
        self.record_many(us, 1);
    }

    /// Counts the same latency `count` times.
    pub fn record_many(&mut self, us: u64, count: u32) {
        if count == 0 {
            return;
        }
        let bucket = &mut self.counts[bucket_of(us)];
        *bucket = bucket.saturating_add(count);
        self.total += u64::from(count);
        self.max_us = self.max_us.max(us);
    }

    /// Adds everything that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine = mine.saturating_add(*theirs);
        }
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.max_us = 0;
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The largest latency counted.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// The latency that the fraction `q` of all does not exceed; 0 when nothing was counted.
    #[must_use]
    pub fn quantile_us(&self, q: f64) -> u64 {
        let rank = ((self.total as f64 * q).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return upper_us(bucket).min(self.max_us);
            }
        }
        self.max_us
    }

    /// The buckets that hold something, as (a latency of the bucket, count): what
    /// [`record_many`](Self::record_many) takes back.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u32)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (upper_us(bucket), *count))
    }
}

fn bucket_of(us: u64) -> usize {
    if us < SUB {
        return us as usize;
    }
    let power = 63 - u64::from(us.leading_zeros());
    let sub = (us >> (power - 4)) - SUB;
    ((16 + (power - 4) * SUB + sub) as usize).min(BUCKETS - 1)
}

/// The largest latency that falls into a bucket.
fn upper_us(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB {
        return bucket;
    }
    let (power, sub) = ((bucket - 16) / SUB + 4, (bucket - 16) % SUB);
    ((SUB + sub + 1) << (power - 4)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_six_percent() {
        let mut histogram = Histogram::new();
        for us in 1..=100_000 {
            histogram.record(us);
        }
        for q in [0.01, 0.5, 0.9, 0.99, 0.999] {
            let (got, exact) = (histogram.quantile_us(q) as f64, 100_000.0 * q);
            assert!((got - exact).abs() / exact < 0.0625, "{q}: {got} is not near {exact}");
        }
        assert_eq!((histogram.count(), histogram.max_us()), (100_000, 100_000));
    }

    #[test]
    fn every_value_lies_in_its_bucket() {
        for us in (0..2_000).chain([1 << 20, (1 << 31) + 7, u64::MAX]) {
            let bucket = bucket_of(us);
            assert!(us <= upper_us(bucket) || bucket == BUCKETS - 1, "{us}");
            assert!(bucket == 0 || us > upper_us(bucket - 1), "{us}");
            assert_eq!(bucket_of(upper_us(bucket)), bucket);
        }
    }

    #[test]
    fn buckets_carry_over() {
        let (mut one, mut two) = (Histogram::new(), Histogram::new());
        one.record(1_234);
        one.record(5);
        for (us, count) in one.buckets() {
            two.record_many(us, count);
        }
        two.merge(&one);
        assert_eq!(two.count(), 4);
        assert_eq!(two.quantile_us(0.25), 5);
        two.clear();
        assert_eq!((two.count(), two.quantile_us(0.5)), (0, 0));
    }
}
