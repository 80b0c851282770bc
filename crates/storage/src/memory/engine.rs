//! The engine over a memory disk.

use std::ops::Range;
use std::sync::Arc;

use crate::Error;
use crate::engine::{Batch, Engine, Family, View};

use super::MemoryDisk;

/// One store's access to a [`MemoryDisk`].
pub(crate) struct MemoryEngine {
    pub(super) disk: MemoryDisk,
    pub(super) life: u64,
}

impl Engine for MemoryEngine {
    fn write(&self, batch: Batch) -> Result<(), Error> {
        let mut state = self.disk.0.lock();
        if state.life != self.life {
            return Err(Error::Engine("the memory disk crashed or was opened again".to_owned()));
        }
        if std::mem::take(&mut state.fail_next_write) {
            state.failed = true;
            state.journal.push_back(batch);
            return Err(Error::Engine("the memory disk was told to fail this write".to_owned()));
        }
        state.write(batch);
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

    /// Does not go through the journal: a crash may bring dropped rows back, as it may with real files.
    fn drop_files(&self, family: Family, keys: &Range<Vec<u8>>) -> Result<(), Error> {
        let mut state = self.disk.0.lock();
        if state.life == self.life {
            state.drop_files(family, keys);
        }
        Ok(())
    }

    fn table_bytes(&self, _family: Family) -> Result<u64, Error> {
        Ok(0)
    }

    fn approximate_bytes(&self, _family: Family, ranges: &[Range<Vec<u8>>]) -> Vec<u64> {
        vec![0; ranges.len()]
    }

    fn flushing_bytes(&self, _family: Family) -> u64 {
        0
    }

    fn compact(&self, _family: Family) {}

    fn halt(&self) {}

    fn free_bytes(&self) -> Result<u64, Error> {
        Ok(self.disk.0.lock().free_bytes.unwrap_or(u64::MAX))
    }
}
