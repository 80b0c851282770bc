//! The answer to one record.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::Shared;
use tokio::sync::oneshot;

use crate::{Error, Result};

/// Where a record went: a majority of the partition's replicas has it on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The partition, from 0.
    pub partition: u32,
    /// The record's offset in a stream; the message's id in a queue.
    pub offset: u64,
    /// An earlier attempt had appended it already: this is the original offset.
    pub duplicate: bool,
}

/// The answer to a record that was taken by [`Producer::send`](crate::Producer::send). Dropping it does not call the
/// record back.
#[derive(Debug)]
#[must_use = "only the answer tells whether the record was appended"]
pub struct PendingDelivery {
    place: Place,
}

/// What became of a whole batch, shared by its records.
pub(crate) type BatchOutcome = Shared<oneshot::Receiver<Answer>>;

/// What became of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// All of it was answered alike: the delivery of the first record, from which that of the others follows.
    Whole(Result<Delivery>),
    /// Its partition was split or merged before it was appended: where each record went on, in order.
    Recut(Arc<[Place]>),
}

/// A record's batch, and its place in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    outcome: BatchOutcome,
    index: u32,
}

impl Place {
    pub(crate) fn new(outcome: BatchOutcome, index: u32) -> Self {
        Self { outcome, index }
    }

    /// Of a record that no batch takes.
    pub(crate) fn failed(error: Error) -> Self {
        let (answer, outcome) = oneshot::channel();
        // The other end is held here.
        let _ = answer.send(Answer::Whole(Err(error)));
        Self { outcome: outcome.shared(), index: 0 }
    }
}

impl From<Place> for PendingDelivery {
    fn from(place: Place) -> Self {
        Self { place }
    }
}

impl Future for PendingDelivery {
    type Output = Result<Delivery>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let Place { outcome, index } = &mut self.place;
            let index = *index;
            match ready!(outcome.poll_unpin(context)) {
                Ok(Answer::Whole(Ok(base))) => {
                    return Poll::Ready(Ok(Delivery { offset: base.offset + u64::from(index), ..base }));
                }
                Ok(Answer::Whole(Err(error))) => return Poll::Ready(Err(error)),
                Ok(Answer::Recut(places)) => self.place = places[index as usize].clone(),
                Err(_) => return Poll::Ready(Err(abandoned())),
            }
        }
    }
}

/// The producer was dropped, with its tasks.
fn abandoned() -> Error {
    Error::OutcomeUnknown {
        doing: "the record".to_owned(),
        waited: Duration::ZERO,
        last: "its producer was dropped".to_owned(),
    }
}
