//! Why a message is not delivered.

use std::time::Duration;

use bytes::Bytes;
use weir_proto::v1;
use weir_proto::v1::explain_request::Subject;
use weir_proto::v1::queue_client::QueueClient;
use weir_types::{GroupId, KeyHash, TopicKind};

use super::queues::{MessageRef, partition_of};
use super::types::MessageState;
use super::{Admin, convert};
use crate::Result;
use crate::routing::Target;

/// What keeps a message from the next consumer that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// The partition has not come to this id yet.
    NotArrived,
    /// It was acked, discarded, moved on, cancelled or purged, or its TTL ran out.
    Gone,
    /// The key has no message.
    KeyIsEmpty,
    /// Nothing: whoever asks gets it, after those that are before it in the order of handing out.
    Nothing,
    /// Another message of its key has to be handed out first.
    BehindKey,
    /// It is the next of its key, of which as many messages are leased as may be at once.
    KeyLimit,
    /// As many messages of the partition are leased as may be at once.
    PartitionLimit,
    /// Every worker with a session holds as many messages as one may.
    SessionLimit,
    /// Its delivery time.
    Scheduled,
    /// The pause after a nack.
    Backoff,
    /// A consumer has it.
    Leased,
    /// It is parked: somebody has to redrive it.
    Parked,
}

/// Where a message stands. Times count from the moment of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its id in the partition.
    pub message_id: u64,
    /// Its state.
    pub state: MessageState,
    /// Deliveries that ended and counted.
    pub attempts: u32,
    /// Since it was enqueued.
    pub age: Duration,
    /// Until its delivery time or the end of its pause, when it waits for one.
    pub due_in: Option<Duration>,
    /// Until its TTL runs out, when it has one.
    pub expires_in: Option<Duration>,
    /// Who has it.
    pub holder: Option<Holder>,
    /// Why it is parked; empty when it is not.
    pub reason: String,
    /// Since when it is parked.
    pub parked_for: Option<Duration>,
}

/// Who has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The lease.
    pub lease_id: u64,
    /// The worker's session; none for a single receive.
    pub session_id: Option<u64>,
    /// Since the lease was granted.
    pub held_for: Duration,
    /// Until it runs out.
    pub left: Duration,
}

/// Why a message is not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The partition.
    pub partition: u32,
    /// What keeps it.
    pub hold: Hold,
    /// The message, if it is there; of a key what comes next, or the first message that is leased.
    pub message: Option<Whereabouts>,
    /// In a FIFO queue, the first messages of its key that are leased: at most 16.
    pub key_leased: Vec<Whereabouts>,
    /// In a FIFO queue, the message of its key that has to be handed out next.
    pub key_next: Option<Whereabouts>,
    /// Deliveries after which the queue parks a message.
    pub attempts_max: u32,
    /// How many messages of a key may be leased at once.
    pub max_inflight_per_key: u32,
    /// Workers with an open session at the partition.
    pub sessions: u64,
    /// Messages of the partition that wait for a consumer.
    pub ready: u64,
    /// In a FIFO queue that blocks keys (`block_key`), the parked message for which sends of the key are refused.
    pub key_blocked_by: Option<u64>,
    /// How many messages of a partition may be leased at once, if that has a bound.
    pub max_inflight: Option<u32>,
    /// How many messages one session may hold, if that has a bound.
    pub max_inflight_per_session: Option<u32>,
    /// In a queue that tenants share, of a message that nothing keeps: how many other tenants have a turn before its own,
    /// counted up to 100.
    pub tenants_before: Option<u32>,
}

impl Admin {
    /// Says why a message is not delivered. Never stale.
    ///
    /// # Errors
    /// `NotFound` for the topic or partition; `Invalid` for a stream.
    pub async fn explain_message(&self, topic: &str, message: MessageRef) -> Result<Explanation> {
        let route = self.client.core.topic_of(topic, TopicKind::Queue).await?;
        let partition = partition_of(&route, message.partition)?;
        self.explain(topic, (partition.partition, partition.group), Subject::MessageId(message.message_id))
            .await
    }

