//! What the operator's calls take and return.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_proto::v1;
pub use weir_proto::v1::{GroupNames, ParkPolicy, QueueSettings, StreamSettings};
use weir_types::{TopicKind, TopicPolicy};

use crate::Header;

/// Settings of a topic. What is not set takes the default when a topic is created, and stays when it is altered.
#[derive(Clone, Debug, PartialEq)]
pub enum Settings {
    /// Of a queue.
    Queue(QueueSettings),
    /// Of a stream.
    Stream(StreamSettings),
}

impl Settings {
    /// Which kind of topic they are for.
    pub fn kind(&self) -> TopicKind {
        match self {
            Self::Queue(_) => TopicKind::Queue,
            Self::Stream(_) => TopicKind::Stream,
        }
    }

    pub(crate) fn into_wire(self) -> v1::TopicSettings {
        use v1::topic_settings::Kind;
        let kind = match self {
            Self::Queue(settings) => Kind::Queue(settings),
            Self::Stream(settings) => Kind::Stream(settings),
        };
        v1::TopicSettings { kind: Some(kind) }
    }
}

/// A topic to create.
///
/// ```
/// use weir_client::{NewTopic, QueueSettings, Settings};
///
/// let tasks = NewTopic::queue("tasks").partitions(3).replicas(3);
/// let strict = NewTopic::queue("orders")
///     .settings(Settings::Queue(QueueSettings { fifo: Some(true), ..QueueSettings::default() }));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NewTopic {
    /// 1 to 200 of `a-z A-Z 0-9 . _ -`, not starting with a dot or a dash.
    pub name: String,
    /// Queue or stream.
    pub kind: TopicKind,
    /// 1 to 1,024. Default 1.
    pub partitions: u32,
    /// At most the number of nodes. Default 3.
    pub replicas: u32,
    /// Default: those of its kind.
    pub settings: Option<Settings>,
}

impl NewTopic {
    /// A topic with defaults.
    pub fn new(name: impl Into<String>, kind: TopicKind) -> Self {
        Self { name: name.into(), kind, partitions: 1, replicas: 3, settings: None }
    }

    /// A queue with defaults.
    pub fn queue(name: impl Into<String>) -> Self {
        Self::new(name, TopicKind::Queue)
    }

    /// A stream with defaults.
    pub fn stream(name: impl Into<String>) -> Self {
        Self::new(name, TopicKind::Stream)
    }

    /// Sets the number of partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets the replicas of each partition.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets what differs from the defaults.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }
}

/// A topic as it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Unique for the life of the cluster.
    pub topic_id: u32,
    /// Its name.
    pub name: String,
    /// Queue or stream.
    pub kind: TopicKind,
    /// How many partitions.
    pub partitions: u32,
    /// Replicas of each.
    pub replicas: u32,
    /// All its settings.
    pub policy: TopicPolicy,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: u64,
}

/// A topic and how its partitions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The topic.
    pub topic: TopicInfo,
    /// In order of index.
    pub partitions: Vec<PartitionStatus>,
}

/// One partition: where it is, and, from its leader, how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Its topic; empty for the metadata group and the coordinator's shards.
    pub topic: String,
    /// Its index, from 0.
    pub partition: u32,
    /// Its Raft group.
    pub group_id: u32,
    /// Queue or stream; none for the metadata group and the coordinator's shards.
    pub kind: Option<TopicKind>,
    /// Nodes that vote.
    pub voters: Vec<u64>,
    /// Nodes that hold a replica and do not vote (yet).
    pub learners: Vec<u64>,
    /// Its replicas are not yet those that it shall have: it moves, or a node came back under fresh replica ids.
    pub reassigning: bool,
    /// The leader's node, when known.
    pub leader: Option<u64>,
    /// Its term.
    pub term: u64,
    /// The last log entry known committed.
    pub committed: u64,
    /// Node and entries it still lacks, as the leader knows.
    pub lag_entries: Vec<(u64, u64)>,
    /// What a stream's partition holds; none when its leader did not answer.
    pub stream: Option<StreamPartition>,
    /// What a queue's partition holds; none when its leader did not answer.
    pub queue: Option<QueuePartition>,
    /// Smallest key hash that it owns, or owned until it was sealed.
    pub key_first: u32,
    /// Largest one; included.
    pub key_last: u32,
    /// Where it stands between its parents and its children.
    pub stage: PartitionStage,
    /// Numbers of the partitions whose keys it took over.
    pub parents: Vec<u32>,
    /// Numbers of the partitions that take over its keys, or have.
    pub children: Vec<u32>,
}

