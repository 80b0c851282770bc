//! How a connection begins: both ends say who they are, and a mismatch ends it.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use weir_runtime::{BoxStream, Network};
use weir_types::{ClusterId, Incarnation, NodeId};

use super::frame::{FrameReader, FrameWriter, split};
use crate::PeerAddress;

/// Version of frames and messages.
const PROTOCOL_VERSION: u16 = 1;
/// Largest hello. Strangers get no more memory than this.
const HELLO_BYTES_MAX: usize = 1 << 10;
/// How long either end waits for the other's hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(3);

/// Who this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum LaneKind {
    Data,
    Control,
    Snapshot,
}

impl LaneKind {
    /// The label under which it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Control => "control",
            Self::Snapshot => "snapshot",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    version: u16,
    source: Identity,
    target: NodeId,
    lane: LaneKind,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Welcome {
    Accepted { identity: Identity },
    Refused { reason: Mismatch },
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mismatch {
    Version,
    Cluster,
    Target,
    Source,
}

impl Mismatch {
    fn name(self) -> &'static str {
        match self {
            Self::Version => "wrong_version",
            Self::Cluster => "wrong_cluster",
            Self::Target => "wrong_target",
            Self::Source => "wrong_incarnation",
        }
    }
}

/// A connection after its hello.
pub(crate) struct Connected {
    pub(crate) peer: Identity,
    pub(crate) lane: LaneKind,
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
}

/// Connects to `target` and introduces ourselves.
pub(crate) async fn dial(
    network: &dyn Network,
    us: Identity,
    target: NodeId,
    address: &PeerAddress,
    lane: LaneKind,
) -> io::Result<Connected> {
    let connect = network.connect(&address.address);
    let introduce = async {
        let (mut reader, mut writer) = split(connect.await?);
        let hello = Hello { version: PROTOCOL_VERSION, source: us, target, lane };
        writer.write(vec![encode(&hello)]).await?;
        let welcome: Welcome = decode(&reader.read(HELLO_BYTES_MAX).await?)?;
        let peer = match welcome {
            Welcome::Accepted { identity } => identity,
            Welcome::Refused { reason } => return Err(refused("peer refused us", reason)),
        };
        check_peer(us, &peer, address.incarnation)
            .map_err(|reason| refused("we refused the peer", reason))?;
        if peer.node != target {
            return Err(refused("we refused the peer", Mismatch::Target));
        }
        Ok::<_, io::Error>(Connected { peer, lane, reader, writer })
    };
    timeout(HELLO_TIMEOUT, introduce).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Takes a connection in. `known` gives the incarnation on record of a node, if there is one.
pub(crate) async fn welcome(
    stream: BoxStream,
    us: Identity,
    known: impl Fn(NodeId) -> Option<Incarnation>,
) -> io::Result<Connected> {
    let (mut reader, mut writer) = split(stream);
    let greet = async {
        let hello: Hello = decode(&reader.read(HELLO_BYTES_MAX).await?)?;
        let verdict = check(us, &hello, &known);
        let answer = match verdict {
            Ok(()) => Welcome::Accepted { identity: us },
            Err(reason) => Welcome::Refused { reason },
        };
        writer.write(vec![encode(&answer)]).await?;
        verdict.map_err(|reason| refused("we refused the peer", reason))?;
        Ok::<_, io::Error>(hello)
    };
    let hello =
        timeout(HELLO_TIMEOUT, greet).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(Connected { peer: hello.source, lane: hello.lane, reader, writer })
}

fn check(
    us: Identity,
    hello: &Hello,
    known: &impl Fn(NodeId) -> Option<Incarnation>,
) -> Result<(), Mismatch> {
    if hello.version != PROTOCOL_VERSION {
        return Err(Mismatch::Version);
    }
    check_peer(us, &hello.source, known(hello.source.node))?;
    if hello.target != us.node {
        return Err(Mismatch::Target);
    }
    Ok(())
}

fn check_peer(us: Identity, peer: &Identity, known: Option<Incarnation>) -> Result<(), Mismatch> {
    if peer.cluster != us.cluster {
        return Err(Mismatch::Cluster);
    }
    // Somebody with our own id is a copy of our disk; a node with a new incarnation lost its disk.
    if peer.node == us.node || known.is_some_and(|known| known != peer.incarnation) {
        return Err(Mismatch::Source);
    }
    Ok(())
}

fn refused(what: &str, reason: Mismatch) -> io::Error {
    metrics::counter!("weir_peer_rejected_total", "reason" => reason.name()).increment(1);
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{what}: {}", reason.name()))
}

fn encode<T: Serialize>(value: &T) -> bytes::Bytes {
    postcard::to_stdvec(value).expect("a hello always encodes").into()
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}
