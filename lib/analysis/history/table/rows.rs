//! A table of frames as they arrived.

use std::collections::HashMap;

use super::{Class, Table};
use crate::analysis::history::segment::Group;
use crate::analysis::live::Row;
use crate::metric::{Layout, SeriesKey, Value};

/// Layouts that are looked for by their address first.
const AT_HAND_MAX: usize = 8;

impl Table {
    /// Of frames as they arrived, in any order; one that is there twice counts once.
    pub(in crate::analysis) fn of_rows(mut rows: Vec<Row>) -> Self {
        let order = |row: &Row| (row.elapsed_us, row.seq);
        if !rows.is_sorted_by_key(order) {
            rows.sort_by_key(order);
        }
        rows.dedup_by_key(|row| row.seq);
        let mut frames = Group::default();
        rows.iter().for_each(|row| frames.push(row.seq, row.time_ms, row.elapsed_us));
        let (layouts, of_row) = distinct_layouts(&rows);
        let mut classes = classes_of(&layouts);
        for sorted in &mut classes {
            sorted.gather(&rows, &of_row, layouts.len());
        }
        Self { frames, classes: classes.into_iter().map(|sorted| sorted.class).collect() }
    }
}

/// Every layout once, and which of them each row has.
fn distinct_layouts(rows: &[Row]) -> (Vec<Layout>, Vec<u32>) {
    let mut layouts: Vec<Layout> = Vec::new();
    let mut by_content: HashMap<Layout, u32> = HashMap::new();
    let mut of_row: Vec<u32> = Vec::with_capacity(rows.len());
    for row in rows {
        let layout = &row.samples.layout;
        // Frames of one block share their layouts, so that the address mostly tells.
        let same = |known: &Layout| std::ptr::eq(known.as_ptr(), layout.as_ptr());
        let first = layouts.len().saturating_sub(AT_HAND_MAX);
        let near = layouts[first..].iter().rposition(same).map(|at| (first + at) as u32);
        let place = near.unwrap_or_else(|| {
            *by_content.entry(layout.clone()).or_insert_with(|| {
                layouts.push(layout.clone());
                layouts.len() as u32 - 1
            })
        });
        of_row.push(place);
    }
    (layouts, of_row)
}

/// A class, with the place that each of its series has in each layout.
struct FromLayouts {
    class: Class,
    layouts: Vec<u32>,
    /// By layout, and then by series.
    places: Vec<Vec<u32>>,
}

/// The classes of series that stand in the same layouts.
fn classes_of(layouts: &[Layout]) -> Vec<FromLayouts> {
    let mut series: HashMap<&SeriesKey, usize> = HashMap::new();
    let mut found: Vec<(&SeriesKey, Vec<(u32, u32)>)> = Vec::new();
    for (number, layout) in layouts.iter().enumerate() {
        for (place, key) in layout.iter().enumerate() {
            let at = *series.entry(key).or_insert_with(|| {
                found.push((key, Vec::new()));
                found.len() - 1
            });
            // A record of somebody else's making may name a series twice: the first counts.
            if found[at].1.last().is_none_or(|(last, _)| *last != number as u32) {
                found[at].1.push((number as u32, place as u32));
            }
        }
    }
    let mut by_layouts: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut classes: Vec<FromLayouts> = Vec::new();
    for (key, stands) in found {
        let of: Vec<u32> = stands.iter().map(|(layout, _)| *layout).collect();
        let at = *by_layouts.entry(of).or_insert_with_key(|of| {
            let places = vec![Vec::new(); of.len()];
            classes.push(FromLayouts { class: Class::default(), layouts: of.clone(), places });
            classes.len() - 1
        });
        let into = &mut classes[at];
        into.class.columns.push((key.clone(), Vec::new()));
        for (places, (_, place)) in into.places.iter_mut().zip(stands) {
            places.push(place);
        }
    }
    classes
}

impl FromLayouts {
    /// Takes the values out of the rows that have one of the class's layouts.
    fn gather(&mut self, rows: &[Row], of_row: &[u32], layouts: usize) {
        let mut place_of = vec![None; layouts];
        for (at, layout) in self.layouts.iter().enumerate() {
            place_of[*layout as usize] = Some(at);
        }
        let in_class = |layout: &u32| place_of[*layout as usize].is_some();
        let count = of_row.iter().filter(|layout| in_class(layout)).count();
        self.class.at.reserve(count);
        self.class.columns.iter_mut().for_each(|(_, values)| values.reserve(count));
        for (at, (row, layout)) in rows.iter().zip(of_row).enumerate() {
            let Some(of) = place_of[*layout as usize] else { continue };
            self.class.at.push(at as u32);
            for ((_, values), place) in self.class.columns.iter_mut().zip(&self.places[of]) {
                let value = row.samples.values.get(*place as usize);
                values.push(value.copied().unwrap_or(Value::Unsigned(0)));
            }
        }
        self.class.from = vec![0; count];
    }
}
