//! What the broker asks the registry. Reading changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{ClusterId, GroupId, Incarnation, KeyHash, NodeId, ReplicaId, TopicId};

use crate::limits::MOVES_AT_ONCE;
use crate::lineage::Stage;
use crate::link::{Link, LinkKind};
use crate::membership::{Membership, ReplicaSet};
use crate::moves::{self, MoveState, ReplicaMove, Step};
use crate::node::Node;
use crate::placement::{Layout, Spread, Transfer};
use crate::registry::Registry;
use crate::routing::{NodeRoute, PartitionRoute, Routing, TopicRoute};
use crate::topic::{COORDINATOR, Contents, Partition, Topic};

/// What a replica is in its group right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It votes.
    Voter,
    /// It follows; it may be on its way to become a voter.
    Learner,
}

/// A replica that a node shall run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredReplica {
    /// The partition: its group, topic, number and key range.
    pub partition: Partition,
    /// The replica's id.
    pub replica: ReplicaId,
    /// Which machine to run, by which policy. It also decides the class of the log: a stream's entries are
    /// retained, those of a queue or coordinator are short-lived.
    pub contents: Contents,
    /// What it is now.
    pub role: Role,
    /// The group's membership as last reported; the voters to form it with, while it is not formed.
    pub members: ReplicaSet,
    /// Whether the group is formed. If not, a voter starts the group with `members.voters`; any number of them
    /// may, since all name the same set.
    pub formed: bool,
    /// Whether its topic is being restored: the group begins with an image, on the preferred leader's node.
    pub restoring: bool,
}

/// What to do with data of a replica that a node finds on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The replica belongs to the cluster.
    Keep,
    /// Its group is deleted, or the group goes on without it: the data may go.
    Destroy,
    /// This registry is older than the replica: wait until it has caught up.
    Unknown,
}

/// The cluster and its nodes.
impl Registry {
    /// The cluster, once it is formed.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster.map(|cluster| cluster.id)
    }

    /// Rises with every change of nodes, topics, partitions or memberships; 0 before the cluster is formed.
    pub fn version(&self) -> u64 {
        self.cluster.map_or(0, |cluster| cluster.version)
    }

    /// Every node that ever was, in order of id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The nodes that take part (registered or draining): the address book.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.is_member())
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The node that a data directory belongs to.
    pub fn node_of_incarnation(&self, incarnation: Incarnation) -> Option<&Node> {
        self.nodes.get(self.node_by_incarnation.get(&incarnation)?)
    }
}

/// Topics and partitions.
impl Registry {
    /// The topics, in order of name; those that are being restored are not among them.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        let shown = self.topic_by_name.values().filter(|id| !self.is_restoring(**id));
        shown.filter_map(|id| self.topics.get(id))
    }

    /// A topic by id.
    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id)
    }

    /// A topic by name.
    pub fn topic_named(&self, name: &str) -> Option<&Topic> {
        self.topics.get(self.topic_by_name.get(name)?)
    }

    /// The partitions of a topic (or of [`COORDINATOR`]) that own its keys, in order of key range. For the others see
    /// [`Registry::all_partitions`].
    pub fn partitions(&self, topic: TopicId) -> impl Iterator<Item = &Partition> {
        let bounds = (topic, KeyHash(0))..=(topic, KeyHash(u32::MAX));
        self.ranges.range(bounds).filter_map(|(_, group)| self.partitions.get(group))
    }

    /// The partition of a topic that owns a key.
    pub fn partition_for(&self, topic: TopicId, key: KeyHash) -> Option<&Partition> {
        let (_, group) = self.ranges.range((topic, KeyHash(0))..=(topic, key)).next_back()?;
        self.partitions.get(group).filter(|partition| partition.range.contains(key))
    }

    /// All links, in order of creation.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The links that go out from a topic.
    pub fn links_from(&self, topic: TopicId) -> impl Iterator<Item = &Link> {
        self.links.values().filter(move |link| link.from == topic)
    }

    /// One link.
    pub fn link(&self, kind: LinkKind, from: TopicId, to: TopicId) -> Option<&Link> {
        self.links.values().find(|link| (link.kind, link.from, link.to) == (kind, from, to))
    }

    /// The coordinator's shard that a consumer group belongs to, for ever.
    pub fn coordinator_for(&self, consumer_group: &str) -> Option<&Partition> {
        self.partition_for(COORDINATOR, KeyHash::of(consumer_group.as_bytes()))
    }

    /// A partition (or coordinator shard) by its group; none for the metadata group.
    pub fn partition(&self, group: GroupId) -> Option<&Partition> {
        self.partitions.get(&group)
    }

    /// Whether a partition was there once and is no more: one that this copy of the registry has not heard of yet
    /// is not deleted.
    pub fn is_deleted(&self, group: GroupId) -> bool {
        let given = self.cluster.as_ref().is_some_and(|cluster| group < cluster.next_group);
        given && !self.partitions.contains_key(&group)
    }

    /// What the replicas of a partition hold.
    pub fn contents(&self, partition: &Partition) -> Option<Contents> {
        if partition.topic == COORDINATOR {
            return Some(Contents::Coordinator);
        }
        self.topics.get(&partition.topic).map(|topic| Contents::from(&topic.policy))
    }
}

