//! The routing table as a value: what clients and nodes need to find a partition, taken at one version.
//! Who leads a group right now is not in it: leaders change without the registry.

use serde::{Deserialize, Serialize};
use weir_types::{ClusterId, GroupId, KeyHash, KeyRange, NodeId, TopicId, TopicPolicy};

use crate::node::Addresses;

/// The routing table at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// The cluster.
    pub cluster: ClusterId,
    /// Rises with every change.
    pub version: u64,
    /// The nodes that take part, in order of id.
    pub nodes: Vec<NodeRoute>,
    /// The topics, in order of name.
    pub topics: Vec<TopicRoute>,
    /// The coordinator's shards, in order of range over the hash of the consumer group's name.
    pub coordinator: Vec<PartitionRoute>,
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRoute {
    /// Its id.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where it listens.
    pub addresses: Addresses,
    /// What it shares power or network with.
    pub rack: Option<String>,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRoute {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// What it promises.
    pub policy: TopicPolicy,
    /// The partitions that own its keys, in order of range.
    pub partitions: Vec<PartitionRoute>,
    /// Those that were split or merged and hold what came before that, in order of number.
    pub sealed: Vec<PartitionRoute>,
}

/// Where a partition is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRoute {
    /// Its Raft group.
    pub group: GroupId,
    /// Its number in the topic.
    pub index: u32,
    /// The key hashes it owns, or owned until it was sealed.
    pub range: KeyRange,
    /// The sealed partitions whose keys it took over, as long as they are there: what is in them comes first.
    pub parents: Vec<GroupId>,
    /// The nodes that vote, in order of id.
    pub nodes: Vec<NodeId>,
    /// Whom to ask first: the node that should lead, or another voter while that one does not vote yet.
    pub preferred_leader: NodeId,
}

impl Routing {
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&TopicRoute> {
        let at = self.topics.binary_search_by(|topic| topic.name.as_str().cmp(name)).ok()?;
        self.topics.get(at)
    }
}

impl TopicRoute {
    /// The partition that owns a key.
    pub fn partition_for(&self, key: KeyHash) -> Option<&PartitionRoute> {
        let after = self.partitions.partition_point(|partition| partition.range.first() <= key);
        self.partitions[..after].last().filter(|partition| partition.range.contains(key))
    }
}
