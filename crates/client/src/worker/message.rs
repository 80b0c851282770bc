//! A message in a worker's hands.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use weir_types::limits::{DELAY_MS_MAX, LEASE_MS_MAX};

use super::outputs::OutputBatches;
use super::{LeasedMessage, Outputs, Settle, SettleAction};
use crate::call::Core;
use crate::{Error, Record, Result};

/// A message that this worker leased. Settle it with [`ack`](Self::ack),
/// [`ack_and_append`](Self::ack_and_append), [`nack`](Self::nack), [`release`](Self::release) or [`reject`](Self::reject); meanwhile its lease is extended. A message that is dropped
/// unsettled (by a panic, say) is nacked: it comes back after the queue's backoff.
///
/// The futures of the settling methods may be dropped once polled: the settle goes on, only its answer is not heard.
pub struct Message {
    leased: LeasedMessage,
    cancelled: CancellationToken,
    hands: Hands,
    settled: bool,
}

/// A settle on its way to the session that leased the message.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) settle: Settle,
    /// What is appended in the step that acks the message.
    pub(crate) outputs: Option<OutputBatches>,
    /// Who waits for the answer, if anybody does.
    pub(crate) answer: Option<oneshot::Sender<Result<()>>>,
}

/// What ties a message to its session.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) core: Arc<Core>,
    /// Has room for one settle of each message in hand.
    pub(crate) settles: mpsc::Sender<Ask>,
    pub(crate) extensions: mpsc::Sender<Ask>,
    /// The worker is being closed: its leases return without a word.
    pub(crate) closing: CancellationToken,
}

impl Message {
    pub(crate) fn new(leased: LeasedMessage, cancelled: CancellationToken, hands: Hands) -> Self {
        Self { leased, cancelled, hands, settled: false }
    }

    /// Done: the message is gone.
    ///
    /// # Errors
    /// `LeaseLost` when the lease had gone to another consumer before: what was done here may be done again there;
    /// `OutcomeUnknown` when no answer came in time.
    pub async fn ack(self) -> Result<()> {
        self.settle(SettleAction::Ack).await
    }

    /// Done, and this came out of it: the message is gone and the records are appended to `topic`, a stream or a queue,
    /// or nothing of it happens. Each record is there once, whatever fails on the way, and shortly after this returns.
    ///
    /// ```no_run
    /// # async fn handle(message: weir_client::Message) -> weir_client::Result<()> {
    /// use weir_client::Record;
    ///
    /// message.ack_and_append("events", [Record::new("resized").key("cat.png")]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ack`](Self::ack), and then nothing was appended unless the outcome is unknown; `NotFound` for the topic and
    /// [`Error::Record`] for a record over a limit, and then the message is nacked as if dropped. While too much waits to
    /// be appended elsewhere this waits too.
    pub async fn ack_and_append(self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<()> {
        self.ack_with(Outputs::new().append_all(topic, records)).await
    }

    /// As [`ack_and_append`](Self::ack_and_append), with records for several topics.
    ///
    /// # Errors
    /// As [`ack_and_append`](Self::ack_and_append).
    pub async fn ack_with(self, outputs: Outputs) -> Result<()> {
        let outputs = OutputBatches::of(&self.hands.core, outputs).await?;
        self.settle_with(SettleAction::Ack, Some(outputs)).await
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
    /// As [`ack`](Self::ack); [`Error::Option`] for more than a year, and the message is nacked as if dropped.
    pub async fn nack_after(self, delay: Duration, reason: impl Into<String>) -> Result<()> {
        at_most("delay", delay, DELAY_MS_MAX)?;
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
    /// As [`ack`](Self::ack); [`Error::Option`] for more than 12 hours.
    pub async fn extend(&self, lease: Duration) -> Result<()> {
        at_most("lease", lease, LEASE_MS_MAX)?;
        let (answer, answered) = oneshot::channel();
        let ask = self.ask(SettleAction::Extend { lease: Some(lease) }, None, Some(answer));
        self.hands.extensions.send(ask).await.map_err(|_| CLOSED)?;
        answered.await.unwrap_or(Err(CLOSED))
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
        self.settle_with(action, None).await
    }

    async fn settle_with(mut self, action: SettleAction, outputs: Option<OutputBatches>) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let ask = self.ask(action, outputs, Some(answer));
        self.settled = true;
        self.hands.settles.try_send(ask).map_err(|_| CLOSED)?;
        answered.await.unwrap_or(Err(CLOSED))
    }

    fn ask(
        &self,
        action: SettleAction,
        outputs: Option<OutputBatches>,
        answer: Option<oneshot::Sender<Result<()>>>,
    ) -> Ask {
        Ask { settle: Settle { token: self.leased.token, action }, outputs, answer }
    }
}

const CLOSED: Error = Error::Closed { what: "queue worker" };

fn at_most(option: &'static str, value: Duration, limit_ms: u64) -> Result<()> {
    if value <= Duration::from_millis(limit_ms) {
        return Ok(());
    }
    let problem = format!("is {} ms, allowed are {limit_ms} at most", value.as_millis());
    Err(Error::Option { option, problem })
}

impl Drop for Message {
    fn drop(&mut self) {
        if self.settled || self.hands.closing.is_cancelled() {
            return;
        }
        let reason = "dropped by its consumer".to_owned();
        // When the session is gone, its leases return by themselves.
        let _ = self.hands.settles.try_send(self.ask(SettleAction::Nack { delay: None, reason }, None, None));
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("leased", &self.leased).finish_non_exhaustive()
    }
}

impl Deref for Message {
    type Target = LeasedMessage;

    fn deref(&self) -> &LeasedMessage {
        &self.leased
    }
}
