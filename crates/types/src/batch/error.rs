//! What can be wrong with a batch.

use crate::ErrorKind;

/// Why bytes are not a batch that Weir takes. Every variant holds the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end too early.
    #[error("batch is cut off: {needed} bytes needed, {had} there")]
    Truncated {
        /// Bytes that the field or record needs.
        needed: usize,
        /// Bytes that are left.
        had: usize,
    },
    /// There are bytes beyond the end that the batch states.
    #[error("{extra} bytes follow the end of the batch")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// The length field is negative or below the size of a header.
    #[error("batch states a length of {length} bytes, below the {min} of a header")]
    LengthTooSmall {
        /// The length field.
        length: i32,
        /// What a batch without records has.
        min: usize,
    },
    /// The batch is over a limit.
    #[error("batch of {bytes} bytes exceeds the limit of {limit}")]
    BatchTooLarge {
        /// Its size.
        bytes: usize,
        /// `BATCH_BYTES_MAX` as sent, `BATCH_UNCOMPRESSED_BYTES_MAX` once decompressed.
        limit: usize,
    },
    /// Another format, or no batch at all.
    #[error("batch has magic {magic}, only 2 is known")]
    BadMagic {
        /// The magic byte.
        magic: u8,
    },
    /// The bytes are damaged.
    #[error("batch states crc {stated:08x}, its bytes have {computed:08x}")]
    BadCrc {
        /// The CRC field.
        stated: u32,
        /// The CRC-32C of the bytes.
        computed: u32,
    },
    /// Bits are set that Weir gives no meaning (control, transactional …), or the codec number is unknown.
    #[error("batch has attributes {attributes:#06x}, only a codec from 0 to 4 is known")]
    UnknownAttributes {
        /// The attributes.
        attributes: u16,
    },
    /// No record, a negative count, or too many.
    #[error("batch states {count} records, allowed are 1 to {limit}")]
    RecordCount {
        /// The count.
        count: i64,
        /// `BATCH_RECORDS_MAX`.
        limit: u32,
    },
    /// The offsets are not dense.
    #[error("offset delta {delta} where {expected} must stand")]
    OffsetDelta {
        /// The delta found.
        delta: i32,
        /// The only one possible there.
        expected: u32,
    },
    /// Producer id, epoch and sequence must be all there or all absent, and within their fields.
    #[error("producer id {id}, epoch {epoch} and sequence {sequence} are not a producer's")]
    ProducerFields {
        /// Producer id.
        id: i128,
        /// Producer epoch.
        epoch: i64,
        /// Base sequence.
        sequence: i64,
    },
    /// A length or count inside a record is negative, or does not fit the record's stated length.
    #[error("record {record} is malformed: {field} is {value}")]
    RecordMalformed {
        /// Which record of the batch, from 0.
        record: u32,
        /// What is wrong.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// Key, value and headers together are over the limit.
    #[error("record {record} of {bytes} bytes exceeds the limit of {limit}")]
    RecordTooLarge {
        /// Which record of the batch, from 0.
        record: u32,
        /// Its size.
        bytes: usize,
        /// `RECORD_BYTES_MAX`.
        limit: usize,
    },
    /// The key is over the limit.
    #[error("record {record} has a key of {bytes} bytes, the limit is {limit}")]
    KeyTooLarge {
        /// Which record of the batch, from 0.
        record: u32,
        /// The key's size.
        bytes: usize,
        /// `KEY_BYTES_MAX`.
        limit: usize,
    },
    /// More headers than allowed.
    #[error("record {record} has {count} headers, the limit is {limit}")]
    TooManyHeaders {
        /// Which record of the batch, from 0.
        record: u32,
        /// How many.
        count: usize,
        /// `RECORD_HEADERS_MAX`.
        limit: usize,
    },
    /// A header's name is not UTF-8.
    #[error("record {record} has a header whose name is not UTF-8")]
    HeaderName {
        /// Which record of the batch, from 0.
        record: u32,
    },
}

impl BatchError {
    /// What the caller does next: damaged bytes may be sent again, all else can never succeed as it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadCrc { .. } => ErrorKind::Corrupt,
            _ => ErrorKind::Invalid,
        }
    }

    /// The stable code, as in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadCrc { .. } => "batch-crc-mismatch",
            Self::BatchTooLarge { .. } => "batch-too-large",
            Self::RecordCount { .. } => "batch-record-count",
            Self::RecordTooLarge { .. } => "record-too-large",
            Self::KeyTooLarge { .. } => "key-too-large",
            Self::TooManyHeaders { .. } => "too-many-headers",
            Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::LengthTooSmall { .. }
            | Self::BadMagic { .. }
            | Self::UnknownAttributes { .. }
            | Self::OffsetDelta { .. }
            | Self::ProducerFields { .. }
            | Self::RecordMalformed { .. }
            | Self::HeaderName { .. } => "batch-malformed",
        }
    }
}
