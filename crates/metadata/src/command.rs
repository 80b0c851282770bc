//! What the registry can be told to do. Commands are replicated, so their encoding outlives this version: new
//! variants and fields go to the end, and a breaking change raises [`Command::VERSION`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::{
    Backoff, ClusterId, Corrupt, GroupId, Incarnation, NodeId, Offset, ParkPolicy, ReplicaId, RequestId,
    TopicId, TopicPolicy,
};

use crate::description::{Described, Description};
use crate::feature::Level;
use crate::lineage::Reshape;
use crate::link::LinkKind;
use crate::moves::ReplicaMove;
use crate::node::Addresses;

/// A node that a cluster is formed with. The founders agree on the ids before there is a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Its id.
    pub node: NodeId,
    /// Its replica of the metadata group.
    pub replica: ReplicaId,
    /// The life of its data directory.
    pub incarnation: Incarnation,
    /// What people call it.
    pub name: String,
    /// Where it listens.
    pub addresses: Addresses,
    /// What it shares power or network with.
    pub rack: Option<String>,
}

/// One setting of a topic. Settings of a queue's order (`fifo`) are fixed when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyChange {
    /// Queue: leases at once per key of a FIFO queue.
    MaxInflightPerKey(u32),
    /// Queue: how long a lease runs by default, in milliseconds.
    LeaseMs(u64),
    /// Queue: deliveries before a message is parked.
    AttemptsMax(u32),
    /// Queue: wait before a nacked message is ready again.
    Backoff(Backoff),
    /// Queue: life of a message in milliseconds; none means for ever.
    TtlMs(Option<u64>),
    /// Queue: what happens around a parked message of a FIFO queue.
    Park(ParkPolicy),
    /// Queue: bytes a partition holds before it rejects producers.
    BytesMax(u64),
    /// Queue: messages a partition holds before it rejects producers.
    MessagesMax(u64),
    /// Stream: age at which records go, in milliseconds; none means never.
    RetentionAgeMs(Option<u64>),
    /// Stream: bytes kept per partition; none means no bound.
    RetentionBytes(Option<u64>),
    /// Queue: messages of a partition that are leased at once; none means only the fixed bound.
    MaxInflight(Option<u32>),
    /// Queue: messages that one consumer's session holds at once; none means no bound of its own.
    MaxInflightPerSession(Option<u32>),
    /// Stream: consumer groups that it is kept for; empty when nobody's reading lets a record go.
    RetentionGroups(BTreeSet<String>),
    /// Stream: whether compaction keeps the last record of each key only.
    Compact(bool),
    /// Stream: age below which compaction takes no record out, in milliseconds.
    CompactAfterMs(u64),
    /// Stream: how long compaction keeps a key without a value, in milliseconds.
    TombstoneMs(u64),
    /// Queue: how long an acked message is kept for a replay, in milliseconds; none means not at all.
    KeepMs(Option<u64>),
    /// Queue: bytes of kept messages in a partition.
    KeepBytesMax(u64),
    /// Queue: the header that names a message's tenant; none when nobody shares it.
    FairBy(Option<String>),
}