/// What a partition is in the lineage of its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionStage {
    /// It owns its keys.
    #[default]
    Open,
    /// It is to take over keys of its parents, and takes in nothing yet.
    Coming,
    /// It is about to be sealed: its children are being formed.
    Sealing,
    /// It takes in nothing any more; what is in it is read and delivered as before. It is removed a day after it was sealed
    /// at the earliest, when it holds nothing.
    Sealed,
}

/// What was planned to split or merge partitions of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reshaped {
    /// Numbers of the partitions that are replaced.
    pub parents: Vec<u32>,
    /// Numbers of those that replace them.
    pub children: Vec<u32>,
    /// Whether the children own the keys already. Of a split or a merge that follows by itself; of a scale, what was not begun
    /// is left undone: ask again.
    pub done: bool,
}

impl PartitionStatus {
    /// Bytes of its batches or messages; none when its leader did not answer, and for the cluster's own groups.
    pub fn bytes(&self) -> Option<u64> {
        self.stream.map(|stream| stream.bytes).or_else(|| self.queue.map(|queue| queue.bytes))
    }
}

/// What a partition of a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPartition {
    /// First retained offset.
    pub start_offset: u64,
    /// Next offset to be written.
    pub end_offset: u64,
    /// Bytes of its batches.
    pub bytes: u64,
}

/// What a partition of a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePartition {
    /// Messages that can be leased now.
    pub ready: u64,
    /// Under a lease.
    pub leased: u64,
    /// Waiting for their time.
    pub scheduled: u64,
    /// Set aside.
    pub parked: u64,
    /// Bytes of all.
    pub bytes: u64,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id.
    pub node_id: u64,
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client_address: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where metrics and health are.
    pub http_address: String,
    /// Whether the node that answered hears it.
    pub alive: bool,
    /// Partitions it leads.
    pub leaders: u32,
    /// Partitions it holds a replica of.
    pub replicas: u32,
    /// Version of its build; empty when it does not answer.
    pub version: String,
    /// The highest feature level that its build knows; none when it does not answer.
    pub feature_level: Option<u32>,
    /// Whether it is in use.
    pub node_use: NodeUse,
    /// What it shares power or network with: replicas of a partition keep apart. None: with nobody.
    pub rack: Option<String>,
}

/// Whether a node is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeUse {
    /// It is.
    #[default]
    InUse,
    /// It is being emptied.
    Draining,
    /// It holds nothing, and nothing is placed on it.
    Drained,
    /// It is leaving the cluster.
    Leaving,
}

/// The move of a replica from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveInfo {
    /// The partition's Raft group.
    pub group_id: u32,
    /// Its topic; empty for the consumer-group coordinator.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// Id of the node that the replica comes from.
    pub from: u64,
    /// Id of the node that it goes to.
    pub to: u64,
    /// How far it is.
    pub phase: MovePhase,
    /// Why; none for one that is only planned.
    pub reason: Option<MoveReason>,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovePhase {
    /// Nobody has asked for it yet.
    Planned,
    /// Its turn has not come.
    Waiting,
    /// The new replica copies and follows. Until it votes the move can be taken back.
    CatchingUp,
    /// The new replica votes; the old one is being removed.
    Removing,
}

/// Why a replica moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveReason {
    /// Somebody asked for it.
    Asked,
    /// Its node is being emptied.
    Drain,
    /// Its node was away for too long.
    Recovery,
}

/// What is under way in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moves {
    /// Rises with every change of the registry.
    pub version: u64,
    /// The moves of replicas.
    pub moves: Vec<MoveInfo>,
    /// Ids of nodes that are being emptied, and whether nothing is left on them.
    pub draining: Vec<(u64, bool)>,
    /// Ids of nodes that are leaving the cluster.
    pub leaving: Vec<u64>,
    /// By Raft group, the ids of the nodes that have a replica of a partition that was asked about and is not deleted.
    pub places: BTreeMap<u32, Vec<u64>>,
}

