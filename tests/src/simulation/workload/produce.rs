//! A producer's lane: one batch after the other into one partition, each repeated until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::{MessageId, Op, Terms, Value};
use weir_types::{
    BatchBuilder, BatchError, ErrorKind, GroupId, ProducerEpoch, ProducerId, ProducerSequence, TopicKind,
    WeirError,
};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::{Journal, QUEUE, STREAM, ended};
use crate::recorder::{Begun, End};

/// The header that names a record's tenant; only a queue that tenants share reads it.
pub(super) const TENANT: &str = "tenant";
/// Most records of one batch.
const RECORDS_MAX: u64 = 4;
/// Longest padding of a body.
const PADDING_MAX: u64 = 200;

/// What one producer sends to one partition.
pub(super) struct Lane {
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) topic: TopicKind,
    /// Index and Raft group.
    pub(super) partition: (u32, GroupId),
    pub(super) producer: (ProducerId, ProducerEpoch),
    /// The producer in the history.
    pub(super) number: u32,
    /// The next value of the producer, over all its lanes.
    pub(super) next: Arc<AtomicU64>,
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
        let first = self.next.fetch_add(u64::from(count), Ordering::Relaxed);
        let values: Vec<Value> = (first..first + u64::from(count))
            .map(|sequence| Value { producer: self.number, sequence })
            .collect();
        let (id, epoch) = self.producer;
        let batch = batch(&values, Some(ProducerSequence { id, epoch, base_sequence: sequence }))?;
        let (index, group) = self.partition;
        let question = match self.topic {
            TopicKind::Queue => Question::Enqueue { group, batch },
            TopicKind::Stream => Question::Append { group, batch },
        };
        let begun: Vec<Begun> = self.ops(&values, None).iter().map(|_| self.journal.begin()).collect();
        let told = self.client.ask(Some(group), &question, Duration::from_secs(1)).await;
        let base = match told {
            Ok(Answer::Written { base, .. }) => Ok(base),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(error),
        };
        let ops = self.ops(&values, base.as_ref().ok().map(|base| (index, *base)));
        let end = base.as_ref().map_or_else(ended, |_| End::Ok);
        for (begun, op) in begun.into_iter().zip(ops) {
            self.journal.end(begun, op, end.clone());
        }
        base.map(drop).inspect_err(|error| {
            // No error of a producer that repeats itself is expected to be final.
            self.journal.violated(format_args!("P1 {values:?} were refused: {error}"));
        })
    }

    /// What the history says of a batch: messages are sent one by one to a queue, records together to a stream.
    fn ops(&self, values: &[Value], at: Option<(u32, u64)>) -> Vec<Op> {
        if self.topic == TopicKind::Stream {
            return vec![Op::Append { topic: STREAM.to_owned(), values: values.to_vec(), key: None, at }];
        }
        let enqueue = |(place, value): (u64, &Value)| Op::Enqueue {
            topic: QUEUE.to_owned(),
            value: *value,
            terms: Terms::default(),
            at: at.map(|(partition, base)| MessageId { partition, id: base + place }),
        };
        (0..).zip(values).map(enqueue).collect()
    }
}

/// Records that tell these values; with no sequence when it is the partition that they come from that counts them.
pub(super) fn batch(values: &[Value], sequence: Option<ProducerSequence>) -> Result<Vec<u8>, WeirError> {
    let mut builder = BatchBuilder::new();
    for value in values {
        let key = [(value.sequence % 16) as u8];
        let tenant = tenant(*value);
        let headers: Vec<_> = tenant.iter().map(|name| (TENANT, Some(&name[..]))).collect();
        builder.push(Some(&key), Some(&body(*value)), &headers, 0).map_err(bad_batch)?;
    }
    let batch = builder.build(sequence).map_err(bad_batch)?;
    Ok(batch.to_vec())
}

/// Three tenants, and records that name none.
fn tenant(value: Value) -> Option<[u8; 1]> {
    let number = (value.sequence % 4) as u8;
    (number > 0).then_some([number])
}

/// The body of a record tells its value, and shows damage.
fn body(value: Value) -> Vec<u8> {
    let mut body = (value.producer as u16).to_be_bytes().to_vec();
    body.extend((value.sequence as u32).to_be_bytes());
    let padding = value.sequence.wrapping_mul(0x9e37_79b9) % PADDING_MAX;
    body.extend((0..padding).map(|place| (place as u8) ^ (value.sequence as u8)));
    body
}

/// The value that a body tells; none when nobody sent such a body.
pub(super) fn value_of(found: &[u8]) -> Option<Value> {
    let (producer, rest) = found.split_first_chunk::<2>()?;
    let (sequence, _) = rest.split_first_chunk::<4>()?;
    let (producer, sequence) = (u16::from_be_bytes(*producer), u32::from_be_bytes(*sequence));
    let value = Value { producer: u32::from(producer), sequence: u64::from(sequence) };
    (found == body(value)).then_some(value)
}

fn bad_batch(error: BatchError) -> WeirError {
    WeirError::new(ErrorKind::Internal, "bad-batch", error.to_string())
}

/// An answer to another question.
pub(super) fn unexpected(answer: &Answer) -> WeirError {
    WeirError::new(ErrorKind::Internal, "unexpected-answer", format!("unexpected answer {answer:?}"))
}
