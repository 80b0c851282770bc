//! Survivors of a bucket that is mostly dead move to another one.

use weir_types::GroupId;

use crate::LogRecord;
use crate::buckets::Bucket;
use crate::catalog::Catalog;
use crate::engine::{Batch, Family};
use crate::tables::{entry, segment, stream_log};

/// Takes a bucket of its own for survivors, held by the evacuation until it ends.
pub(crate) fn begin(catalog: &mut Catalog, batch: &mut Batch) -> Bucket {
    let bucket = catalog.buckets.allocate();
    catalog.buckets.hold(bucket);
    catalog.note_counter(batch);
    bucket
}

/// Writes entries where no segment looks for them yet.
pub(crate) fn copy(group: GroupId, to: Bucket, records: Vec<LogRecord>, batch: &mut Batch) {
    for record in records {
        let key = stream_log::key(to, group, record.index);
        batch.entry(Family::StreamLog, key, entry::head(&record), record.payload);
    }
}

/// Makes the group's segment look in `to` instead of `from`. What was retired or truncated since the copies were
/// made stays so, because the segment's bounds are kept; when it is gone, so are the copies.
pub(crate) fn relocate(catalog: &mut Catalog, group: GroupId, from: Bucket, to: Bucket, batch: &mut Batch) {
    let Some(known) = catalog.groups.get_mut(&group) else { return };
    let Some(segment) = known.segments.iter_mut().find(|segment| segment.bucket == from) else { return };
    segment.bucket = to;
    batch.put(Family::Meta, segment::key(group, segment.first), segment::value(*segment));
    catalog.buckets.hold(to);
    catalog.release([from], batch);
}
