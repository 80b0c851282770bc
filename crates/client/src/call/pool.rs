//! One HTTP/2 connection per node, shared by everything that this client does.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};
use tower::Service;
use weir_runtime::{BoxFuture, BoxStream, Network};
use weir_types::{ErrorKind, WeirError};

/// Bytes that one call may receive before its reader has caught up: two of the largest batches.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// Bytes that all calls of a connection may receive together.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// A connection without traffic is asked for a sign of life this often, and is broken after `KEEPALIVE_TIMEOUT`.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections kept; more addresses than a cluster has nodes come only from a cluster that moves. All are dropped
/// then, and those in use are opened again.
const CONNECTIONS_MAX: usize = 256;
/// Largest answer: what one fetch may hold, with what surrounds it.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The connections by address. A broken one is opened again by its next call.
pub(crate) struct Pool {
    network: Arc<dyn Network>,
    connect_timeout: Duration,
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl Pool {
    pub(crate) fn new(network: Arc<dyn Network>, connect_timeout: Duration) -> Self {
        Self { network, connect_timeout, channels: Mutex::default() }
    }

    /// The connection to `address`; it is opened by its first call.
    pub(crate) fn channel(&self, address: &str) -> Result<Channel, WeirError> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| {
            let text = format!("`{address}` is not an address: {error}");
            WeirError::new(ErrorKind::Retry, "address-invalid", text)
        })?;
        let connector = Connector { network: Arc::clone(&self.network), address: address.to_owned() };
        let channel = endpoint
            .connect_timeout(self.connect_timeout)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector);
        if channels.len() >= CONNECTIONS_MAX {
            channels.clear();
        }
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

/// Opens connections through the seam to the network.
#[derive(Clone)]
struct Connector {
    network: Arc<dyn Network>,
    address: String,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<BoxStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<BoxStream>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let connection = self.network.connect(&self.address);
        Box::pin(async move { connection.await.map(TokioIo::new) })
    }
}
