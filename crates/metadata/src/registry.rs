//! The registry's state and the one place where commands are told apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_types::{
    At, ClusterId, Corrupt, Deadlines, GroupId, Incarnation, KeyHash, NodeId, Output, ProducerId, ReplicaId,
    TopicId,
};

use crate::apply::{
    CreateLink, CreateTopic, FormCluster, MembershipChanged, RegisterNode, ReshapeTopic, SetReplicas,
};
use crate::command::Command;
use crate::description::Described;
use crate::feature::Level;
use crate::lineage::Lineage;
use crate::link::Link;
use crate::membership::Membership;
use crate::moves::Move;
use crate::node::{Node, Reissue};
use crate::output::{Effect, Rejection, Reply};
use crate::producer::NamedProducer;
use crate::restoration::Restoration;
use crate::topic::{Partition, Topic};

/// What exists once per cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    /// Rises with every change of nodes, topics, partitions or memberships.
    pub(crate) version: u64,
    pub(crate) next_node: NodeId,
    pub(crate) next_replica: ReplicaId,
    pub(crate) next_topic: TopicId,
    pub(crate) next_group: GroupId,
    pub(crate) next_producer: ProducerId,
}

impl Cluster {
    pub(crate) fn take_node(&mut self) -> NodeId {
        let id = self.next_node;
        self.next_node.0 += 1;
        id
    }

    pub(crate) fn take_replica(&mut self) -> ReplicaId {
        let id = self.next_replica;
        self.next_replica.0 += 1;
        id
    }

    pub(crate) fn take_topic(&mut self) -> TopicId {
        let id = self.next_topic;
        self.next_topic.0 += 1;
        id
    }

    pub(crate) fn take_group(&mut self) -> GroupId {
        let id = self.next_group;
        self.next_group.0 += 1;
        id
    }

    pub(crate) fn take_producer(&mut self) -> ProducerId {
        let id = self.next_producer;
        self.next_producer.0 += 1;
        id
    }
}

/// The registry of a cluster. Empty until `FormCluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    pub(crate) cluster: Option<Cluster>,
    pub(crate) level: Level,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) reissues: BTreeMap<NodeId, Reissue>,
    pub(crate) topics: BTreeMap<TopicId, Topic>,
    pub(crate) partitions: BTreeMap<GroupId, Partition>,
    /// Of every partition, and of the metadata group.
    pub(crate) memberships: BTreeMap<GroupId, Membership>,
    pub(crate) producers: BTreeMap<String, NamedProducer>,
    pub(crate) links: BTreeMap<u32, Link>,
    /// Replicas on their way to another node, at most one of each partition.
    pub(crate) moves: BTreeMap<GroupId, Move>,
    /// The last restore, or the one that is under way.
    pub(crate) restoration: Option<Restoration>,
    /// Of the partitions that were split or merged, or came of that.
    pub(crate) lineages: BTreeMap<GroupId, Lineage>,
    // Derived from the above, never stored.
    pub(crate) node_by_incarnation: BTreeMap<Incarnation, NodeId>,
    pub(crate) topic_by_name: BTreeMap<String, TopicId>,
    /// Partitions of each topic that own its keys, in order of range: (topic, first hash) → group.
    pub(crate) ranges: BTreeMap<(TopicId, KeyHash), GroupId>,
    /// All partitions of each topic: (topic, number) → group.
    pub(crate) numbers: BTreeMap<(TopicId, u32), GroupId>,
}

impl Registry {
    /// Carries out one command. A rejection changes nothing; an error means that this log cannot have been
    /// written by a correct registry, or that it is of a later level than this build knows, and the replica must stop.
    pub fn apply(
        &mut self,
        at: At,
        command: Command,
        out: &mut Output<Effect>,
    ) -> Result<Result<Reply, Rejection>, Corrupt> {
        let answer = match command {
            Command::FormCluster { cluster, founders, coordinator_shards } => {
                let level = Level::FIRST;
                self.form_cluster(FormCluster { cluster, founders, coordinator_shards, level }, out)
            }
            Command::FoundCluster { cluster, founders, coordinator_shards, level } => {
                self.form_cluster(FormCluster { cluster, founders, coordinator_shards, level }, out)
            }
            _ if self.cluster.is_none() => Err(Rejection::NotFormed),
            command => self.apply_formed(at, command, out),
        };
        self.level.check_known()?;
        Ok(answer)
    }

