//! A run of frames of one session, sealed: column by column, about a byte a sample.

use std::collections::HashMap;

use super::bits::Source;
use super::column::{integers, put_integers, put_values, values};
use crate::metric::{Frame, Layout, Samples, SeriesKey, Value};

/// What the live store keeps of a frame.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::analysis) struct Row {
    pub(in crate::analysis) seq: u64,
    pub(in crate::analysis) elapsed_us: u64,
    pub(in crate::analysis) time_ms: u64,
    pub(in crate::analysis) interval_ms: u32,
    pub(in crate::analysis) samples: Samples,
}

/// Sealed rows. What comes out is what went in, layouts shared.
#[derive(Debug)]
pub(in crate::analysis) struct Block {
    /// Elapsed of the first and last row, so that a late frame finds its place undecoded.
    pub(super) first_elapsed_us: u64,
    pub(super) last_elapsed_us: u64,
    pub(super) last_seq: u64,
    pub(super) last_time_ms: u64,
    pub(super) rows: usize,
    /// Usually one; several where metrics fall due at different times.
    layouts: Box<[Layout]>,
    bytes: Box<[u8]>,
}

impl From<&Frame> for Row {
    fn from(frame: &Frame) -> Self {
        Self {
            seq: frame.seq,
            elapsed_us: frame.elapsed_us,
            time_ms: frame.time_ms,
            interval_ms: frame.interval_ms,
            samples: frame.samples.clone(),
        }
    }
}

impl Block {
    /// Seals rows that are in order; at least one.
    pub(in crate::analysis) fn seal(rows: &[Row]) -> Self {
        let mut layouts: Vec<Layout> = Vec::new();
        let mut uses = Vec::with_capacity(rows.len());
        for row in rows {
            let layout = &row.samples.layout;
            // Same address or same content: what is equal is kept once.
            let known = layouts
                .iter()
                .position(|known| std::ptr::eq(known.as_ptr(), layout.as_ptr()) || known == layout);
            uses.push(known.unwrap_or(layouts.len()));
            if known.is_none() {
                layouts.push(layout.clone());
            }
        }
        let mut bytes = Vec::with_capacity(rows.len() * 8);
        let mut scratch = Vec::with_capacity(rows.len());
        if layouts.len() > 1 {
            bytes.extend(uses.iter().map(|layout| *layout as u8));
        }
        for field in [
            |row: &Row| row.seq,
            |row: &Row| row.elapsed_us,
            |row: &Row| row.time_ms,
            |row: &Row| u64::from(row.interval_ms),
        ] {
            scratch.clear();
            scratch.extend(rows.iter().map(field));
            put_integers(&mut bytes, &scratch);
        }
        let union = Union::of(&layouts);
        let mut column = Vec::with_capacity(rows.len());
        for places in &union.places {
            column.clear();
            for (row, layout) in rows.iter().zip(&uses) {
                let at = places.iter().find(|(of, _)| of == layout).map(|(_, at)| *at);
                column.extend(at.and_then(|at| row.samples.values.get(at)).copied());
            }
            put_values(&mut bytes, &column, &mut scratch);
        }
        Self {
            first_elapsed_us: rows.first().map_or(0, |row| row.elapsed_us),
            last_elapsed_us: rows.last().map_or(0, |row| row.elapsed_us),
            last_seq: rows.last().map_or(0, |row| row.seq),
            last_time_ms: rows.last().map_or(0, |row| row.time_ms),
            rows: rows.len(),
            layouts: layouts.into(),
            bytes: bytes.into(),
        }
    }

    /// The rows, in order.
    pub(in crate::analysis) fn open(&self) -> Vec<Row> {
        let mut source = Source::new(&self.bytes);
        let uses: Vec<usize> = if self.layouts.len() > 1 {
            source.take(self.rows).iter().map(|layout| usize::from(*layout)).collect()
        } else {
            vec![0; self.rows]
        };
        let [seq, elapsed_us, time_ms, interval_ms] =
            std::array::from_fn(|_| integers(&mut source, self.rows));
        let mut rows: Vec<Row> = Vec::with_capacity(self.rows);
        for at in 0..self.rows {
            let layout = &self.layouts[uses[at]];
            let values = vec![Value::Unsigned(0); layout.len()];
            rows.push(Row {
                seq: seq[at],
                elapsed_us: elapsed_us[at],
                time_ms: time_ms[at],
                interval_ms: interval_ms[at] as u32,
                samples: Samples { layout: layout.clone(), values },
            });
        }
        for places in &Union::of(&self.layouts).places {
            let place = |layout: &usize| places.iter().find(|(of, _)| of == layout);
            let count = uses.iter().filter(|layout| place(layout).is_some()).count();
            let mut column = values(&mut source, count).into_iter();
            for (row, layout) in rows.iter_mut().zip(&uses) {
                let Some((_, at)) = place(layout) else { continue };
                if let Some(value) = column.next() {
                    row.samples.values[*at] = value;
                }
            }
        }
        rows
    }

    /// Heap and own size; layouts are shared with others and not counted.
    pub(in crate::analysis) fn bytes_len(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.layouts) + self.bytes.len()
    }
}

/// Every series of some layouts, in order of first appearance: for each, the layouts that have
/// it, and where.
struct Union {
    places: Vec<Vec<(usize, usize)>>,
}

impl Union {
    fn of(layouts: &[Layout]) -> Self {
        if let [only] = layouts {
            return Self { places: (0..only.len()).map(|at| vec![(0, at)]).collect() };
        }
        let mut columns: HashMap<&SeriesKey, usize> = HashMap::new();
        let mut places: Vec<Vec<(usize, usize)>> = Vec::new();
        for (number, layout) in layouts.iter().enumerate() {
            for (at, key) in layout.iter().enumerate() {
                let fresh = places.len();
                let column = *columns.entry(key).or_insert(fresh);
                // A record of somebody else's making may name a series twice: a column of its own.
                let taken = places.get(column).is_some_and(|of| of.iter().any(|p| p.0 == number));
                if column == fresh || taken {
                    places.push(vec![(number, at)]);
                } else {
                    places[column].push((number, at));
                }
            }
        }
        Self { places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, series: &[(&str, f64)]) -> Row {
        let samples =
            series.iter().map(|(key, value)| (SeriesKey::plain(key), Value::Float(*value)));
        let samples = samples.collect();
        Row {
            seq,
            elapsed_us: seq * 1_000_007,
            time_ms: 1_700_000_000_000 + seq * 1_000,
            interval_ms: 1_000,
            samples,
        }
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let one: Vec<Row> =
            (1..=32).map(|seq| row(seq, &[("a", seq as f64), ("b", 0.1)])).collect();
        let block = Block::seal(&one);
        assert_eq!(block.open(), one);
        assert_eq!(block.layouts.len(), 1, "equal layouts are kept once");
        assert_eq!((block.first_elapsed_us, block.last_elapsed_us), (1_000_007, 32_000_224));
    }

    #[test]
    fn metrics_that_fall_due_at_different_times_share_a_block() {
        let mixed: Vec<Row> = (1..=33)
            .map(|seq| match seq % 3 {
                0 => row(seq, &[("a", seq as f64), ("b", 2.5), ("c", 1.0)]),
                1 => row(seq, &[("c", seq as f64), ("a", 1.0)]),
                _ => row(seq, &[]),
            })
            .collect();
        assert_eq!(Block::seal(&mixed).open(), mixed);
        let twice = [row(1, &[("a", 1.0), ("a", 2.0)]), row(2, &[("a", 3.0), ("b", 4.0)])];
        assert_eq!(Block::seal(&twice).open(), twice);
    }
}
