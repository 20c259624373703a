//! Which frames of a finer tier stay in a coarser one.

use std::collections::{HashMap, HashSet};

use crate::analysis::history::assemble::Kept;
use crate::analysis::history::fold::{Before, floor};
use crate::analysis::history::table::{Class, Table};
use crate::analysis::rate::{KeyPool, Plan, is_reset};
use crate::metric::{SeriesKey, Value};

/// Resets in one span that everything sampled together bears: a machine has a few of them in a bad
/// day. What goes back more often is no counter, whatever its name says, and has its frames for
/// itself.
const RESETS_SHARED_MAX: usize = 8;

/// Decides which frames stay.
pub(super) struct Keeper<'a> {
    table: &'a Table,
    bucket_ms: u64,
    /// The last reading of each series before the table's frames.
    earlier: HashMap<&'a SeriesKey, ((u64, u64), Value)>,
    /// Frames of elsewhere that lie between the table's.
    between: Vec<(u64, u64)>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(table: &'a Table, before: &'a [Before], bucket_ms: u64) -> Self {
        let first = if table.frames.len() > 0 { table.frames.order(0) } else { (0, 0) };
        let order = |before: &Before| (before.row.elapsed_us, before.row.seq);
        let mut earlier = HashMap::new();
        for before in before.iter().filter(|before| order(before) < first) {
            let readings = before.row.samples.iter();
            earlier.extend(readings.map(|(key, value)| (key, (order(before), value))));
        }
        Self {
            table,
            bucket_ms,
            earlier,
            between: before.iter().map(order).filter(|order| *order > first).collect(),
        }
    }

    pub(super) fn kept(&self, pool: &KeyPool) -> Vec<Kept> {
        let classes = &self.table.classes;
        let mut kept: Vec<Kept> = classes.iter().map(|class| self.of_class(class)).collect();
        self.keep_together(&mut kept, pool);
        kept
    }

    fn of_class(&self, class: &Class) -> Kept {
        let frames = &self.table.frames;
        let bucket = |place: usize| floor(frames.time_ms[class.at[place] as usize], self.bucket_ms);
        let order = |place: usize| frames.order(class.at[place] as usize);
        let mut kept: Kept = vec![false; class.len()];
        for place in 1..class.len() {
            // Where a clock steps back a bucket comes twice: each time its last frame stays, so
            // that what grew in between is not given to another.
            kept[place - 1] |= bucket(place - 1) != bucket(place);
            // Between two frames at one time nothing is derived, as at a reset.
            if order(place - 1).0 == order(place).0
                || !self.between.is_empty() && self.is_parted(order(place - 1), order(place))
            {
                (kept[place - 1], kept[place]) = (true, true);
            }
        }
        for (key, values) in &class.columns {
            for place in resets(key, values) {
                (kept[place], kept[place + 1]) = (true, true);
            }
        }
        if self.begins(class) {
            kept.first_mut().into_iter().for_each(|first| *first = true);
        }
        kept.last_mut().into_iter().for_each(|last| *last = true);
        kept
    }

    /// Whether the first frame must stay: one of the series begins with it, was reset, or was last
    /// read in another frame than the others.
    fn begins(&self, class: &Class) -> bool {
        let mut last = None;
        class.columns.iter().any(|(key, values)| {
            let Some((order, value)) = self.earlier.get(key) else { return true };
            let reset = values.first().is_some_and(|first| is_reset(key, *value, *first));
            reset || last.replace(order).is_some_and(|last| last != order)
        })
    }

    /// Whether a frame of elsewhere lies between two.
    fn is_parted(&self, one: (u64, u64), other: (u64, u64)) -> bool {
        let after = self.between.partition_point(|order| *order <= one);
        self.between.get(after).is_some_and(|order| *order < other)
    }

    /// Keeps together what outputs of several classes are made of: both frames around the coming
    /// and going of one of them, and each frame of one of them in the others too.
    fn keep_together(&self, kept: &mut [Kept], pool: &KeyPool) {
        let shared = self.shared_outputs(pool);
        if shared.is_empty() {
            return;
        }
        let mut last: Vec<Vec<(u32, u32)>> = vec![Vec::new(); shared.len()];
        self.table.places(|_, places| {
            for (classes, last) in shared.iter().zip(&mut last) {
                let now = places.iter().filter(|(class, _)| classes.contains(class));
                let now: Vec<(u32, u32)> = now.copied().collect();
                if now.is_empty() {
                    continue;
                }
                let class = |place: &(u32, u32)| place.0;
                if !now.iter().map(class).eq(last.iter().map(class)) {
                    for (class, place) in last.iter().chain(&now) {
                        kept[*class as usize][*place as usize] = true;
                    }
                }
                *last = now;
            }
        });
        let families = families(shared);
        self.table.places(|_, places| {
            for family in &families {
                let here = || places.iter().filter(|(class, _)| family.contains(class));
                if here().any(|(class, place)| kept[*class as usize][*place as usize]) {
                    for (class, place) in here() {
                        kept[*class as usize][*place as usize] = true;
                    }
                }
            }
        });
    }

    /// Of each output that is made of series in several classes: these classes.
    fn shared_outputs(&self, pool: &KeyPool) -> Vec<Vec<u32>> {
        if self.table.classes.len() < 2 {
            return Vec::new();
        }
        let mut mixes: HashSet<Vec<u32>> = HashSet::new();
        self.table.places(|_, places| {
            mixes.insert(places.iter().map(|(class, _)| *class).collect());
        });
        let mut classes_of: HashMap<SeriesKey, Vec<u32>> = HashMap::new();
        for mix in &mixes {
            let layout = self.table.layout(mix.iter().copied());
            let sizes = mix.iter().map(|class| self.table.classes[*class as usize].columns.len());
            let class_at: Vec<u32> = mix
                .iter()
                .zip(sizes)
                .flat_map(|(class, series)| std::iter::repeat_n(*class, series))
                .collect();
            let plan = Plan::of(&layout, pool);
            for (place, output) in plan.sources() {
                let key = &plan.outputs[output as usize];
                let classes = classes_of.entry(key.clone()).or_default();
                if !classes.contains(&class_at[place]) {
                    classes.push(class_at[place]);
                }
            }
        }
        classes_of.retain(|_, classes| classes.len() > 1);
        let mut shared: Vec<Vec<u32>> = classes_of.into_values().collect();
        shared.iter_mut().for_each(|classes| classes.sort_unstable());
        shared.sort_unstable();
        shared.dedup();
        shared
    }
}

