//! What the tests of this room share.

use std::sync::Arc;

use crate::metric::{Frame, Layout, Samples, SessionId, Value};

/// A small generator whose seed the failing test prints (xorshift64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Uniform enough in `0..limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// A frame with this layout whose values are all its number.
pub(super) fn frame(session: SessionId, seq: u64, layout: &Layout) -> Frame {
    let values = vec![Value::Unsigned(seq); layout.len()];
    Frame {
        session,
        seq,
        elapsed_us: seq * 1_000_000,
        time_ms: 1_700_000_000_000 + seq * 1_000,
        uncertainty_ms: 1,
        host_time_ms: 1_700_000_000_000 + seq * 1_000,
        interval_ms: 1_000,
        sent_ms: 0,
        samples: Samples { layout: Arc::clone(layout), values },
    }
}
