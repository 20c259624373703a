//! Segments come back, in whole and in part, and what is broken is never taken for data.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use super::layout::{BLOCK_BYTES, Finder, HEAD_LEN, sum};
use super::*;
use crate::analysis::history::column::FRAMES_MAX;
use crate::base::dice::Dice;

/// Gives series numbers as they come, and names back.
#[derive(Default)]
struct Catalogue {
    ids: HashMap<SeriesKey, u32>,
    names: Vec<SeriesKey>,
}

impl Catalogue {
    fn id(&mut self, key: &SeriesKey) -> u32 {
        *self.ids.entry(key.clone()).or_insert_with(|| {
            self.names.push(key.clone());
            self.names.len() as u32 - 1
        })
    }

    fn name(&self, id: u32) -> Option<SeriesKey> {
        self.names.get(id as usize).cloned()
    }
}

/// Remembers which bytes were asked for, in leaves as the store has them.
struct Leaves<'a> {
    bytes: &'a [u8],
    read: RefCell<BTreeSet<usize>>,
}

const LEAF: usize = 4_065;

impl Bytes for Leaves<'_> {
    type Error = fmt::Error;

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, fmt::Error> {
        self.read.borrow_mut().extend(range.start / LEAF..range.end.div_ceil(LEAF));
        self.bytes.get(range).map(Cow::Borrowed).ok_or(fmt::Error)
    }
}

fn write(segment: &Segment, catalogue: &mut Catalogue) -> Vec<u8> {
    encode(segment, &mut |key| catalogue.id(key)).unwrap()
}

fn read(
    bytes: &[u8],
    catalogue: &Catalogue,
) -> Result<Segment, ReadError<std::convert::Infallible>> {
    let reader = Reader::open(bytes, &mut |id| catalogue.name(id))?;
    let segment = reader.all()?;
    assert_eq!(reader.bounds_ms(), segment.bounds_ms());
    assert_eq!(reader.session(), segment.session);
    assert_eq!(reader.bucket_ms(), segment.bucket_ms);
    Ok(segment)
}

/// As a host gives it: counters, gauges, constants; all in one group.
fn usual(series: usize, frames: u64, dice: &mut Dice) -> Segment {
    let late: Vec<u64> = (0..frames).map(|_| dice.below(300)).collect();
    let elapsed_us: Vec<u64> = (0..frames).map(|at| at * 1_000_000 + late[at as usize]).collect();
    let group = Group {
        seq: (7..7 + frames).collect(),
        time_ms: elapsed_us.iter().map(|us| 1_700_000_000_000 + us / 1_000).collect(),
        elapsed_us,
    };
    let column = |at: usize| {
        let mut sum = dice.below(1 << 40);
        let values = (0..frames).map(|_| match at % 3 {
            0 => Value::Unsigned(1 << 33),
            1 => {
                sum += dice.below(1 << 20);
                Value::Unsigned(sum)
            }
            _ => {
                sum += dice.below(100);
                Value::Float(sum as f64 / 100.0)
            }
        });
        Column { key: SeriesKey::plain(&format!("s{at:04}")), group: 0, values: values.collect() }
    };
    let columns = (0..series).map(column).collect();
    Segment {
        session: SessionId(u128::from(dice.next()) << 64 | 5),
        bucket_ms: 1_000,
        groups: vec![group],
        columns,
        spans: Vec::new(),
        extremes: Vec::new(),
    }
}

/// Anything that a segment may be.
fn any(dice: &mut Dice) -> Segment {
    let mut segment = usual(dice.below(12) as usize, 1 + dice.below(90), dice);
    let all = segment.groups[0].clone();
    let pick = |list: &[u64], keep: &[bool]| -> Vec<u64> {
        list.iter().zip(keep).filter(|(_, keep)| **keep).map(|(one, _)| *one).collect()
    };
    for _ in 0..dice.below(4) {
        let rare = 1 + dice.below(4);
        let keep: Vec<bool> = all.seq.iter().map(|_| dice.one_in(rare)).collect();
        let group = Group {
            seq: pick(&all.seq, &keep),
            time_ms: pick(&all.time_ms, &keep),
            elapsed_us: pick(&all.elapsed_us, &keep),
        };
        if group.seq.is_empty() || segment.groups.contains(&group) {
            continue;
        }
        let key = SeriesKey::plain(&format!("t{}", segment.groups.len()));
        let values = group.seq.iter().map(|_| Value::Unsigned(dice.below(5))).collect();
        segment.columns.push(Column { key, group: segment.groups.len(), values });
        segment.groups.push(group);
    }
    if dice.one_in(8) {
        segment.groups.clear();
        segment.columns.clear();
    }
    for spans in 0..dice.below(3) as usize {
        let start_ms = (0..1 + dice.below(80)).map(|at| (100 + at * 3) * 10_000);
        let start_ms: Vec<u64> = start_ms.collect();
        let counts = start_ms.iter().map(|_| 10 - dice.below(3) as u32).collect::<Vec<_>>();
        for number in 0..dice.below(4) {
            let min: Vec<f64> = counts.iter().map(|_| dice.below(900) as f64).collect();
            let max = min.iter().map(|min| min + dice.below(100) as f64).collect();
            let mean = if dice.one_in(2) { min.clone() } else { Vec::new() };
            let key = SeriesKey::plain(&format!("d{spans}_{number}"));
            segment.extremes.push(Extremes { key, spans, min, max, mean });
        }
        segment.spans.push(Spans { start_ms, counts });
    }
    segment
}

