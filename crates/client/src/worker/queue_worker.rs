//! The worker's handle.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_runtime::TaskGroup;
use weir_types::TopicKind;

use super::sessions::{Deliveries, Sessions};
use super::{Message, WorkerOptions};
use crate::routing::TopicRoute;
use crate::{Client, Error, Result};

/// A worker of a queue: it holds a session at each partition, and hands out the messages that they lease to it. It works on
/// partitions that were split or merged until they are removed, and on those that take over as soon as it hears of them.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> weir_client::Result<()> {
/// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
/// # use weir_client::{Client, NewTopic, ProducerOptions, Record};
/// # let client = Client::connect(seeds).await?;
/// # let _ = client.admin().create_topic(NewTopic::queue("emails")).await;
/// # client.producer("emails", ProducerOptions::default()).await?.send(Record::new("hello")).await?.await?;
/// use weir_client::WorkerOptions;
///
/// let mut worker = client.queue_worker("emails", WorkerOptions::default()).await?;
/// while let Some(message) = worker.next().await {
///     let message = message?;
///     println!("{:?}, attempt {}", message.value, message.attempt);
///     message.ack().await?;
/// #     break;
/// }
/// # Ok(())
/// # }
/// ```
pub struct QueueWorker {
    topic: Arc<TopicRoute>,
    /// Dropped before the deliveries: the sessions end with the worker and their leases return, so that messages that
    /// nobody has seen are not nacked.
    closing: DropGuard,
    messages: mpsc::UnboundedReceiver<Message>,
    errors: mpsc::Receiver<Error>,
    /// How the sessions ended.
    ending: oneshot::Receiver<Result<()>>,
    _sessions: TaskGroup,
    _client: Client,
}

impl QueueWorker {
    pub(crate) async fn open(client: Client, topic: &str, options: WorkerOptions) -> Result<Self> {
        options.validate()?;
        let topic = client.core.topic_of(topic, TopicKind::Queue).await?;
        let (deliveries, messages, errors) = Deliveries::new();
        let closing = CancellationToken::new();
        let sessions = Sessions::new(&client.core, &topic, options, deliveries, closing.clone());
        let (end, ending) = oneshot::channel();
        let mut tasks = TaskGroup::new();
        tasks.spawn(async move {
            // Nobody hears it when the worker was dropped.
            let _ = end.send(sessions.run().await);
        });
        let closing = closing.drop_guard();
        Ok(Self { topic, closing, messages, errors, ending, _sessions: tasks, _client: client })
    }

    /// The queue's name.
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// The next message, of whichever partition. An error concerns one partition; the others go on, and so does that
    /// one after a while if it can, so that `next` may be called again. None when no partition can: the queue was
    /// deleted, say.
    ///
    /// Cancel safe: a message is never lost by dropping this future.
    pub async fn next(&mut self) -> Option<Result<Message>> {
        tokio::select! {
            biased;
            Some(error) = self.errors.recv() => Some(Err(error)),
            message = self.messages.recv() => message.map(Ok),
        }
    }

    /// Ends the sessions: pending settles are answered first, then all leases return at once, without counting an
    /// attempt. Settle the messages in hand before; those that are not are cancelled.
    ///
    /// # Errors
    /// The last settle's or session's error, if a partition could not be left in good order: its leases then return by
    /// themselves, when the session's grace is over.
    pub async fn close(self) -> Result<()> {
        drop(self.closing);
        drop(self.messages);
        self.ending.await.unwrap_or(Err(Error::Closed { what: "queue worker" }))
    }
}

impl std::fmt::Debug for QueueWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueWorker").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}