/// Gives series that are reset all the time a class of their own, with those of the same name.
pub(super) fn part_restless(table: &mut Table) {
    let mut parted: Vec<Class> = Vec::new();
    for class in &mut table.classes {
        let restless: HashSet<String> = class
            .columns
            .iter()
            .filter(|(key, values)| resets(key, values).nth(RESETS_SHARED_MAX).is_some())
            .map(|(key, _)| key.name().to_owned())
            .collect();
        for name in restless {
            let (of_name, rest): (Vec<_>, Vec<_>) =
                class.columns.drain(..).partition(|(key, _)| key.name() == name);
            class.columns = rest;
            parted.push(Class { columns: of_name, at: class.at.clone(), from: class.from.clone() });
        }
    }
    table.classes.retain(|class| !class.columns.is_empty());
    table.classes.append(&mut parted);
}

/// Places of the readings after which a counter is reset.
fn resets<'a>(key: &'a SeriesKey, values: &'a [Value]) -> impl Iterator<Item = usize> + 'a {
    let pairs = values.windows(2).enumerate();
    let back = pairs.filter(|(_, pair)| is_less(pair[1], pair[0]));
    back.filter(|(_, pair)| is_reset(key, pair[0], pair[1])).map(|(place, _)| place)
}

/// Lists that have a class in common become one.
fn families(lists: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    let mut families: Vec<Vec<u32>> = Vec::new();
    for mut list in lists {
        families.retain_mut(|family| {
            let related = family.iter().any(|class| list.contains(class));
            if related {
                list.append(family);
            }
            !related
        });
        list.sort_unstable();
        list.dedup();
        families.push(list);
    }
    families
}

/// A quick look before the slow one.
fn is_less(now: Value, before: Value) -> bool {
    match (now, before) {
        (Value::Unsigned(now), Value::Unsigned(before)) => now < before,
        _ => now.as_f64() < before.as_f64(),
    }
}
