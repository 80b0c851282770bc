//! Imports: rows and entries are written under a generation and into buckets that nothing refers to yet.

use weir_types::{GroupId, Row};

use crate::buckets::Segment;
use crate::catalog::{Catalog, Generation, Staged, delete_generation};
use crate::engine::{Batch, Family};
use crate::tables::{entry, machine_row, queue_log, staging, stream_log};
use crate::{LogClass, LogRecord};

/// A part of an import.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) rows: Vec<Row>,
    pub(crate) records: Vec<LogRecord>,
}

/// Begins an import of a group.
pub(crate) fn begin(catalog: &mut Catalog, group: GroupId, batch: &mut Batch) -> Generation {
    let generation = catalog.generation_unused(group);
    catalog.staged.insert((group, generation), Staged::default());
    batch.put(Family::Meta, staging::key(group, generation), Vec::new());
    generation
}

/// Writes a part under the import's generation.
pub(crate) fn stage(
    catalog: &mut Catalog,
    (group, generation): (GroupId, Generation),
    class: LogClass,
    part: Part,
    bucket_bytes: u64,
    batch: &mut Batch,
) {
    for row in part.rows {
        batch.put(Family::Rows, machine_row::key(group, generation, &row.key), row.value);
    }
    for record in part.records {
        let head = entry::head(&record);
        if class == LogClass::Queue {
            let key = queue_log::key(group, generation, record.index);
            batch.entry(Family::QueueLog, key, head, record.payload);
            continue;
        }
        let bytes = (head.len() + record.payload.len()) as u64;
        let Some(segment) = segment_for(catalog, (group, generation), &record, bytes, bucket_bytes, batch)
        else {
            return;
        };
        let key = stream_log::key(segment.bucket, group, record.index);
        batch.entry(Family::StreamLog, key, head, record.payload);
    }
}

/// The import's bucket for an entry; none when the import was aborted.
fn segment_for(
    catalog: &mut Catalog,
    import: (GroupId, Generation),
    record: &LogRecord,
    bytes: u64,
    bucket_bytes: u64,
    batch: &mut Batch,
) -> Option<Segment> {
    let staged = catalog.staged.get(&import)?;
    if staged.segments.is_empty() || staged.bucket_bytes >= bucket_bytes {
        let bucket = catalog.buckets.allocate();
        catalog.buckets.hold(bucket);
        catalog.note_counter(batch);
        let staged = catalog.staged.get_mut(&import).expect("found above");
        staged.segments.push(Segment::open(record.index, bucket));
        staged.bucket_bytes = 0;
    }
    let staged = catalog.staged.get_mut(&import).expect("found above");
    staged.bucket_bytes += bytes;
    staged.segments.last().copied()
}

/// Removes an import that is not going to be installed.
pub(crate) fn abort(catalog: &mut Catalog, group: GroupId, generation: Generation, batch: &mut Batch) {
    let Some(staged) = catalog.staged.remove(&(group, generation)) else { return };
    delete_generation(group, generation, batch);
    batch.delete(Family::Meta, staging::key(group, generation));
    catalog.release(staged.segments.iter().map(|segment| segment.bucket), batch);
}
