//! Bytes into a segment, or into as much of it as is wanted.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::ops::Range;

use super::layout::{
    DIRECTORY_BYTES_MAX, FORMAT, Finder, HEAD_LEN, PARTS_MAX, Place, SEGMENT_BYTES_MAX, VALUES_MAX,
    sum,
};
use super::parts::{Body, Uses, group_of, spans_of};
use super::{Column, Extremes, Group, Segment};
use crate::analysis::history::column::{
    self, Bands, Corrupt, FRAMES_MAX, Unpacker, VERSION_LEN, times, values,
};
use crate::analysis::live::bits::unzigzag;
use crate::metric::{SeriesKey, SessionId};

/// Where the bytes of a segment are. Only what is asked for needs to be fetched.
pub(in crate::analysis) trait Bytes {
    /// Why they could not be had.
    type Error;

    /// These bytes, or fewer where the source ends before.
    ///
    /// # Errors
    /// When they could not be had.
    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, Self::Error>;
}

/// Why a segment could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::analysis) enum ReadError<E> {
    /// The source failed.
    Source(E),
    /// It is of a format that this program does not know.
    Format(u8),
    /// No encoder wrote this.
    Corrupt(Corrupt),
}

/// A segment of which head and directory have been read and verified.
#[derive(Debug)]
pub(in crate::analysis) struct Reader<'a, B: ?Sized> {
    bytes: &'a B,
    directory: Vec<u8>,
    version: [u8; VERSION_LEN],
    session: SessionId,
    bucket_ms: u32,
    bounds_ms: Option<(u64, u64)>,
    /// How many frames there are in all groups, and where their times are.
    frames: usize,
    times: Option<Place>,
    groups: Vec<(usize, Place)>,
    spans: Vec<(usize, Place)>,
    columns: Vec<Entry>,
    extremes: Vec<Entry>,
    /// Where blocks are, counted from the head, and their sums.
    blocks: Vec<(Range<usize>, u32)>,
}

/// A column, or the extremes of a value.
#[derive(Debug)]
struct Entry {
    key: SeriesKey,
    /// Place of its group or spans.
    of: usize,
    has_mean: bool,
    place: Place,
}

impl Bytes for [u8] {
    type Error = Infallible;

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, Infallible> {
        let end = range.end.min(self.len());
        Ok(Cow::Borrowed(&self[range.start.min(end)..end]))
    }
}

impl<'a, B: Bytes + ?Sized> Reader<'a, B> {
    /// Reads head and directory. `name` gives the series of a number of the catalogue.
    ///
    /// # Errors
    /// When the source fails, or gives what no encoder wrote.
    pub(in crate::analysis) fn open(
        bytes: &'a B,
        name: &mut dyn FnMut(u32) -> Option<SeriesKey>,
    ) -> Result<Self, ReadError<B::Error>> {
        let head = read(bytes, 0..HEAD_LEN)?;
        if head[0] != FORMAT {
            return Err(ReadError::Format(head[0]));
        }
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (total, directory_len) = (word(1) as usize, word(5) as usize);
        if total > SEGMENT_BYTES_MAX || directory_len > DIRECTORY_BYTES_MAX.min(total) {
            return Err(Corrupt("its head has a length that cannot be").into());
        }
        let directory = read(bytes, HEAD_LEN..HEAD_LEN + directory_len)?.into_owned();
        if sum(&head, &directory) != word(9) {
            return Err(Corrupt("the sum of its directory is wrong").into());
        }
        Ok(Self::parse(bytes, directory, total, name)?)
    }

