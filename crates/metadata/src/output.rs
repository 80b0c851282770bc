//! What the registry answers: replies, rejections, and hints for the leader's runtime.

use serde::{Deserialize, Serialize};
use weir_types::{
    ClusterId, ErrorKind, GroupId, Incarnation, NodeId, ProducerEpoch, ProducerId, ReplicaId, RequestId,
    TopicId, TopicKind, WeirError,
};

use crate::feature::Level;
use crate::link::LinkKind;
use crate::node::ReissuedReplica;

/// The answer to a command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The cluster exists.
    Formed {
        /// Its id.
        cluster: ClusterId,
    },
    /// The node is registered.
    Registered {
        /// Its id.
        node: NodeId,
        /// Its replica of the metadata group.
        replica: ReplicaId,
    },
    /// The node's replicas have fresh ids.
    Reissued {
        /// Old and new ids, in order of group; the metadata group is among them.
        replicas: Vec<ReissuedReplica>,
        /// Groups whose only voter is on the node: those replicas keep their ids and what the disk still has.
        kept: Vec<GroupId>,
    },
    /// The topic exists, created by this request.
    TopicCreated {
        /// Its id.
        topic: TopicId,
    },
    /// The topic's settings are as asked.
    TopicAltered {
        /// Its id.
        topic: TopicId,
    },
    /// The topic is gone.
    TopicDeleted {
        /// Its id.
        topic: TopicId,
    },
    /// The producer may produce.
    ProducerReady {
        /// Its id.
        producer: ProducerId,
        /// Its epoch: batches with an older one are fenced.
        epoch: ProducerEpoch,
    },
    /// The report is taken in (or was older than what is known).
    Reported,
    /// The node is leaving; it is removed when its last replica has moved.
    NodeLeaving {
        /// Its id.
        node: NodeId,
    },
    /// The link is there.
    LinkCreated {
        /// Its id.
        link: u32,
    },
    /// The link is gone.
    LinkDeleted {
        /// Its id.
        link: u32,
    },
    /// So many moves of replicas are planned, or were already.
    MovesPlanned {
        /// How many.
        moves: u32,
    },
    /// These moves were taken back.
    MovesCancelled {
        /// Their partitions.
        groups: Vec<GroupId>,
    },
    /// The node is being emptied, and stays a member.
    NodeDraining {
        /// Its id.
        node: NodeId,
    },
    /// The node is in use again.
    NodeReturned {
        /// Its id.
        node: NodeId,
        /// Moves away from it that were taken back.
        cancelled: u32,
        /// Moves away from it that were too far on for that.
        going_on: u32,
    },
    /// The cluster is at this feature level.
    LevelRaised {
        /// The level.
        level: Level,
    },
    /// The topics of the backup are there, hidden, and wait for their images.
    RestoreBegun,
    /// The restored topics are topics like any others.
    RestoreFinished,
    /// Nothing of the restore is left.
    RestoreAbandoned,
    /// The splits and merges are planned, or were already.
    Reshaped {
        /// The partitions that are replaced, in order of the steps.
        parents: Vec<GroupId>,
        /// Those that replace them, in the same order.
        children: Vec<GroupId>,
    },
}

/// A hint for the runtime of the leader. Losing or repeating one is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Nodes, topics, partitions or memberships changed: wake the routing watch and the reconciler. Other
    /// replicas compare [`Registry::version`](crate::Registry::version) after each batch of entries.
    RoutingChanged {
        /// The version after the change.
        version: u64,
    },
}

