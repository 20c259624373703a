//! Small rows as bytes: hosts, partitions, names of series. Numbers with the highest byte first;
//! what has no fixed size has its length before it.

use super::error::StoreError;

/// What the store keeps of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::analysis) struct HostRow {
    pub(in crate::analysis) name: String,
    /// Offset of its partition up to which everything of it is committed; `None` before the
    /// first commit.
    pub(in crate::analysis) through: Option<u64>,
    /// Which topic that offset is of: another one each time a topic was made anew.
    pub(in crate::analysis) epoch: u64,
    /// An operator has deleted it, and its segments are going.
    pub(in crate::analysis) deleted: bool,
    /// By width of bucket, ms: up to when everything is rolled up into that tier, Unix ms.
    pub(in crate::analysis) rolled_through_ms: Vec<(u32, u64)>,
    /// When it was last heard, Unix ms.
    pub(in crate::analysis) seen_ms: u64,
    /// Time before which there is nothing of it, Unix ms.
    pub(in crate::analysis) first_ms: u64,
}

/// What the store keeps of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::analysis) struct PartitionRow {
    /// Where reading begins again: the smallest offset that some host still needs.
    pub(in crate::analysis) resume: u64,
    /// A record that was read, by offset, and the CRC32 of it: a topic that was made anew has
    /// another one there.
    pub(in crate::analysis) checkpoint: Option<(u64, u32)>,
    /// Offset behind the last record of the log in this store.
    pub(in crate::analysis) log_end: u64,
    /// Which topic these offsets are of; goes up when it was made anew.
    pub(in crate::analysis) epoch: u64,
}

impl HostRow {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Writer::default();
        bytes.text(self.name.as_bytes());
        bytes.maybe(self.through, |bytes, through| bytes.u64(through));
        bytes.0.push(u8::from(self.deleted));
        bytes.u32(u32::try_from(self.rolled_through_ms.len()).unwrap_or(u32::MAX));
        for (bucket_ms, through_ms) in &self.rolled_through_ms {
            bytes.u32(*bucket_ms);
            bytes.u64(*through_ms);
        }
        bytes.u64(self.seen_ms);
        bytes.u64(self.epoch);
        bytes.u64(self.first_ms);
        bytes.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut fields = Fields::new("the row of a host", bytes);
        let name = fields.name()?;
        let through = fields.maybe(Fields::u64)?;
        let deleted = fields.flag()?;
        let tiers = fields.u32()?;
        let rolled_through_ms =
            (0..tiers).map(|_| Ok((fields.u32()?, fields.u64()?))).collect::<Result<_, _>>()?;
        let (seen_ms, epoch, first_ms) = (fields.u64()?, fields.u64()?, fields.u64()?);
        fields.end()?;
        Ok(Self { name, through, epoch, deleted, rolled_through_ms, seen_ms, first_ms })
    }

    /// A row of format 1, and the description that was in it.
    pub(super) fn from_bytes_1(bytes: &[u8]) -> Result<(Self, Vec<u8>), StoreError> {
        let mut fields = Fields::new("the row of a host", bytes);
        let (name, through, deleted) = (fields.name()?, fields.maybe(Fields::u64)?, fields.flag()?);
        let tiers = fields.u32()?;
        let rolled_through_ms =
            (0..tiers).map(|_| Ok((fields.u32()?, fields.u64()?))).collect::<Result<_, _>>()?;
        let seen_ms = fields.u64()?;
        let description = fields.text()?.to_vec();
        fields.end()?;
        // When its oldest segment begins nobody wrote down.
        let (epoch, first_ms) = (0, 0);
        let row = Self { name, through, epoch, deleted, rolled_through_ms, seen_ms, first_ms };
        Ok((row, description))
    }
}

impl PartitionRow {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Writer::default();
        bytes.u64(self.resume);
        bytes.maybe(self.checkpoint, |bytes, (offset, crc)| {
            bytes.u64(offset);
            bytes.u32(crc);
        });
        bytes.u64(self.log_end);
        bytes.u64(self.epoch);
        bytes.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut fields = Fields::new("the row of a partition", bytes);
        let resume = fields.u64()?;
        let checkpoint = fields.maybe(|fields| Ok((fields.u64()?, fields.u32()?)))?;
        let (log_end, epoch) = (fields.u64()?, fields.u64()?);
        fields.end()?;
        Ok(Self { resume, checkpoint, log_end, epoch })
    }

    /// A row of format 1.
    pub(super) fn from_bytes_1(bytes: &[u8]) -> Result<Self, StoreError> {
        // The epoch follows, and was 0 always.
        Self::from_bytes(&[bytes, &[0; 8]].concat())
    }
}