/// Memberships and moves.
impl Registry {
    /// Who holds the replicas of a group; of the metadata group too.
    pub fn membership(&self, group: GroupId) -> Option<&Membership> {
        self.memberships.get(&group)
    }

    /// The replicas that a node shall run, in order of group; the metadata group's (see
    /// [`Node::metadata_replica`]) is not among them. A retired replica is not either: it must be stopped.
    pub fn replicas_on(&self, node: NodeId) -> Vec<DesiredReplica> {
        let mut desired = Vec::new();
        for (group, partition) in &self.partitions {
            let Some(membership) = self.memberships.get(group) else { continue };
            for replica in membership.on(node) {
                if !self.is_retired(*group, replica) {
                    desired.extend(self.desired(partition, membership, replica));
                }
            }
        }
        desired
    }

    fn desired(
        &self,
        partition: &Partition,
        membership: &Membership,
        replica: ReplicaId,
    ) -> Option<DesiredReplica> {
        let votes = membership.current.voters.contains_key(&replica);
        Some(DesiredReplica {
            partition: *partition,
            replica,
            contents: self.contents(partition)?,
            role: if votes { Role::Voter } else { Role::Learner },
            members: membership.current.clone(),
            formed: membership.formed,
            restoring: self.is_restoring(partition.topic),
        })
    }

    /// Whether a replica must never vote or answer again, although its group may still count it.
    pub fn is_retired(&self, group: GroupId, replica: ReplicaId) -> bool {
        let Some(membership) = self.memberships.get(&group) else { return false };
        let Some(node) = membership.node_of(replica).and_then(|node| self.nodes.get(&node)) else {
            return false;
        };
        !node.is_member() || (replica < node.replicas_from && !membership.kept.contains(&replica))
    }

    /// What to do with a replica's data on disk.
    pub fn fate(&self, group: GroupId, replica: ReplicaId) -> Fate {
        let Some(cluster) = &self.cluster else { return Fate::Unknown };
        if group >= cluster.next_group || replica >= cluster.next_replica {
            return Fate::Unknown;
        }
        match self.memberships.get(&group) {
            Some(membership) if membership.node_of(replica).is_some() && !self.is_retired(group, replica) => {
                Fate::Keep
            }
            _ => Fate::Destroy,
        }
    }

    /// What a node has to do now in the groups that it leads, each under this replica, while it hears every node. It
    /// copies replicas of at most [`MOVES_AT_ONCE`] groups at a time; what restores lost replicas under their node is not
    /// held back.
    pub fn steps(&self, led: &BTreeMap<GroupId, ReplicaId>) -> BTreeMap<GroupId, Step> {
        let turns = self.turns(led, &BTreeSet::new());
        let step = |(group, leader): (&GroupId, &ReplicaId)| {
            let step = self.step(*group, *leader)?;
            let begins = self.begins_copy(*group, &step);
            (!begins || turns.contains(group)).then_some((*group, step))
        };
        led.iter().filter_map(step).collect()
    }

