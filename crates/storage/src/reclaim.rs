//! Gives the space of retired queue entries back.
//!
//! They are deleted by range, and a range deletion alone makes `RocksDB` compact nothing: a backlog that was drained
//! would stay on the disk until other writes happen to pass over it. So deleted bytes are counted, and when they
//! are about half of the table files, or the disk is full, the family is compacted. What that rewrites are the
//! survivors, so a byte is rewritten at most about once for each byte that is retired.

use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::engine::{Engine, Family};

/// Below this nothing is worth a compaction.
const GARBAGE_BYTES_MIN: u64 = 256 << 20;

/// Deleted bytes that still lie in table files. What never got there is not among them.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    bytes: u64,
    /// Asked about at this many bytes, so as not to ask at every batch.
    asked_at: u64,
}

impl Garbage {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Whether enough has gathered since it was last asked.
    pub(crate) fn is_worth_asking(&mut self) -> bool {
        let worth = self.bytes >= self.asked_at + GARBAGE_BYTES_MIN;
        if worth {
            self.asked_at = self.bytes;
        }
        worth
    }
}

/// How much a compaction must promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Half of the files.
    Usual,
    /// Anything: the disk is full.
    DiskFull,
}

/// Whether the queue log is to be compacted; the garbage counts as gone then.
pub(crate) fn take_garbage(engine: &dyn Engine, catalog: &Mutex<Catalog>, urgency: Urgency) -> bool {
    let table_bytes = match engine.table_bytes(Family::QueueLog) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(%error, "the size of the queue log is unknown");
            return false;
        }
    };
    let garbage = &mut catalog.lock().queue_garbage;
    let worth = match urgency {
        Urgency::Usual => garbage.bytes >= GARBAGE_BYTES_MIN && garbage.bytes >= table_bytes / 2,
        Urgency::DiskFull => garbage.bytes > 0,
    };
    if worth {
        *garbage = Garbage::default();
    }
    // What never reached a table file needs no compaction.
    worth && table_bytes > 0
}

/// Compacts the queue log: takes long.
pub(crate) fn reclaim(engine: &dyn Engine) {
    engine.compact(Family::QueueLog);
    metrics::counter!("weir_storage_queue_log_compactions_total").increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_asked_about_once_per_step() {
        let mut garbage = Garbage::default();
        garbage.add(GARBAGE_BYTES_MIN - 1);
        assert!(!garbage.is_worth_asking());
        garbage.add(1);
        assert!(garbage.is_worth_asking());
        assert!(!garbage.is_worth_asking());
        garbage.add(GARBAGE_BYTES_MIN);
        assert!(garbage.is_worth_asking());
    }
}