#[test]
fn any_segment_comes_back() {
    for seed in 0..3_000 {
        let mut catalogue = Catalogue::default();
        let dice = &mut Dice::new(seed);
        for other in 0..dice.below(400) {
            catalogue.id(&SeriesKey::plain(&format!("o{other}")));
        }
        let segment = any(dice);
        let bytes = write(&segment, &mut catalogue);
        assert_eq!(read(&bytes, &catalogue), Ok(segment), "seed {seed}");
    }
}

#[test]
fn any_part_comes_back_with_what_it_stands_on() {
    for seed in 0..3_000 {
        let (dice, mut catalogue) = (&mut Dice::new(seed), Catalogue::default());
        let segment = any(dice);
        let bytes = write(&segment, &mut catalogue);
        let salt = dice.next();
        let wanted =
            |key: &SeriesKey| crc32fast::hash(key.as_str().as_bytes()) as u64 % 7 <= salt % 7;
        let reader = Reader::open(&bytes[..], &mut |id| catalogue.name(id)).unwrap();
        let part = reader.segment(wanted, wanted).unwrap();
        let columns: Vec<&Column> =
            segment.columns.iter().filter(|column| wanted(&column.key)).collect();
        assert_eq!(part.columns.len(), columns.len(), "seed {seed}");
        for (got, was) in part.columns.iter().zip(columns) {
            assert_eq!((&got.key, &got.values), (&was.key, &was.values), "seed {seed}");
            assert_eq!(part.groups[got.group], segment.groups[was.group], "seed {seed}");
        }
        for group in 0..part.groups.len() {
            assert!(part.columns.iter().any(|column| column.group == group), "seed {seed}");
        }
        let extremes = segment.extremes.iter().filter(|extremes| wanted(&extremes.key));
        for (got, was) in part.extremes.iter().zip(extremes) {
            assert_eq!((&got.key, &got.min, &got.mean), (&was.key, &was.min, &was.mean));
            assert_eq!(part.spans[got.spans], segment.spans[was.spans], "seed {seed}");
        }
        assert!(reader.readings().eq(segment.columns.iter().map(|column| &column.key)));
        assert!(reader.derived().eq(segment.extremes.iter().map(|extremes| &extremes.key)));
    }
}

#[test]
fn a_part_needs_few_leaves() {
    let (dice, mut catalogue) = (&mut Dice::new(3), Catalogue::default());
    let segment = usual(60, 3_600, dice);
    let bytes = write(&segment, &mut catalogue);
    assert!(bytes.len() > 60 * LEAF, "{} bytes", bytes.len());
    let leaves = Leaves { bytes: &bytes, read: RefCell::default() };
    let reader = Reader::open(&leaves, &mut |id| catalogue.name(id)).unwrap();
    assert_eq!(leaves.read.borrow().len(), 1, "head and directory");
    let one = reader.segment(|key| key.as_str() == "s0031", |_| false).unwrap();
    assert_eq!(one.columns[0].values, segment.columns[31].values);
    assert!(leaves.read.borrow().len() <= 6, "{:?}", leaves.read);
    let constant = reader.segment(|key| key.as_str() == "s0030", |_| false).unwrap();
    assert_eq!(constant.columns[0].values[0], Value::Unsigned(1 << 33));
}

#[test]
fn a_directory_takes_few_bytes_a_series() {
    let (dice, mut catalogue) = (&mut Dice::new(4), Catalogue::default());
    let bytes = write(&usual(60, 600, dice), &mut catalogue);
    let directory = u32::from_le_bytes(bytes[5..9].try_into().unwrap()) as usize;
    // A third of the series are constants, which are in there with their value.
    assert!(directory < 60 * 10, "{directory} bytes for 60 series");
    let mut twins = usual(2, 600, dice);
    let twin = twins.columns[1].values.clone();
    let alone = write(&twins, &mut catalogue).len();
    twins.columns.push(Column { key: SeriesKey::plain("t"), group: 0, values: twin });
    let both = write(&twins, &mut catalogue).len();
    assert!(both < alone + 10, "{both} bytes, {alone} without the twin");
}

