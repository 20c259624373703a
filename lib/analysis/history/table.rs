//! The frames of one session, each once, with what was read at them: what every step of history
//! works on, whether they come from the bus or from segments.

use super::segment::Group;
use crate::metric::{Layout, Samples, SeriesKey, Value};

mod rows;
mod unite;

pub(in crate::analysis) use unite::unite;

/// Mixes of classes whose layout is at hand while frames are walked through; more are slower.
const MIXES_MAX: usize = 16;

/// Frames of one session, united.
#[derive(Debug, Clone, Default)]
pub(in crate::analysis) struct Table {
    /// All of them, in the order of (`elapsed_us`, `seq`).
    pub(in crate::analysis) frames: Group,
    /// A series stands in one class only.
    pub(in crate::analysis) classes: Vec<Class>,
}

/// Series that were sampled in exactly the same frames.
#[derive(Debug, Clone, Default)]
pub(in crate::analysis) struct Class {
    /// Places of their frames among all, ascending.
    pub(in crate::analysis) at: Vec<u32>,
    /// Of each frame: the place of the segment it was taken from, the first that has it.
    pub(in crate::analysis) from: Vec<u32>,
    /// Each with as many values as there are frames.
    pub(in crate::analysis) columns: Vec<(SeriesKey, Vec<Value>)>,
}

/// A frame, while they are walked through.
#[derive(Debug)]
pub(in crate::analysis) struct Visit<'a> {
    /// Its place among all.
    pub(in crate::analysis) frame: usize,
    /// The classes it stands in, and its place in each.
    pub(in crate::analysis) places: &'a [(u32, u32)],
    /// What was read. Frames of the same classes share the layout.
    pub(in crate::analysis) samples: &'a Samples,
}

impl Group {
    pub(in crate::analysis) fn len(&self) -> usize {
        self.seq.len()
    }

    /// What frames are put in order by.
    pub(in crate::analysis) fn order(&self, at: usize) -> (u64, u64) {
        (self.elapsed_us[at], self.seq[at])
    }

    pub(in crate::analysis) fn push(&mut self, seq: u64, time_ms: u64, elapsed_us: u64) {
        self.seq.push(seq);
        self.time_ms.push(time_ms);
        self.elapsed_us.push(elapsed_us);
    }

    /// Where a frame stands, or would.
    pub(in crate::analysis) fn find(&self, order: (u64, u64)) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            if self.order(middle) < order { from = middle + 1 } else { to = middle }
        }
        if from < self.len() && self.order(from) == order { Ok(from) } else { Err(from) }
    }

    /// Some of the frames, by their places.
    pub(in crate::analysis) fn pick(&self, places: &[u32]) -> Self {
        let pick = |from: &[u64]| places.iter().map(|at| from[*at as usize]).collect();
        Self {
            seq: pick(&self.seq),
            time_ms: pick(&self.time_ms),
            elapsed_us: pick(&self.elapsed_us),
        }
    }
}

impl Class {
    pub(in crate::analysis) fn len(&self) -> usize {
        self.at.len()
    }
}

impl Table {
    /// Visits every frame, in order.
    pub(in crate::analysis) fn walk(&self, mut visit: impl FnMut(Visit<'_>)) {
        let mut mixes: Vec<(Vec<u32>, Samples)> = Vec::new();
        let mut mix = Vec::new();
        self.places(|frame, places| {
            mix.clear();
            mix.extend(places.iter().map(|(class, _)| *class));
            match mixes.iter().position(|known| known.0 == mix) {
                // The one used last stands first, where it is found at once.
                Some(0) => {}
                Some(at) => mixes[..=at].rotate_right(1),
                None => {
                    mixes.truncate(MIXES_MAX - 1);
                    mixes.insert(0, (mix.clone(), self.blank(&mix)));
                }
            }
            let samples = &mut mixes[0].1;
            let mut values = samples.values.iter_mut();
            for (class, place) in places {
                let columns = &self.classes[*class as usize].columns;
                for ((_, column), value) in columns.iter().zip(&mut values) {
                    *value = column[*place as usize];
                }
            }
            visit(Visit { frame, places, samples });
        });
    }

    /// For every frame, in order: the classes it stands in, and its place in each.
    pub(in crate::analysis) fn places(&self, mut visit: impl FnMut(usize, &[(u32, u32)])) {
        let mut next = vec![0_u32; self.classes.len()];
        let mut places = Vec::new();
        for frame in 0..self.frames.len() {
            places.clear();
            for ((number, class), next) in self.classes.iter().enumerate().zip(&mut next) {
                if class.at.get(*next as usize) == Some(&(frame as u32)) {
                    places.push((number as u32, *next));
                    *next += 1;
                }
            }
            visit(frame, &places);
        }
    }

    /// Samples of a frame of some classes, yet without its values.
    fn blank(&self, mix: &[u32]) -> Samples {
        let layout = self.layout(mix.iter().copied());
        let values = vec![Value::Unsigned(0); layout.len()];
        Samples { layout, values }
    }

    /// The series of some classes, in the order in which a frame has them.
    pub(in crate::analysis) fn layout(&self, mix: impl Iterator<Item = u32>) -> Layout {
        let columns = mix.flat_map(|class| &self.classes[class as usize].columns);
        columns.map(|(key, _)| key.clone()).collect()
    }
}
