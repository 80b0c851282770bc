//! Simulated sockets behind the seam, and lanes between nodes that can be cut one by one.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_runtime::{BoxFuture, BoxListener, BoxStream, Listener, Network};

use super::cluster::{PEER_PORT, node_named};
use super::world::{HostId, Net, TcpListener, TcpStream};

/// What a connection between two nodes is for, as its first frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Entries and their answers.
    Data,
    /// Pings, surveys, votes.
    Control,
    /// Snapshots.
    Snapshot,
}

/// A lane from one node to another: the first one connects.
type Way = (usize, usize, Lane);

/// The lanes that are cut: nothing gets through them, in neither direction, and nothing breaks either. What was
/// written waits, as it would in a sender's socket buffer.
#[derive(Clone, Default)]
pub(super) struct Cuts(Arc<Mutex<CutState>>);

#[derive(Default)]
struct CutState {
    ways: BTreeSet<Way>,
    waiting: Vec<Waker>,
}

impl Cuts {
    /// Cuts the lanes of this kind between two nodes, whoever made the connection.
    pub(super) fn cut(&self, a: usize, b: usize, lane: Lane) {
        self.0.lock().ways.extend([(a, b, lane), (b, a, lane)]);
    }

    /// Mends them.
    pub(super) fn mend(&self, a: usize, b: usize, lane: Lane) {
        let mut state = self.0.lock();
        state.ways.remove(&(a, b, lane));
        state.ways.remove(&(b, a, lane));
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether a lane is cut; then the task is woken when any lane is mended.
    fn blocks(&self, way: Way, context: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        let cut = state.ways.contains(&way);
        if cut {
            state.waiting.push(context.waker().clone());
        }
        cut
    }
}

/// One host's sockets. A connection may die of a cut without a word: whoever waits for an answer must bound it.
#[derive(Clone)]
pub(super) struct SimulatedNetwork {
    pub(super) net: Net,
    /// Whose sockets these are.
    pub(super) host: HostId,
    pub(super) cuts: Cuts,
}

impl Network for SimulatedNetwork {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let address = address.to_owned();
        let (host, port) = address.split_once(':').unwrap_or((&address, ""));
        let peer = node_named(host).filter(|_| port == PEER_PORT.to_string());
        let ends = peer.map(|peer| (self.host, peer));
        let (net, from, cuts) = (self.net.clone(), self.host, self.cuts.clone());
        Box::pin(async move {
            let stream = net.connect(from, &address).await?;
            Ok(match ends {
                Some(ends) => {
                    Box::new(LaneStream { stream, ends, cuts, hello: Hello::default() }) as BoxStream
                }
                None => Box::new(stream) as BoxStream,
            })
        })
    }

    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<BoxListener>> {
        let bound = self.net.bind(self.host, address);
        Box::pin(async move { Ok(Box::new(Simulated(bound?)) as BoxListener) })
    }
}

struct Simulated(TcpListener);

impl Listener for Simulated {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async {
            let (stream, remote) = self.0.accept().await;
            Ok((Box::new(stream) as BoxStream, remote))
        })
    }

    fn local_address(&self) -> io::Result<String> {
        Ok(self.0.local_address())
    }
}

/// The connecting end of a connection between nodes.
struct LaneStream {
    stream: TcpStream,
    ends: (usize, usize),
    cuts: Cuts,
    hello: Hello,
}

/// The first frame of a connection, as far as it was written: length of the body (4 bytes, little-endian), checksum
/// (4), body. The body's last byte is the number of the lane.
#[derive(Default)]
struct Hello {
    seen: Vec<u8>,
    lane: Option<Lane>,
}

impl Hello {
    const PREFIX_BYTES: usize = 8;

    fn written(&mut self, bytes: &[u8]) {
        if self.lane.is_some() {
            return;
        }
        self.seen.extend_from_slice(bytes);
        let Some(length) = self.seen.first_chunk::<4>().map(|length| u32::from_le_bytes(*length)) else {
            return;
        };
        let last = (Self::PREFIX_BYTES + length as usize).saturating_sub(1);
        self.lane = self.seen.get(last).map(|number| match number {
            0 => Lane::Data,
            1 => Lane::Control,
            _ => Lane::Snapshot,
        });
    }
}

impl LaneStream {
    fn is_blocked(&self, context: &Context<'_>) -> bool {
        let (from, to) = self.ends;
        self.hello.lane.is_some_and(|lane| self.cuts.blocks((from, to, lane), context))
    }
}

impl AsyncRead for LaneStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_blocked(context) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for LaneStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_blocked(context) {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_write(context, from);
        if let Poll::Ready(Ok(count)) = polled {
            self.hello.written(&from[..count]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
