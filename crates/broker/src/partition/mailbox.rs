//! The bounded mailbox in front of a partition.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use weir_consensus::EntryPosition;
use weir_types::{ErrorKind, WeirError};

use super::Proposals;
use crate::replica::{Answer, State, encoded_bytes};

/// Commands that may wait.
const COMMANDS_MAX: usize = 4_096;
/// Bytes of commands and their bodies that may wait or be in flight.
const BYTES_MAX: usize = 32 << 20;
/// What a command costs at least.
const COMMAND_COST: usize = 64;
/// How long a caller waits for room before it is told to slow down.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);

type Outcome<S> = Result<(EntryPosition, Answer<S>), WeirError>;

/// A command on its way into an entry.
pub(super) struct Proposal<S: State> {
    pub(super) command: S::Command,
    pub(super) body: Bytes,
    /// What it adds to an entry: the encoded command and the body.
    pub(super) bytes: usize,
    answer: oneshot::Sender<Outcome<S>>,
    room: OwnedSemaphorePermit,
}

impl<S: State> Proposal<S> {
    /// Takes the parts that go into the entry; what stays waits for the answer and holds the room.
    pub(super) fn split(self) -> (S::Command, Bytes, Waiting<S>) {
        (self.command, self.body, Waiting { answer: self.answer, room: self.room })
    }

    /// Answers without having proposed.
    pub(super) fn refuse(self, error: WeirError) {
        // The caller may have gone: nobody is left to tell.
        let _ = self.answer.send(Err(error));
    }
}

/// A caller whose command is in flight.
pub(super) struct Waiting<S: State> {
    answer: oneshot::Sender<Outcome<S>>,
    /// Given back with the answer.
    room: OwnedSemaphorePermit,
}

impl<S: State> Waiting<S> {
    pub(super) fn answer(self, outcome: Outcome<S>) {
        drop(self.room);
        let _ = self.answer.send(outcome);
    }
}

/// The sending side.
pub(super) struct Mailbox<S: State> {
    sender: mpsc::Sender<Proposal<S>>,
    room: Arc<Semaphore>,
}

impl<S: State> Mailbox<S> {
    pub(super) fn new() -> (Self, Proposals<S>) {
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self { sender, room: Arc::new(Semaphore::new(BYTES_MAX)) }, receiver)
    }

    /// Waits for room and takes the command in.
    pub(super) async fn admit(&self, command: S::Command, body: Bytes) -> Result<Pending<S>, WeirError> {
        // A command may be large by itself: a settle of many messages, a batch with many ids.
        let bytes = encoded_bytes(&command) + body.len();
        let cost = bytes.clamp(COMMAND_COST, BYTES_MAX) as u32;
        let (answer, pending) = oneshot::channel();
        let admission = async {
            let room = Arc::clone(&self.room).acquire_many_owned(cost).await.ok()?;
            let slot = self.sender.reserve().await.ok()?;
            slot.send(Proposal { command, body, bytes, answer, room });
            Some(())
        };
        match timeout(ROOM_PATIENCE, admission).await {
            Ok(Some(())) => Ok(Pending(pending)),
            Ok(None) => Err(stopped()),
            Err(_) => {
                metrics::counter!("weir_mailbox_rejected_total", "reason" => "full").increment(1);
                let waited = ROOM_PATIENCE.as_millis();
                let message =
                    format!("no room in the partition's mailbox of {BYTES_MAX} bytes for {waited} ms");
                Err(WeirError::new(ErrorKind::Throttled, "partition-overloaded", message).after_ms(200))
            }
        }
    }
}

/// An answer to come.
pub(crate) struct Pending<S: State>(oneshot::Receiver<Outcome<S>>);

impl<S: State> Pending<S> {
    /// Waits for it; bounded, since the driver gives up on every entry after a while.
    pub(crate) async fn answer(self) -> Outcome<S> {
        self.0.await.unwrap_or_else(|_| Err(unknown()))
    }
}

fn stopped() -> WeirError {
    WeirError::new(ErrorKind::Retry, "replica-stopped", "the replica is stopping").after_ms(100)
}

fn unknown() -> WeirError {
    WeirError::new(
        ErrorKind::OutcomeUnknown,
        "outcome-unknown",
        "the replica stopped with the request in flight",
    )
}
