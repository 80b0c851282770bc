//! Reading a batch.

use super::header::BATCH_HEADER_BYTES;
use super::{BatchError, BatchHeader, Records};

/// A batch, borrowed: its header, parsed, and its records section, still compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchView<'a> {
    header: BatchHeader,
    section: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Checks `bytes` at the door, which must be exactly one batch with dense offsets: everything but the records.
    pub fn verify(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::verify(bytes)?;
        Ok(Self { header, section: &bytes[BATCH_HEADER_BYTES..header.bytes] })
    }

    /// Checks `bytes`, which must be exactly one batch as a reader gets it, out of which compaction may have taken
    /// records: everything but the records.
    pub fn verify_stored(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::verify_stored(bytes)?;
        Ok(Self { header, section: &bytes[BATCH_HEADER_BYTES..header.bytes] })
    }

    /// Views the batch that `bytes` starts with, whose CRC was checked before.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        Ok(Self { header, section: &bytes[BATCH_HEADER_BYTES..header.bytes] })
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records section as sent: compressed with the header's codec.
    pub fn section(&self) -> &'a [u8] {
        self.section
    }

    /// The records, read from the *uncompressed* section: that of [`section`](Self::section) itself when the codec
    /// is none.
    pub fn records<'b>(&self, uncompressed: &'b [u8]) -> Records<'b> {
        Records::new(uncompressed, self.header.count, self.header.last_offset_delta)
    }

    /// Walks all records once and returns the first error: the last part of the check at the door.
    pub fn check_records(&self, uncompressed: &[u8]) -> Result<(), BatchError> {
        self.records(uncompressed).try_for_each(|record| record.map(|_| ()))
    }
}
