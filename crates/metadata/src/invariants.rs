//! What always holds of a registry. Checked after every apply in tests and simulation, and once when a registry
//! is restored.

use std::collections::BTreeSet;

use weir_types::{Corrupt, GroupId, NodeId};

use crate::lineage::{Lineage, Stage};
use crate::membership::{Membership, ReplicaSet};
use crate::node::NodeState;
use crate::registry::{Cluster, Registry};
use crate::topic::COORDINATOR;

impl Registry {
    /// Panics, naming the broken rule, when the state is one that no sequence of commands can lead to.
    pub fn check_invariants(&self) {
        if let Err(Corrupt(broken)) = self.check() {
            panic!("{broken}");
        }
    }

    pub(crate) fn check(&self) -> Result<(), Corrupt> {
        let Some(cluster) = &self.cluster else {
            let empty = *self == Self::default();
            return holds(empty, || "there is state, but no cluster".into());
        };
        self.check_nodes(cluster)?;
        self.check_topics(cluster)?;
        self.check_ranges()?;
        self.check_lineages()?;
        holds(self.memberships.contains_key(&GroupId::METADATA), || {
            "the metadata group has no members".into()
        })?;
        let mut replicas = BTreeSet::new();
        for (group, membership) in &self.memberships {
            self.check_membership(*group, membership, cluster)?;
            let of_group: BTreeSet<_> = membership
                .current
                .iter()
                .chain(membership.target.iter())
                .map(|(replica, _)| replica)
                .collect();
            for replica in of_group {
                holds(replicas.insert(replica), || format!("replica {replica} is in two groups"))?;
            }
        }
        for (group, moving) in &self.moves {
            let target = self.memberships.get(group).map(|membership| &membership.target);
            let planned = target
                .is_some_and(|to| to.voters.contains_key(&moving.new) && to.node_of(moving.old).is_none());
            holds(planned && moving.from != NodeId(0), || {
                format!("group {group}: {moving:?} is not what the group shall get to")
            })?;
        }
        if let Some(restoration) = &self.restoration {
            let known = restoration.topics.iter().all(|topic| self.topics.contains_key(topic));
            let given = restoration.next_topic <= cluster.next_topic
                && restoration.next_group <= cluster.next_group
                && restoration.next_producer <= cluster.next_producer;
            holds(known && given, || format!("{restoration:?} is of topics or ids that were never given"))?;
        }
        for (id, link) in &self.links {
            let known = self.topics.contains_key(&link.from) && self.topics.contains_key(&link.to);
            let issued = link.id == *id && u64::from(*id) <= cluster.version;
            holds(known && issued, || format!("link {id}: {link:?} without its topics"))?;
        }
        let producers: BTreeSet<_> = self.producers.values().map(|producer| producer.id).collect();
        holds(producers.len() == self.producers.len(), || "two producers share an id".into())?;
        holds(producers.last().is_none_or(|id| *id < cluster.next_producer), || {
            "a producer id is not below the counter".into()
        })
    }

    fn check_nodes(&self, cluster: &Cluster) -> Result<(), Corrupt> {
        for node in self.nodes.values() {
            let id = node.id;
            holds(id < cluster.next_node, || format!("node {id} is not below the counter"))?;
            holds(self.node_by_incarnation.get(&node.incarnation) == Some(&id), || {
                format!("node {id} is not found by its incarnation")
            })?;
            let in_metadata = self.memberships.get(&GroupId::METADATA).is_some_and(|m| m.target.uses(id));
            holds(in_metadata || !node.is_registered(), || {
                format!("node {id} is to have no replica of the metadata group")
            })?;
            let out = matches!(node.state, NodeState::Draining | NodeState::Cordoned);
            let partitions = || self.memberships.iter().filter(|(group, _)| **group != GroupId::METADATA);
            holds(!out || !partitions().any(|(_, m)| m.target.uses(id)), || {
                format!("node {id} is on its way out, and is to hold a partition")
            })?;
        }
        holds(self.node_by_incarnation.len() == self.nodes.len(), || "two nodes share an incarnation".into())
    }

    fn check_topics(&self, cluster: &Cluster) -> Result<(), Corrupt> {
        for topic in self.topics.values() {
            let id = topic.id;
            holds(COORDINATOR < id && id < cluster.next_topic, || format!("topic {id} was never issued"))?;
            holds(self.topic_by_name.get(&topic.name) == Some(&id), || {
                format!("topic {id} is not found by its name")
            })?;
            let partitions = self.partitions(id).count();
            holds(partitions == topic.partitions as usize, || {
                format!("topic {id} has {partitions} partitions, not {}", topic.partitions)
            })?;
            // Whatever moves, drains and recoveries do meanwhile, each of them puts one in the place of another.
            let wanted = |membership: &Membership| membership.target.voters.len() == topic.replicas as usize;
            let mut memberships =
                self.all_partitions(id).map(|partition| self.memberships.get(&partition.group));
            holds(memberships.all(|membership| membership.is_none_or(wanted)), || {
                format!("a partition of topic {id} is not to have {} replicas", topic.replicas)
            })?;
        }
        holds(self.topic_by_name.len() == self.topics.len(), || "two topics share a name".into())
    }

    /// The partitions of each topic that own keys cover the key space without gap or overlap.
    fn check_ranges(&self) -> Result<(), Corrupt> {
        let owners = self.partitions.keys().filter(|group| self.stage(**group).owns()).count();
        holds(self.ranges.len() == owners, || "two partitions start at one hash".into())?;
        holds(self.numbers.len() == self.partitions.len(), || "two partitions have one number".into())?;
        for topic in self.topics.keys().copied().chain([COORDINATOR]) {
            let mut next = 0;
            for partition in self.partitions(topic) {
                let range = partition.range;
                holds(u64::from(range.first().0) == next, || {
                    format!("topic {topic} has a gap or overlap before {range}")
                })?;
                next = u64::from(range.last().0) + 1;
            }
            holds(next == 1 << 32, || format!("the partitions of topic {topic} end at {next:#x}"))?;
        }
        Ok(())
    }

