//! Who sent a batch, and which of its batches it is.

use serde::{Deserialize, Serialize};

use super::BatchError;
use crate::{ProducerEpoch, ProducerId};

/// Largest producer epoch: the batch has 16 signed bits for it. When a named producer comes back for the
/// 32,768th time, whoever allots ids gives it a new producer id at epoch 0.
pub const PRODUCER_EPOCH_MAX: u32 = i16::MAX as u32;
/// Largest sequence number; 0 follows it.
pub const SEQUENCE_MAX: u32 = i32::MAX as u32;

/// An idempotent producer's stamp on a batch: `(id, epoch, base sequence)` is appended once.
///
/// The batch's fields are narrower than the types: id 63 bits, epoch 15, sequence 31. A stamp beyond them is
/// refused when the batch is built, never cut short; see [`PRODUCER_EPOCH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProducerSequence {
    /// The producer.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Number of the batch's first record, from 0 in every epoch; 0 follows [`SEQUENCE_MAX`].
    pub base_sequence: u32,
}

impl ProducerSequence {
    /// The sequence number `count` records after `sequence`.
    pub fn advance(sequence: u32, count: u32) -> u32 {
        sequence.wrapping_add(count) & SEQUENCE_MAX
    }

    /// The three header fields of "no producer".
    pub(super) const NONE: (i64, i16, i32) = (-1, -1, -1);

    /// The three header fields.
    pub(super) fn to_fields(self) -> Result<(i64, i16, i32), BatchError> {
        let refused = BatchError::ProducerFields {
            id: i128::from(self.id.0),
            epoch: i64::from(self.epoch.0),
            sequence: i64::from(self.base_sequence),
        };
        let id = i64::try_from(self.id.0).map_err(|_| refused)?;
        let epoch = i16::try_from(self.epoch.0).map_err(|_| refused)?;
        let sequence = i32::try_from(self.base_sequence).map_err(|_| refused)?;
        Ok((id, epoch, sequence))
    }

    /// Reads the three header fields; `None` when they say "no producer". Kafka's producers leave any epoch
    /// and sequence in a batch without an id, so those are not looked at.
    pub(super) fn from_fields(id: i64, epoch: i16, sequence: i32) -> Result<Option<Self>, BatchError> {
        if id == -1 {
            return Ok(None);
        }
        let refused = BatchError::ProducerFields {
            id: i128::from(id),
            epoch: i64::from(epoch),
            sequence: i64::from(sequence),
        };
        Ok(Some(Self {
            id: ProducerId(u64::try_from(id).map_err(|_| refused)?),
            epoch: ProducerEpoch(u32::try_from(epoch).map_err(|_| refused)?),
            base_sequence: u32::try_from(sequence).map_err(|_| refused)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_follows_the_largest_sequence() {
        assert_eq!(ProducerSequence::advance(SEQUENCE_MAX, 1), 0);
        assert_eq!(ProducerSequence::advance(SEQUENCE_MAX - 1, 3), 1);
        assert_eq!(ProducerSequence::advance(7, 3), 10);
    }

    #[test]
    fn an_epoch_beyond_its_field_is_refused_and_not_cut_short() {
        let stamp = ProducerSequence {
            id: ProducerId(1),
            epoch: ProducerEpoch(PRODUCER_EPOCH_MAX + 1),
            base_sequence: 0,
        };
        assert_eq!(stamp.to_fields(), Err(BatchError::ProducerFields { id: 1, epoch: 32_768, sequence: 0 }));
    }
}