    fn parse(
        bytes: &'a B,
        directory: Vec<u8>,
        total: usize,
        name: &mut dyn FnMut(u32) -> Option<SeriesKey>,
    ) -> Result<Self, Corrupt> {
        let mut finder = Finder::new(&directory);
        let version = array(finder.source.take(VERSION_LEN))?;
        let session = SessionId(u128::from_le_bytes(array(finder.source.take(16))?));
        let bucket_ms = finder.number(u32::MAX as usize)? as u32;
        let frames = finder.number(FRAMES_MAX)?;
        let [groups, spans, columns, extremes] = [(); 4].map(|()| finder.number(PARTS_MAX));
        let (groups, spans, columns, extremes) = (groups?, spans?, columns?, extremes?);
        let bounds_ms = (frames + spans > 0).then(|| {
            let first_ms = finder.source.varint();
            (first_ms, first_ms.saturating_add(finder.source.varint()))
        });
        let times = if frames > 0 { Some(finder.place()?) } else { None };
        let counted = |finder: &mut Finder<'_>| Ok((finder.number(FRAMES_MAX)?, finder.place()?));
        let groups = (0..groups).map(|_| counted(&mut finder)).collect::<Result<Vec<_>, _>>()?;
        let spans = (0..spans).map(|_| counted(&mut finder)).collect::<Result<Vec<_>, _>>()?;
        let mut names = Names { name, last: 0 };
        let columns = entries(&mut finder, &mut names, columns, |finder| {
            let group = if groups.len() > 1 { finder.number(groups.len() - 1)? } else { 0 };
            Ok((group, false))
        })?;
        let extremes = entries(&mut finder, &mut names, extremes, |finder| {
            let word = finder.number(PARTS_MAX << 1)?;
            Ok((word >> 1, word & 1 == 1))
        })?;
        let fits = |entries: &[Entry], of: usize| entries.iter().all(|entry| entry.of < of);
        if !fits(&columns, groups.len()) || !fits(&extremes, spans.len()) {
            return Err(Corrupt("a series refers to frames or buckets that are not there"));
        }
        let sums = finder.sums(total)?;
        let start = HEAD_LEN + directory.len();
        let block = |(at, sum)| {
            let range = finder.blocks.range(at);
            (start + range.start..start + range.end, sum)
        };
        let blocks = sums.into_iter().enumerate().map(block).collect();
        Ok(Self {
            bytes,
            version,
            session,
            bucket_ms,
            bounds_ms,
            frames,
            times,
            groups,
            spans,
            columns,
            extremes,
            blocks,
            directory,
        })
    }

    #[cfg(test)]
    /// Whose stretch it is.
    pub(in crate::analysis) fn session(&self) -> SessionId {
        self.session
    }

    #[cfg(test)]
    /// Width of a bucket of its tier.
    pub(in crate::analysis) fn bucket_ms(&self) -> u32 {
        self.bucket_ms
    }

    /// As [`Segment::bounds_ms`] of the whole.
    pub(in crate::analysis) fn bounds_ms(&self) -> Option<(u64, u64)> {
        self.bounds_ms
    }

    #[cfg(test)]
    /// Series that were read, sorted.
    pub(in crate::analysis) fn readings(&self) -> impl Iterator<Item = &SeriesKey> {
        self.columns.iter().map(|entry| &entry.key)
    }

    #[cfg(test)]
    /// Derived values that have extremes, sorted.
    pub(in crate::analysis) fn derived(&self) -> impl Iterator<Item = &SeriesKey> {
        self.extremes.iter().map(|entry| &entry.key)
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When the source fails, or gives what no encoder wrote.
    pub(in crate::analysis) fn all(&self) -> Result<Segment, ReadError<B::Error>> {
        self.select(&|_| true, &|_| true, true)
    }

    /// Reads what is wanted: these columns and extremes, and the groups and spans they stand on.
    ///
    /// # Errors
    /// When the source fails, or gives what no encoder wrote.
    pub(in crate::analysis) fn segment(
        &self,
        wanted_reading: impl Fn(&SeriesKey) -> bool,
        wanted_derived: impl Fn(&SeriesKey) -> bool,
    ) -> Result<Segment, ReadError<B::Error>> {
        self.select(&wanted_reading, &wanted_derived, false)
    }

    fn select(
        &self,
        wanted_reading: &dyn Fn(&SeriesKey) -> bool,
        wanted_derived: &dyn Fn(&SeriesKey) -> bool,
        everything: bool,
    ) -> Result<Segment, ReadError<B::Error>> {
        let columns: Vec<&Entry> =
            self.columns.iter().filter(|entry| wanted_reading(&entry.key)).collect();
        let extremes: Vec<&Entry> =
            self.extremes.iter().filter(|entry| wanted_derived(&entry.key)).collect();
        let groups = Uses::new(&self.groups, columns.iter().map(|entry| entry.of), everything);
        let spans = Uses::new(&self.spans, extremes.iter().map(|entry| entry.of), everything);
        let count = columns.iter().map(|entry| self.groups[entry.of].0).sum::<usize>()
            + extremes.iter().map(|entry| self.spans[entry.of].0 * 3).sum::<usize>()
            + groups.parts().map(|(count, _)| count * 3).sum::<usize>()
            + spans.parts().map(|(count, _)| count * 2).sum::<usize>();
        if count > VALUES_MAX {
            return Err(Corrupt("it claims more values than a segment can have").into());
        }
        let times_place = self.times.as_ref().filter(|_| groups.parts().next().is_some());
        let places = groups.parts().chain(spans.parts()).map(|(_, place)| place);
        let entries = columns.iter().chain(&extremes).map(|entry| &entry.place);
        let body = self.body(times_place.into_iter().chain(places).chain(entries))?;
        let unpacker = &mut Unpacker::new(self.version)?;
        let all = match times_place {
            Some(place) => times(body.get(place), self.frames, unpacker)?,
            None => Group::default(),
        };
        let mut segment = Segment {
            session: self.session,
            bucket_ms: self.bucket_ms,
            groups: Vec::new(),
            columns: Vec::with_capacity(columns.len()),
            spans: Vec::new(),
            extremes: Vec::with_capacity(extremes.len()),
        };
        for (count, place) in groups.parts() {
            segment.groups.push(group_of(body.get(place), *count, &all, unpacker)?);
        }
        for (count, place) in spans.parts() {
            segment.spans.push(spans_of(body.get(place), *count, unpacker)?);
        }
        for Entry { key, of, place, .. } in columns {
            let values = values(body.get(place), self.groups[*of].0, unpacker)?;
            segment.columns.push(Column { key: key.clone(), group: groups.place(*of), values });
        }
        for Entry { key, of, has_mean, place } in extremes {
            let bands = column::extremes(body.get(place), self.spans[*of].0, *has_mean, unpacker)?;
            let (key, spans) = (key.clone(), spans.place(*of));
            let Bands { min, max, mean } = bands;
            segment.extremes.push(Extremes { key, spans, min, max, mean });
        }
        Ok(segment)
    }

    /// Reads and verifies the blocks of these places, neighbours at once.
    fn body<'p>(
        &self,
        places: impl Iterator<Item = &'p Place>,
    ) -> Result<Body<'_>, ReadError<B::Error>> {
        let of = |place: &Place| match place {
            Place::Body { block, .. } => Some(*block),
            Place::Inline(_) => None,
        };
        let mut blocks: Vec<usize> = places.filter_map(of).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let mut runs = Vec::new();
        for blocks in blocks.chunk_by(|before, next| before + 1 == *next) {
            let blocks = &self.blocks[blocks[0]..=blocks[blocks.len() - 1]];
            let (start, end) = (blocks[0].0.start, blocks[blocks.len() - 1].0.end);
            let run = read(self.bytes, start..end)?;
            for (range, sum) in blocks {
                if crc32fast::hash(&run[range.start - start..range.end - start]) != *sum {
                    return Err(Corrupt("the sum of a block is wrong").into());
                }
            }
            runs.push((start, run));
        }
        Ok(Body::new(&self.directory, runs))
    }
}