#[test]
fn every_broken_byte_is_found() {
    let (dice, mut catalogue) = (&mut Dice::new(5), Catalogue::default());
    let bytes = write(&usual(9, 300, dice), &mut catalogue);
    assert!(bytes.len() > 2 * BLOCK_BYTES, "{} bytes", bytes.len());
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1 << dice.below(8);
        assert!(read(&broken, &catalogue).is_err(), "byte {at} of {}", bytes.len());
        assert!(read(&bytes[..at], &catalogue).is_err(), "cut at {at} of {}", bytes.len());
    }
    let words = read(&bytes[..40], &catalogue).unwrap_err().to_string();
    assert_eq!(words, "corrupt segment: it is cut short");
    let words = read(&[2; 40], &catalogue).unwrap_err().to_string();
    assert!(words.contains("format 2, expected 1"), "{words}");
    let words = read(&bytes, &Catalogue::default()).unwrap_err().to_string();
    assert!(words.contains("not in the catalogue"), "{words}");
}

#[test]
fn a_broken_block_hides_no_other() {
    let (dice, mut catalogue) = (&mut Dice::new(6), Catalogue::default());
    let segment = usual(60, 600, dice);
    let mut bytes = write(&segment, &mut catalogue);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let reader = Reader::open(&bytes[..], &mut |id| catalogue.name(id)).unwrap();
    let good = reader.segment(|key| key.as_str() < "s0050", |_| false).unwrap();
    assert_eq!(good.columns[..], segment.columns[..50]);
    assert!(matches!(reader.all(), Err(ReadError::Corrupt(_))));
}

/// Sums that fit whatever the bytes are now, as far as there is a directory with blocks.
fn repair(bytes: &mut [u8], blocks: usize, directory_len: usize) {
    let start = HEAD_LEN + directory_len;
    // Which block is where follows from lengths that may be broken: these are of the original.
    let sums = start - 4 * blocks;
    let mut at = start;
    for block in 0..blocks {
        let end = (at + BLOCK_BYTES).min(bytes.len());
        let sum = crc32fast::hash(&bytes[at..end]).to_le_bytes();
        bytes[sums + 4 * block..sums + 4 * block + 4].copy_from_slice(&sum);
        at = end;
    }
    let sum = sum(&bytes[..HEAD_LEN], &bytes[HEAD_LEN..start]).to_le_bytes();
    bytes[HEAD_LEN - 4..HEAD_LEN].copy_from_slice(&sum);
}

#[test]
fn forged_segments_are_errors_or_segments_and_nothing_else() {
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..20_000 {
        let (dice, mut catalogue) = (&mut Dice::new(seed), Catalogue::default());
        let segment = any(dice);
        let mut bytes = write(&segment, &mut catalogue);
        let directory_len = u32::from_le_bytes(bytes[5..9].try_into().unwrap()) as usize;
        // One block at most, so that its sum can be put right: columns are small here.
        let blocks = bytes.len().saturating_sub(HEAD_LEN + directory_len).min(1);
        for _ in 0..1 + dice.below(3) {
            let directory = dice.one_in(2);
            let range =
                if directory { HEAD_LEN + 18..HEAD_LEN + directory_len } else { 0..bytes.len() };
            let at = range.start + dice.below(range.len() as u64) as usize;
            bytes[at] =
                if dice.one_in(2) { dice.next() as u8 } else { bytes[at] ^ 1 << dice.below(8) };
        }
        if dice.one_in(10) {
            bytes.truncate(dice.below(bytes.len() as u64) as usize);
        }
        if bytes.len() >= HEAD_LEN + directory_len {
            repair(&mut bytes, blocks, directory_len);
        }
        let reader = Reader::open(&bytes[..], &mut |id| catalogue.name(id));
        match reader.and_then(|reader| reader.all()) {
            Ok(forged) => {
                taken += 1;
                let values = forged.columns.iter().map(|column| column.values.len()).sum::<usize>();
                assert!(values <= layout::VALUES_MAX, "seed {seed}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(Finder::new(&[0]).place().is_err(), "a place of no bytes is in no block");
    assert!(refused > 5_000 && taken > 500, "{refused} refused, {taken} taken");
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let dice = &mut Dice::new(7);
    let refuse = |segment: &Segment, expected: &str| {
        let words = encode(segment, &mut |_| 0).unwrap_err().to_string();
        assert!(words.contains(expected), "{words}");
    };
    let mut long = usual(1, 2, dice);
    let many = vec![0; FRAMES_MAX + 1];
    long.groups[0] = Group { seq: many.clone(), time_ms: many.clone(), elapsed_us: many };
    long.columns.clear();
    refuse(&long, "make two of it");
    let mut uneven = usual(2, 2, dice);
    uneven.columns[1].values.pop();
    refuse(&uneven, "does not fit its group at s0001");
    let mut twice = usual(2, 2, dice);
    twice.columns.swap(0, 1);
    refuse(&twice, "out of order at s0000");
    let wide = usual(4_400, 3_600 / 900, dice);
    let many = Segment { groups: vec![wide.groups[0].clone(); layout::PARTS_MAX], ..wide };
    refuse(&many, "parts");
}