    /// Says why no message of a key is delivered. Never stale.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a stream, and for a queue that is no FIFO queue.
    pub async fn explain_key(&self, topic: &str, key: impl Into<Bytes>) -> Result<Explanation> {
        let key = key.into();
        let route = self.client.core.topic_of(topic, TopicKind::Queue).await?;
        // What waits in a partition that was split or merged comes before what its children hold.
        let hash = KeyHash::of(&key);
        for sealed in route.sealed.iter().filter(|sealed| sealed.keys.contains(hash)) {
            let at = (sealed.partition, sealed.group);
            let explanation = self.explain(topic, at, Subject::Key(key.clone())).await?;
            if explanation.hold != Hold::KeyIsEmpty {
                return Ok(explanation);
            }
        }
        let partition = &route.partitions[route.of_key(&key)];
        self.explain(topic, (partition.partition, partition.group), Subject::Key(key)).await
    }

    async fn explain(
        &self,
        topic: &str,
        (partition, group): (u32, GroupId),
        subject: Subject,
    ) -> Result<Explanation> {
        let core = &self.client.core;
        let request = v1::ExplainRequest { group_id: group.0, subject: Some(subject) };
        let call = core.operation(Target::Leader(group), format!("explain a message of `{topic}`"));
        let answer = core.call(call, |channel| {
            let request = request.clone();
            async move { QueueClient::new(channel).explain(request).await }
        });
        Ok(explanation(partition, answer.await?))
    }
}

fn explanation(partition: u32, answer: v1::ExplainResponse) -> Explanation {
    Explanation {
        partition,
        hold: hold(answer.hold()),
        message: answer.message.map(whereabouts),
        key_leased: answer.key_leased.into_iter().map(whereabouts).collect(),
        key_next: answer.key_next.map(whereabouts),
        attempts_max: answer.attempts_max,
        max_inflight_per_key: answer.max_inflight_per_key,
        sessions: answer.sessions,
        ready: answer.ready,
        key_blocked_by: answer.key_blocked_by,
        max_inflight: answer.max_inflight,
        max_inflight_per_session: answer.max_inflight_per_session,
        tenants_before: answer.tenants_before,
    }
}

fn hold(hold: v1::Hold) -> Hold {
    match hold {
        v1::Hold::NotArrived => Hold::NotArrived,
        v1::Hold::Gone => Hold::Gone,
        v1::Hold::KeyIsEmpty => Hold::KeyIsEmpty,
        v1::Hold::BehindKey => Hold::BehindKey,
        v1::Hold::KeyLimit => Hold::KeyLimit,
        v1::Hold::PartitionLimit => Hold::PartitionLimit,
        v1::Hold::SessionLimit => Hold::SessionLimit,
        v1::Hold::Scheduled => Hold::Scheduled,
        v1::Hold::Backoff => Hold::Backoff,
        v1::Hold::Leased => Hold::Leased,
        v1::Hold::Parked => Hold::Parked,
        // A later broker may know of more.
        v1::Hold::Nothing | v1::Hold::Unspecified => Hold::Nothing,
    }
}

fn whereabouts(whereabouts: v1::Whereabouts) -> Whereabouts {
    Whereabouts {
        message_id: whereabouts.message_id,
        state: convert::message_state(whereabouts.state()),
        attempts: whereabouts.attempts,
        age: Duration::from_millis(whereabouts.age_ms),
        due_in: whereabouts.due_in_ms.map(Duration::from_millis),
        expires_in: whereabouts.expires_in_ms.map(Duration::from_millis),
        holder: whereabouts.holder.map(|holder| Holder {
            lease_id: holder.lease_id,
            session_id: holder.session_id,
            held_for: Duration::from_millis(holder.held_for_ms),
            left: Duration::from_millis(holder.left_ms),
        }),
        reason: whereabouts.reason,
        parked_for: whereabouts.parked_for_ms.map(Duration::from_millis),
    }
}
