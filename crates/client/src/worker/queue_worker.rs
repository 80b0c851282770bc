//! The worker's handle.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_runtime::TaskGroup;
use weir_types::TopicKind;

use super::closing::Closing;
use super::credit::Credit;
use super::held::Held;
use super::message::Hands;
use super::session::Session;
use super::settles::Settles;
use super::{Message, WorkerOptions};
use crate::call::Pauses;
use crate::routing::{PartitionRoute, TopicRoute};
use crate::{Client, Error, Result};

/// Extensions that handlers have asked for and the session has not taken yet; more wait.
const EXTENSIONS_QUEUED_MAX: usize = 16;
/// Places for errors beside those for messages. What finds none is logged.
const ERRORS_QUEUED_MAX: usize = 16;

/// A worker of a queue: it holds a session at each partition, and hands out the messages that they lease to it.
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
    deliveries: mpsc::Receiver<Result<Message>>,
    /// How each session ended.
    endings: Vec<oneshot::Receiver<Result<()>>>,
    _sessions: TaskGroup,
    _client: Client,
}

impl QueueWorker {
    pub(crate) async fn open(client: Client, topic: &str, options: WorkerOptions) -> Result<Self> {
        options.validate()?;
        let topic = client.core.topic_of(topic, TopicKind::Queue).await?;
        let places = topic.partitions.len() * options.credit as usize + ERRORS_QUEUED_MAX;
        let (sender, deliveries) = mpsc::channel(places);
        let closing = CancellationToken::new();
        let mut sessions = TaskGroup::new();
        let mut endings = Vec::new();
        for partition in &topic.partitions {
            let session = session(&client, &topic, partition, &options, &sender, &closing);
            let (end, ending) = oneshot::channel();
            endings.push(ending);
            sessions.spawn(async move {
                // Nobody hears it when the worker was dropped.
                let _ = end.send(session.run().await);
            });
        }
        let closing = closing.drop_guard();
        Ok(Self { topic, closing, deliveries, endings, _sessions: sessions, _client: client })
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
        self.deliveries.recv().await
    }

    /// Ends the sessions: pending settles are answered first, then all leases return at once, without counting an
    /// attempt. Settle the messages in hand before; those that are not are cancelled.
    ///
    /// # Errors
    /// The last settle's or session's error, if a partition could not be left in good order: its leases then return by
    /// themselves, when the session's grace is over.
    pub async fn close(self) -> Result<()> {
        drop(self.closing);
        drop(self.deliveries);
        let mut result = Ok(());
        for ending in self.endings {
            result = result.and(ending.await.unwrap_or(Err(Error::Closed { what: "queue worker" })));
        }
        result
    }
}

fn session(
    client: &Client,
    topic: &TopicRoute,
    partition: &PartitionRoute,
    options: &WorkerOptions,
    deliveries: &mpsc::Sender<Result<Message>>,
    closing: &CancellationToken,
) -> Session {
    let (settles, settles_asked) = mpsc::channel(options.credit as usize);
    let (extensions, extensions_asked) = mpsc::channel(EXTENSIONS_QUEUED_MAX);
    Session {
        core: Arc::clone(&client.core),
        topic: Arc::clone(&topic.name),
        partition: partition.partition,
        group: partition.group,
        id: client.core.random_id(),
        credit: Credit::new(options.credit),
        options: options.clone(),
        hands: Hands { core: Arc::clone(&client.core), settles, extensions, closing: closing.clone() },
        closing: Closing::of(closing.clone()),
        settles_asked,
        extensions_asked,
        deliveries: deliveries.clone(),
        held: Held::default(),
        settles: Settles::new(),
        settle_again_at: None,
        settle_pauses: Pauses::default(),
        last: "nothing was sent yet".to_owned(),
    }
}

impl std::fmt::Debug for QueueWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueWorker").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}
