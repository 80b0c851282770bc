//! The answer to one record.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
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
    outcome: BatchOutcome,
    /// Place of the record in its batch.
    index: u64,
}

/// The answer to a whole batch, shared by its records.
pub(crate) type BatchOutcome = Shared<oneshot::Receiver<Result<Delivery>>>;

impl PendingDelivery {
    pub(crate) fn new(outcome: BatchOutcome, index: u32) -> Self {
        Self { outcome, index: u64::from(index) }
    }
}

impl Future for PendingDelivery {
    type Output = Result<Delivery>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let index = self.index;
        self.outcome.poll_unpin(context).map(|answer| {
            let base = answer.unwrap_or_else(|_| Err(abandoned()))?;
            Ok(Delivery { offset: base.offset + index, ..base })
        })
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