/// A series: its key as text, and the last day (since 1970) on which it was stored.
pub(super) fn series_to_bytes(key: &str, last_used_day: u32) -> Vec<u8> {
    let mut bytes = Writer::default();
    bytes.u32(last_used_day);
    bytes.text(key.as_bytes());
    bytes.0
}

pub(super) fn series_from_bytes(bytes: &[u8]) -> Result<(String, u32), StoreError> {
    let mut fields = Fields::new("the row of a series", bytes);
    let last_used_day = fields.u32()?;
    let key = fields.name()?;
    fields.end()?;
    Ok((key, last_used_day))
}

/// A number of four bytes, as the format of the file is written.
pub(super) fn number_from_bytes(bytes: &[u8]) -> Result<u32, StoreError> {
    let mut fields = Fields::new("a number of four bytes", bytes);
    let number = fields.u32()?;
    fields.end()?;
    Ok(number)
}

/// Appends fields.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u32(&mut self, number: u32) {
        self.0.extend(number.to_be_bytes());
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    /// Nothing here is near the 4 GiB at which the length would be cut; see
    /// [`super::commit::ROW_BYTES_MAX`].
    fn text(&mut self, text: &[u8]) {
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text);
    }

    fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Takes fields from the front, and says whose they were when there are too few or too many.
pub(super) struct Fields<'a> {
    whose: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(whose: &'static str, rest: &'a [u8]) -> Self {
        Self { whose, rest }
    }

    fn wrong(&self, why: &str) -> StoreError {
        StoreError::corrupt(format!("{} {why}", self.whose))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| self.wrong("ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, StoreError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, StoreError> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Result<bool, StoreError> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.wrong("has a flag that is neither 0 nor 1")),
        }
    }

    fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    fn text(&mut self) -> Result<&'a [u8], StoreError> {
        let len = self.u32()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    fn name(&mut self) -> Result<String, StoreError> {
        let text = self.text()?.to_vec();
        String::from_utf8(text).map_err(|_| self.wrong("has a name that is no UTF-8"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn end(&self) -> Result<(), StoreError> {
        if self.is_empty() { Ok(()) } else { Err(self.wrong("goes on behind its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> [HostRow; 2] {
        [
            HostRow::default(),
            HostRow {
                name: "web-1".to_owned(),
                through: Some(u64::MAX),
                deleted: true,
                rolled_through_ms: vec![(10_000, 5), (60_000, 1 << 50)],
                seen_ms: 1_700_000_000_000,
                epoch: 5,
                first_ms: 1 << 50,
            },
        ]
    }

    #[test]
    fn rows_come_back_as_they_went() {
        for row in hosts() {
            assert_eq!(HostRow::from_bytes(&row.to_bytes()).unwrap(), row);
        }
        for checkpoint in [None, Some((7, u32::MAX))] {
            let row = PartitionRow { resume: 3, checkpoint, log_end: 1 << 60, epoch: 2 };
            assert_eq!(PartitionRow::from_bytes(&row.to_bytes()).unwrap(), row);
        }
        let key = r#"disk_read_bytes_total{device="sda"}"#;
        let bytes = series_to_bytes(key, 20_000);
        assert_eq!(series_from_bytes(&bytes).unwrap(), (key.to_owned(), 20_000));
    }

    #[test]
    fn a_row_cut_short_or_too_long_is_an_error_in_words() {
        let bytes = hosts()[1].to_bytes();
        for len in 0..bytes.len() {
            let words = HostRow::from_bytes(&bytes[..len]).unwrap_err().to_string();
            assert!(words.contains("the row of a host"), "{len}: {words}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(HostRow::from_bytes(&longer).unwrap_err().is_corrupt());
        assert!(number_from_bytes(&[0, 0, 0]).unwrap_err().is_corrupt());
        assert!(series_from_bytes(&[0, 0, 0, 1, 0, 0, 0, 1, 0xFF]).unwrap_err().is_corrupt());
    }
}
