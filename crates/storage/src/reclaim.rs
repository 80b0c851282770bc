//! Gives the space of retired queue entries back.
//!
//! They are deleted by range, and a range deletion alone makes `RocksDB` compact nothing: a backlog that was drained
//! would stay on the disk until other writes happen to pass over it. So deleted bytes are counted, and when they seem to be
//! half of the table files, these are measured against what is alive; half of them dead, or a full disk, and the family is
//! compacted. What that rewrites are the survivors, so a byte is rewritten at most about once for each byte that is retired.

use std::ops::{ControlFlow, Range};

use parking_lot::Mutex;

use crate::LogClass;
use crate::catalog::Catalog;
use crate::engine::{Engine, Family};
use crate::tables::queue_log;

/// Below this nothing is worth a compaction.
const GARBAGE_BYTES_MIN: u64 = 16 << 20;
/// So often it is asked about.
const ASK_EACH_BYTES: u64 = 4 << 20;

/// Deleted bytes that lie in table files, or are on their way there.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    bytes: u64,
    /// Asked about at this many bytes, so as not to ask at every batch.
    asked_at: u64,
    /// The last compaction left as much as is worth one: a view still showed it, or it was deleted meanwhile.
    stuck: bool,
}

impl Garbage {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Whether enough has gathered since it was last asked.
    pub(crate) fn is_worth_asking(&mut self) -> bool {
        let worth = self.bytes >= GARBAGE_BYTES_MIN && self.bytes >= self.asked_at + ASK_EACH_BYTES;
        if worth {
            self.asked_at = self.bytes;
        }
        worth
    }

    /// All of the files may be garbage that was there before the open.
    pub(crate) fn opened(&mut self, table_bytes: u64) {
        self.bytes = table_bytes;
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck
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
    let is_worth = |garbage| is_worth(garbage, table_bytes);
    let counted = catalog.lock().queue_garbage.bytes;
    let worth = match urgency {
        Urgency::Usual => is_worth(counted) && is_worth(measure(engine, catalog, table_bytes)),
        Urgency::DiskFull => counted > 0,
    };
    if worth {
        catalog.lock().queue_garbage = Garbage::default();
    }
    // What never reached a table file needs no compaction.
    worth && table_bytes > 0
}

fn is_worth(garbage: u64, table_bytes: u64) -> bool {
    garbage >= GARBAGE_BYTES_MIN && garbage >= table_bytes / 2
}

/// How much of the table files is dead. The count is put right by it: it misses what was deleted while it was written to a
/// file, and counts twice what was deleted while it was rewritten.
fn measure(engine: &dyn Engine, catalog: &Mutex<Catalog>, table_bytes: u64) -> u64 {
    let live = live_keys(engine, catalog);
    let live: u64 = engine.approximate_bytes(Family::QueueLog, &live).into_iter().sum();
    let dead = table_bytes.saturating_sub(live);
    let garbage = &mut catalog.lock().queue_garbage;
    (garbage.bytes, garbage.asked_at) = (dead, dead);
    dead
}

/// Keys of what each group still has.
fn live_keys(engine: &dyn Engine, catalog: &Mutex<Catalog>) -> Vec<Range<Vec<u8>>> {
    let queues: Vec<_> = {
        let catalog = catalog.lock();
        let queues = catalog.groups.iter().filter(|(_, group)| group.alive && group.class == LogClass::Queue);
        queues.map(|(id, group)| (*id, group.generation, group.deleted_before)).collect()
    };
    let view = engine.view();
    let keys = queues.into_iter().map(|(id, generation, deleted_before)| {
        let mut keys = queue_log::range(id, generation, deleted_before.unwrap_or_default().0..u64::MAX);
        if deleted_before.is_none() {
            // Nothing was retired since the open, which may have found much that was before. What cannot be read counts as alive.
            let _ = view.scan(Family::QueueLog, &keys.clone(), 0, &mut |first, _| {
                keys.start = first.to_vec();
                Ok(ControlFlow::Break(()))
            });
        }
        keys
    });
    keys.collect()
}

/// Compacts the queue log: takes long. Files written meanwhile are counted after it.
pub(crate) fn reclaim(engine: &dyn Engine, catalog: &Mutex<Catalog>) {
    engine.compact(Family::QueueLog);
    metrics::counter!("weir_storage_queue_log_compactions_total").increment(1);
    if let Ok(table_bytes) = engine.table_bytes(Family::QueueLog) {
        let left = measure(engine, catalog, table_bytes);
        catalog.lock().queue_garbage.stuck = is_worth(left, table_bytes);
    }
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
        garbage.add(ASK_EACH_BYTES - 1);
        assert!(!garbage.is_worth_asking());
        garbage.add(1);
        assert!(garbage.is_worth_asking());
    }
}