/// A replicated command to the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The very first: founds the cluster. Repeating it for the same cluster changes nothing.
    FormCluster {
        /// Drawn at random by the founders.
        cluster: ClusterId,
        /// The founders; all of them, up to five, vote in the metadata group.
        founders: Vec<Founder>,
        /// Shards of the consumer-group coordinator, fixed for ever: a group's name decides its shard.
        coordinator_shards: u32,
    },
    /// A node starts. A known incarnation gets the same answer and its addresses are updated; an unknown one
    /// becomes a new node, and takes the place of the node that had its peer address, if there is one.
    RegisterNode {
        /// The life of its data directory.
        incarnation: Incarnation,
        /// What people call it.
        name: String,
        /// Where it listens.
        addresses: Addresses,
        /// What it shares power or network with.
        rack: Option<String>,
    },
    /// A node recovered less than it had promised (`architecture` §5, amnesia guard): its replica ids are
    /// retired and fresh ones issued, to join as learners and then be what the old ones were.
    ReissueReplicas {
        /// The node.
        node: NodeId,
        /// Its incarnation, as a guard against a confused caller.
        incarnation: Incarnation,
        /// A retry of the same request gets the same answer.
        request: RequestId,
    },
    /// Creates a topic and places its partitions.
    CreateTopic {
        /// A retry of the same request gets the same answer.
        request: RequestId,
        /// Its name.
        name: String,
        /// What it promises.
        policy: TopicPolicy,
        /// How many partitions, at least 1.
        partitions: u32,
        /// Replicas of each partition, at least 1.
        replicas: u32,
    },
    /// Changes settings of a topic: all of them or none.
    AlterTopic {
        /// The topic. By id, so that a retry never meets a later topic of the same name.
        topic: TopicId,
        /// The changes, later ones of the same setting win.
        changes: Vec<PolicyChange>,
    },
    /// Deletes a topic and its partitions. Repeating it changes nothing, since ids are never reused.
    DeleteTopic {
        /// The topic.
        topic: TopicId,
    },
    /// Allots a producer id; a named producer gets its id back with the next epoch.
    InitProducer {
        /// The producer's name, or none for one that lives as long as its process.
        name: Option<String>,
        /// A retry of the same request of a named producer gets the same answer.
        request: RequestId,
    },
    /// A group's leader reports that the group is initialised.
    PartitionFormed {
        /// The group.
        group: GroupId,
    },
    /// A group's leader reports its committed Raft membership. Also implies that the group is formed.
    MembershipChanged {
        /// The group; the metadata group too.
        group: GroupId,
        /// Those that vote.
        voters: BTreeMap<ReplicaId, NodeId>,
        /// Those that only follow.
        learners: BTreeMap<ReplicaId, NodeId>,
        /// Index of the membership entry in the group's log: an older report changes nothing.
        generation: u64,
    },
    /// Takes a node out of the cluster: its replicas move to other nodes, then it is removed.
    RemoveNode {
        /// The node.
        node: NodeId,
    },
    /// Lets messages or records go from one topic to another by themselves. Repeating it changes nothing.
    CreateLink {
        /// What goes over it.
        kind: LinkKind,
        /// Where it comes from.
        from: TopicId,
        /// Where it goes to.
        to: TopicId,
        /// Of a subscription: where it begins in each partition of the stream.
        starts: BTreeMap<GroupId, Offset>,
    },
    /// Ends that.
    DeleteLink {
        /// What goes over it.
        kind: LinkKind,
        /// Where it comes from.
        from: TopicId,
        /// Where it goes to.
        to: TopicId,
    },
    /// Moves replicas of partitions, at most one of each: all of them or none are planned.
    MoveReplicas {
        /// The moves.
        moves: Vec<ReplicaMove>,
    },
    /// Takes moves back that have not reached the vote yet; the others go on.
    CancelMoves {
        /// The partitions.
        groups: Vec<GroupId>,
    },
    /// Empties a node: its replicas move to other nodes, its vote in the metadata group too. Nothing is placed on it
    /// any more, and it stays a member. Repeating it changes nothing.
    DrainNode {
        /// The node.
        node: NodeId,
        /// Nodes that are not heard: nothing is moved there.
        down: BTreeSet<NodeId>,
    },
    /// Puts a drained node back into use. What has not left it yet stays; what has left comes back with a balance.
    CancelDrain {
        /// The node.
        node: NodeId,
    },
    /// A node has been away for too long: what it holds is placed on others, as far as there are others and a
    /// majority is left to agree. The node stays registered. Repeating it changes nothing.
    RecoverNode {
        /// The node.
        node: NodeId,
        /// Nodes that are not heard: nothing is moved there.
        down: BTreeSet<NodeId>,
    },
    /// Gives every partition of a topic as many replicas, and changes settings with it: all of that or nothing. Repeating
    /// it changes nothing.
    SetReplicas {
        /// The topic.
        topic: TopicId,
        /// Replicas of each partition, at least 1.
        replicas: u32,
        /// The changes of settings, later ones of the same setting win.
        changes: Vec<PolicyChange>,
        /// Nodes that are not heard: nothing is placed there, and what is there goes first.
        down: BTreeSet<NodeId>,
    },
    /// A node is gone for good, or drained: another one takes over all that it holds, and then it leaves the cluster. All
    /// of that or nothing; repeating it changes nothing.
    ReplaceNode {
        /// The node that is gone.
        node: NodeId,
        /// The one that takes over.
        by: NodeId,
        /// Nodes that are not heard.
        down: BTreeSet<NodeId>,
    },
    /// The very first, as [`FormCluster`](Self::FormCluster), of a cluster that begins at a higher feature level than the
    /// first.
    FoundCluster {
        /// Drawn at random by the founders.
        cluster: ClusterId,
        /// The founders; all of them, up to five, vote in the metadata group.
        founders: Vec<Founder>,
        /// Shards of the consumer-group coordinator, fixed for ever.
        coordinator_shards: u32,
        /// Where it begins.
        level: Level,
    },
    /// As [`RegisterNode`](Self::RegisterNode), which is for builds that know nothing of levels. Refused when the build does
    /// not know the level that the cluster is at.
    JoinNode {
        /// The life of its data directory.
        incarnation: Incarnation,
        /// What people call it.
        name: String,
        /// Where it listens.
        addresses: Addresses,
        /// What it shares power or network with.
        rack: Option<String>,
        /// The highest level that its build knows.
        knows: Level,
    },
    /// The cluster may write what this level lets in, for ever. Refused while there is a member whose build does not know it.
    /// Repeating it changes nothing.
    RaiseLevel {
        /// The level.
        level: Level,
        /// What the builds of the members know, as each of them said just now.
        known: BTreeMap<NodeId, Level>,
    },
    /// Takes the topics of a backup in, under their old ids and hidden from everybody, into a cluster that has given none
    /// of its own. Gives up one that is under way.
    BeginRestore {
        /// A retry of the same request changes nothing.
        request: RequestId,
        /// What the backup keeps of its registry.
        described: Description,
    },
    /// Shows the topics of a restore, when all of their partitions are formed. Repeating it changes nothing.
    FinishRestore {
        /// The request that began it.
        request: RequestId,
    },
    /// Removes the topics of a restore that is under way.
    AbandonRestore {
        /// The request that began it.
        request: RequestId,
    },
    /// Splits and merges partitions of a topic: all of the steps are planned or none. Their children are placed, and own the
    /// keys when the parents are sealed.
    Reshape {
        /// The topic.
        topic: TopicId,
        /// A retry of the same request gets the same answer.
        request: RequestId,
        /// The steps; a partition occurs in one of them only.
        steps: Vec<Reshape>,
        /// Nodes that are not heard: nothing is placed there as long as there are enough others.
        down: BTreeSet<NodeId>,
    },
    /// The leader of a partition that is to be sealed reports that it is. With the last parent of a child the keys go to the
    /// children. Repeating it changes nothing.
    PartitionSealed {
        /// The partition's group.
        group: GroupId,
    },
    /// The leader of a sealed partition reports that nothing is left in it: it is removed. Repeating it changes nothing.
    RetirePartition {
        /// The partition's group.
        group: GroupId,
    },
    /// As [`BeginRestore`](Self::BeginRestore), of a backup with partitions that were split or merged.
    BeginRestoreOf {
        /// A retry of the same request changes nothing.
        request: RequestId,
        /// What the backup keeps of its registry.
        described: Described,
    },
}

impl Command {
    /// Version of the encoding.
    pub const VERSION: u8 = 1;

    /// The bytes that are replicated: version, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        crate::rows::encode(Self::VERSION, self)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        crate::rows::decode(Self::VERSION, bytes, "metadata command")
    }
}
