//! Links between topics: what the leader of a partition sends to another topic by itself, exactly once.
//!
//! | link | from | how |
//! |---|---|---|
//! | forward, dead-letter | a queue | a `Move` takes messages out and puts their records into the outbox (`moves.rs`) |
//! | subscription | a stream | records are sent under their offsets; a committed position tells how far (`subscriptions.rs`) |
//!
//! Either is driven by the leader alone and keeps nothing that the next leader would miss.

pub(crate) mod moves;
pub(crate) mod subscriptions;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use weir_consensus::Leadership;
use weir_metadata::Link;
use weir_types::batch::reserved_headers;
use weir_types::{BatchBuilder, BatchError, ErrorKind, GroupId, KeyHash, LogIndex, TopicId, WeirError};

use crate::api::bodies::Record;
use crate::broker::Broker;

/// Most bytes that one step takes along, unless its first record alone is larger.
const STEP_BYTES_MAX: usize = 1 << 20;
/// What the leader of a partition waits for before it looks again.
pub(crate) struct Wakes {
    applied: watch::Receiver<LogIndex>,
    leadership: watch::Receiver<Leadership>,
    registry: watch::Receiver<LogIndex>,
}

impl Wakes {
    pub(crate) fn new(
        broker: &Broker,
        applied: watch::Receiver<LogIndex>,
        leadership: watch::Receiver<Leadership>,
    ) -> Self {
        Self { applied, leadership, registry: broker.metadata().partition().applied() }
    }

    /// Whether this node leads the partition; what has changed until now is seen.
    pub(crate) fn leads(&mut self) -> bool {
        self.applied.borrow_and_update();
        self.leadership.borrow_and_update().here
    }

    /// Waits for the next change, or until a time. None when the replica was closed, else whether the registry changed:
    /// that is told first, so that a link that has ended carries nothing more.
    pub(crate) async fn next(&mut self, again: Option<Instant>) -> Option<bool> {
        tokio::select! {
            biased;
            changed = self.registry.changed() => changed.ok().map(|()| true),
            changed = self.applied.changed() => changed.ok().map(|()| false),
            changed = self.leadership.changed() => changed.ok().map(|()| false),
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => Some(false),
        }
    }
}

/// The links that go out from the topic of a partition.
fn links_of(broker: &Broker, group: GroupId) -> Vec<Link> {
    broker.registry(|registry| {
        let topic = registry.partition(group).map(|partition| partition.topic);
        topic.map_or_else(Vec::new, |topic| registry.links_from(topic).cloned().collect())
    })
}

/// The partition of a topic that a record belongs to: that of its key, or any for a record without one. Which that is
/// must not change while a step of a subscription is repeated, or the record would be there twice or not at all. So it is
/// the owner of a key hash that is made of `any` when `by_hash`: its children know what it has taken in.
fn destination(
    broker: &Broker,
    topic: TopicId,
    key: Option<&[u8]>,
    (any, by_hash): (u64, bool),
) -> Result<GroupId, WeirError> {
    let found = broker.registry(|registry| {
        let hash = match key {
            Some(key) => KeyHash::of(key),
            None if by_hash => KeyHash::of(&any.to_be_bytes()),
            // Nodes of older builds do it like this.
            None => {
                let partitions: Vec<_> =
                    registry.partitions(topic).map(|partition| partition.group).collect();
                return partitions.get((any % partitions.len().max(1) as u64) as usize).copied();
            }
        };
        registry.partition_for(topic, hash).map(|partition| partition.group)
    });
    found.ok_or_else(|| {
        let message = format!("topic {topic} has no partition for a record");
        WeirError::new(ErrorKind::Retry, "partition-not-found", message).after_ms(100)
    })
}

/// Adds a record to a batch, with headers left out and others put behind.
pub(crate) fn add(
    batch: &mut BatchBuilder,
    record: &Record,
    keeps: impl Fn(&str) -> bool,
    more: &[(&str, &[u8])],
) -> Result<(), BatchError> {
    let kept = record.headers.iter().filter(|(name, _)| keeps(name));
    let mut headers: Vec<(&str, Option<&[u8]>)> =
        kept.map(|(name, value)| (name.as_str(), Some(&value[..]))).collect();
    headers.extend(more.iter().map(|(name, value)| (*name, Some(*value))));
    batch.push(record.key.as_deref(), record.value.as_deref(), &headers, record.timestamp_ms)
}

/// Whether a header is no condition on the delivery of the message that carried it.
fn is_free(name: &str) -> bool {
    !name.starts_with(reserved_headers::PREFIX)
}