/// Series by the differences of their ids.
struct Names<'a> {
    name: &'a mut dyn FnMut(u32) -> Option<SeriesKey>,
    last: u32,
}

impl Names<'_> {
    fn next(&mut self, finder: &mut Finder<'_>) -> Result<SeriesKey, Corrupt> {
        let step = unzigzag(finder.source.varint());
        let id = i64::from(self.last).checked_add(1).and_then(|next| next.checked_add(step));
        let id = id.and_then(|id| u32::try_from(id).ok());
        self.last = id.ok_or(Corrupt("a series has a number that cannot be"))?;
        (self.name)(self.last).ok_or(Corrupt("a series is not in the catalogue"))
    }
}

/// Columns or extremes; `of` reads what each refers to, and whether it has means.
fn entries(
    finder: &mut Finder<'_>,
    names: &mut Names<'_>,
    count: usize,
    of: impl Fn(&mut Finder<'_>) -> Result<(usize, bool), Corrupt>,
) -> Result<Vec<Entry>, Corrupt> {
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let key = names.next(finder)?;
        if entries.last().is_some_and(|last| last.key >= key) {
            return Err(Corrupt("its series are out of order"));
        }
        let (of, has_mean) = of(finder)?;
        entries.push(Entry { key, of, has_mean, place: finder.place()? });
    }
    Ok(entries)
}

/// Exactly these bytes of the source.
fn read<B: Bytes + ?Sized>(
    bytes: &B,
    range: Range<usize>,
) -> Result<Cow<'_, [u8]>, ReadError<B::Error>> {
    let len = range.len();
    let read = bytes.read(range).map_err(ReadError::Source)?;
    if read.len() != len {
        return Err(Corrupt("it is cut short").into());
    }
    Ok(read)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Corrupt> {
    bytes.try_into().map_err(|_| Corrupt("its directory is cut short"))
}

impl<E> From<Corrupt> for ReadError<E> {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "cannot read a segment: {error}"),
            Self::Format(format) => write!(
                f,
                "a segment of format {format}, expected {FORMAT}; \
                 it was written by a newer version of this program: use that one"
            ),
            Self::Corrupt(corrupt) => write!(f, "corrupt segment: {corrupt}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for ReadError<E> {}