    /// The groups whose turn it is to begin copying replicas, for a node that leads these and does not hear those that
    /// are `down`: a copy for one of them does not begin, and one that has begun is not waited for.
    pub fn turns(&self, led: &BTreeMap<GroupId, ReplicaId>, down: &BTreeSet<NodeId>) -> BTreeSet<GroupId> {
        let heard = |node: NodeId| !down.contains(&node);
        let copying = led.keys().filter(|group| self.copies(**group).any(heard)).count();
        let begins = |(group, leader): &(&GroupId, &ReplicaId)| {
            let step = self.step(**group, **leader);
            let to = |step: &Step| matches!(step, Step::AddLearner { node, .. } if heard(*node));
            step.is_some_and(|step| to(&step) && self.begins_copy(**group, &step))
        };
        let turns = led.iter().filter(begins).map(|(group, _)| *group);
        turns.take(MOVES_AT_ONCE.saturating_sub(copying)).collect()
    }

    /// The nodes to which replicas of a group are being copied.
    fn copies(&self, group: GroupId) -> impl Iterator<Item = NodeId> {
        let learners = self.memberships.get(&group).into_iter().flat_map(|known| {
            let to_vote = |(replica, _): &(&ReplicaId, &NodeId)| known.target.voters.contains_key(replica);
            known.current.learners.iter().filter(to_vote)
        });
        learners.filter(move |(replica, _)| self.is_copy(group, **replica)).map(|(_, node)| *node)
    }

    /// Whether a replica that is to vote is one more, or on its way to another node, and not one that makes up for a
    /// lost one under its node.
    fn is_copy(&self, group: GroupId, replica: ReplicaId) -> bool {
        let moves = self.moves.get(&group).is_some_and(|moving| moving.new == replica);
        let grows = || self.memberships.get(&group).is_some_and(Membership::grows);
        moves || (group != GroupId::METADATA && grows())
    }

    /// The next step of one group, for the replica that leads it. Whether a move may begin, [`Registry::turns`] tells.
    pub fn step(&self, group: GroupId, leader: ReplicaId) -> Option<Step> {
        let retired = |replica| self.is_retired(group, replica);
        moves::next_step(self.memberships.get(&group)?, leader, retired)
    }

    /// Whether with a step the group begins to copy replicas to other nodes. A group that has begun to grow goes on: its
    /// new replicas come to vote all at once, so it must not wait for one of them.
    pub fn begins_copy(&self, group: GroupId, step: &Step) -> bool {
        let adds = matches!(step, Step::AddLearner { replica, .. } if self.is_copy(group, *replica));
        adds && self.copies(group).next().is_none()
    }

    /// The moves of replicas that are under way, in order of group.
    pub fn moves(&self) -> impl Iterator<Item = MoveState> {
        self.moves.iter().filter_map(|(group, moving)| {
            let membership = self.memberships.get(group)?;
            let (from, to) = (moving.from, membership.node_of(moving.new)?);
            let (reason, phase) = (moving.reason, moving.phase(membership));
            Some(MoveState { group: *group, from, to, reason, phase })
        })
    }

    /// The fewest moves that spread the replicas over the nodes that are in use and not `down`: see [`Layout::balance`].
    pub fn plan_balance(&self, down: &BTreeSet<NodeId>) -> Vec<ReplicaMove> {
        self.layout(down).balance().moves
    }

