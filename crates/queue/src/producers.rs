//! Exact dedup of idempotent producers (P10).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::limits::{PRODUCER_BATCHES_REMEMBERED_MAX, PRODUCERS_PER_PARTITION_MAX};
use weir_types::mutants::{self, Mutant};
use weir_types::{LeaseClock, MessageId, ProducerEpoch, ProducerId, RowChange};

use crate::command::ProducerBatch;
use crate::output::Rejection;
use crate::table::Table;

/// Sequences count up to here, then start again at 0: they are 31 bits wide in the record batch.
const SEQUENCE_MAX: u32 = i32::MAX as u32;

/// What is known of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producer {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) next_sequence: u32,
    /// Batches taken from it, in all epochs: tells which slot the next one goes to.
    pub(crate) batches: u64,
    pub(crate) used: LeaseClock,
}

/// A batch that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RememberedBatch {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) sequence: u32,
    pub(crate) count: u32,
    pub(crate) first: MessageId,
}

/// The producers of a partition and the last 64 batches of each, in slots that are used in turn: one batch
/// writes two rows, whatever it replaces.
///
/// A producer that is not known here (new, or forgotten as the one quiet for longest) has to begin at sequence
/// 0: taking any other would let an old retry in as a double. A client that is told `OutOfSequence` goes on
/// under its next epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Producers {
    rows: Table<Producer>,
    batches: Table<RememberedBatch>,
    by_use: BTreeSet<(LeaseClock, ProducerId)>,
}

impl Producers {
    pub(crate) fn restored(rows: Table<Producer>, batches: Table<RememberedBatch>) -> Self {
        let by_use = rows.iter().map(|(id, producer)| (producer.used, id)).collect();
        Self { rows, batches, by_use }
    }

    /// Whether the batch may be taken: the earlier copy if it is a repeat, none if it is new.
    pub(crate) fn admit(
        &self,
        batch: ProducerBatch,
        count: u32,
    ) -> Result<Option<RememberedBatch>, Rejection> {
        let expected = match self.rows.get(batch.id) {
            Some(known) if batch.epoch < known.epoch => {
                return Err(Rejection::Fenced { current: known.epoch, got: batch.epoch });
            }
            Some(known) if batch.epoch == known.epoch => {
                if let Some(earlier) = self.find(batch, count) {
                    return Ok((!mutants::on(Mutant::M21)).then_some(earlier));
                }
                known.next_sequence
            }
            Some(_) | None => 0,
        };
        if batch.sequence == expected {
            Ok(None)
        } else {
            Err(Rejection::OutOfSequence { expected, got: batch.sequence })
        }
    }

    /// The admitted batch was taken.
    pub(crate) fn remember(&mut self, now: LeaseClock, batch: ProducerBatch, count: u32, first: MessageId) {
        let taken = self.rows.get(batch.id).map_or(0, |known| known.batches);
        if let Some(known) = self.rows.get(batch.id) {
            assert!(known.epoch <= batch.epoch, "a fenced batch of producer {} was taken", batch.id);
            self.by_use.remove(&(known.used, batch.id));
        } else if self.rows.len() == PRODUCERS_PER_PARTITION_MAX {
            self.forget_quietest();
        }
        let next_sequence = ((u64::from(batch.sequence) + u64::from(count)) & u64::from(SEQUENCE_MAX)) as u32;
        self.rows
            .put(batch.id, Producer { epoch: batch.epoch, next_sequence, batches: taken + 1, used: now });
        self.by_use.insert((now, batch.id));
        let slot = (taken % PRODUCER_BATCHES_REMEMBERED_MAX as u64) as u8;
        let remembered = RememberedBatch { epoch: batch.epoch, sequence: batch.sequence, count, first };
        self.batches.put((batch.id, slot), remembered);
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.rows.flush(changes);
        self.batches.flush(changes);
    }

    pub(crate) fn check(&self) {
        let again = Self::restored(self.rows.clone(), self.batches.clone());
        assert_eq!(*self, again, "uses of producers do not follow from the rows");
        assert!(self.rows.len() <= PRODUCERS_PER_PARTITION_MAX, "{} producers", self.rows.len());
        for ((producer, slot), _) in self.batches.iter() {
            let known = self.rows.get(producer).expect("a remembered batch has a producer");
            assert!(u64::from(slot) < known.batches, "slot {slot} of producer {producer} was never used");
        }
        assert!(self.rows.is_flushed() && self.batches.is_flushed(), "producer rows left to write");
    }

    fn find(&self, batch: ProducerBatch, count: u32) -> Option<RememberedBatch> {
        let same = |known: &RememberedBatch| {
            known.epoch == batch.epoch && known.sequence == batch.sequence && known.count == count
        };
        self.batches.range((batch.id, 0)..=(batch.id, u8::MAX)).map(|(_, known)| *known).find(same)
    }

    fn forget_quietest(&mut self) {
        let (used, id) = *self.by_use.first().expect("every producer has a last use");
        self.by_use.remove(&(used, id));
        self.rows.remove(id);
        for slot in 0..PRODUCER_BATCHES_REMEMBERED_MAX {
            self.batches.remove((id, slot as u8));
        }
    }
}
