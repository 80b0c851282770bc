//! Entries at the end of a group's log.

use weir_types::mutants::{self, Mutant};
use weir_types::{GroupId, LogIndex};

use crate::buckets::{Bucket, Segment};
use crate::catalog::Catalog;
use crate::engine::{Batch, Family};
use crate::tables::{entry, queue_log, segment, stream_log};
use crate::{LogClass, LogRecord};

pub(crate) fn append(
    catalog: &mut Catalog,
    group: GroupId,
    class: LogClass,
    records: Vec<LogRecord>,
    batch: &mut Batch,
) {
    batch.sync |= !mutants::on(Mutant::M01);
    let Some(first) = records.first().map(|record| record.index) else { return };
    let before = batch.bytes();
    let known = catalog.touch(group, class, batch);
    let count = records.len() as u64;
    match known.class {
        LogClass::Queue => {
            let generation = known.generation;
            for record in records {
                let key = queue_log::key(group, generation, record.index);
                batch.entry(Family::QueueLog, key, entry::head(&record), record.payload);
            }
        }
        LogClass::Stream => {
            let bucket = bucket_for(catalog, group, first, batch);
            for record in records {
                let key = stream_log::key(bucket, group, record.index);
                batch.entry(Family::StreamLog, key, entry::head(&record), record.payload);
            }
            catalog.buckets.filled(batch.bytes() - before);
        }
    }
    let bytes = (batch.bytes() - before) as u64;
    let known = catalog.groups.get_mut(&group).expect("touched above");
    known.appended = (known.appended.0 + count, known.appended.1 + bytes);
}

/// The bucket being filled; the group's first entry in it brings a segment.
fn bucket_for(catalog: &mut Catalog, group: GroupId, first: LogIndex, batch: &mut Batch) -> Bucket {
    let bucket = match catalog.buckets.current() {
        Some(bucket) => bucket,
        None => switch_bucket(catalog, batch),
    };
    let segments = &mut catalog.groups.get_mut(&group).expect("touched by the caller").segments;
    if segments.last().is_none_or(|last| last.bucket != bucket) {
        let segment = Segment::open(first, bucket);
        segments.push(segment);
        catalog.buckets.hold(bucket);
        batch.put(Family::Meta, segment::key(group, first), segment::value(segment));
    }
    bucket
}

/// Begins a new bucket.
pub(crate) fn switch_bucket(catalog: &mut Catalog, batch: &mut Batch) -> Bucket {
    let bucket = catalog.buckets.switch();
    catalog.note_counter(batch);
    bucket
}