    /// Where everything is that a balance may move, and the nodes that are in use and not `down`. A partition that is on
    /// the move already is left out.
    pub fn layout(&self, down: &BTreeSet<NodeId>) -> Layout {
        let candidates: Vec<_> =
            self.candidates().into_iter().filter(|candidate| !down.contains(&candidate.node)).collect();
        let settled = self.memberships.iter().filter(|(group, membership)| {
            **group != GroupId::METADATA && membership.formed && membership.current == membership.target
        });
        let spreads = settled.map(|(group, membership)| Spread {
            group: *group,
            nodes: membership.target.voters.values().copied().collect(),
            leader: membership.target.voters.get(&membership.preferred_leader).copied(),
        });
        let usable: BTreeSet<NodeId> = candidates.iter().map(|candidate| candidate.node).collect();
        let others = self.nodes.values().filter(|node| !usable.contains(&node.id));
        let racks = others.filter_map(|node| Some((node.id, node.rack.clone()?))).collect();
        Layout { candidates, racks, partitions: spreads.collect() }
    }

    /// The transfers of leadership that bring leaders to the preferred replicas, given who leads now and which
    /// nodes are up. Groups that nobody is known to lead are left alone.
    pub fn leader_transfers(
        &self,
        leaders: &BTreeMap<GroupId, ReplicaId>,
        up: &BTreeSet<NodeId>,
    ) -> Vec<Transfer> {
        let preferred = |(group, from): (&GroupId, &ReplicaId)| {
            let membership = self.memberships.get(group).filter(|_| *group != GroupId::METADATA)?;
            let to = membership.preferred_leader;
            let node = membership.current.voters.get(&to)?;
            let able = to != *from && up.contains(node) && !self.is_retired(*group, to);
            able.then_some(Transfer { group: *group, from: *from, to })
        };
        leaders.iter().filter_map(preferred).collect()
    }
}

/// The routing table.
impl Registry {
    /// The routing table at this version. It copies everything: take it once per version.
    pub fn routing(&self) -> Routing {
        Routing {
            cluster: self.cluster_id().unwrap_or_default(),
            version: self.version(),
            nodes: self.members().map(node_route).collect(),
            topics: self.topics().map(|topic| self.topic_route(topic)).collect(),
            coordinator: self.partition_routes(COORDINATOR),
        }
    }

    /// One topic's part of the routing table.
    pub fn topic_route(&self, topic: &Topic) -> TopicRoute {
        let sealed = |partition: &&Partition| self.stage(partition.group) == Stage::Sealed;
        let sealed = self.all_partitions(topic.id).filter(sealed);
        TopicRoute {
            sealed: sealed.filter_map(|partition| self.partition_route(partition)).collect(),
            id: topic.id,
            name: topic.name.clone(),
            policy: topic.policy.clone(),
            partitions: self.partition_routes(topic.id),
        }
    }

    fn partition_routes(&self, topic: TopicId) -> Vec<PartitionRoute> {
        self.partitions(topic).filter_map(|partition| self.partition_route(partition)).collect()
    }

    fn partition_route(&self, partition: &Partition) -> Option<PartitionRoute> {
        let membership = self.memberships.get(&partition.group)?;
        let nodes: BTreeSet<NodeId> = membership.current.voters.values().copied().collect();
        Some(PartitionRoute {
            group: partition.group,
            index: partition.index,
            range: partition.range,
            parents: self.lineage(partition.group).map_or_else(Vec::new, |lineage| lineage.parents.clone()),
            nodes: nodes.into_iter().collect(),
            preferred_leader: self.first_to_ask(partition.group, membership)?,
        })
    }

    /// The preferred leader, or while it cannot lead yet, a voter that can.
    fn first_to_ask(&self, group: GroupId, membership: &Membership) -> Option<NodeId> {
        let voters = &membership.current.voters;
        let preferred = voters.get(&membership.preferred_leader);
        let able = || voters.iter().find(|(replica, _)| !self.is_retired(group, **replica));
        preferred.or_else(|| able().map(|(_, node)| node)).or_else(|| voters.values().next()).copied()
    }
}

fn node_route(node: &Node) -> NodeRoute {
    NodeRoute {
        id: node.id,
        name: node.name.clone(),
        addresses: node.addresses.clone(),
        rack: node.rack.clone(),
    }
}
