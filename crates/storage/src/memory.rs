//! The memory engine: the same store without a disk, for tests and simulation. Its [`MemoryDisk`] outlives the
//! store that uses it and can lose what was not synced, as a machine without power does.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::Error;
use crate::engine::{Batch, Edit, Engine, Family, View, Visit};
use crate::pressure::Pressure;
use crate::superblock::Device;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What a store sees.
    live: Arc<Tables>,
    /// What was there before the last synced batch.
    settled: Tables,
    /// The last synced batch and the unsynced ones that it carried.
    synced: Vec<Batch>,
    /// What a crash may lose, in order.
    unsynced: Vec<Batch>,
    superblock: Vec<u8>,
    /// Raised by each opening and each crash: a store of before is cut off.
    life: u64,
    free_bytes: Option<u64>,
    /// Of the store that uses the disk: told when the free bytes change, in place of a timer.
    pressure: Weak<Pressure>,
    fail_next_write: bool,
}

#[derive(Clone, Default)]
struct Tables {
    families: BTreeMap<Family, BTreeMap<Vec<u8>, Bytes>>,
    sequence: u64,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Power loss: every write that was not synced is gone, and the store that uses the disk is cut off. Open
    /// another one on it.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// A crash after which the first `batches` of the unsynced write batches happen to be there all the same:
    /// what survives is always a prefix.
    pub fn crash_keeping(&self, batches: usize) {
        let mut state = self.0.lock();
        state.settle();
        let kept: Vec<Batch> = std::mem::take(&mut state.unsynced).into_iter().take(batches).collect();
        for batch in &kept {
            state.settled.apply(batch);
        }
        state.restart();
    }

    /// A crash that also loses the last synced batch, as a flipped bit in the write-ahead log can: what the
    /// superblock's watermark is there to notice.
    pub fn crash_losing_last_sync(&self) {
        let mut state = self.0.lock();
        state.synced.clear();
        state.unsynced.clear();
        state.restart();
    }

    /// Write batches that a crash would lose.
    pub fn unsynced_batches(&self) -> usize {
        self.0.lock().unsynced.len()
    }

    /// The next write fails, as a broken disk's does.
    pub fn fail_next_write(&self) {
        self.0.lock().fail_next_write = true;
    }

    /// Sets the free bytes that the disk reports; none means plenty.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        let mut state = self.0.lock();
        state.free_bytes = free_bytes;
        let pressure = state.pressure.upgrade();
        drop(state);
        if let Some(pressure) = pressure {
            pressure.note(free_bytes.unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn report_to(&self, pressure: &Arc<Pressure>) {
        self.0.lock().pressure = Arc::downgrade(pressure);
    }

    pub(crate) fn open(&self) -> MemoryEngine {
        let mut state = self.0.lock();
        state.life += 1;
        MemoryEngine { disk: self.clone(), life: state.life }
    }

    pub(crate) fn device(&self) -> MemoryDevice {
        MemoryDevice(self.clone())
    }
}

impl State {
    /// Moves what is safely synced into `settled`.
    fn settle(&mut self) {
        for batch in std::mem::take(&mut self.synced) {
            self.settled.apply(&batch);
        }
    }

    fn restart(&mut self) {
        self.live = Arc::new(self.settled.clone());
        self.life += 1;
    }
}

impl Tables {
    fn apply(&mut self, batch: &Batch) {
        for edit in batch.edits() {
            self.sequence += 1;
            match edit {
                Edit::Put { family, key, value } => {
                    self.family(*family).insert(key.clone(), Bytes::copy_from_slice(value));
                }
                Edit::Entry { family, key, head, payload } => {
                    let value = [head.as_slice(), payload].concat();
                    self.family(*family).insert(key.clone(), value.into());
                }
                Edit::Delete { family, key } => {
                    self.family(*family).remove(key);
                }
                Edit::DeleteRange { family, keys } => {
                    let family = self.family(*family);
                    let doomed: Vec<Vec<u8>> = within(family, keys).map(|(key, _)| key.clone()).collect();
                    for key in doomed {
                        family.remove(&key);
                    }
                }
            }
        }
    }

    fn family(&mut self, family: Family) -> &mut BTreeMap<Vec<u8>, Bytes> {
        self.families.entry(family).or_default()
    }
}

/// The entries of a range; an empty range where the bounds cross, as `RocksDB` sees it.
fn within<'a>(
    table: &'a BTreeMap<Vec<u8>, Bytes>,
    keys: &Range<Vec<u8>>,
) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a Bytes)> {
    let end = keys.end.clone().max(keys.start.clone());
    table.range(keys.start.clone()..end)
}

