//! Ack-and-append and commit-and-append at their source: what came out of finished tasks or of handled records goes into
//! the outbox, in the step that acks or commits them. The outbox is emptied by `transfers`.

use bytes::{Bytes, BytesMut};
use weir_metadata::Contents;
use weir_queue::{AckAndAppend, Command, Queue, Reply};
use weir_stream::{CommitAndAppend, GroupEpoch, Stream};
use weir_types::limits::BATCH_BYTES_MAX;
use weir_types::{ErrorKind, GroupId, LeaseId, MessageId, Offset, OutputBatch, RequestId, WeirError};

use super::groups::check_group_name;
use crate::broker::Broker;
use crate::door;
use crate::partition::Pending;
use crate::replica::{State as _, unexpected};
use crate::transfers::check_order;

/// Messages, each with its lease, and the batches that come out of them, each with its partition.
pub type Step = (Vec<(MessageId, LeaseId)>, Vec<(GroupId, Bytes)>);

/// Records that a consumer group has handled, and what came of them.
#[derive(Clone, Debug)]
pub struct Handled {
    /// The consumer group.
    pub consumer_group: String,
    /// Epoch of the ownership: at least 1.
    pub epoch: u64,
    /// Where the group stands; none when it has never committed here.
    pub from: Option<Offset>,
    /// The next offset to read.
    pub offset: Offset,
    /// Kept with it.
    pub metadata: String,
    /// The batches that come of it, each with its partition.
    pub outputs: Vec<(GroupId, Bytes)>,
}

impl Broker {
    /// Acks messages and appends record batches to other partitions, step by step in order: each wholly or not at all.
    /// When a step succeeds both are certain: its messages are gone, and its batches will be in their partitions
    /// once, in order.
    pub async fn ack_and_append(
        &self,
        group: GroupId,
        request: Option<RequestId>,
        steps: Vec<Step>,
    ) -> Vec<Result<(), WeirError>> {
        let mut pending = Vec::with_capacity(steps.len());
        for (place, step) in (1..).zip(steps) {
            let request = request.map(|request| of_step(request, place));
            pending.push(self.begin_step(group, request, step).await);
        }
        let mut outcomes = Vec::with_capacity(pending.len());
        for step in pending {
            outcomes.push(match step {
                Ok(step) => answered(step).await,
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    async fn begin_step(
        &self,
        group: GroupId,
        request: Option<RequestId>,
        (messages, outputs): Step,
    ) -> Result<Pending<Queue>, WeirError> {
        self.check_room()?;
        let partition = self.queue(group)?;
        let (outputs, bodies) = self.placed(outputs)?;
        check_order(self, &partition, &outputs)?;
        let command = Command::AckAndAppend(AckAndAppend { request, messages, outputs });
        partition.admit(command, bodies).await
    }

    /// Moves a group's position in a partition of a stream and appends record batches to other partitions: wholly or not
    /// at all. When it succeeds both are certain; repeated with the same bounds, it is answered again and not done again.
    pub async fn commit_and_append(&self, group: GroupId, handled: Handled) -> Result<Offset, WeirError> {
        check_group_name(&handled.consumer_group)?;
        self.check_room()?;
        let partition = self.stream(group)?;
        let (outputs, bodies) = self.placed(handled.outputs)?;
        check_order(self, &partition, &outputs)?;
        let step = CommitAndAppend {
            group: handled.consumer_group,
            epoch: GroupEpoch(handled.epoch),
            from: handled.from,
            offset: handled.offset,
            metadata: handled.metadata,
            outputs,
        };
        let pending = partition.admit(weir_stream::Command::CommitAndAppend(step), bodies).await?;
        let (_, answer) = pending.answer().await?;
        match answer.map_err(|rejection| Stream::error(&rejection))? {
            weir_stream::Reply::Committed { offset } => Ok(offset),
            other => Err(unexpected(&other)),
        }
    }

    /// Where each batch lies in the bodies of all of them.
    fn placed(&self, outputs: Vec<(GroupId, Bytes)>) -> Result<(Vec<OutputBatch>, Bytes), WeirError> {
        let mut places = Vec::with_capacity(outputs.len());
        let mut position = 0_usize;
        for (destination, batch) in &outputs {
            self.check_output(*destination, batch)?;
            let length = batch.len() as u32;
            places.push(OutputBatch { destination: *destination, position: position as u32, length });
            position += batch.len();
            if position > BATCH_BYTES_MAX {
                let message = format!("the outputs of one step have more than {BATCH_BYTES_MAX} bytes");
                return Err(WeirError::new(ErrorKind::Invalid, "outputs-too-large", message));
            }
        }
        Ok((places, joined(outputs)))
    }

    /// The destination will take the batch: nothing that it would refuse for good may get into an outbox.
    fn check_output(&self, destination: GroupId, batch: &Bytes) -> Result<(), WeirError> {
        let contents = self.registry(|registry| {
            let partition = registry.partition(destination)?;
            registry.contents(partition)
        });
        let sequenced = match contents {
            Some(Contents::Stream(policy)) => {
                door::append(batch, policy.compaction.enabled)?.producer.is_some()
            }
            Some(Contents::Queue(_)) => door::enqueue(batch, self.wall(), None)?.0.producer.is_some(),
            Some(Contents::Coordinator) | None => {
                let message = format!("partition {destination}, to append to, does not exist");
                return Err(WeirError::new(ErrorKind::NotFound, "partition-not-found", message));
            }
        };
        if sequenced {
            let message = "an output belongs to the sequence of its source: it has no producer of its own";
            return Err(WeirError::new(ErrorKind::Invalid, "output-with-producer", message));
        }
        Ok(())
    }
}

async fn answered(step: Pending<Queue>) -> Result<(), WeirError> {
    let (_, answer) = step.answer().await?;
    match answer.map_err(|rejection| Queue::error(&rejection))? {
        Reply::Settled { .. } => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// Each step of a request is remembered by an id of its own, equal when the request is repeated.
fn of_step(request: RequestId, place: u64) -> RequestId {
    // The golden ratio's odd multiple spreads the places, as in SplitMix64 (Steele, Lea, Flood 2014).
    RequestId(request.0.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The bodies of all outputs, end to end; a single one as it is.
fn joined(mut outputs: Vec<(GroupId, Bytes)>) -> Bytes {
    if let [_] = &outputs[..] {
        return outputs.remove(0).1;
    }
    let mut bodies = BytesMut::with_capacity(outputs.iter().map(|(_, batch)| batch.len()).sum());
    for (_, batch) in &outputs {
        bodies.extend_from_slice(batch);
    }
    bodies.freeze()
}
