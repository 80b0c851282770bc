//! The peer port.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use weir_runtime::{BoxListener, BoxStream, TaskGroup};

use super::Peers;
use super::hello::{Connected, Identity, LaneKind, welcome};
use super::serve::{Handler, serve};

/// Connections open at once, strangers included; more are closed at once.
const CONNECTIONS_MAX: usize = 1_024;
/// Pause after the system refused to accept (no file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts the connections of peers.
pub(crate) struct Acceptor {
    pub(crate) us: Identity,
    pub(crate) peers: Arc<Peers>,
    pub(crate) handler: Arc<dyn Handler>,
    /// Where data and snapshots are served; control lanes stay where the acceptor runs.
    pub(crate) data: Handle,
}

impl Acceptor {
    /// Accepts until it is dropped.
    pub(crate) async fn run(self: Arc<Self>, mut listener: BoxListener) {
        let open = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = TaskGroup::new();
        loop {
            let (stream, remote) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept peers");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&open).try_acquire_owned() else {
                metrics::counter!("weir_peer_rejected_total", "reason" => "too_many").increment(1);
                continue;
            };
            let acceptor = Arc::clone(&self);
            connections.spawn(async move {
                let _permit = permit;
                let error = acceptor.serve(stream).await;
                if error.kind() == io::ErrorKind::InvalidData {
                    metrics::counter!("weir_peer_rejected_total", "reason" => "malformed").increment(1);
                    tracing::warn!(%remote, %error, "peer connection closed");
                } else {
                    tracing::debug!(%remote, %error, "peer connection closed");
                }
            });
        }
    }

    async fn serve(&self, stream: BoxStream) -> io::Error {
        let known = |node| self.peers.incarnation(node);
        let connected = match welcome(stream, self.us, known).await {
            Ok(connected) => connected,
            Err(error) => return error,
        };
        match connected.lane {
            LaneKind::Control => serve(Arc::clone(&self.handler), connected).await,
            LaneKind::Data => self.on_data(serve(Arc::clone(&self.handler), connected)).await,
            LaneKind::Snapshot => {
                let handler = Arc::clone(&self.handler);
                self.on_data(served(handler.snapshot(connected))).await
            }
        }
    }

    /// Runs `future` where data is served, for as long as this end is interested.
    async fn on_data(&self, future: impl Future<Output = io::Error> + Send + 'static) -> io::Error {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn_on(future, &self.data);
        match tasks.join_next().await {
            Some(Ok(error)) => error,
            _ => io::Error::other("the connection's task ended early"),
        }
    }
}

async fn served(snapshot: impl Future<Output = ()>) -> io::Error {
    snapshot.await;
    io::Error::other("snapshot connection is done")
}

// `Connected` crosses from the acceptor's runtime to the data runtime as a whole.
const _: fn() = || {
    fn sendable<T: Send>() {}
    sendable::<Connected>();
};
