//! A reading that is too large for one frame becomes several, before they are numbered.

use std::ops::Range;
use std::sync::Arc;

use crate::metric::{Layout, SAMPLES_PER_FRAME_MAX, Samples, SeriesKey};
use crate::wire::FRAME_BYTES_MAX;

/// What a sample takes on the wire beside the text of its series when all of it is new: the
/// series' tags, length, form and decimals (12), its id in the layout (3), its value (10).
const SAMPLE_BYTES: usize = 25;

/// Room for the rest of the frame: sixteen numbers of up to ten bytes.
const FRAME_HEAD_BYTES: usize = 160;

/// Layouts of large readings whose parts are remembered; one for each mix of metrics that falls
/// due together, of which a host has a few.
const CUTS_MAX: usize = 8;

/// Cuts readings; remembers the cuts, so that the parts of equal readings share their layouts.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    cuts: Vec<Cut>,
}

#[derive(Debug)]
struct Cut {
    whole: Layout,
    parts: Vec<(Range<usize>, Layout)>,
}

impl Splitter {
    /// The reading itself, or its parts in order; nothing of an empty one.
    pub(super) fn split(&mut self, samples: Samples) -> Vec<Samples> {
        let parts = ranges(&samples.layout);
        match parts.len() {
            0 => return Vec::new(),
            1 => return vec![samples],
            _ => {}
        }
        let whole = Arc::clone(&samples.layout);
        let same = |cut: &Cut| Arc::ptr_eq(&cut.whole, &whole);
        if !self.cuts.iter().any(same) {
            if self.cuts.len() == CUTS_MAX {
                self.cuts.remove(0);
            }
            let part = |range: Range<usize>| (range.clone(), Arc::from(&whole[range]));
            let parts = parts.into_iter().map(part).collect();
            self.cuts.push(Cut { whole: Arc::clone(&whole), parts });
        }
        let Some(cut) = self.cuts.iter().find(|cut| same(cut)) else { return vec![samples] };
        let part = |(range, layout): &(Range<usize>, Layout)| Samples {
            layout: Arc::clone(layout),
            values: samples.values[range.clone()].to_vec(),
        };
        cut.parts.iter().map(part).collect()
    }
}

/// Where to cut, so that every part keeps both limits even if all its series are new.
fn ranges(layout: &[SeriesKey]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, FRAME_HEAD_BYTES);
    for (at, key) in layout.iter().enumerate() {
        let more = key.as_str().len() + SAMPLE_BYTES;
        let full = bytes + more > FRAME_BYTES_MAX || at - start == SAMPLES_PER_FRAME_MAX;
        if full && at > start {
            ranges.push(start..at);
            (start, bytes) = (at, FRAME_HEAD_BYTES);
        }
        bytes += more;
    }
    if start < layout.len() {
        ranges.push(start..layout.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::frame;
    use crate::metric::{SessionId, Value};
    use crate::wire::frame::FrameEncoder;
    use protobuf::Message;

    fn reading(len: usize, name_len: usize) -> Samples {
        let key = |n: usize| SeriesKey::plain(&format!("s{n:0name_len$}"));
        (0..len).map(|n| (key(n), Value::Unsigned(u64::MAX - n as u64))).collect()
    }

    #[test]
    fn a_usual_reading_stays_whole_and_an_empty_one_gives_nothing() {
        let mut splitter = Splitter::default();
        let usual = reading(60, 30);
        let parts = splitter.split(usual.clone());
        assert_eq!((parts.len(), &parts[0]), (1, &usual));
        assert!(Arc::ptr_eq(&parts[0].layout, &usual.layout));
        assert!(splitter.split(reading(0, 1)).is_empty());
    }

    #[test]
    fn parts_keep_the_order_and_share_their_layouts() {
        let (mut splitter, large) = (Splitter::default(), reading(4_500, 8));
        let (first, second) = (splitter.split(large.clone()), splitter.split(large.clone()));
        assert_eq!(first.iter().map(Samples::len).collect::<Vec<_>>(), [2_000, 2_000, 500]);
        let joined: Samples =
            first.iter().flat_map(|part| part.iter()).map(|(k, v)| (k.clone(), v)).collect();
        assert_eq!(joined, large);
        for (one, other) in first.iter().zip(&second) {
            assert!(Arc::ptr_eq(&one.layout, &other.layout));
        }
    }

    #[test]
    fn every_part_fits_a_frame_whatever_the_names() {
        for (len, name_len) in [(2_000, 10), (2_000, 60), (1_999, 300), (200, 1_000)] {
            for part in Splitter::default().split(reading(len, name_len)) {
                let mut whole = frame(SessionId(1), u64::MAX, &part.layout);
                whole.samples = part;
                let encoded = FrameEncoder::new(SessionId(1)).encode(&whole).unwrap();
                let bytes = encoded.compute_size();
                assert!(bytes <= FRAME_BYTES_MAX as u64, "{len} x {name_len}: {bytes}");
            }
        }
    }
}
