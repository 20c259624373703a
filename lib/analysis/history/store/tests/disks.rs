//! A disk in memory that loses its power, or is full, when the test says so.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use super::*;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Unit in which a file system gives room.
const BLOCK_BYTES: usize = 4_096;

/// What is wrong with a disk from some operation on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing answers any more.
    Power,
    /// Nothing at all may be written.
    FullForAll,
    /// What has room already may be written again; there is no more, and the file may not grow.
    FullForMore,
}

/// The disk; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// As it reads now.
    live: Vec<u8>,
    /// As it was at the last sync.
    synced: Vec<u8>,
    /// What was done since.
    since: Vec<Done>,
    /// Blocks that have room.
    given: BTreeSet<usize>,
    fault: Option<(Fault, u64)>,
    /// Whether the file system can say how much room there is.
    tells: bool,
    changes: u64,
    read_bytes: u64,
}

#[derive(Debug)]
enum Done {
    Len(usize),
    Write(usize, Vec<u8>),
}

impl Disk {
    /// With this fault after so many more writes, changes of length and syncs.
    pub(super) fn fails_after(&self, fault: Fault, changes: u64, tells: bool) {
        let mut state = self.state();
        state.fault = Some((fault, changes));
        state.tells = tells;
    }

    pub(super) fn heals(&self) {
        self.state().fault = None;
    }

    /// How many writes, changes of length and syncs there were.
    pub(super) fn changes(&self) -> u64 {
        self.state().changes
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.state().read_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.state().live.len()
    }

    /// The power goes and comes back: of what was not synced any part may be there, sector by
    /// sector.
    pub(super) fn lose_power(&self, dice: &mut Dice) {
        let mut state = self.state();
        let mut image = std::mem::take(&mut state.synced);
        // All of it, none of it, what came first, one half or one in eight.
        let mode = dice.below(5);
        let first = dice.below(state.since.len() as u64 + 1) as usize;
        let survives = |at: usize, dice: &mut Dice| match mode {
            0 => true,
            1 => false,
            2 => at < first,
            3 => dice.one_in(2),
            _ => dice.one_in(8),
        };
        for (at, done) in std::mem::take(&mut state.since).into_iter().enumerate() {
            match done {
                Done::Len(len) => {
                    if survives(at, dice) {
                        image.resize(len, 0);
                    }
                }
                Done::Write(offset, data) => {
                    for (sector, bytes) in data.chunks(SECTOR_BYTES).enumerate() {
                        let start = offset + sector * SECTOR_BYTES;
                        let end = image.len().min(start + bytes.len());
                        if start < end && survives(at, dice) {
                            image[start..end].copy_from_slice(&bytes[..end - start]);
                        }
                    }
                }
            }
        }
        state.live.clone_from(&image);
        state.synced = image;
        state.fault = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Counts a change and says whether it is refused, and how.
    fn change(&mut self) -> Option<Fault> {
        self.changes += 1;
        match &mut self.fault {
            Some((fault, 0)) => Some(*fault),
            Some((_, left)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    }

    fn is_off(&self) -> io::Result<()> {
        match self.fault {
            Some((Fault::Power, 0)) => Err(io::Error::other("the power is gone")),
            _ => Ok(()),
        }
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        self.live[offset..offset + data.len()].copy_from_slice(data);
        self.given.extend(offset / BLOCK_BYTES..(offset + data.len()).div_ceil(BLOCK_BYTES));
        self.since.push(Done::Write(offset, data.to_vec()));
    }
}

fn full() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let state = self.state();
        state.is_off()?;
        Ok(state.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        state.is_off()?;
        state.read_bytes += out.len() as u64;
        let start = offset as usize;
        let bytes = state.live.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        let len = len as usize;
        match state.change() {
            Some(Fault::Power) => state.is_off()?,
            Some(_) if len > state.live.len() => return Err(full()),
            _ => {}
        }
        state.live.resize(len, 0);
        let _ = state.given.split_off(&len.div_ceil(BLOCK_BYTES));
        state.since.push(Done::Len(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.change() == Some(Fault::Power) {
            state.is_off()?;
        }
        let State { synced, since, .. } = &mut *state;
        for done in since.drain(..) {
            match done {
                Done::Len(len) => synced.resize(len, 0),
                Done::Write(offset, data) => {
                    synced[offset..offset + data.len()].copy_from_slice(&data);
                }
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let offset = offset as usize;
        let blocks = offset / BLOCK_BYTES..(offset + data.len()).div_ceil(BLOCK_BYTES);
        let room = blocks.clone().all(|block| state.given.contains(&block));
        match state.change() {
            Some(Fault::Power) => state.is_off()?,
            Some(Fault::FullForMore) if room => {}
            Some(Fault::FullForAll | Fault::FullForMore) => {
                // What fitted is there.
                state.write(offset, &data[..data.len() / 2]);
                return Err(full());
            }
            None => {}
        }
        state.write(offset, data);
        Ok(())
    }
}

impl Medium for Disk {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn open_read_only(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn disk_bytes(&self) -> io::Result<u64> {
        Ok((self.state().given.len() * BLOCK_BYTES) as u64)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        let full = matches!(state.fault, Some((Fault::FullForAll | Fault::FullForMore, 0)));
        Ok(if full && state.tells { 0 } else { 1 << 40 })
    }
}

/// A store on a disk.
pub(super) fn store_on(disk: &Disk) -> Result<Store, StoreError> {
    let counts = Arc::new(StoreCounts::new());
    let engine = Engine::open(disk, &counts)?;
    engine.prepare(Path::new("memory"), migrate::STEPS, tables::FORMAT)?;
    Ok(Store::new(Arc::new(disk.clone()), engine, counts))
}

/// A transaction of many kinds of changes; the same for the same number.
pub(super) fn change(store: &Store, number: u64) -> Result<(), StoreError> {
    let mut dice = Dice::new(number);
    let mut commit = store.write()?;
    let (checkpoint, log_end) = (Some((number, 7)), number);
    let row = PartitionRow { resume: number, checkpoint, log_end, epoch: 0 };
    commit.put_partition(0, row)?;
    commit.log_append(0, number, &bytes(&mut Dice::new(number), 300))?;
    commit.log_trim(0, number.saturating_sub(3))?;
    for _ in 0..1 + dice.below(5) {
        let host = dice.below(5) as u32;
        commit.put_host(HostId(host), &host_row(&format!("h{host}"), number))?;
        commit.put_account(HostId(host), u128::from(dice.below(3)), &number.to_be_bytes())?;
        let at = key(host, 1_000, dice.below(40) * 1_000, 0);
        if dice.one_in(3) {
            commit.delete_segment(at)?;
        } else {
            let len = dice.below(25_000) as usize;
            let bytes = bytes(&mut dice, len);
            if dice.one_in(2) {
                commit.put_segment(at, &bytes)?;
            } else {
                commit.put_lasting_segment(at, &bytes)?;
            }
        }
    }
    if dice.one_in(8) {
        commit.delete_host_data(HostId(dice.below(5) as u32), 3)?;
    }
    // Sometimes much at once, so that the file grows.
    if dice.one_in(6) {
        for start_ms in 0..dice.below(8) {
            commit.put_segment(key(9, 60_000, number << 8 | start_ms, 0), &[1; 100_000])?;
        }
    }
    commit.commit()
}
