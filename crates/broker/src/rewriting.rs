//! What compaction of streams and relocation in queues have in common: records are read out of stored batches and written
//! into new ones, as they are and in the same codec, at a pace that leaves the disk and the network to others.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use weir_types::WeirError;
use weir_types::batch::{BatchBuilder, BatchError, BatchView, Codec, RecordView};

use crate::api::bodies::damaged;
use crate::door;

/// Smaller batches are put together.
pub(crate) const BATCH_BYTES_MIN: usize = 256 << 10;
/// A batch of so much fits, however badly it is compressed.
pub(crate) const BATCH_BYTES_MAX: usize = 3 << 20;
/// So much is read per second, at most.
const BYTES_PER_SECOND: u64 = 32 << 20;

/// Waits until the reading of so many bytes that began then has taken as long as it should.
pub(crate) async fn pace(begun: Instant, bytes: u64) {
    let least = Duration::from_micros(bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND);
    sleep(least.saturating_sub(begun.elapsed())).await;
}

/// Adds a record to a batch as it is.
pub(crate) fn copy(
    batch: &mut BatchBuilder,
    record: &RecordView<'_>,
    timestamp_ms: i64,
) -> Result<(), WeirError> {
    let headers: Vec<_> = record.headers.iter().map(|header| (header.name, header.value)).collect();
    batch.push(record.key, record.value, &headers, timestamp_ms).map_err(unbuilt)
}

/// The batch, compressed.
pub(crate) fn built(gathered: &BatchBuilder, codec: Codec) -> Result<Bytes, WeirError> {
    let built = match codec {
        Codec::None => gathered.build(None),
        codec => {
            let compressed = weir_compression::compress(codec, gathered.section())
                .map_err(|error| WeirError::new(error.kind(), error.code(), error.to_string()))?;
            gathered.build_compressed(None, codec, &compressed)
        }
    };
    built.map_err(unbuilt)
}

/// Calls `see` for each record of a stored batch with its offset after the base and its timestamp.
pub(crate) fn for_each_record(
    batch: &Bytes,
    mut see: impl FnMut(u32, &RecordView<'_>, i64) -> Result<(), WeirError>,
) -> Result<(), WeirError> {
    let view = BatchView::parse(batch).map_err(damaged)?;
    let section = door::open(&view)?;
    for record in view.records(&section) {
        let record = record.map_err(damaged)?;
        let timestamp_ms = view.header().first_timestamp_ms.saturating_add(record.timestamp_delta);
        see(record.offset_delta, &record, timestamp_ms)?;
    }
    Ok(())
}

fn unbuilt(error: BatchError) -> WeirError {
    WeirError::new(error.kind(), error.code(), error.to_string())
}
