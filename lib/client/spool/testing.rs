//! A disk for tests: it fills up, freezes, forgets what was not synced, and tears what it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, Task, Whole};
use crate::base::dice::Dice;
use crate::metric::SessionId;

/// What outlives a process.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// As the kernel has it.
    pub(super) files: BTreeMap<u64, Vec<u8>>,
    /// As the platter has it, for files that were synced.
    synced: BTreeMap<u64, Vec<u8>>,
    /// Names on the platter.
    names: BTreeSet<u64>,
    marks: BTreeMap<SessionId, Whole>,
    /// Bytes that may still be appended.
    pub(super) room: Option<usize>,
    pub(super) is_frozen: bool,
    pub(super) is_unreadable: bool,
    pub(super) is_unsyncable: bool,
    /// As a fault in the program would.
    pub(super) is_panicking: bool,
    pub(super) appends: u64,
}

/// One process's hands on it.
#[derive(Debug, Clone, Default)]
pub(super) struct MemDisk(Arc<Mutex<Image>>);

impl MemDisk {
    pub(super) fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.image().files.values().map(|file| file.len() as u64).sum()
    }
}

impl Image {
    /// The machine loses power: of what was not synced anything may be left.
    pub(super) fn lose_power(&mut self, dice: &mut Dice) {
        let mut left = BTreeMap::new();
        for (number, kept) in &self.synced {
            let (is_named, is_there) =
                (self.names.contains(number), self.files.contains_key(number));
            // Made or removed without the directory being synced: one or the other.
            if is_named && is_there || is_named != is_there && dice.one_in(2) {
                left.insert(*number, kept.clone());
            }
        }
        for (number, file) in &self.files {
            if !self.names.contains(number) && dice.one_in(2) {
                left.remove(number);
                continue;
            }
            let kept = left.entry(*number).or_default();
            if file.len() > kept.len() {
                let more = dice.below((file.len() - kept.len()) as u64 + 1) as usize;
                let from = kept.len();
                kept.extend_from_slice(&file[from..from + more]);
                if more > 0 && dice.one_in(2) {
                    // Its length reached the disk, its last block did not.
                    let hole = from + dice.below(more as u64) as usize;
                    kept[hole..].fill(if dice.one_in(2) { 0 } else { 0xA5 });
                }
            }
        }
        // Another boot id from here on.
        self.marks.retain(|_, whole| *whole == Whole::Always);
        self.names = left.keys().copied().collect();
        (self.files, self.synced) = (left.clone(), left);
    }

    fn may_write(&self) -> io::Result<()> {
        if self.is_frozen { Err(ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }
}

impl Disk for MemDisk {
    fn numbers(&mut self) -> io::Result<Vec<u64>> {
        Ok(self.image().files.keys().copied().collect())
    }

    fn create(&mut self, number: u64) -> io::Result<()> {
        let mut image = self.image();
        image.may_write()?;
        if image.room == Some(0) {
            return Err(ErrorKind::StorageFull.into());
        }
        // What an earlier run removed under this number is another file.
        image.synced.remove(&number);
        image.names.remove(&number);
        match image.files.insert(number, Vec::new()) {
            None => Ok(()),
            Some(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn append(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let is_panicking = self.image().is_panicking;
        assert!(!is_panicking, "scripted by the test");
        let mut image = self.image();
        image.may_write()?;
        let fits = image.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        image.room = image.room.map(|room| room - fits);
        image.appends += 1;
        let file = image.files.get_mut(&number).ok_or(ErrorKind::NotFound)?;
        file.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read(&mut self, number: u64, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let image = self.image();
        if image.is_unreadable {
            return Err(io::Error::other("scripted by the test"));
        }
        let file = image.files.get(&number).ok_or(ErrorKind::NotFound)?;
        let rest = file.get(offset as usize..).unwrap_or_default();
        // Less than was asked for, as reads may.
        let len = rest.len().min(buffer.len()).min(5_000);
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn cut(&mut self, number: u64, len: u64) -> io::Result<()> {
        let mut image = self.image();
        image.may_write()?;
        let file = image.files.get_mut(&number).ok_or(ErrorKind::NotFound)?;
        let cut = file.len().saturating_sub(len as usize);
        file.truncate(len as usize);
        image.room = image.room.map(|room| room + cut);
        Ok(())
    }

    /// What is there now is what will be synced, the least that a real disk promises.
    fn sync(&mut self, number: u64) -> Task {
        let (disk, file) = (self.clone(), self.image().files.get(&number).cloned());
        Box::new(move || {
            let mut image = disk.image();
            if image.is_unsyncable {
                return Err(io::Error::other("scripted by the test"));
            }
            image.synced.insert(number, file.ok_or(ErrorKind::NotFound)?);
            Ok(())
        })
    }

    fn sync_names(&mut self) -> Task {
        let disk = self.clone();
        let names: BTreeSet<u64> = self.image().files.keys().copied().collect();
        Box::new(move || {
            let mut image = disk.image();
            if image.is_unsyncable {
                return Err(io::Error::other("scripted by the test"));
            }
            image.synced.retain(|number, _| names.contains(number));
            image.names = names;
            Ok(())
        })
    }

    fn remove(&mut self, number: u64) -> io::Result<()> {
        let mut image = self.image();
        image.may_write()?;
        let file = image.files.remove(&number).unwrap_or_default();
        image.room = image.room.map(|room| room + file.len());
        Ok(())
    }

    fn marks(&mut self) -> io::Result<Vec<(SessionId, Whole)>> {
        Ok(self.image().marks.iter().map(|(session, whole)| (*session, *whole)).collect())
    }

    fn mark(&mut self, session: SessionId, whole: Whole) -> io::Result<()> {
        let mut image = self.image();
        image.may_write()?;
        if whole == Whole::Unknown {
            image.marks.remove(&session);
            return Ok(());
        }
        if image.room == Some(0) {
            return Err(ErrorKind::StorageFull.into());
        }
        image.marks.insert(session, whole);
        Ok(())
    }
}
