//! What the fuzz targets need of connections: bytes that arrive at either end.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use weir_runtime::{BoxFuture, BoxListener, BoxStream, Network};
use weir_types::{ClusterId, Incarnation, NodeId};

use super::frame::{Item, split};
use super::hello::{dial, welcome};
use super::serve::serve;
use super::{Answer, Call, Connected, Handler, Identity, LaneKind};
use crate::PeerAddress;

const US: Identity = Identity { cluster: ClusterId(1), node: NodeId(1), incarnation: Incarnation(11) };
const PEER: Identity = Identity { cluster: ClusterId(1), node: NodeId(2), incarnation: Incarnation(22) };
/// Room for every answer, so that a test never waits for itself.
const PIPE_BYTES: usize = 4 << 20;

/// A stream on which `bytes` arrive, and then its end. The other end takes what is written.
async fn arriving(bytes: &[u8]) -> (BoxStream, DuplexStream) {
    let (near, mut far) = tokio::io::duplex(PIPE_BYTES.max(bytes.len()));
    far.write_all(bytes).await.expect("there is room");
    far.shutdown().await.expect("a pipe closes");
    (Box::new(near), far)
}

/// A stranger's bytes at the peer port: refused, or a hello of ours that was answered.
pub(crate) async fn welcome_stranger(bytes: &[u8]) {
    let (stream, mut far) = arriving(bytes).await;
    let connected = welcome(stream, US, |_| Some(PEER.incarnation)).await;
    if let Ok(connected) = connected {
        assert_eq!(connected.peer.cluster, US.cluster);
        assert_ne!(connected.peer.node, US.node);
        drop(connected);
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.expect("a pipe reads");
        assert!(!answer.is_empty(), "whoever is let in is told so");
    }
}

/// A stranger's bytes on a connection that we dialled.
pub(crate) async fn dial_stranger(bytes: &[u8]) {
    let (stream, _far) = arriving(bytes).await;
    let network = OneStream(parking_lot::Mutex::new(Some(stream)));
    let address = PeerAddress { address: String::new(), incarnation: Some(PEER.incarnation) };
    if let Ok(connected) = dial(&network, US, PEER.node, &address, LaneKind::Data).await {
        assert_eq!((connected.peer.cluster, connected.peer.node), (US.cluster, PEER.node));
    }
}

/// A peer's bytes on a lane that it dialled: each call is answered with the payloads that it stated, or the
/// connection ends.
pub(crate) async fn serve_peer(bytes: &[u8]) {
    for lane in [LaneKind::Data, LaneKind::Control] {
        let (stream, _far) = arriving(bytes).await;
        let (reader, writer) = split(stream);
        let connected = Connected { peer: PEER, lane, reader, writer };
        serve(Arc::new(Checking), connected).await;
    }
}

/// Items that decode are encoded to the same items again.
pub(crate) fn items(bytes: &[u8]) {
    let Ok(items) = postcard::from_bytes::<Vec<Item>>(bytes) else { return };
    let again = postcard::to_stdvec(&items).expect("items encode");
    assert_eq!(postcard::from_bytes::<Vec<Item>>(&again).ok(), Some(items));
}

struct Checking;

impl Handler for Checking {
    fn call(&self, _: Identity, call: Call, payloads: Vec<Bytes>) -> BoxFuture<'static, Answer> {
        match call {
            Call::Append(append) => {
                let stated = append.entries.iter().map(|entry| entry.length as usize);
                assert!(stated.eq(payloads.iter().map(Bytes::len)), "each entry has its payload");
            }
            _ => assert!(payloads.is_empty(), "only appends bring payloads"),
        }
        Box::pin(async { Answer::Pong { wall: weir_types::WallClock(0) } })
    }

    fn heard(&self, _: Identity, _: LaneKind) {}

    fn held(&self, _: Identity) {}

    fn cut(&self, _: Identity, _: LaneKind) {}

    fn snapshot(&self, _: Connected) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

struct OneStream(parking_lot::Mutex<Option<BoxStream>>);

impl Network for OneStream {
    fn connect(&self, _: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let stream = self.0.lock().take().ok_or_else(|| io::ErrorKind::ConnectionRefused.into());
        Box::pin(async { stream })
    }

    fn bind(&self, _: &str) -> BoxFuture<'static, io::Result<BoxListener>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}