    /// Parents and children know of each other, and stand where they can at the same time.
    pub(crate) fn check_lineages(&self) -> Result<(), Corrupt> {
        for (group, lineage) in &self.lineages {
            let Lineage { stage, parents, children, request, reported } = lineage;
            let of_topic =
                self.partitions.get(group).is_some_and(|known| self.topics.contains_key(&known.topic));
            let replaced = !children.is_empty();
            let fits = match stage {
                Stage::Open | Stage::Coming => !replaced && !reported && !parents.is_empty(),
                Stage::Sealing => replaced,
                Stage::Sealed => replaced && *reported,
            };
            holds(of_topic && fits && (parents.is_empty() || request.is_some()), || {
                format!("partition {group} cannot be so: {lineage:?}")
            })?;
            for child in children {
                self.check_kin(*group, *child)?;
            }
            for parent in parents {
                let known = self.lineages.get(parent).is_some_and(|known| known.children.contains(group));
                holds(known, || format!("partition {parent} is not known as a parent of {group}"))?;
            }
            if *stage == Stage::Sealing {
                self.check_step(*group, children)?;
            }
        }
        Ok(())
    }

    /// A parent and a child of it.
    fn check_kin(&self, parent: GroupId, child: GroupId) -> Result<(), Corrupt> {
        let known = self.lineages.get(&child).is_some_and(|known| known.parents.contains(&parent));
        holds(known, || format!("partition {child} is not known as a child of {parent}"))?;
        let stages = (self.stage(parent), self.stage(child));
        let fits = match stages {
            (Stage::Sealing, stage) => stage == Stage::Coming,
            (parent, stage) => parent == Stage::Sealed && stage != Stage::Coming,
        };
        holds(fits, || format!("partition {parent} and its child {child} cannot be {stages:?}"))?;
        let place = |group| self.partitions.get(&group).map(|known| (known.topic, known.index));
        let later = match (place(parent), place(child)) {
            (Some((topic, older)), Some((same, younger))) => topic == same && older < younger,
            _ => false,
        };
        holds(later, || format!("partition {child} has no higher number than its parent {parent}"))
    }

    /// What is to be sealed and what comes in its place have the same keys, and not all has been reported yet.
    fn check_step(&self, group: GroupId, children: &[GroupId]) -> Result<(), Corrupt> {
        let parents = |child: &GroupId| self.lineages.get(child).map(|known| &known.parents);
        let all = children.first().and_then(parents);
        let waits = |parent: &GroupId| self.lineages.get(parent).is_some_and(|known| !known.reported);
        let same = all.is_some_and(|all| {
            let agree = children.iter().all(|child| parents(child) == Some(all));
            let keys = self.span(all);
            agree && all.iter().any(waits) && keys.is_some() && keys == self.span(children)
        });
        holds(same, || format!("partition {group} is not to be replaced by {children:?}"))
    }

    /// The first and the last key of neighbours; none when they are no neighbours.
    fn span(&self, groups: &[GroupId]) -> Option<(u32, u32)> {
        let mut span: Option<(u32, u32)> = None;
        for group in groups {
            let range = self.partitions.get(group)?.range;
            let (first, last) = (range.first().0, range.last().0);
            span = match span {
                None => Some((first, last)),
                Some((start, end)) if end.checked_add(1) == Some(first) => Some((start, last)),
                Some(_) => return None,
            };
        }
        span
    }

    fn check_membership(
        &self,
        group: GroupId,
        membership: &Membership,
        cluster: &Cluster,
    ) -> Result<(), Corrupt> {
        let partition = self.partitions.get(&group);
        let known = match partition {
            Some(partition) => partition.topic == COORDINATOR || self.topics.contains_key(&partition.topic),
            None => group == GroupId::METADATA,
        };
        holds(known && group < cluster.next_group, || format!("group {group} belongs to nothing"))?;
        for set in [&membership.current, &membership.target] {
            self.check_set(group, set, cluster)?;
        }
        let nodes: BTreeSet<NodeId> = membership.target.iter().map(|(_, node)| node).collect();
        holds(nodes.len() == membership.target.iter().count(), || {
            format!("group {group} is to have two replicas on one node")
        })?;
        let preferred = membership.preferred_leader;
        holds(membership.target.voters.contains_key(&preferred), || {
            format!("group {group} prefers leader {preferred}, which is not to vote")
        })?;
        let foreign = membership.kept.iter().find(|replica| membership.node_of(**replica).is_none());
        holds(foreign.is_none(), || format!("group {group} keeps a replica that it does not have"))
    }

    fn check_set(&self, group: GroupId, set: &ReplicaSet, cluster: &Cluster) -> Result<(), Corrupt> {
        holds(!set.voters.is_empty(), || format!("group {group} has no voters"))?;
        for (replica, node) in set.iter() {
            holds(replica < cluster.next_replica && self.nodes.contains_key(&node), || {
                format!("replica {replica} of group {group} on node {node} was never issued")
            })?;
        }
        let both = set.voters.keys().any(|replica| set.learners.contains_key(replica));
        holds(!both, || format!("a replica of group {group} is both voter and learner"))
    }
}

fn holds(rule: bool, broken: impl FnOnce() -> String) -> Result<(), Corrupt> {
    if rule { Ok(()) } else { Err(Corrupt(broken())) }
}