/// Nodes, partitions, and who leads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// 16 hex digits.
    pub cluster_id: String,
    /// The feature level that it is at.
    pub feature_level: u32,
    /// By id.
    pub nodes: Vec<NodeInfo>,
    /// Of all topics.
    pub partitions: Vec<PartitionStatus>,
    /// The metadata group.
    pub metadata: Option<PartitionStatus>,
    /// The shards of the consumer-group coordinator.
    pub coordinator: Vec<PartitionStatus>,
}

impl ClusterStatus {
    /// All Raft groups: the metadata group, the coordinator's shards, and the partitions of all topics.
    pub fn groups(&self) -> impl Iterator<Item = &PartitionStatus> {
        self.metadata.iter().chain(&self.coordinator).chain(&self.partitions)
    }
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    /// Its name.
    pub group: String,
    /// How many members.
    pub members: u32,
    /// What they read.
    pub topics: Vec<String>,
}

/// A consumer group with its members and positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// Its members.
    pub members: Vec<GroupMember>,
    /// Its positions.
    pub positions: Vec<GroupPosition>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// What it reads.
    pub topics: Vec<String>,
    /// What it owns: topic and partition.
    pub assigned: Vec<(String, u32)>,
}

/// Where a consumer group is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPosition {
    /// The stream.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Next offset to read; none when the group has never committed here.
    pub committed: Option<u64>,
    /// First retained offset.
    pub start_offset: u64,
    /// Next offset to be written.
    pub end_offset: u64,
    /// Records behind.
    pub lag: u64,
    /// For how long the oldest of them has been there, in milliseconds; 0 when there is none.
    pub lag_ms: u64,
    /// The member that owns it.
    pub owner: Option<String>,
}

/// What goes over a link between two topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Every message of a queue that can be leased. It leaves the queue, for a stream or another queue.
    Forward,
    /// Every message that a queue parks. It leaves the queue, for a stream or another queue, with its reason, attempts
    /// and origin in the headers `weir-dead-letter-reason`, `weir-dead-letter-attempts` and `weir-dead-letter-origin`.
    DeadLetter,
    /// Every record of a stream, for a queue. It stays in the stream.
    Subscription,
}

/// A link between two topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// What goes over it.
    pub kind: LinkKind,
    /// Where it comes from.
    pub from: String,
    /// Where it goes to.
    pub to: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
}

/// Where to move a consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetTo {
    /// To the first retained record.
    Earliest,
    /// Behind the last record.
    Latest,
    /// To this offset in every partition.
    Offset(u64),
    /// To the first record at or after this time, in milliseconds since the Unix epoch.
    TimeMs(u64),
    /// To so many records before the end of each partition: what a group may be behind.
    Lag(u64),
}

/// First and next offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// The partition.
    pub partition: u32,
    /// First retained offset.
    pub start_offset: u64,
    /// Next offset to be written.
    pub end_offset: u64,
    /// The first offset at or after the time asked for; the end offset when every record is older.
    pub time_offset: Option<u64>,
}

/// Counts of a queue's partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// The partition.
    pub partition: u32,
    /// Messages that can be leased now.
    pub ready: u64,
    /// Under a lease.
    pub leased: u64,
    /// Waiting for their time.
    pub scheduled: u64,
    /// Set aside.
    pub parked: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Messages ever enqueued.
    pub enqueued_total: u64,
    /// Messages ever acked.
    pub acked_total: u64,
    /// Deliveries beyond the first of a message, ever.
    pub redelivered_total: u64,
    /// Record batches of [`ack_and_append`](crate::Message::ack_and_append) that have not arrived at their partition yet.
    pub outbox_batches: u64,
    /// Acked messages that are kept for a replay; they are in none of the other numbers.
    pub kept: u64,
    /// Bytes of these.
    pub kept_bytes: u64,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Can be leased now.
    Ready,
    /// Waiting for its time.
    Scheduled,
    /// Under a lease.
    Leased,
    /// Set aside.
    Parked,
}

/// A message that was looked at, not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeekedMessage {
    /// Its partition.
    pub partition: u32,
    /// Its id there.
    pub message_id: u64,
    /// Where it stands.
    pub state: MessageState,
    /// Deliveries so far.
    pub attempts: u32,
    /// Why it is parked; empty when it is not.
    pub reason: String,
    /// Milliseconds since the Unix epoch, as its producer set it.
    pub timestamp_ms: u64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its payload.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}
