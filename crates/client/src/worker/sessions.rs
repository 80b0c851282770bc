//! The sessions of one worker: one at each partition of its queue, also at those that come later.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use weir_runtime::TaskGroup;
use weir_types::GroupId;

use super::closing::Closing;
use super::credit::Credit;
use super::held::Held;
use super::message::Hands;
use super::session::Session;
use super::settles::Settles;
use super::{Message, WorkerOptions};
use crate::call::{Core, Pauses};
use crate::routing::{PartitionRoute, RoutingTable, TopicRoute};
use crate::{Error, Result};

/// Extensions that handlers have asked for and the session has not taken yet; more wait.
const EXTENSIONS_QUEUED_MAX: usize = 16;
/// Errors that wait for the worker's handle. What finds no place is logged.
const ERRORS_QUEUED_MAX: usize = 16;

/// Where sessions hand out what they have for the worker.
#[derive(Clone)]
pub(crate) struct Deliveries {
    /// Holds no more than each session's credit.
    messages: mpsc::UnboundedSender<Message>,
    errors: mpsc::Sender<Error>,
}

impl Deliveries {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Message>, mpsc::Receiver<Error>) {
        let (messages, messages_taken) = mpsc::unbounded_channel();
        let (errors, errors_taken) = mpsc::channel(ERRORS_QUEUED_MAX);
        (Self { messages, errors }, messages_taken, errors_taken)
    }

    /// Without a worker there is nobody to take it, and the sessions end.
    pub(crate) fn message(&self, message: Message) {
        let _ = self.messages.send(message);
    }

    pub(crate) fn error(&self, error: Error) {
        let _ = self.errors.try_send(error);
    }
}

/// The sessions of one worker.
pub(crate) struct Sessions {
    core: Arc<Core>,
    /// As it was when the worker was opened.
    topic: Arc<TopicRoute>,
    options: WorkerOptions,
    deliveries: Deliveries,
    closing: CancellationToken,
    /// Partitions that had a session.
    known: BTreeSet<GroupId>,
    endings: FuturesUnordered<oneshot::Receiver<Result<()>>>,
    tasks: TaskGroup,
}

impl Sessions {
    pub(crate) fn new(
        core: &Arc<Core>,
        topic: &Arc<TopicRoute>,
        options: WorkerOptions,
        deliveries: Deliveries,
        closing: CancellationToken,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            topic: Arc::clone(topic),
            options,
            deliveries,
            closing,
            known: BTreeSet::new(),
            endings: FuturesUnordered::new(),
            tasks: TaskGroup::new(),
        }
    }

    /// Works until the worker is closed, or no partition can be worked on any more.
    ///
    /// # Errors
    /// The first one of a session that could not be ended in good order.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut tables = self.core.router.watch();
        for partition in Arc::clone(&self.topic).all() {
            self.open(partition);
        }
        let mut result = Ok(());
        loop {
            if !self.closing.is_cancelled() {
                let table = Arc::clone(&tables.borrow_and_update());
                self.learn(&table);
            }
            tokio::select! {
                ended = self.endings.next() => match ended {
                    Some(ended) => {
                        let ended = ended.unwrap_or(Err(Error::Closed { what: "queue worker" }));
                        result = result.and(ended);
                    }
                    None => return result,
                },
                Ok(()) = tables.changed() => {}
            }
        }
    }

    /// Opens sessions at the partitions that were not there before.
    fn learn(&mut self, table: &RoutingTable) {
        let now = table.topic(&self.topic.name).filter(|now| now.id == self.topic.id);
        for partition in now.iter().flat_map(|now| now.all()) {
            self.open(partition);
        }
    }

    fn open(&mut self, partition: &PartitionRoute) {
        if !self.known.insert(partition.group) {
            return;
        }
        let session = self.session(partition);
        let (end, ending) = oneshot::channel();
        self.endings.push(ending);
        self.tasks.spawn(async move {
            // Nobody hears it when the worker was dropped.
            let _ = end.send(session.run().await);
        });
    }

    fn session(&self, partition: &PartitionRoute) -> Session {
        let (settles, settles_asked) = mpsc::channel(self.options.credit as usize);
        let (extensions, extensions_asked) = mpsc::channel(EXTENSIONS_QUEUED_MAX);
        Session {
            core: Arc::clone(&self.core),
            topic: Arc::clone(&self.topic.name),
            partition: partition.partition,
            group: partition.group,
            id: self.core.random_id(),
            credit: Credit::new(self.options.credit),
            options: self.options.clone(),
            hands: Hands { core: Arc::clone(&self.core), settles, extensions, closing: self.closing.clone() },
            closing: Closing::of(self.closing.clone()),
            settles_asked,
            extensions_asked,
            deliveries: self.deliveries.clone(),
            held: Held::default(),
            settles: Settles::new(),
            settle_again_at: None,
            settle_pauses: Pauses::default(),
            last: "nothing was sent yet".to_owned(),
        }
    }
}
