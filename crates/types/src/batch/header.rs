//! The fixed part of a batch, and the check of a whole batch at the door.

use super::{BatchError, Codec, ProducerSequence};
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};

/// Bytes before the records.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes of base offset and batch length, which the length field does not count.
pub(super) const LENGTH_PREFIX_BYTES: usize = 12;
/// The CRC covers everything from here, the attributes, to the end.
pub(super) const CRC_FROM: usize = 21;
/// The only layout that Weir knows.
pub(super) const MAGIC: u8 = 2;

/// The fixed part of a batch, parsed; the layout table is in the [module](super).
///
/// The base offset and leader epoch of the bytes are not read: only a fetch gives them a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Size of the whole batch in bytes, header and records as sent.
    pub bytes: usize,
    /// CRC-32C of the bytes from the attributes on, as stated.
    pub crc: u32,
    /// How the records are compressed.
    pub codec: Codec,
    /// Records in the batch: 1 to `BATCH_RECORDS_MAX`.
    pub count: u32,
    /// Offset of the last record after the base offset: `count - 1`, or more when compaction has taken records out.
    pub last_offset_delta: u32,
    /// Timestamp of the first record, milliseconds since the Unix epoch, as the producer says.
    pub first_timestamp_ms: i64,
    /// Largest timestamp of the records.
    pub max_timestamp_ms: i64,
    /// The idempotent producer's stamp, if it is one's.
    pub producer: Option<ProducerSequence>,
}

impl BatchHeader {
    /// Reads the header of the batch that `bytes` starts with, which must be there whole; bytes may follow it.
    /// Everything is checked but the CRC and the records. Compaction may have taken records out.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let total = total_bytes(bytes)?;
        let attributes = u16::from_be_bytes(field(bytes, 21)?);
        let count = parse_count(i32::from_be_bytes(field(bytes, 57)?))?;
        let last_offset_delta = i32::from_be_bytes(field(bytes, 23)?);
        let last_offset_delta = u32::try_from(last_offset_delta)
            .ok()
            .filter(|delta| *delta >= count - 1)
            .ok_or(BatchError::OffsetDelta { delta: last_offset_delta, expected: count - 1 })?;
        Ok(Self {
            last_offset_delta,
            bytes: total,
            crc: u32::from_be_bytes(field(bytes, 17)?),
            codec: parse_codec(attributes)?,
            count,
            first_timestamp_ms: i64::from_be_bytes(field(bytes, 27)?),
            max_timestamp_ms: i64::from_be_bytes(field(bytes, 35)?),
            producer: ProducerSequence::from_fields(
                i64::from_be_bytes(field(bytes, 43)?),
                i16::from_be_bytes(field(bytes, 51)?),
                i32::from_be_bytes(field(bytes, 53)?),
            )?,
        })
    }

    /// As [`verify_stored`](Self::verify_stored), for the door: the offsets must be dense.
    pub fn verify(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::verify_stored(bytes)?;
        let expected = header.count - 1;
        if header.last_offset_delta == expected {
            Ok(header)
        } else {
            Err(BatchError::OffsetDelta { delta: header.last_offset_delta.cast_signed(), expected })
        }
    }

    /// [Parses](Self::parse) `bytes`, which must be exactly one batch, and compares its CRC. The records are
    /// not looked at: see [`BatchView::check_records`](super::BatchView::check_records).
    pub fn verify_stored(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse(bytes)?;
        if bytes.len() > header.bytes {
            return Err(BatchError::TrailingBytes { extra: bytes.len() - header.bytes });
        }
        let computed = crc32c::crc32c(&bytes[CRC_FROM..]);
        if computed == header.crc {
            Ok(header)
        } else {
            Err(BatchError::BadCrc { stated: header.crc, computed })
        }
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BatchError> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(BatchError::Truncated { needed: at + N, had: bytes.len() })
}

/// The size of the batch that `bytes` starts with. The magic comes first: the lengths of other formats mean
/// something else.
fn total_bytes(bytes: &[u8]) -> Result<usize, BatchError> {
    let [magic] = field(bytes, 16)?;
    if magic != MAGIC {
        return Err(BatchError::BadMagic { magic });
    }
    let length = i32::from_be_bytes(field(bytes, 8)?);
    let min = BATCH_HEADER_BYTES - LENGTH_PREFIX_BYTES;
    let Some(stated) = usize::try_from(length).ok().filter(|stated| *stated >= min) else {
        return Err(BatchError::LengthTooSmall { length, min });
    };
    let total = stated + LENGTH_PREFIX_BYTES;
    if total > BATCH_BYTES_MAX {
        return Err(BatchError::BatchTooLarge { bytes: total, limit: BATCH_BYTES_MAX });
    }
    if total > bytes.len() {
        return Err(BatchError::Truncated { needed: total, had: bytes.len() });
    }
    Ok(total)
}

fn parse_count(count: i32) -> Result<u32, BatchError> {
    u32::try_from(count)
        .ok()
        .filter(|count| (1..=BATCH_RECORDS_MAX).contains(count))
        .ok_or_else(|| BatchError::RecordCount { count: i64::from(count), limit: BATCH_RECORDS_MAX })
}

/// Control and transactional batches, and timestamps set by the broker, are none of a producer's business.
fn parse_codec(attributes: u16) -> Result<Codec, BatchError> {
    u8::try_from(attributes)
        .ok()
        .and_then(Codec::from_number)
        .ok_or(BatchError::UnknownAttributes { attributes })
}
