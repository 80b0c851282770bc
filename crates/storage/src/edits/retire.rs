//! Entries taken off the front of a group's log, because nobody needs them any more.

use weir_types::{GroupId, LogIndex};

use crate::LogClass;
use crate::catalog::{Catalog, Group};
use crate::engine::{Batch, Engine, Family};
use crate::tables::{queue_log, segment, stream_log};

/// Retired queue entries that gather before one range deletion: each is a tombstone that reads must step over.
const QUEUE_ENTRIES_GATHERED_MAX: u64 = 512;
/// Bytes of the same: in table files, or by the average size of what was appended. A log has large entries and small ones, and
/// of those from before the open no average tells.
const QUEUE_BYTES_GATHERED_MAX: u64 = 4 << 20;

/// A retirement, with the bounds of the log as they were when it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retirement {
    /// The log's first index before it.
    pub(crate) first: LogIndex,
    /// The first index that stays.
    pub(crate) before: LogIndex,
    /// Nothing stays.
    pub(crate) empties: bool,
}

pub(crate) fn retire(
    engine: &dyn Engine,
    catalog: &mut Catalog,
    group: GroupId,
    retirement: Retirement,
    batch: &mut Batch,
) {
    let Some(known) = catalog.groups.get_mut(&group) else { return };
    match known.class {
        LogClass::Queue => retire_queue(engine, known, group, retirement, batch),
        LogClass::Stream => retire_stream(catalog, group, retirement, batch),
    }
}

fn retire_queue(
    engine: &dyn Engine,
    known: &mut Group,
    group: GroupId,
    retirement: Retirement,
    batch: &mut Batch,
) {
    let deleted = *known.deleted_before.get_or_insert(retirement.first);
    let gathered = retirement.before.0.saturating_sub(deleted.0);
    if gathered == 0 {
        return;
    }
    let (entries, bytes) = known.appended;
    let bytes_each = bytes / entries.max(1);
    // Nothing was appended since the open: the size is unknown, so do not let any gather.
    let small = entries > 0 && gathered.saturating_mul(bytes_each) < QUEUE_BYTES_GATHERED_MAX;
    let keys = queue_log::range(group, known.generation, deleted.0..retirement.before.0);
    let in_tables = || engine.approximate_bytes(Family::QueueLog, std::slice::from_ref(&keys))[0];
    let gathers = small && gathered < QUEUE_ENTRIES_GATHERED_MAX && in_tables() < QUEUE_BYTES_GATHERED_MAX;
    if gathers {
        return;
    }
    batch.delete_range(Family::QueueLog, keys);
    known.deleted_before = Some(retirement.before);
}

/// Moves the beginning of the log in the segments; entries die with their bucket and are not deleted one by one.
fn retire_stream(catalog: &mut Catalog, group: GroupId, retirement: Retirement, batch: &mut Batch) {
    let current = catalog.buckets.current();
    let Some(known) = catalog.groups.get_mut(&group) else { return };
    let mut released = Vec::new();
    while let Some(segment) = known.segments.first().copied() {
        let whole = match known.segments.get(1) {
            Some(next) => next.first <= retirement.before,
            None => retirement.empties,
        };
        if !whole {
            break;
        }
        known.segments.remove(0);
        batch.delete(Family::Meta, segment::key(group, segment.first));
        if Some(segment.bucket) == current {
            // The group may write to this bucket again, and must not find these.
            batch.delete_range(Family::StreamLog, stream_log::group_from(segment.bucket, group, LogIndex(0)));
        }
        released.push(segment.bucket);
    }
    if let Some(segment) = known.segments.first_mut().filter(|segment| segment.first < retirement.before) {
        batch.delete(Family::Meta, segment::key(group, segment.first));
        segment.first = retirement.before;
        batch.put(Family::Meta, segment::key(group, segment.first), segment::value(*segment));
    }
    catalog.release(released, batch);
}