/// One store's access to a [`MemoryDisk`].
pub(crate) struct MemoryEngine {
    disk: MemoryDisk,
    life: u64,
}

impl Engine for MemoryEngine {
    fn write(&self, batch: Batch) -> Result<(), Error> {
        let mut state = self.disk.0.lock();
        if state.life != self.life {
            return Err(Error::Engine("the memory disk crashed or was opened again".to_owned()));
        }
        if std::mem::take(&mut state.fail_next_write) {
            return Err(Error::Engine("the memory disk was told to fail this write".to_owned()));
        }
        Arc::make_mut(&mut state.live).apply(&batch);
        let sync = batch.sync;
        state.unsynced.push(batch);
        if sync {
            state.settle();
            state.synced = std::mem::take(&mut state.unsynced);
        }
        Ok(())
    }

    fn sequence(&self) -> u64 {
        self.disk.0.lock().live.sequence
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::clone(&self.disk.0.lock().live) as Arc<dyn View>
    }

    fn seal(&self, _family: Family) -> Result<(), Error> {
        Ok(())
    }

    /// Does not go through the journal: a crash brings dropped rows back, as it may with real files.
    fn drop_files(&self, family: Family, keys: &Range<Vec<u8>>) -> Result<(), Error> {
        let mut state = self.disk.0.lock();
        if state.life == self.life {
            let tables = Arc::make_mut(&mut state.live);
            let family = tables.family(family);
            let doomed: Vec<Vec<u8>> = within(family, keys).map(|(key, _)| key.clone()).collect();
            for key in doomed {
                family.remove(&key);
            }
        }
        Ok(())
    }

    fn table_bytes(&self, _family: Family) -> Result<u64, Error> {
        Ok(0)
    }

    fn approximate_bytes(&self, _family: Family, ranges: &[Range<Vec<u8>>]) -> Vec<u64> {
        vec![0; ranges.len()]
    }

    fn compact(&self, _family: Family) {}

    fn halt(&self) {}

    fn free_bytes(&self) -> Result<u64, Error> {
        Ok(self.disk.0.lock().free_bytes.unwrap_or(u64::MAX))
    }
}

impl View for Tables {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.families.get(&family).and_then(|table| table.get(key)).cloned())
    }

    fn scan(
        &self,
        family: Family,
        keys: &Range<Vec<u8>>,
        _expected_bytes: usize,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        let Some(table) = self.families.get(&family) else { return Ok(()) };
        for (key, value) in within(table, keys) {
            if let ControlFlow::Break(()) = visit(key, value)? {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, family: Family, keys: &Range<Vec<u8>>) -> Result<Option<(Vec<u8>, Bytes)>, Error> {
        let Some(table) = self.families.get(&family) else { return Ok(None) };
        Ok(within(table, keys).next_back().map(|(key, value)| (key.clone(), value.clone())))
    }
}

/// The superblock of a [`MemoryDisk`]: its writes are durable at once.
pub(crate) struct MemoryDevice(MemoryDisk);

impl Device for MemoryDevice {
    fn read(&self) -> Result<Vec<u8>, Error> {
        Ok(self.0.0.lock().superblock.clone())
    }

    fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let superblock = &mut self.0.0.lock().superblock;
        let end = offset + bytes.len();
        if superblock.len() < end {
            superblock.resize(end, 0);
        }
        superblock[offset..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }
}
