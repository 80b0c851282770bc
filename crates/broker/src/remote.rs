//! What one node's broker asks another's. The front door carries the bytes; here is what they mean.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_metadata::{Addresses, Founder, Level};
use weir_types::{
    ClusterId, ErrorKind, GroupId, Incarnation, KeyHash, NodeId, Offset, ReplicaId, TopicKind,
    TransferSequence, TransferSource, WallClock, WeirError,
};

/// Carries a request to the node at a client address and brings its answer. Bounds its own waiting; a call that
/// may have reached the node but brought no answer is `OutcomeUnknown`.
pub trait Remote: Send + Sync + 'static {
    /// One call.
    fn call(
        &self,
        address: &str,
        request: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, WeirError>> + Send + '_>>;
}

/// A question to another node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Who are you? Answered by blank nodes too.
    Hello,
    /// Found this cluster: persist who founds it, and start.
    Found(Founding),
    /// Propose to the metadata group; answered by its leader only.
    Metadata(weir_metadata::Command),
    /// Propose to a shard of the coordinator; answered by its leader only.
    Coordinator { shard: GroupId, command: weir_groups::Command },
    /// Look at a shard of the coordinator; answered by its leader only.
    CoordinatorView { shard: GroupId, group: Option<String> },
    /// Wait for a member's next assignment; answered by the shard's leader only.
    NextAssignment { shard: GroupId, hold: crate::api::groups::Hold },
    /// How a partition is; answered by its leader only.
    PartitionView(GroupId),
    /// A consumer group's position in a stream partition; answered by its leader only.
    Position { group: GroupId, consumer_group: String },
    /// The offset of a place in a stream partition; answered by its leader only.
    Locate { group: GroupId, place: ResetTo },
    /// Moves a consumer group's position; answered by the partition's leader only.
    ResetPosition { group: GroupId, consumer_group: String, to: ResetTo },
    /// These new groups are open on `node`: their preferred leader may form them.
    Opened { node: NodeId, groups: Vec<GroupId> },
    /// What the node is: name of its build.
    NodeView,
    /// Take in these batches of a partition's outbox, which follow `after`; answered by the destination's leader only.
    Transfer {
        destination: GroupId,
        source: TransferSource,
        after: TransferSequence,
        batches: Vec<(TransferSequence, Bytes)>,
    },
    /// How new the registry is; answered by its leader only, which asks a majority first.
    RegistryVersion,
    /// The feature level of the cluster, and the highest that the node's build knows.
    Features,
    /// Take over what a sealed partition of a queue leaves to its child; answered by the child's leader only.
    Inherit { child: GroupId, inherit: weir_queue::Inherit },
    /// These keys are drained in the sealed partition that the child came of; answered by the child's leader only.
    Drained { child: GroupId, parent: GroupId, keys: Vec<KeyHash> },
    /// Wait until what commits of a stream partition have appended elsewhere is there; answered by its leader only.
    Arrived(GroupId),
    /// Does the outbox of a partition hold nothing for another one? Answered by its leader only.
    Awaits { group: GroupId, destination: GroupId },
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Hello(Hello),
    Done,
    Metadata(weir_metadata::Reply),
    Coordinator(weir_groups::Reply),
    CoordinatorView(Vec<crate::api::groups::GroupView>),
    Assignment(weir_groups::Assignment),
    PartitionView(PartitionView),
    Position(PositionView),
    Located(Offset),
    NodeView {
        version: String,
    },
    /// The last batch that was taken in from the source.
    Transferred {
        through: TransferSequence,
    },
    RegistryVersion(u64),
    Features {
        active: Level,
        knows: Level,
    },
}

/// What a node says about itself before there is trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// 0 while it belongs to none.
    pub(crate) cluster: ClusterId,
    pub(crate) incarnation: Incarnation,
    pub(crate) name: String,
    pub(crate) addresses: Addresses,
    pub(crate) rack: Option<String>,
    /// The seeds it was configured with.
    pub(crate) seeds: BTreeSet<String>,
    pub(crate) bootstrap_expect: u32,
    /// The members it knows, so that a joining node can reach them.
    pub(crate) members: Vec<Member>,
}

/// A member of the cluster, as another node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) addresses: Addresses,
}

/// Who founds a cluster. Persisted by every founder before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Founding {
    pub(crate) cluster: ClusterId,
    pub(crate) founders: Vec<Founder>,
}

/// Where an operator moves a consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResetTo {
    /// The first retained record.
    Earliest,
    /// Behind the last record.
    Latest,
    /// This offset.
    Offset(Offset),
    /// The first record at or after this time.
    Time(WallClock),
    /// So many records before the end, or the first retained record.
    Lag(u64),
}

/// How a partition is, as its leader knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionView {
    /// Current term.
    pub term: u64,
    /// Last committed Raft entry.
    pub committed: u64,
    /// Entries that each replica still lacks.
    pub replicas: Vec<(ReplicaId, NodeId, u64)>,
    /// What it holds.
    pub contents: ContentsView,
}

/// What a partition holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ContentsView {
    /// A stream's records.
    Stream {
        /// First retained offset.
        start: Offset,
        /// Next offset to be written.
        end: Offset,
        /// Bytes retained.
        bytes: u64,
    },
    /// A queue's messages.
    Queue(QueueCounts),
    /// Group state; nothing to count.
    Internal,
}

impl ContentsView {
    /// The topic kind, unless it is internal.
    pub fn kind(&self) -> Option<TopicKind> {
        match self {
            Self::Stream { .. } => Some(TopicKind::Stream),
            Self::Queue(_) => Some(TopicKind::Queue),
            Self::Internal => None,
        }
    }
}

/// Counts of a queue partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounts {
    /// Can be leased now (in a FIFO queue, when its key's turn comes).
    pub ready: u64,
    /// Under a lease.
    pub leased: u64,
    /// Waiting for their delivery time, or for a nack's backoff.
    pub scheduled: u64,
    /// Set aside as dead letters.
    pub parked: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Messages ever enqueued.
    pub enqueued_total: u64,
    /// Messages ever acked.
    pub acked_total: u64,
    /// Deliveries beyond the first, ever.
    pub redelivered_total: u64,
    /// Batches of ack-and-append that have not arrived at their partition yet.
    pub outbox_batches: u64,
}

/// A consumer group's position in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionView {
    /// The next offset to read; none when the group never committed here.
    pub committed: Option<Offset>,
    /// What the consumer stored with it.
    pub metadata: String,
    /// The lowest epoch that may commit.
    pub epoch: u64,
    /// First retained offset.
    pub start: Offset,
    /// Next offset to be written.
    pub end: Offset,
    /// For how long the oldest record that the group has not consumed has been there, in milliseconds; 0 when it has
    /// consumed all.
    pub lag_ms: u64,
}

/// Encodes a question or an answer.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    postcard::to_allocvec(value).expect("requests are plain data, which postcard always encodes").into()
}

/// Decodes one. Bytes of a stranger, or of a newer version, are an error.
pub(crate) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, WeirError> {
    postcard::from_bytes(bytes).map_err(|error| {
        WeirError::new(ErrorKind::Invalid, "bad-peer-request", format!("message between nodes: {error}"))
    })
}

/// Asks another node.
pub(crate) async fn ask(remote: &dyn Remote, address: &str, request: &Request) -> Result<Answer, WeirError> {
    decode(&remote.call(address, encode(request)).await?)
}

/// The answer was of another kind than the question: a bug.
pub(crate) fn unexpected(answer: &Answer) -> WeirError {
    WeirError::new(ErrorKind::Internal, "unexpected-answer", format!("unexpected answer {answer:?}"))
}
