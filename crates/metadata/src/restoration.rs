//! A restore that is under way, or the last one there was.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, ProducerId, ReplicaId, RequestId, TopicId};

use crate::registry::Registry;
use crate::topic::Partition;

/// What is remembered of a restore. Topics under way are no topics to anybody but the restore itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restoration {
    /// The request that began it: what belongs to another one is refused.
    pub request: RequestId,
    /// The topics that are not whole yet; none once it is over.
    pub topics: BTreeSet<TopicId>,
    /// Where the counters of ids stood when it began, behind the backup's: while they stand there, the cluster has given
    /// none of its own.
    pub next_topic: TopicId,
    /// The same of groups.
    pub next_group: GroupId,
    /// The same of producers.
    pub next_producer: ProducerId,
}

impl Registry {
    /// Whether a topic is not whole yet: it is nobody's topic until its restore is finished.
    pub fn is_restoring(&self, topic: TopicId) -> bool {
        self.restoration.as_ref().is_some_and(|restoration| restoration.topics.contains(&topic))
    }

    /// The partitions that a restore brings, also those that are sealed, while it is under way: each with the replica that is to get its image first.
    pub fn restoring(&self, request: RequestId) -> Vec<(GroupId, ReplicaId)> {
        let known = self.restoration.iter().filter(|restoration| restoration.request == request);
        let partitions = known.flat_map(|known| &known.topics).flat_map(|topic| self.all_partitions(*topic));
        let first = |partition: &Partition| {
            Some((partition.group, self.memberships.get(&partition.group)?.preferred_leader))
        };
        partitions.filter_map(first).collect()
    }
}
