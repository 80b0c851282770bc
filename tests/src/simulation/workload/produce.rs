//! A producer's lane: one batch after the other into one partition, each repeated until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_types::{
    BatchBuilder, BatchError, ErrorKind, GroupId, ProducerEpoch, ProducerId, ProducerSequence, WeirError,
};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::Journal;
use crate::history::{Answered, Op, Topic, Value};

/// Most records of one batch.
const RECORDS_MAX: u64 = 4;
/// Longest padding of a body.
const PADDING_MAX: u64 = 200;

/// What one producer sends to one partition.
pub(super) struct Lane {
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) topic: Topic,
    /// Index and Raft group.
    pub(super) partition: (u32, GroupId),
    pub(super) producer: (ProducerId, ProducerEpoch),
    /// The producer in the history.
    pub(super) number: u16,
    /// The next value of the producer, over all its lanes.
    pub(super) next: Arc<AtomicU32>,
    pub(super) pace_ms_max: u64,
}

impl Lane {
    /// Sends until it is `quiet`, and once more when all has `healed`: the partition takes writes again.
    pub(super) async fn run(
        self,
        quiet: CancellationToken,
        healed: CancellationToken,
    ) -> Result<(), WeirError> {
        let mut sequence = 0;
        loop {
            let last = healed.is_cancelled();
            let count = 1 + self.client.below(RECORDS_MAX) as u32;
            self.send(sequence, count).await?;
            sequence = ProducerSequence::advance(sequence, count);
            if last {
                return Ok(());
            }
            let pause = Duration::from_millis(self.client.below(self.pace_ms_max + 1));
            let next = async {
                sleep(pause).await;
                if quiet.is_cancelled() {
                    healed.cancelled().await;
                }
            };
            tokio::select! {
                biased;
                () = healed.cancelled() => {}
                () = next => {}
            }
        }
    }

    async fn send(&self, sequence: u32, count: u32) -> Result<(), WeirError> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let values: Vec<Value> =
            (first..first + count).map(|sequence| Value { producer: self.number, sequence }).collect();
        let batch = self.batch(&values, sequence)?;
        let (index, group) = self.partition;
        let question = match self.topic {
            Topic::Queue => Question::Enqueue { group, batch },
            Topic::Stream => Question::Append { group, batch },
        };
        let from = self.journal.history.now();
        let told = self.client.ask(Some(group), &question, Duration::from_secs(1)).await;
        let base = match told {
            Ok(Answer::Written { base, .. }) => base,
            Ok(other) => return Err(unexpected(&other)),
            Err(error) => {
                // No error of a producer that repeats itself is expected to be final.
                self.journal.violated(format_args!("P1 {values:?} were refused: {error}"));
                return Err(error);
            }
        };
        for (offset, value) in (base..).zip(values) {
            let at = Some((index, offset));
            self.journal.note(from, Op::Sent { topic: self.topic, value, at, answered: Answered::Yes });
        }
        Ok(())
    }

    fn batch(&self, values: &[Value], base_sequence: u32) -> Result<Vec<u8>, WeirError> {
        let mut builder = BatchBuilder::new();
        for value in values {
            let key = [(value.sequence % 16) as u8];
            builder.push(Some(&key), Some(&body(*value)), &[], 0).map_err(bad_batch)?;
        }
        let (id, epoch) = self.producer;
        let batch = builder.build(Some(ProducerSequence { id, epoch, base_sequence })).map_err(bad_batch)?;
        Ok(batch.to_vec())
    }
}

/// The body of a record tells its value, and shows damage.
fn body(value: Value) -> Vec<u8> {
    let mut body = value.producer.to_be_bytes().to_vec();
    body.extend(value.sequence.to_be_bytes());
    let padding = u64::from(value.sequence).wrapping_mul(0x9e37_79b9) % PADDING_MAX;
    body.extend((0..padding).map(|place| (place as u8) ^ (value.sequence as u8)));
    body
}

/// The value that a body tells; none when nobody sent such a body.
pub(super) fn value_of(found: &[u8]) -> Option<Value> {
    let (producer, rest) = found.split_first_chunk::<2>()?;
    let (sequence, _) = rest.split_first_chunk::<4>()?;
    let value = Value { producer: u16::from_be_bytes(*producer), sequence: u32::from_be_bytes(*sequence) };
    (found == body(value)).then_some(value)
}

fn bad_batch(error: BatchError) -> WeirError {
    WeirError::new(ErrorKind::Internal, "bad-batch", error.to_string())
}

/// An answer to another question.
pub(super) fn unexpected(answer: &Answer) -> WeirError {
    WeirError::new(ErrorKind::Internal, "unexpected-answer", format!("unexpected answer {answer:?}"))
}
