//! A topic, and the static part of its partitions.

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, KeyRange, QueuePolicy, RequestId, StreamPolicy, TopicId, TopicPolicy, WallClock};

/// The topic id that stands for the shards of the consumer-group coordinator; no user's topic has it.
pub const COORDINATOR: TopicId = TopicId(0);

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// Its id: a topic created again under an old name has a new one.
    pub id: TopicId,
    /// Its name, unique among the topics there are.
    pub name: String,
    /// What it promises.
    pub policy: TopicPolicy,
    /// Partitions that own its keys.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replicas: u32,
    /// When it was created.
    pub created: WallClock,
    /// The request that created it: a retry of the same request gets the same answer.
    pub request: RequestId,
}

/// One partition of a topic, or one shard of the coordinator: a Raft group that owns a range of key hashes.
/// Who holds its replicas is its [`Membership`](crate::Membership).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its Raft group.
    pub group: GroupId,
    /// Its topic, or [`COORDINATOR`].
    pub topic: TopicId,
    /// Its number in the topic, from 0.
    pub index: u32,
    /// The key hashes it owns.
    pub range: KeyRange,
}

/// What a replica holds: which machine to run, and by which policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contents {
    /// A partition of a queue.
    Queue(QueuePolicy),
    /// A partition of a stream.
    Stream(StreamPolicy),
    /// A shard of the consumer-group coordinator.
    Coordinator,
}

impl From<&TopicPolicy> for Contents {
    fn from(policy: &TopicPolicy) -> Self {
        match policy {
            TopicPolicy::Queue(queue) => Self::Queue(queue.clone()),
            TopicPolicy::Stream(stream) => Self::Stream(stream.clone()),
        }
    }
}
