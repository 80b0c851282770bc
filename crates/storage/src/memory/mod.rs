//! The memory engine: the same store without a disk, for tests and simulation. Its [`MemoryDisk`] outlives the
//! store that uses it and can lose what was not synced, as a machine without power does.
//!
//! ```text
//!  batches ──► live tables (what a store sees)
//!     └──────► journal: synced … synced │ unsynced ──old ones──► settled tables
//!                                 what a damaged record takes ◄──┘
//! ```
//!
//! What a crash may leave is what `RocksDB` may leave, no more and no less: the settled tables, and a prefix of the
//! journal that holds every synced batch. Only a disk that lies or rots leaves a shorter one. What was dropped as
//! files may come back. The superblock is a file of its own.

mod device;
mod engine;
mod picture;
mod tables;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::engine::{Batch, Family};
use crate::pressure::Pressure;
use device::File;
pub(crate) use device::MemoryDevice;
pub(crate) use engine::MemoryEngine;
pub use picture::{GroupPicture, Picture};
use tables::Tables;

/// Synced batches that stay in the journal before they are settled.
const JOURNAL_BATCHES: usize = 24;
/// Drops of files that a crash may undo.
const DROPS_PENDING: usize = 4;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// What a disk holds, to be put back later.
#[derive(Clone)]
pub struct Backup {
    tables: Tables,
    superblock: File,
}

#[derive(Default)]
struct State {
    /// What a store sees.
    live: Arc<Tables>,
    /// What is in table files: no crash takes it.
    settled: Tables,
    /// The write-ahead log since then.
    journal: VecDeque<Batch>,
    /// How many batches of the journal are synced.
    synced: usize,
    /// The sequence number up to which everything is synced. A batch that outlives the process is none of it.
    synced_sequence: u64,
    /// Drops of files since the last crash.
    dropped: Vec<(Family, Range<Vec<u8>>)>,
    superblock: File,
    /// Raised by each opening and each crash: a store of before is cut off.
    life: u64,
    free_bytes: Option<u64>,
    /// Of the store that uses the disk: told when the free bytes change, in place of a timer.
    pressure: Weak<Pressure>,
    fail_next_write: bool,
    /// A write failed since the last crash.
    failed: bool,
    /// Syncs return and do nothing.
    lies: bool,
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
        state.superblock.keep_all();
        let kept = state.synced.saturating_add(batches);
        state.restart(kept);
    }

    /// A crash that leaves open what a real one leaves open, each time decided by `below`, which gives a number below
    /// its argument: how many unsynced batches survive, which dropped files come back, and what the superblock
    /// lost, torn writes among it. Returns how many batches were lost.
    pub fn crash_drawing(&self, below: &mut dyn FnMut(u64) -> u64) -> usize {
        let mut state = self.0.lock();
        let unsynced = state.unsynced();
        let kept = below(unsynced as u64 + 1) as usize;
        if state.lies {
            // Then the watermark is all that tells of the lost writes: what a disk that lies about it too does to a
            // node, no node can notice.
            state.superblock.keep_all();
        } else {
            state.superblock.lose(below);
        }
        let dropped = std::mem::take(&mut state.dropped);
        for (family, keys) in dropped {
            if below(2) == 0 {
                state.settled.remove(family, &keys);
            }
        }
        let kept = state.synced + kept;
        state.restart(kept);
        unsynced - kept.min(unsynced)
    }

    /// A crash that also loses the last synced batch, as a flipped bit in the write-ahead log can: what the
    /// superblock's watermark is there to notice.
    pub fn crash_losing_last_sync(&self) {
        self.crash_losing(1);
    }

    /// A crash after a bit flipped in the journal: its reader stops at the damaged record, and so the last `batches`
    /// synced batches are gone, as far as they were not settled yet. Returns how many those were.
    pub fn crash_losing(&self, batches: usize) -> usize {
        let mut state = self.0.lock();
        state.superblock.keep_all();
        let lost = batches.min(state.synced);
        let kept = state.synced - lost;
        state.restart(kept);
        lost
    }

    /// Write batches that a crash would lose.
    pub fn unsynced_batches(&self) -> usize {
        self.0.lock().unsynced()
    }

    /// The next write fails, as a broken disk's does: its outcome is left to the next crash.
    pub fn fail_next_write(&self) {
        self.0.lock().fail_next_write = true;
    }

    /// Whether a write has failed since the last crash.
    pub fn has_failed(&self) -> bool {
        self.0.lock().failed
    }

    /// While it lies, syncs return at once and make nothing durable.
    pub fn set_lying(&self, lies: bool) {
        self.0.lock().lies = lies;
    }

    /// Everything is gone, and the store that uses the disk is cut off.
    pub fn wipe(&self) {
        let mut state = self.0.lock();
        let life = state.life + 1;
        *state = State { life, ..State::default() };
    }

    /// What is on the disk.
    pub fn backup(&self) -> Backup {
        let state = self.0.lock();
        Backup { tables: (*state.live).clone(), superblock: state.superblock.clone() }
    }

    /// Puts an earlier state back; the store that uses the disk is cut off.
    pub fn restore(&self, backup: &Backup) {
        let mut state = self.0.lock();
        let (settled, superblock, life) = (backup.tables.clone(), backup.superblock.clone(), state.life);
        *state = State { settled, superblock, life, ..State::default() };
        state.restart(0);
    }

    /// Puts an earlier state of the database back, as from a copy of its files; the superblock stays what it is, and
    /// the store that uses the disk is cut off. Returns whether synced writes are missing now.
    pub fn restore_database(&self, backup: &Backup) -> bool {
        let mut state = self.0.lock();
        let loses = backup.tables.sequence < state.synced_sequence;
        let (settled, life) = (backup.tables.clone(), state.life);
        let mut superblock = state.superblock.clone();
        superblock.keep_all();
        *state = State { settled, superblock, life, ..State::default() };
        state.restart(0);
        loses
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
    fn write(&mut self, batch: Batch) {
        Arc::make_mut(&mut self.live).apply(&batch);
        let syncs = batch.sync && !self.lies;
        self.journal.push_back(batch);
        if syncs {
            self.synced = self.journal.len();
            self.synced_sequence = self.live.sequence;
            while self.synced > JOURNAL_BATCHES {
                let settled = self.journal.pop_front().expect("the journal is longer than its bound");
                self.settled.apply(&settled);
                self.synced -= 1;
            }
        }
    }

    fn unsynced(&self) -> usize {
        self.journal.len() - self.synced
    }

    fn drop_files(&mut self, family: Family, keys: &Range<Vec<u8>>) {
        Arc::make_mut(&mut self.live).remove(family, keys);
        self.dropped.push((family, keys.clone()));
        if self.dropped.len() > DROPS_PENDING {
            let (family, keys) = self.dropped.remove(0);
            self.settled.remove(family, &keys);
        }
    }

    /// Goes on with what is settled and the first `kept` batches of the journal.
    fn restart(&mut self, kept: usize) {
        for batch in std::mem::take(&mut self.journal).into_iter().take(kept) {
            self.settled.apply(&batch);
        }
        self.synced = 0;
        self.fail_next_write = false;
        self.failed = false;
        self.dropped.clear();
        self.live = Arc::new(self.settled.clone());
        self.life += 1;
    }
}
