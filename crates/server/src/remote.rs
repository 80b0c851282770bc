//! The way to other nodes' brokers: a gRPC call on their client port.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tonic::Request;
use tonic::transport::Channel;
use weir_broker::Remote;
use weir_proto::error_from_status;
use weir_proto::v1::PeerRequest;
use weir_proto::v1::peer_client::PeerClient;
use weir_runtime::Network;
use weir_types::{ErrorKind, WeirError};

use crate::connection::channel;
use crate::services::MESSAGE_BYTES_MAX;

/// Channels that are kept; a cluster has fewer nodes.
const CHANNELS_MAX: usize = 1_000;

/// Calls other nodes, over one kept channel each.
pub(crate) struct GrpcRemote {
    network: Arc<dyn Network>,
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl GrpcRemote {
    pub(crate) fn new(network: Arc<dyn Network>) -> Self {
        Self { network, channels: Mutex::default() }
    }

    fn channel(&self, address: &str) -> Result<Channel, WeirError> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        let made = channel(Arc::clone(&self.network), address).map_err(|error| {
            WeirError::new(ErrorKind::Invalid, "bad-address", format!("address {address}: {error}"))
        })?;
        channels.insert(address.to_owned(), made.clone());
        Ok(made)
    }
}

impl Remote for GrpcRemote {
    fn call(
        &self,
        address: &str,
        request: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, WeirError>> + Send + '_>> {
        let channel = self.channel(address);
        Box::pin(async move {
            let mut client = PeerClient::new(channel?).max_decoding_message_size(MESSAGE_BYTES_MAX);
            let answered = client.call(Request::new(PeerRequest { request })).await;
            answered.map(|response| response.into_inner().answer).map_err(|status| error_from_status(&status))
        })
    }
}
