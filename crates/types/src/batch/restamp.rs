//! Giving a stored batch its offset, at fetch.

use bytes::Bytes;

use super::BatchError;
use crate::{Offset, Term};

/// Bytes that [`restamp`] copies: base offset, length, leader epoch. The magic and the CRC follow them.
pub const RESTAMP_BYTES: usize = 16;

/// Writes the base offset and the partition leader epoch into a batch without copying its body. Both lie outside
/// the CRC, so the result is valid: the first 16 bytes, owned, and the rest, shared with `batch`.
///
/// A term above `i32::MAX` is written as `i32::MAX`; an offset above `i64::MAX` cannot occur.
pub fn restamp(
    batch: &Bytes,
    base_offset: Offset,
    leader_epoch: Term,
) -> Result<([u8; RESTAMP_BYTES], Bytes), BatchError> {
    let mut prefix: [u8; RESTAMP_BYTES] =
        *batch.first_chunk().ok_or(BatchError::Truncated { needed: RESTAMP_BYTES, had: batch.len() })?;
    prefix[..8].copy_from_slice(&base_offset.0.to_be_bytes());
    let epoch = i32::try_from(leader_epoch.0).unwrap_or(i32::MAX);
    prefix[12..].copy_from_slice(&epoch.to_be_bytes());
    Ok((prefix, batch.slice(RESTAMP_BYTES..)))
}
