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
    /// Those that own keys, in order of key range; together they cover every key.
    pub(crate) partitions: Vec<PartitionRoute>,
    /// Those that were split or merged: they take in nothing any more, and what came before is still in them.
    pub(crate) sealed: Vec<PartitionRoute>,
}

/// One partition and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRoute {
    pub(crate) partition: u32,
    pub(crate) group: GroupId,
    pub(crate) keys: KeyRange,
    pub(crate) leader: Option<NodeId>,
    pub(crate) voters: Vec<NodeId>,
    /// The sealed partitions whose keys it took over: what is in them comes first. Those that were removed are not named.
    pub(crate) parents: Vec<GroupId>,
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
            .flat_map(|topic| topic.all().map(|partition| (partition.group, partition.clone())))
            .collect();
        let nodes = table.nodes.into_iter().map(|node| (NodeId(node.node_id), node.client_address)).collect();
        Self { known: true, nodes, topics, groups }
    }

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<TopicRoute>> {
        self.topics.get(name).cloned()
    }

    /// The topic of a partition.
    pub(crate) fn topic_of(&self, group: GroupId) -> Option<&Arc<TopicRoute>> {
        self.topics.values().find(|topic| topic.has(group))
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
        let routes = |partitions: Vec<v1::RoutingPartition>| {
            partitions.into_iter().map(PartitionRoute::from_wire).collect::<Option<Vec<_>>>()
        };
        let (partitions, sealed) = (routes(topic.partitions)?, routes(topic.sealed)?);
        (!partitions.is_empty()).then(|| Self {
            id: TopicId(topic.topic_id),
            name: topic.name.into(),
            kind,
            partitions,
            sealed,
        })
    }

    /// All that can be read or worked on: those that own keys, and the sealed ones.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PartitionRoute> {
        self.partitions.iter().chain(&self.sealed)
    }

    /// Whether there is a partition of this group.
    pub(crate) fn has(&self, group: GroupId) -> bool {
        self.all().any(|partition| partition.group == group)
    }

    /// Whether the partition of this group owns keys.
    pub(crate) fn owns(&self, group: GroupId) -> bool {
        self.partitions.iter().any(|partition| partition.group == group)
    }

    /// Whether its partitions are not those that it was created with: a split or a merge gives new numbers, and takes old
    /// ones away for good.
    pub(crate) fn is_reshaped(&self) -> bool {
        let mut numbered = self.partitions.iter().zip(0..);
        !self.sealed.is_empty() || numbered.any(|(partition, number)| partition.partition != number)
    }

    /// Whether another table shows the same partitions, whoever leads them.
    pub(crate) fn has_same_partitions(&self, other: &Self) -> bool {
        let groups =
            |topic: &Self| topic.partitions.iter().map(|partition| partition.group).collect::<Vec<_>>();
        groups(self) == groups(other)
    }

    /// Those that own keys of this range, in order, if they cover it.
    pub(crate) fn owners_within(&self, keys: KeyRange) -> Option<Vec<&PartitionRoute>> {
        let (mut next, end) = (u64::from(keys.first().0), u64::from(keys.last().0));
        let mut owners = Vec::new();
        for owner in &self.partitions {
            let (first, last) = (u64::from(owner.keys.first().0), u64::from(owner.keys.last().0));
            if next <= end && first <= next && next <= last {
                owners.push(owner);
                next = last + 1;
            }
        }
        (next > end).then_some(owners)
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
            parents: partition.parents.into_iter().map(GroupId).collect(),
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
            parents: Vec::new(),
        }
    }

    fn table() -> RoutingTable {
        let topic = |name: &str, kind: v1::TopicKind, partitions| v1::RoutingTopic {
            topic_id: 1,
            name: name.to_owned(),
            kind: kind as i32,
            partitions,
            sealed: Vec::new(),
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

    /// Partition 0 of two was split into 2 and 3.
    fn split() -> RoutingTable {
        let of_range = |number: u32, keys: KeyRange, parents: &[u32]| v1::RoutingPartition {
            partition: number,
            group_id: 10 + number,
            key_first: keys.first().0,
            key_last: keys.last().0,
            leader: Some(2),
            parents: parents.to_vec(),
            ..v1::RoutingPartition::default()
        };
        RoutingTable::from_wire(v1::RoutingTable {
            nodes: vec![v1::RoutingNode { node_id: 2, client_address: "b:2".to_owned() }],
            topics: vec![v1::RoutingTopic {
                topic_id: 1,
                name: "events".to_owned(),
                kind: v1::TopicKind::Stream as i32,
                partitions: vec![
                    of_range(2, KeyRange::part(0, 4), &[10]),
                    of_range(3, KeyRange::part(1, 4), &[10]),
                    of_range(1, KeyRange::part(1, 2), &[]),
                ],
                sealed: vec![of_range(0, KeyRange::part(0, 2), &[])],
            }],
            ..v1::RoutingTable::default()
        })
    }

    #[test]
    fn a_sealed_partition_has_a_leader_and_owns_no_key() {
        let table = split();
        assert_eq!(table.leader(GroupId(10)), Some("b:2"));
        let events = table.topic("events").unwrap();
        assert!(events.has(GroupId(10)) && events.has(GroupId(12)) && !events.has(GroupId(14)));
        assert!(!events.owns(GroupId(10)) && events.owns(GroupId(12)));
        assert_eq!(events.partitions[0].parents, [GroupId(10)]);
        let numbers: Vec<u32> = events.all().map(|partition| partition.partition).collect();
        assert_eq!(numbers, [2, 3, 1, 0]);
        assert_ne!(events.partitions[events.of_key(b"order-1")].partition, 0);
    }

    #[test]
    fn those_that_own_a_range_now_are_found_and_a_hole_in_it_is_seen() {
        let events = split().topic("events").unwrap();
        let within = |topic: &TopicRoute, keys| {
            let owners = topic.owners_within(keys)?;
            Some(owners.iter().map(|owner| owner.partition).collect::<Vec<_>>())
        };
        assert_eq!(within(&events, KeyRange::part(0, 2)), Some(vec![2, 3]));
        assert_eq!(within(&events, KeyRange::part(1, 4)), Some(vec![3]));
        assert_eq!(within(&events, KeyRange::part(5, 8)), Some(vec![1]));
        assert_eq!(within(&events, KeyRange::ALL), Some(vec![2, 3, 1]));
        let mut holed = (*events).clone();
        holed.partitions.remove(1);
        assert_eq!(within(&holed, KeyRange::part(0, 2)), None);
        assert_eq!(within(&holed, KeyRange::part(0, 4)), Some(vec![2]));
    }

    #[test]
    fn a_topic_is_reshaped_once_it_was_split() {
        assert!(!table().topic("events").unwrap().is_reshaped());
        let mut events = (*split().topic("events").unwrap()).clone();
        assert!(events.is_reshaped());
        events.sealed.clear();
        assert!(events.is_reshaped(), "also when the parents are gone");
    }

    #[test]
    fn a_topic_that_makes_no_sense_is_left_out_and_the_others_stay() {
        let table = table();
        assert!(table.topic("strange").is_none());
        assert!(table.topic("empty").is_none());
        assert!(table.topic("events").is_some());
    }
}
