//! The routing table: which partitions a topic has, and who leads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_proto::v1;
use weir_types::{GroupId, KeyHash, KeyRange, NodeId, TopicId, TopicKind};

/// The routing table as this client last heard it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoutingTable {
    /// False until the first table came.
    pub(crate) known: bool,
    nodes: BTreeMap<NodeId, String>,
    topics: BTreeMap<String, Arc<TopicRoute>>,
    groups: BTreeMap<GroupId, PartitionRoute>,
}

/// The partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicRoute {
    pub(crate) id: TopicId,
    pub(crate) name: Arc<str>,
    pub(crate) kind: TopicKind,
    /// In order of key range; together they cover every key.
    pub(crate) partitions: Vec<PartitionRoute>,
}

/// One partition and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRoute {
    pub(crate) partition: u32,
    pub(crate) group: GroupId,
    pub(crate) keys: KeyRange,
    pub(crate) leader: Option<NodeId>,
    pub(crate) voters: Vec<NodeId>,
}

impl RoutingTable {
    /// Reads a table; a topic that makes no sense (no kind, no partitions, a range the wrong way round) is left out,
    /// so that a newer cluster's novelties disturb only those who use them.
    pub(crate) fn from_wire(table: v1::RoutingTable) -> Self {
        let topics: BTreeMap<String, Arc<TopicRoute>> = table
            .topics
            .into_iter()
            .filter_map(TopicRoute::from_wire)
            .map(|topic| (topic.name.to_string(), Arc::new(topic)))
            .collect();
        let groups = topics
            .values()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (partition.group, partition.clone())))
            .collect();
        let nodes = table.nodes.into_iter().map(|node| (NodeId(node.node_id), node.client_address)).collect();
        Self { known: true, nodes, topics, groups }
    }

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<TopicRoute>> {
        self.topics.get(name).cloned()
    }

    /// Address of a group's leader, when it is known.
    pub(crate) fn leader(&self, group: GroupId) -> Option<&str> {
        let leader = self.groups.get(&group)?.leader?;
        self.nodes.get(&leader).map(String::as_str)
    }

    /// Addresses of a group's voters.
    pub(crate) fn voters(&self, group: GroupId) -> impl Iterator<Item = &str> {
        let voters = self.groups.get(&group).map_or(&[][..], |partition| &partition.voters);
        voters.iter().filter_map(|node| self.nodes.get(node)).map(String::as_str)
    }

    /// Addresses of all nodes.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.nodes.values().map(String::as_str)
    }
}

impl TopicRoute {
    fn from_wire(topic: v1::RoutingTopic) -> Option<Self> {
        let kind = topic.kind().to_kind()?;
        let partitions =
            topic.partitions.into_iter().map(PartitionRoute::from_wire).collect::<Option<Vec<_>>>()?;
        (!partitions.is_empty()).then(|| Self {
            id: TopicId(topic.topic_id),
            name: topic.name.into(),
            kind,
            partitions,
        })
    }

    /// Place in `partitions` of the one that owns a key.
    pub(crate) fn of_key(&self, key: &[u8]) -> usize {
        let hash = KeyHash::of(key);
        let owner = self.partitions.iter().position(|partition| partition.keys.contains(hash));
        // A table with a hole can only be a half-made change; the first partition answers with a redirect or an error.
        owner.unwrap_or(0)
    }
}

impl PartitionRoute {
    fn from_wire(partition: v1::RoutingPartition) -> Option<Self> {
        Some(Self {
            partition: partition.partition,
            group: GroupId(partition.group_id),
            keys: KeyRange::new(KeyHash(partition.key_first), KeyHash(partition.key_last))?,
            leader: partition.leader.map(NodeId),
            voters: partition.voters.into_iter().map(NodeId).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn partition(index: u32, of: u32) -> v1::RoutingPartition {
        let keys = KeyRange::part(index, of);
        v1::RoutingPartition {
            partition: index,
            group_id: 10 + index,
            key_first: keys.first().0,
            key_last: keys.last().0,
            leader: (index > 0).then_some(2),
            voters: vec![1, 2, 9],
        }
    }

    fn table() -> RoutingTable {
        let topic = |name: &str, kind: v1::TopicKind, partitions| v1::RoutingTopic {
            topic_id: 1,
            name: name.to_owned(),
            kind: kind as i32,
            partitions,
        };
        RoutingTable::from_wire(v1::RoutingTable {
            cluster_id: String::new(),
            version: 4,
            nodes: [(1, "a:1"), (2, "b:2")]
                .map(|(node_id, address)| v1::RoutingNode { node_id, client_address: address.to_owned() })
                .into(),
            topics: vec![
                topic("events", v1::TopicKind::Stream, (0..3).map(|index| partition(index, 3)).collect()),
                topic("strange", v1::TopicKind::Unspecified, vec![partition(0, 1)]),
                topic("empty", v1::TopicKind::Queue, Vec::new()),
            ],
        })
    }

    #[test]
    fn leaders_and_voters_are_found_by_address() {
        let table = table();
        assert_eq!(table.leader(GroupId(10)), None);
        assert_eq!(table.leader(GroupId(11)), Some("b:2"));
        assert_eq!(table.voters(GroupId(11)).collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert_eq!(table.voters(GroupId(99)).count(), 0);
    }

    #[test]
    fn a_key_goes_to_the_partition_that_owns_its_range() {
        let events = table().topic("events").unwrap();
        for key in [b"a".as_slice(), b"order-1", b""] {
            let owner = &events.partitions[events.of_key(key)];
            assert!(owner.keys.contains(KeyHash::of(key)));
        }
    }

    #[test]
    fn a_topic_that_makes_no_sense_is_left_out_and_the_others_stay() {
        let table = table();
        assert!(table.topic("strange").is_none());
        assert!(table.topic("empty").is_none());
        assert!(table.topic("events").is_some());
    }
}