/// Why a command was not carried out. A normal, replicated answer: nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// `FormCluster` has not been applied yet.
    #[error("the cluster is not formed yet")]
    NotFormed,
    /// Another cluster was formed here.
    #[error("this is cluster {formed}, not {asked}")]
    AlreadyFormed {
        /// The cluster that there is.
        formed: ClusterId,
        /// The one that was to be formed.
        asked: ClusterId,
    },
    /// The founders do not make a cluster.
    #[error("these founders cannot form a cluster: {reason}")]
    InvalidFounders {
        /// What is wrong.
        reason: String,
    },
    /// An address, rack or node name is empty or too long.
    #[error("node setting `{setting}` of {bytes} bytes is not between 1 and {limit} bytes")]
    InvalidNode {
        /// Which one.
        setting: String,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// No such node.
    #[error("node {node} is not known")]
    NodeUnknown {
        /// The id asked for.
        node: NodeId,
    },
    /// The node id belongs to another data directory.
    #[error("node {node} has incarnation {registered}, not {asked}")]
    WrongIncarnation {
        /// The node.
        node: NodeId,
        /// What is registered.
        registered: Incarnation,
        /// What was given.
        asked: Incarnation,
    },
    /// The node was taken out of the cluster.
    #[error("node {node} was removed from the cluster")]
    NodeRemoved {
        /// The node.
        node: NodeId,
    },
    /// Another node registered under the node's address.
    #[error("node {node} was replaced by node {by}")]
    NodeReplaced {
        /// The node.
        node: NodeId,
        /// Its successor.
        by: NodeId,
    },
    /// Too few nodes for the replicas.
    #[error("{wanted} replicas need {wanted} nodes, {have} are in use")]
    NotEnoughNodes {
        /// Nodes needed.
        wanted: u32,
        /// Nodes that are in use.
        have: u32,
    },
    /// The cluster has as many nodes as it may.
    #[error("the cluster has {limit} nodes, the most allowed")]
    TooManyNodes {
        /// The limit.
        limit: usize,
    },
    /// Not a name for a topic or producer.
    #[error("name `{name}` is not 1 to 200 of a-z A-Z 0-9 . _ - not starting with a dot or a dash")]
    InvalidName {
        /// The name, cut to a readable length.
        name: String,
    },
    /// A topic of this name exists, with the very same settings, but another request created it.
    #[error("topic `{name}` exists already, with the same settings")]
    TopicExists {
        /// The name.
        name: String,
        /// The topic there is.
        topic: TopicId,
    },
    /// A topic of this name exists with other settings.
    #[error("topic `{name}` exists already, with other settings")]
    TopicDiffers {
        /// The name.
        name: String,
        /// The topic there is.
        topic: TopicId,
    },
    /// No topic with this id was ever created.
    #[error("topic {topic} does not exist")]
    TopicNotFound {
        /// The id asked for.
        topic: TopicId,
    },
    /// The cluster has as many topics as it may.
    #[error("the cluster has {limit} topics, the most allowed")]
    TooManyTopics {
        /// The limit.
        limit: usize,
    },
    /// A topic needs at least one partition.
    #[error("a topic needs at least one partition")]
    NoPartitions,
    /// Too many partitions, of the topic or of the cluster.
    #[error("{wanted} partitions exceed the limit of {limit}")]
    TooManyPartitions {
        /// Partitions there would be.
        wanted: u32,
        /// The limit.
        limit: u32,
    },
    /// A partition needs at least one replica.
    #[error("a topic needs at least one replica")]
    NoReplicas,
    /// Too many replicas.
    #[error("{wanted} replicas exceed the limit of {limit}")]
    TooManyReplicas {
        /// Replicas asked for.
        wanted: u32,
        /// The limit.
        limit: u32,
    },
    /// A setting for the other kind of topic.
    #[error("topic `{name}` is a {is}: the setting `{setting}` is for a {wanted}")]
    WrongKind {
        /// The topic.
        name: String,
        /// What it is.
        is: TopicKind,
        /// What the setting is for.
        wanted: TopicKind,
        /// The setting.
        setting: String,
    },
    /// A setting out of its bounds.
    #[error("setting `{setting}` is {value}, not between {min} and {max}")]
    InvalidPolicy {
        /// The setting.
        setting: String,
        /// The value asked for.
        value: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// No such group, or one that was deleted.
    #[error("group {group} is not known")]
    GroupUnknown {
        /// The id asked for.
        group: GroupId,
    },
    /// A reported membership names a replica that was never issued, or none that votes.
    #[error("the reported membership of group {group} is impossible: {reason}")]
    InvalidMembership {
        /// The group.
        group: GroupId,
        /// What is wrong.
        reason: String,
    },
    /// Messages that leave a queue go to one place.
    #[error("topic `{from}` has a {kind} already, to `{to}`")]
    LinkExists {
        /// What goes over it.
        kind: LinkKind,
        /// Where it comes from.
        from: String,
        /// Where it goes to.
        to: String,
    },
    /// No such link.
    #[error("topic {from} has no {kind} to topic {to}")]
    LinkNotFound {
        /// What would go over it.
        kind: LinkKind,
        /// Where it would come from.
        from: TopicId,
        /// Where it would go to.
        to: TopicId,
    },
    /// What goes over the link would come back.
    #[error("a {kind} from `{from}` to `{to}` would close a cycle: `{to}` leads to `{from}`")]
    LinkCycle {
        /// What would go over it.
        kind: LinkKind,
        /// Where it would come from.
        from: String,
        /// Where it would go to.
        to: String,
    },
    /// The cluster has as many links as it may.
    #[error("the cluster has {limit} links between topics, the most allowed")]
    TooManyLinks {
        /// The limit.
        limit: usize,
    },
    /// Another topic's messages go there.
    #[error("topic `{name}` cannot be deleted: topic `{from}` has a {kind} to it")]
    TopicInUse {
        /// The topic.
        name: String,
        /// What goes over the link.
        kind: LinkKind,
        /// Where it comes from.
        from: String,
    },
    /// The cluster remembers as many named producers as it may.
    #[error("the cluster has {limit} named producers, the most allowed")]
    TooManyProducers {
        /// The limit.
        limit: usize,
    },
    /// The partition has a replica on that node already, or one that is on its way there or from there.
    #[error("partition {group} has a replica on node {node} already")]
    ReplicaExists {
        /// The partition's group.
        group: GroupId,
        /// The node that a replica was to move to.
        node: NodeId,
    },
    /// The partition has no replica on that node.
    #[error("partition {group} has no replica on node {node}")]
    ReplicaNotFound {
        /// The partition's group.
        group: GroupId,
        /// The node that a replica was to move from.
        node: NodeId,
    },
    /// A replica of this partition is on its way already: one at a time.
    #[error("a replica of partition {group} is on its way from node {from} to node {to}, or back")]
    MoveInProgress {
        /// The partition's group.
        group: GroupId,
        /// Where it comes from.
        from: NodeId,
        /// Where it goes to.
        to: NodeId,
    },
    /// A replica was to move to a node that is being emptied, or leaves.
    #[error("node {node} is being drained, nothing can be placed on it")]
    TargetDraining {
        /// The node.
        node: NodeId,
    },
    /// The other nodes cannot hold what is on the node.
    #[error(
        "node {node} cannot be emptied: partition {group} has {replicas} replicas, which need a node each, and \
         {nodes} other nodes can take one"
    )]
    DrainBreaksReplication {
        /// The node.
        node: NodeId,
        /// The first partition that has nowhere to go.
        group: GroupId,
        /// Its replicas.
        replicas: u32,
        /// Other nodes that are in use and heard.
        nodes: u32,
    },
    /// The node is not heard, and there is nobody else to copy this partition from.
    #[error("node {node} is not heard, and holds the only voting replica of partition {group}")]
    OnlyReplica {
        /// The node.
        node: NodeId,
        /// The first such partition.
        group: GroupId,
    },
    /// The node leaves the cluster: that is not taken back.
    #[error("node {node} is leaving the cluster")]
    NodeLeaves {
        /// The node.
        node: NodeId,
    },
    /// The nodes that are heard and have no replica are too few to take more.
    #[error(
        "partition {group} cannot have {wanted} replicas: {heard} nodes hold one already, or are in use and heard"
    )]
    TooFewHeard {
        /// The first partition that has nowhere to grow.
        group: GroupId,
        /// Replicas that it was to have.
        wanted: u32,
        /// Nodes that have one already, or are in use and heard.
        heard: u32,
    },
    /// A node was to take the place of itself.
    #[error("node {node} cannot take its own place")]
    SameNode {
        /// The node.
        node: NodeId,
    },
    /// A node was to be replaced that is there.
    #[error("node {node} is heard: drain it first, then another one can take its place")]
    NodeAlive {
        /// The node.
        node: NodeId,
    },
    /// A node was to take over that is not there.
    #[error("node {node} is not heard: nothing can be placed on it")]
    NodeNotHeard {
        /// The node.
        node: NodeId,
    },
    /// A node was to take over from another with which it shares partitions.
    #[error(
        "node {node} cannot take over: it has a replica of partition {partition} of `{topic}` already, and of {more} \
         more that are to be rebuilt"
    )]
    SuccessorHolds {
        /// The node that was to take over.
        node: NodeId,
        /// The topic of the first partition that both have.
        topic: String,
        /// Its number.
        partition: u32,
        /// Further ones.
        more: u32,
    },
    /// Too few voters of a partition are there to let a new one in.
    #[error(
        "partition {group} has {there} of {voters} voting replicas on nodes that are heard: that is no majority"
    )]
    MajorityDown {
        /// The first such partition.
        group: GroupId,
        /// Voters that are there.
        there: u32,
        /// All of them.
        voters: u32,
    },
    /// The node that could take one more replica is still giving one up.
    #[error("the replica of partition {group} on node {node} is still being removed")]
    ReplicaLeaving {
        /// The partition's group.
        group: GroupId,
        /// The node.
        node: NodeId,
    },
    /// A node's build cannot read what the cluster holds.
    #[error(
        "the cluster is at feature level {active}, and the node's build knows up to {knows}: run a newer one"
    )]
    BuildTooOld {
        /// The level that the cluster is at.
        active: Level,
        /// The highest that the build knows.
        knows: Level,
    },
    /// A member's build could not read what the cluster would hold.
    #[error("node {node} knows feature levels up to {knows}, not {level}: upgrade it first")]
    LevelUnknown {
        /// The first such node.
        node: NodeId,
        /// The level asked for.
        level: Level,
        /// The highest that its build knows.
        knows: Level,
    },
    /// A member did not say what its build knows.
    #[error(
        "node {node} did not say whether it knows feature level {level}: it has to be up, or out of the cluster"
    )]
    LevelUntold {
        /// The first such node.
        node: NodeId,
        /// The level asked for.
        level: Level,
    },
    /// What was written at the level that the cluster is at cannot be taken back.
    #[error("the cluster is at feature level {active}, which cannot be lowered to {asked}")]
    LevelLowered {
        /// The level that the cluster is at.
        active: Level,
        /// The level asked for.
        asked: Level,
    },
    /// More moves than one command may have.
    #[error("{wanted} moves of replicas exceed the limit of {limit}")]
    TooManyMoves {
        /// Moves asked for.
        wanted: usize,
        /// The limit.
        limit: usize,
    },
    /// A backup is restored into a cluster without topics.
    #[error("the cluster has {topics} topics: a backup is restored into a new cluster")]
    ClusterNotEmpty {
        /// Its topics.
        topics: usize,
    },
    /// The ids of the backup are not free, since the cluster has given some of its own.
    #[error("the cluster has had topics or producers of its own: a backup is restored into a new cluster")]
    ClusterNotNew,
    /// The description of the registry in the backup contradicts itself.
    #[error("the backup describes no registry: {reason}")]
    BackupInvalid {
        /// What is wrong.
        reason: String,
    },
    /// That restore is over, was given up, or never began.
    #[error("restore {request} is not under way")]
    RestoreUnknown {
        /// The request that is meant to have begun it.
        request: RequestId,
    },
    /// Some partitions have no image yet.
    #[error("{partitions} partitions are not restored yet")]
    RestoreUnfinished {
        /// How many.
        partitions: usize,
    },
    /// Two partitions cannot take the place of this one.
    #[error("partition {group} cannot be split: {reason}")]
    PartitionNotSplittable {
        /// The partition's group.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// One partition cannot take the place of these two.
    #[error("partitions {left} and {right} cannot be merged: {reason}")]
    PartitionsNotMergeable {
        /// The group of the first one.
        left: GroupId,
        /// That of the second one.
        right: GroupId,
        /// Why.
        reason: String,
    },
    /// The partition was split or merged: its keys are its children's.
    #[error("partition {group} is sealed: its children own its keys")]
    PartitionSealed {
        /// The partition's group.
        group: GroupId,
    },
    /// A split or merge has to come to its end first.
    #[error("the split or merge of partition {group} has not come to its end yet")]
    ReshapeInProgress {
        /// The group of a partition that it concerns.
        group: GroupId,
    },
    /// A report of a partition that nobody splits or merges.
    #[error("partition {group} is not sealed, and is not to be")]
    PartitionNotSealed {
        /// The partition's group.
        group: GroupId,
    },
}

