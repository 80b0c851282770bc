//! Records that travel together.

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use weir_types::{BatchBuilder, BatchError, Codec, ProducerSequence};

use super::delivery::{BatchOutcome, Delivery, PendingDelivery};
use crate::{Record, Result};

/// A batch from its first record until it is answered: the records, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Batch {
    builder: BatchBuilder,
    answer: oneshot::Sender<Result<Delivery>>,
    outcome: BatchOutcome,
    /// The records' share of the producer's buffer, given back when the batch is answered.
    room: Option<OwnedSemaphorePermit>,
    deadline: Instant,
}

impl Batch {
    pub(crate) fn new(deadline: Instant) -> Self {
        let (answer, outcome) = oneshot::channel();
        Self { builder: BatchBuilder::new(), answer, outcome: outcome.shared(), room: None, deadline }
    }

    /// Whether a record of so many bytes still fits. The first one always does.
    pub(crate) fn fits(&self, record_bytes: usize, bytes_max: usize, records_max: u32) -> bool {
        self.builder.is_empty()
            || (self.builder.bytes() + record_bytes <= bytes_max && self.builder.count() < records_max)
    }

    /// Adds a record. On an error nothing is added.
    pub(crate) fn push(
        &mut self,
        record: &Record,
        timestamp_ms: u64,
        room: OwnedSemaphorePermit,
    ) -> Result<PendingDelivery, BatchError> {
        let index = self.builder.count();
        record.add_to(&mut self.builder, timestamp_ms)?;
        match &mut self.room {
            Some(held) => held.merge(room),
            none => *none = Some(room),
        }
        Ok(PendingDelivery::new(self.outcome.clone(), index))
    }

    /// Records in it.
    pub(crate) fn count(&self) -> u32 {
        self.builder.count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// When its records have been tried long enough.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the flush of a producer waits for.
    pub(crate) fn outcome(&self) -> BatchOutcome {
        self.outcome.clone()
    }

    /// The bytes to send. A batch that compression does not make smaller goes as it is.
    pub(crate) fn encode(&self, stamp: Option<ProducerSequence>, codec: Codec) -> Result<Bytes, BatchError> {
        let section = self.builder.section();
        let compressed = match codec {
            Codec::None => None,
            codec => weir_compression::compress(codec, section).ok(),
        };
        match compressed.filter(|compressed| compressed.len() < section.len()) {
            Some(compressed) => self.builder.build_compressed(stamp, codec, &compressed),
            None => self.builder.build(stamp),
        }
    }

    /// Tells everybody who waits.
    pub(crate) fn answer(self, answer: Result<Delivery>) {
        // Nobody may be waiting: then nobody wants to know.
        let _ = self.answer.send(answer);
    }
}
