//! A producer comes back under a new epoch.

use weir_types::batch::PRODUCER_EPOCH_MAX;
use weir_types::{At, ProducerEpoch, ProducerId, RowChange};

use crate::producers::Producers;
use crate::{Rejection, Reply};

/// Shuts the producer's older selves out, before it appends: once this is applied, what it reads of its own records is all
/// there will ever be of them (P10).
pub(crate) fn fence_producer(
    producers: &mut Producers,
    at: At,
    id: ProducerId,
    epoch: ProducerEpoch,
    changes: &mut Vec<RowChange>,
) -> Result<Reply, Rejection> {
    if epoch.0 > PRODUCER_EPOCH_MAX {
        return Err(Rejection::Invalid("a producer's epoch has 15 bits"));
    }
    producers.fence(id, epoch, at.lease_clock, changes)?;
    Ok(Reply::Done)
}
