//! What is said on the simulated client ports, and how: one call per connection, frames with a length before them.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use weir_metadata::{LinkKind, Routing};
use weir_queue::SettleItem;
use weir_runtime::Network;
use weir_types::{
    ErrorKind, GroupId, KeyHash, LeaseId, MessageId, NodeId, Offset, ProducerEpoch, ProducerId, RequestId,
    TopicPolicy, WeirError,
};

use super::network::SimulatedNetwork;

/// Largest frame.
const FRAME_BYTES_MAX: usize = 16 << 20;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The first frame of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Asked {
    /// Another node's broker asks; only brokers know what.
    Peer(Vec<u8>),
    /// A client asks.
    Client(Question),
}

/// What the clients of the simulation ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Question {
    Routing,
    CreateTopic {
        name: String,
        policy: TopicPolicy,
        partitions: u32,
        request: RequestId,
    },
    /// Links two topics, a subscription from the beginning on; the link's id.
    CreateLink {
        kind: LinkKind,
        from: String,
        to: String,
    },
    InitProducer {
        request: RequestId,
    },
    Enqueue {
        group: GroupId,
        batch: Vec<u8>,
    },
    Append {
        group: GroupId,
        batch: Vec<u8>,
    },
    Lease {
        group: GroupId,
        request: RequestId,
        messages_max: u32,
        lease_ms: u64,
        wait_ms: u64,
    },
    Settle {
        group: GroupId,
        request: RequestId,
        items: Vec<SettleItem>,
    },
    /// Acks one message and appends a batch to another partition, in one step.
    AckAndAppend {
        group: GroupId,
        request: RequestId,
        message: MessageId,
        lease: LeaseId,
        destination: GroupId,
        batch: Vec<u8>,
    },
    Fetch {
        group: GroupId,
        offset: Offset,
        wait_ms: u64,
    },
    /// Dead letters of a queue partition.
    Parked {
        group: GroupId,
    },
    Redrive {
        group: GroupId,
        messages: Vec<MessageId>,
    },
    Discard {
        group: GroupId,
        messages: Vec<MessageId>,
    },
    /// One step of a replay of everything that is kept; 0 when there is no more to do.
    Replay {
        group: GroupId,
        request: RequestId,
    },
    /// Calls off a message that waits for its delivery time.
    Cancel {
        group: GroupId,
        message: MessageId,
    },
    /// Shuts out older owners of a partition in a consumer group.
    Fence {
        group: GroupId,
        consumers: String,
        epoch: u64,
    },
    Commit {
        group: GroupId,
        consumers: String,
        epoch: u64,
        offset: Offset,
    },
    /// Commits, and appends a batch to another partition, in one step.
    CommitAndAppend {
        group: GroupId,
        consumers: String,
        epoch: u64,
        from: Option<Offset>,
        offset: Offset,
        destination: GroupId,
        batch: Vec<u8>,
    },
    Position {
        group: GroupId,
        consumers: String,
    },
    /// First and next offset of a stream partition.
    Bounds {
        group: GroupId,
    },
    /// Messages of a queue partition that are not acked yet, and batches that have not arrived elsewhere.
    Left {
        group: GroupId,
    },
    /// Batches of a stream partition that have not arrived elsewhere.
    Outbox {
        group: GroupId,
    },
    /// The next offset to be written to a stream partition.
    End {
        group: GroupId,
    },
    /// Splits a partition in the middle of its keys, or at a key hash.
    Split {
        topic: String,
        partition: u32,
        at: Option<KeyHash>,
        request: RequestId,
    },
    Merge {
        topic: String,
        left: u32,
        right: u32,
        request: RequestId,
    },
    /// Splits or merges until a topic has so many partitions.
    Scale {
        topic: String,
        partitions: u32,
        request: RequestId,
    },
    /// A member of a consumer group lives, and has these partitions; each has its epoch, and whether it is finished.
    Heartbeat {
        consumers: String,
        member: String,
        topic: String,
        session_timeout_ms: u64,
        owned: Vec<(GroupId, u64, bool)>,
    },
    /// A member leaves its group.
    Leave {
        consumers: String,
        member: String,
    },
}

/// The answers, in the order of the questions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Routing {
        table: Routing,
        leaders: BTreeMap<GroupId, NodeId>,
    },
    Done,
    Producer {
        id: ProducerId,
        epoch: ProducerEpoch,
    },
    /// Where the first record of a batch is.
    Written {
        base: u64,
        duplicate: bool,
    },
    Leased(Vec<Leased>),
    /// One per item; none where it was done.
    Settled(Vec<Option<WeirError>>),
    /// With `sealed`, nothing will come behind the end.
    Fetched {
        batches: Vec<Vec<u8>>,
        end: Offset,
        sealed: bool,
    },
    Count(u64),
    /// Messages with their attempts and bodies.
    Parked(Vec<(MessageId, u32, Vec<u8>)>),
    Position {
        committed: Option<u64>,
    },
    Bounds {
        start: u64,
        end: u64,
    },
    /// Which partitions take the place of which, and whether they do so already.
    Reshaped {
        parents: Vec<u32>,
        children: Vec<u32>,
        done: bool,
    },
    /// What a member of a group may read.
    Assigned(Vec<Assigned>),
}

/// A partition that a member may read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Assigned {
    /// Its number in the topic.
    pub(super) index: u32,
    pub(super) group: GroupId,
    pub(super) epoch: u64,
}

/// A message under a lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Leased {
    pub(super) message: MessageId,
    pub(super) lease: LeaseId,
    /// How often it was granted, this time included.
    pub(super) attempt: u32,
    pub(super) value: Vec<u8>,
}

/// Asks a client port. What may have arrived and was not answered in time has an unknown outcome.
pub(super) async fn call<T: DeserializeOwned>(
    network: &SimulatedNetwork,
    address: &str,
    asked: &Asked,
    patience: Duration,
) -> Result<T, WeirError> {
    let connecting = timeout(CONNECT_TIMEOUT, network.connect(address));
    let mut stream = match connecting.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(address, &error)),
        Err(_) => return Err(unreachable(address, &io::ErrorKind::TimedOut.into())),
    };
    let exchange = async {
        write(&mut stream, asked).await?;
        read::<Result<T, WeirError>>(&mut stream).await
    };
    match timeout(patience, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(unknown(address, &error)),
        Err(_) => Err(unknown(address, &io::ErrorKind::TimedOut.into())),
    }
}

/// Writes one frame.
pub(super) async fn write<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), value: &T) -> io::Result<()> {
    let body = postcard::to_allocvec(value).map_err(io::Error::other)?;
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    stream.write_all(&frame).await
}

/// Reads one frame.
pub(super) async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = stream.read_u32().await? as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    postcard::from_bytes(&body).map_err(io::Error::other)
}

fn unreachable(address: &str, error: &io::Error) -> WeirError {
    let message = format!("{address} cannot be reached: {error}");
    WeirError::new(ErrorKind::Retry, "node-unreachable", message)
}

fn unknown(address: &str, error: &io::Error) -> WeirError {
    let message = format!("no answer from {address}: {error}");
    WeirError::new(ErrorKind::OutcomeUnknown, "outcome-unknown", message)
}
