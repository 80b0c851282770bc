//! What everything in this library shares: where the nodes are, the connections to them, and the call that is
//! repeated until it is answered.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Response, Status};
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_types::{ErrorKind, GroupId, TopicKind};

use super::pool::Pool;
use super::{Attempts, Failure, Route};
use crate::options::ClientOptions;
use crate::routing::{Router, Target, TopicRoute};
use crate::{Error, Result};

/// How far the watched node's table may be behind the one that another client has just changed.
const TOPIC_GRACE: Duration = Duration::from_millis(500);

/// How far the watched node's table may be behind the removal of a partition.
const REMOVED_GRACE: Duration = Duration::from_secs(2);

/// The shared part of a client.
pub(crate) struct Core {
    pub(crate) options: ClientOptions,
    pub(crate) router: Router,
    pub(crate) pool: Pool,
    /// Why the last node could not be watched.
    unreachable: Mutex<String>,
}

/// One operation. All operations of the API can be repeated: those that change something carry an id by which the
/// cluster knows a repetition, or leave the same state however often they are done.
#[derive(Debug)]
pub(crate) struct Call {
    /// For the error's text: could not …
    pub(crate) doing: String,
    pub(crate) target: Target,
    /// Over all attempts.
    pub(crate) timeout: Duration,
    /// Of one attempt.
    pub(crate) attempt_timeout: Duration,
}

impl Core {
    pub(crate) fn new(options: ClientOptions) -> Self {
        let turn = options.runtime.random_u64() as usize;
        let router = Router::new(options.seeds.clone(), turn);
        let pool = Pool::new(options.runtime.network_shared(), options.connect_timeout);
        Self { options, router, pool, unreachable: Mutex::new("no node was asked".to_owned()) }
    }

    pub(crate) fn now(&self) -> Instant {
        self.options.runtime.clock().now()
    }

    /// A random id, never 0, which stands for none.
    pub(crate) fn random_id(&self) -> u64 {
        self.options.runtime.random_u64().max(1)
    }

    pub(crate) async fn sleep_jittered(&self, pause: Duration) {
        tokio::time::sleep(self.options.runtime.jittered(pause)).await;
    }

    pub(crate) fn note_unreachable(&self, why: String) {
        *self.unreachable.lock() = why;
    }

    pub(crate) fn why_unreachable(&self) -> String {
        self.unreachable.lock().clone()
    }

    /// An operation with the client's usual patience.
    pub(crate) fn operation(&self, target: Target, doing: impl Into<String>) -> Call {
        Call {
            doing: doing.into(),
            target,
            timeout: self.options.request_timeout,
            attempt_timeout: self.options.attempt_timeout,
        }
    }

    /// Carries out an operation: finds the node, follows redirects, repeats.
    pub(crate) async fn call<T, A, F>(&self, call: Call, attempt: A) -> Result<T>
    where
        A: Fn(Channel) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut attempts = Attempts::new(self.now(), call.timeout);
        let deadline = attempts.deadline();
        let mut route = Route::new(self, call.target);
        while self.now() < deadline {
            let address = route.address(self);
            let until = deadline.min(self.now() + call.attempt_timeout);
            let failure = match self.pool.channel(&address) {
                Ok(channel) => tokio::select! {
                    answered = tokio::time::timeout_at(until, attempt(channel)) => match answered {
                        Ok(Ok(answer)) => return Ok(answer.into_inner()),
                        Ok(Err(status)) => Failure::from_status(&status),
                        Err(_) => Failure::no_answer(&address),
                    },
                    moved = self.moved(call.target, &address) => moved,
                },
                Err(error) => Failure::answered(error),
            };
            tracing::debug!(doing = call.doing, address, error = %failure.error, "attempt failed");
            route.recover(self, &mut attempts, &address, failure, deadline).await?;
        }
        Err(attempts.timed_out(self.now(), &call.doing))
    }

    /// Resolves when it is of no more use to wait for the node at `address`, as another leader has become known: it may
    /// be frozen or cut off, and answer in seconds or never. What was asked of it may be done all the same.
    pub(crate) async fn moved(&self, target: Target, address: &str) -> Failure {
        match target {
            Target::Leader(group) => self.router.leader_moved(group, address).await,
            Target::Any => std::future::pending().await,
        }
        Failure::leader_moved(address)
    }

    /// The partitions of a topic. When the table at hand does not have it, the topic may be younger than the table: that
    /// is given a moment, and the cluster is asked.
    pub(crate) async fn topic(&self, name: &str) -> Result<Arc<TopicRoute>> {
        if let Some(topic) = self.router.table().topic(name) {
            return Ok(topic);
        }
        if let Some(topic) = self.topic_in_table(name, TOPIC_GRACE).await {
            return Ok(topic);
        }
        let call = self.operation(Target::Any, format!("find topic `{name}`"));
        let (doing, patience) = (call.doing.clone(), call.timeout);
        let request = v1::DescribeTopicRequest { name: name.to_owned() };
        self.call(call, |channel| {
            let request = request.clone();
            async move { AdminClient::new(channel).describe_topic(request).await }
        })
        .await?;
        let last = "it exists, and the routing table does not show it yet";
        let late = || Error::Timeout { doing, waited: patience, last: last.to_owned() };
        self.topic_in_table(name, patience).await.ok_or_else(late)
    }

    /// Waits until the routing table has a topic.
    pub(crate) async fn topic_in_table(&self, name: &str, patience: Duration) -> Option<Arc<TopicRoute>> {
        let mut tables = self.router.watch();
        let found = tables.wait_for(|table| table.topic(name).is_some());
        tokio::time::timeout(patience, found).await.ok()?.ok()?.topic(name)
    }

    /// Whether an answer means that a partition was removed, long after it was split or merged: it is gone, and its topic is
    /// not. The answer may come a moment before the table that says so.
    pub(crate) async fn is_removed(&self, error: &Error, topic: &str, group: GroupId) -> bool {
        if error.kind() != ErrorKind::NotFound {
            return false;
        }
        let mut tables = self.router.watch();
        let gone = tables.wait_for(|table| table.topic(topic).is_none_or(|topic| !topic.has(group)));
        match tokio::time::timeout(REMOVED_GRACE, gone).await {
            Ok(Ok(table)) => table.topic(topic).is_some(),
            _ => false,
        }
    }

    /// The partitions of a topic that must be of this kind.
    pub(crate) async fn topic_of(&self, name: &str, kind: TopicKind) -> Result<Arc<TopicRoute>> {
        let topic = self.topic(name).await?;
        if topic.kind == kind {
            return Ok(topic);
        }
        let text = format!("topic `{name}` is a {}, a {kind} is needed", topic.kind);
        Err(Error::new(ErrorKind::Invalid, "wrong-topic-kind", text))
    }
}
