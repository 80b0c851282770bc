//! Entries taken off the end of a group's log, because another leader overwrites them.

use weir_types::mutants::{self, Mutant};
use weir_types::{GroupId, LogIndex};

use crate::LogClass;
use crate::catalog::Catalog;
use crate::engine::{Batch, Family};
use crate::tables::{queue_log, segment, stream_log};

/// Deletes every entry from `from` on, in every bucket that holds the group: in the bucket being filled by a range
/// deletion, in any other by its segment's end (`buckets` says why).
pub(crate) fn truncate(catalog: &mut Catalog, group: GroupId, from: LogIndex, batch: &mut Batch) {
    if mutants::on(Mutant::M27) {
        return;
    }
    let current = catalog.buckets.current();
    let Some(known) = catalog.groups.get_mut(&group) else { return };
    if known.class == LogClass::Queue {
        let keys = queue_log::range(group, known.generation, from.0..u64::MAX);
        batch.delete_range(Family::QueueLog, keys);
        return;
    }
    let mut released = Vec::new();
    while let Some(last) = known.segments.last_mut() {
        if Some(last.bucket) == current {
            batch.delete_range(Family::StreamLog, stream_log::group_from(last.bucket, group, from));
        }
        if last.first < from {
            if Some(last.bucket) != current && from < last.end {
                last.end = from;
                batch.put(Family::Meta, segment::key(group, last.first), segment::value(*last));
            }
            break;
        }
        batch.delete(Family::Meta, segment::key(group, last.first));
        released.push(last.bucket);
        known.segments.pop();
    }
    catalog.release(released, batch);
}
