//! From the format of an older program to this one's, step by step in one transaction.
//!
//! What changes the tables or the bytes of a row raises [`FORMAT`] and
//! adds a [`Step`] to [`STEPS`], with a file of the format before as the fixture of its test:
//!
//! | format | since then |
//! |---|---|
//! | 1 | the first |
//! | 2 | offsets say of which topic they are (epoch); a host's row says since when there is something of it; its description, which is larger than all the rest and changes seldom, stands apart |

use redb::{ReadableTable, Table, WriteTransaction};

use super::error::StoreError;
use super::rows::{self, HostRow, PartitionRow};
use super::tables::{self, ACCOUNTS, FORMAT, HOSTS, HostId, META, META_FORMAT, PARTITIONS};

/// From one format to the next.
pub(super) struct Step {
    /// The format before; the one after is one more.
    pub(super) from: u32,
    /// What it does, for the log.
    pub(super) what: &'static str,
    /// Does it. Whatever it returns or panics with, the file stays as it was until all steps and
    /// the new number are committed.
    pub(super) run: fn(&WriteTransaction) -> Result<(), StoreError>,
}

/// All of them, the oldest first, without a hole.
pub(super) const STEPS: &[Step] =
    &[Step { from: 1, what: "rows of hosts and partitions have epochs", run: rows_have_epochs }];

fn rows_have_epochs(txn: &WriteTransaction) -> Result<(), StoreError> {
    let redb = |error: redb::Error| StoreError::redb("bringing rows to format 2", error);
    let mut hosts = txn.open_table(HOSTS).map_err(|error| redb(error.into()))?;
    let mut accounts = txn.open_table(ACCOUNTS).map_err(|error| redb(error.into()))?;
    for (id, bytes) in rows_of(&hosts)? {
        let (row, description) = HostRow::from_bytes_1(&bytes)?;
        hosts.insert(id, &row.to_bytes()[..]).map_err(|error| redb(error.into()))?;
        if !description.is_empty() {
            let key = tables::account_bytes(HostId(id), tables::DESCRIPTION);
            accounts.insert(&key, &description[..]).map_err(|error| redb(error.into()))?;
        }
    }
    let mut partitions = txn.open_table(PARTITIONS).map_err(|error| redb(error.into()))?;
    for (id, bytes) in rows_of(&partitions)? {
        let row = PartitionRow::from_bytes_1(&bytes)?;
        partitions.insert(id, &row.to_bytes()[..]).map_err(|error| redb(error.into()))?;
    }
    Ok(())
}

/// The rows of a small table.
fn rows_of(table: &Table<'_, u32, &'static [u8]>) -> Result<Vec<(u32, Vec<u8>)>, StoreError> {
    let redb = |error| StoreError::redb("bringing rows to format 2", error);
    let rows = table.iter().map_err(redb)?;
    rows.map(|row| row.map(|(id, bytes)| (id.value(), bytes.value().to_vec())).map_err(redb))
        .collect()
}

/// Brings the file from format `from` to [`FORMAT`], and says what was done; the caller commits.
///
/// # Errors
/// A step's, or when there is none from this format.
pub(super) fn run(
    txn: &WriteTransaction,
    steps: &[Step],
    (from, to): (u32, u32),
) -> Result<Vec<String>, StoreError> {
    let mut notes = Vec::new();
    for format in from..to {
        let step = steps.iter().find(|step| step.from == format).ok_or_else(|| {
            StoreError::corrupt(format!("its format {format} is older than any that is known"))
        })?;
        (step.run)(txn)?;
        notes.push(format!(
            "the history was brought from format {format} to {}: {}",
            format + 1,
            step.what
        ));
    }
    if from < to {
        put_format(txn, to)?;
    }
    Ok(notes)
}

/// Writes the number of the format.
///
/// # Errors
/// redb's.
pub(super) fn put_format(txn: &WriteTransaction, format: u32) -> Result<(), StoreError> {
    const DOING: &str = "writing the format of the history";
    let mut meta = txn.open_table(META).map_err(|error| StoreError::redb(DOING, error))?;
    let bytes = format.to_be_bytes();
    meta.insert(META_FORMAT, &bytes[..]).map_err(|error| StoreError::redb(DOING, error))?;
    Ok(())
}

/// The number of the format; `None` in a file without tables, which was just made.
///
/// # Errors
/// Corrupt, when the file is some other database.
pub(super) fn format(txn: &redb::ReadTransaction) -> Result<Option<u32>, StoreError> {
    const DOING: &str = "reading the format of the history";
    let redb = |error: redb::StorageError| StoreError::redb(DOING, error);
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return if txn.list_tables().map_err(redb)?.next().is_none() {
                Ok(None)
            } else {
                Err(StoreError::corrupt("the file has tables, but is no history"))
            };
        }
        Err(error) => return Err(StoreError::redb(DOING, error)),
    };
    let row = meta.get(META_FORMAT).map_err(redb)?;
    let row = row.ok_or_else(|| StoreError::corrupt("the file does not say its format"))?;
    match rows::number_from_bytes(row.value())? {
        0 => Err(StoreError::corrupt("the file says that its format is 0")),
        format => Ok(Some(format)),
    }
}

/// Whether [`STEPS`] leads from the first format to this one.
const fn is_complete(steps: &[Step], to: u32) -> bool {
    let mut at = 0;
    while at < steps.len() {
        if steps[at].from != at as u32 + 1 {
            return false;
        }
        at += 1;
    }
    steps.len() as u32 + 1 == to
}

const _: () = assert!(is_complete(STEPS, FORMAT));