impl Rejection {
    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFormed
            | Self::ReplicaLeaving { .. }
            | Self::RestoreUnfinished { .. }
            | Self::ReshapeInProgress { .. } => ErrorKind::Retry,
            Self::NodeUnknown { .. }
            | Self::TopicNotFound { .. }
            | Self::GroupUnknown { .. }
            | Self::ReplicaNotFound { .. }
            | Self::RestoreUnknown { .. }
            | Self::LinkNotFound { .. } => ErrorKind::NotFound,
            Self::AlreadyFormed { .. }
            | Self::TopicExists { .. }
            | Self::TopicDiffers { .. }
            | Self::ReplicaExists { .. }
            | Self::SuccessorHolds { .. }
            | Self::MoveInProgress { .. }
            | Self::ClusterNotEmpty { .. }
            | Self::ClusterNotNew
            | Self::LinkExists { .. } => ErrorKind::AlreadyExists,
            Self::BackupInvalid { .. } => ErrorKind::Corrupt,
            Self::NodeRemoved { .. } | Self::NodeReplaced { .. } | Self::WrongIncarnation { .. } => {
                ErrorKind::Fenced
            }
            _ => ErrorKind::Invalid,
        }
    }

    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFormed => "cluster-not-formed",
            Self::AlreadyFormed { .. } => "cluster-already-formed",
            Self::InvalidFounders { .. } => "invalid-founders",
            Self::InvalidNode { .. } => "invalid-node",
            Self::NodeUnknown { .. } => "node-unknown",
            Self::WrongIncarnation { .. } => "wrong-incarnation",
            Self::NodeRemoved { .. } => "node-removed",
            Self::NodeReplaced { .. } => "node-replaced",
            Self::NotEnoughNodes { .. } => "not-enough-nodes",
            Self::TooManyNodes { .. } => "too-many-nodes",
            Self::InvalidName { .. } => "invalid-name",
            Self::TopicExists { .. } => "topic-exists",
            Self::TopicDiffers { .. } => "topic-differs",
            Self::TopicNotFound { .. } => "topic-not-found",
            Self::TooManyTopics { .. } => "too-many-topics",
            Self::NoPartitions => "no-partitions",
            Self::TooManyPartitions { .. } => "too-many-partitions",
            Self::NoReplicas => "no-replicas",
            Self::TooManyReplicas { .. } => "too-many-replicas",
            Self::WrongKind { .. } => "wrong-kind",
            Self::InvalidPolicy { .. } => "invalid-policy",
            Self::GroupUnknown { .. } => "group-unknown",
            Self::InvalidMembership { .. } => "invalid-membership",
            Self::TooManyProducers { .. } => "too-many-producers",
            Self::LinkExists { .. } => "link-exists",
            Self::LinkNotFound { .. } => "link-not-found",
            Self::LinkCycle { .. } => "link-cycle",
            Self::TooManyLinks { .. } => "too-many-links",
            Self::TopicInUse { .. } => "topic-in-use",
            Self::ReplicaExists { .. } | Self::SuccessorHolds { .. } => "replica-exists",
            Self::ReplicaNotFound { .. } => "replica-not-found",
            Self::MoveInProgress { .. } => "move-in-progress",
            Self::TargetDraining { .. } => "target-draining",
            Self::DrainBreaksReplication { .. } => "drain-breaks-replication",
            Self::OnlyReplica { .. } => "only-replica",
            Self::NodeLeaves { .. } => "node-leaves",
            Self::TooManyMoves { .. } => "too-many-moves",
            Self::TooFewHeard { .. } => "too-few-heard",
            Self::ReplicaLeaving { .. } => "replica-leaving",
            Self::SameNode { .. } => "same-node",
            Self::NodeAlive { .. } => "node-alive",
            Self::NodeNotHeard { .. } => "node-not-heard",
            Self::MajorityDown { .. } => "majority-down",
            Self::BuildTooOld { .. } => "build-too-old",
            Self::LevelUnknown { .. } | Self::LevelUntold { .. } => "feature-level-unknown",
            Self::LevelLowered { .. } => "feature-level-lowered",
            Self::ClusterNotEmpty { .. } => "cluster-not-empty",
            Self::ClusterNotNew => "cluster-not-new",
            Self::BackupInvalid { .. } => "backup-damaged",
            Self::RestoreUnknown { .. } => "restore-not-under-way",
            Self::RestoreUnfinished { .. } => "restore-unfinished",
            Self::PartitionNotSplittable { .. } => "partition-not-splittable",
            Self::PartitionsNotMergeable { .. } => "partitions-not-mergeable",
            Self::PartitionSealed { .. } => "partition-sealed",
            Self::ReshapeInProgress { .. } => "reshape-in-progress",
            Self::PartitionNotSealed { .. } => "invalid-command",
        }
    }
}

impl From<Rejection> for WeirError {
    fn from(rejection: Rejection) -> Self {
        Self::new(rejection.kind(), rejection.code(), rejection.to_string())
    }
}
