//! A message in a worker's hands.

use std::ops::Deref;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{LeasedMessage, SettleAction};
use crate::Result;

/// A message that this worker leased. Settle it with [`ack`](Self::ack), [`nack`](Self::nack),
/// [`release`](Self::release) or [`reject`](Self::reject); meanwhile its lease is extended. A message that is dropped
/// unsettled (by a panic, say) is nacked: it comes back after the queue's backoff.
///
/// The futures of the settling methods may be dropped once polled: the settle goes on, only its answer is not heard.
#[derive(Debug)]
pub struct Message {
    leased: LeasedMessage,
    cancelled: CancellationToken,
}

impl Message {
    /// Done: the message is gone.
    ///
    /// # Errors
    /// `LeaseLost` when the lease had gone to another consumer before: what was done here may be done again there;
    /// `OutcomeUnknown` when no answer came in time.
    pub async fn ack(self) -> Result<()> {
        self.settle(SettleAction::Ack).await
    }

    /// Failed: ready again after the queue's backoff; counts as an attempt. `reason` is kept if it was the last one.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn nack(self, reason: impl Into<String>) -> Result<()> {
        self.settle(SettleAction::Nack { delay: None, reason: reason.into() }).await
    }

    /// Failed: ready again after `delay`; counts as an attempt.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn nack_after(self, delay: Duration, reason: impl Into<String>) -> Result<()> {
        self.settle(SettleAction::Nack { delay: Some(delay), reason: reason.into() }).await
    }

    /// Not tried: ready again at once; does not count as an attempt.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn release(self) -> Result<()> {
        self.settle(SettleAction::Release).await
    }

    /// Never to be tried again: parked at once, with `reason`.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn reject(self, reason: impl Into<String>) -> Result<()> {
        self.settle(SettleAction::Reject { reason: reason.into() }).await
    }

    /// More time: the lease runs `lease` from now. The worker does this by itself; call it to ask for more at once.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn extend(&self, lease: Duration) -> Result<()> {
        let _ = lease;
        Err(crate::Error::Closed { what: "queue worker" })
    }

    /// Completes when the lease is lost, or may be: it could not be extended before it ran out by this machine's clock.
    /// Another consumer may then have the message. Stop, and do not ack.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the lease is lost, or may be.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// The signal of [`cancelled`](Self::cancelled), to hand to parts of a handler.
    pub fn cancellation(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    async fn settle(self, action: SettleAction) -> Result<()> {
        let _ = action;
        Err(crate::Error::Closed { what: "queue worker" })
    }
}

impl Deref for Message {
    type Target = LeasedMessage;

    fn deref(&self) -> &LeasedMessage {
        &self.leased
    }
}