    fn apply_formed(
        &mut self,
        at: At,
        command: Command,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        match command {
            Command::FormCluster { .. } | Command::FoundCluster { .. } => {
                unreachable!("these are not for a cluster that is formed")
            }
            Command::RegisterNode { incarnation, name, addresses, rack } => {
                let knows = Level::FIRST;
                self.register_node(RegisterNode { incarnation, name, addresses, rack, knows }, out)
            }
            Command::JoinNode { incarnation, name, addresses, rack, knows } => {
                self.register_node(RegisterNode { incarnation, name, addresses, rack, knows }, out)
            }
            Command::RaiseLevel { level, known } => self.raise_level(level, &known, out),
            Command::ReissueReplicas { node, incarnation, request } => {
                self.reissue_replicas(node, incarnation, request, out)
            }
            Command::CreateTopic { request, name, policy, partitions, replicas } => {
                let asked =
                    CreateTopic { request, name, policy, partitions, replicas, created: at.wall_clock };
                self.create_topic(asked, out)
            }
            Command::AlterTopic { topic, changes } => self.alter_topic(topic, &changes, out),
            Command::DeleteTopic { topic } => self.delete_topic(topic, out),
            Command::InitProducer { name, request } => self.init_producer(name, request, out),
            Command::PartitionFormed { group } => self.partition_formed(group, out),
            Command::MembershipChanged { group, voters, learners, generation } => {
                self.membership_changed(MembershipChanged { group, voters, learners, generation }, out)
            }
            Command::RemoveNode { node } => self.remove_node(node, out),
            Command::CreateLink { kind, from, to, starts } => {
                self.create_link(CreateLink { kind, from, to, starts, created: at.wall_clock }, out)
            }
            Command::DeleteLink { kind, from, to } => self.delete_link(kind, (from, to), out),
            Command::MoveReplicas { moves } => self.move_replicas(&moves, out),
            Command::CancelMoves { groups } => self.cancel_moves(&groups, out),
            Command::DrainNode { node, down } => self.drain_node(node, &down, out),
            Command::CancelDrain { node } => self.cancel_drain(node, out),
            Command::RecoverNode { node, down } => self.recover_node(node, &down, out),
            Command::ReplaceNode { node, by, down } => self.replace_node(node, by, &down, out),
            Command::BeginRestore { request, described } => {
                let described = Described { description: described, lineages: BTreeMap::new() };
                self.begin_restore(request, described, out)
            }
            Command::BeginRestoreOf { request, described } => self.begin_restore(request, described, out),
            Command::FinishRestore { request } => self.finish_restore(request, out),
            Command::AbandonRestore { request } => self.abandon_restore(request, out),
            Command::SetReplicas { topic, replicas, changes, down } => {
                self.set_replicas(&SetReplicas { topic, replicas, changes, down }, out)
            }
            Command::Reshape { topic, request, steps, down } => {
                self.reshape(&ReshapeTopic { topic, request, steps, down }, out)
            }
            Command::PartitionSealed { group } => self.partition_sealed(group, out),
            Command::RetirePartition { group } => self.retire_partition(group, out),
        }
    }

    /// When a tick is needed: never, since nothing in the registry waits for time to pass.
    pub fn next_deadlines(&self) -> Deadlines {
        Deadlines::default()
    }

    /// The cluster; callers run after `apply` has checked that it is formed.
    pub(crate) fn formed(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("commands but FormCluster are rejected before the cluster is formed")
    }
}
