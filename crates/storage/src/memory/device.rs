//! The superblock file of a memory disk.

use crate::Error;
use crate::superblock::Device;

use super::MemoryDisk;

/// Unsynced writes that the system keeps back; the oldest one beyond reaches the file by itself, as the timer of a
/// real node has it synced ten times a second.
const UNSYNCED_MAX: usize = 8;
/// What a device writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The bytes of the file, and what was written since its last sync.
#[derive(Clone, Default)]
pub(super) struct File {
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl File {
    fn contents(&self) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for (offset, written) in &self.unsynced {
            place(&mut bytes, *offset, written);
        }
        bytes
    }

    fn sync(&mut self) {
        for (offset, written) in std::mem::take(&mut self.unsynced) {
            place(&mut self.synced, offset, &written);
        }
    }

    /// Everything is written back.
    pub(super) fn keep_all(&mut self) {
        self.sync();
    }

    /// Of the unsynced writes a drawn number survives, and of the next one any of its sectors. Later writes go to the
    /// slots of earlier ones, so what a real system may write back out of order leaves the same two cases.
    pub(super) fn lose(&mut self, below: &mut dyn FnMut(u64) -> u64) {
        let mut unsynced = std::mem::take(&mut self.unsynced);
        let torn = unsynced.split_off(below(unsynced.len() as u64 + 1) as usize);
        self.unsynced = unsynced;
        self.sync();
        let Some((offset, bytes)) = torn.into_iter().next() else { return };
        for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            if below(2) == 0 {
                place(&mut self.synced, offset + number * SECTOR_BYTES, sector);
            }
        }
    }
}

fn place(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

/// One store's access to the superblock of a [`MemoryDisk`].
pub(crate) struct MemoryDevice(pub(super) MemoryDisk);

impl Device for MemoryDevice {
    fn read(&self) -> Result<Vec<u8>, Error> {
        Ok(self.0.0.lock().superblock.contents())
    }

    fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let superblock = &mut self.0.0.lock().superblock;
        superblock.unsynced.push((offset, bytes.to_vec()));
        if superblock.unsynced.len() > UNSYNCED_MAX {
            let (offset, written) = superblock.unsynced.remove(0);
            place(&mut superblock.synced, offset, &written);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        self.0.0.lock().superblock.sync();
        Ok(())
    }
}
