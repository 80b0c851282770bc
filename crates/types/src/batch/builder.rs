//! Writing a batch.

use bytes::Bytes;

use super::header::{BATCH_HEADER_BYTES, CRC_FROM, LENGTH_PREFIX_BYTES, MAGIC};
use super::record::{check_header_count, check_sizes};
use super::varint::from_length;
use super::{BatchError, Codec, ProducerSequence, varint};
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, BATCH_UNCOMPRESSED_BYTES_MAX};

/// Gathers records and writes them as one batch. Base offset 0 and leader epoch -1 stand in the bytes until a
/// fetch [restamps](super::restamp) them.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    section: Vec<u8>,
    count: u32,
    /// Offset delta of the next record.
    next_delta: u32,
    first_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl BatchBuilder {
    /// A batch without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there are no records yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Leaves out offsets: the next record gets this offset after the base offset, if that is not behind what is there
    /// already. For compaction; the door refuses such a batch.
    pub fn skip_to(&mut self, offset_delta: u32) {
        self.next_delta = self.next_delta.max(offset_delta.min(i32::MAX as u32));
    }

    /// Size of the batch so far in bytes, uncompressed, with its header. The next record adds its key, value and
    /// headers, and at most 64 bytes plus 20 per header around them.
    pub fn bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.section.len()
    }

    /// The uncompressed records section so far: what a codec is given for [`build_compressed`](Self::build_compressed).
    pub fn section(&self) -> &[u8] {
        &self.section
    }

    /// Adds a record; `timestamp_ms` is milliseconds since the Unix epoch. On an error nothing is added.
    pub fn push(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
        timestamp_ms: i64,
    ) -> Result<(), BatchError> {
        let record = self.count;
        if record == BATCH_RECORDS_MAX {
            let count = i64::from(record) + 1;
            return Err(BatchError::RecordCount { count, limit: BATCH_RECORDS_MAX });
        }
        check_header_count(record, headers.len())?;
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers_len(headers);
        check_sizes(record, key, bytes)?;

        let first_timestamp_ms = if record == 0 { timestamp_ms } else { self.first_timestamp_ms };
        let timestamp_delta = timestamp_ms.wrapping_sub(first_timestamp_ms);
        let length = 1
            + varint::len(timestamp_delta)
            + varint::len(i64::from(self.next_delta))
            + optional_len(key)
            + optional_len(value)
            + varint::len(from_length(headers.len()))
            + headers_len(headers);
        let total = self.section.len() + varint::len(from_length(length)) + length;
        if total > BATCH_UNCOMPRESSED_BYTES_MAX {
            return Err(BatchError::BatchTooLarge { bytes: total, limit: BATCH_UNCOMPRESSED_BYTES_MAX });
        }

        self.write_record(length, timestamp_delta, key, value, headers);
        debug_assert_eq!(self.section.len(), total, "the record is as long as computed");
        self.max_timestamp_ms =
            if record == 0 { timestamp_ms } else { self.max_timestamp_ms.max(timestamp_ms) };
        self.first_timestamp_ms = first_timestamp_ms;
        self.count += 1;
        self.next_delta += 1;
        Ok(())
    }

    /// Writes a record as laid out at [`RecordView`](super::RecordView).
    fn write_record(
        &mut self,
        length: usize,
        timestamp_delta: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let out = &mut self.section;
        varint::put(out, from_length(length));
        out.push(0);
        varint::put(out, timestamp_delta);
        varint::put(out, i64::from(self.next_delta));
        put_optional(out, key);
        put_optional(out, value);
        varint::put(out, from_length(headers.len()));
        for (name, value) in headers {
            put_optional(out, Some(name.as_bytes()));
            put_optional(out, *value);
        }
    }

    /// The batch, uncompressed.
    pub fn build(&self, producer: Option<ProducerSequence>) -> Result<Bytes, BatchError> {
        self.build_compressed(producer, Codec::None, &self.section)
    }

    /// The batch with `compressed` as its records: [`section`](Self::section), compressed with `codec`.
    pub fn build_compressed(
        &self,
        producer: Option<ProducerSequence>,
        codec: Codec,
        compressed: &[u8],
    ) -> Result<Bytes, BatchError> {
        if self.count == 0 {
            return Err(BatchError::RecordCount { count: 0, limit: BATCH_RECORDS_MAX });
        }
        let total = BATCH_HEADER_BYTES + compressed.len();
        if total > BATCH_BYTES_MAX {
            return Err(BatchError::BatchTooLarge { bytes: total, limit: BATCH_BYTES_MAX });
        }
        let (producer_id, producer_epoch, base_sequence) =
            producer.map_or(Ok(ProducerSequence::NONE), ProducerSequence::to_fields)?;

        let mut out = Vec::with_capacity(total);
        out.extend_from_slice(&0i64.to_be_bytes());
        out.extend_from_slice(&((total - LENGTH_PREFIX_BYTES) as u32).to_be_bytes());
        out.extend_from_slice(&(-1i32).to_be_bytes());
        out.push(MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&u16::from(codec.number()).to_be_bytes());
        out.extend_from_slice(&(self.next_delta - 1).to_be_bytes());
        out.extend_from_slice(&self.first_timestamp_ms.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp_ms.to_be_bytes());
        out.extend_from_slice(&producer_id.to_be_bytes());
        out.extend_from_slice(&producer_epoch.to_be_bytes());
        out.extend_from_slice(&base_sequence.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(compressed);
        let crc = crc32c::crc32c(&out[CRC_FROM..]);
        out[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        Ok(Bytes::from(out))
    }
}

fn optional_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::len(from_length(bytes.len())) + bytes.len())
}

fn headers_len(headers: &[(&str, Option<&[u8]>)]) -> usize {
    headers.iter().map(|(name, value)| optional_len(Some(name.as_bytes())) + optional_len(*value)).sum()
}

fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, from_length(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}
