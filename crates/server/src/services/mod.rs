//! The native gRPC services: each call is one call of the broker's API, translated.

mod admin;
mod backup;
mod digest;
mod explain;
mod group;
mod health;
mod nodes;
mod peer;
mod queue;
mod records;
mod reshaping;
mod status;
mod stream;
mod work;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::{Routes, RoutesBuilder};
use weir_broker::{Broker, Node};
use weir_proto::v1::admin_server::AdminServer;
use weir_proto::v1::group_server::GroupServer;
use weir_proto::v1::peer_server::PeerServer;
use weir_proto::v1::queue_server::QueueServer;
use weir_proto::v1::stream_server::StreamServer;
use weir_proto::{DESCRIPTORS, error_to_status};
use weir_types::{ErrorKind, WeirError};

pub(crate) use health::Health;

/// A stream of answers.
type Answers<T> = std::pin::Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;
/// Largest message that is taken in: the largest batch and some room around it.
pub(crate) const MESSAGE_BYTES_MAX: usize = weir_types::limits::BATCH_BYTES_MAX + (1 << 20);

/// What every service holds.
#[derive(Clone)]
pub(crate) struct Services {
    node: Arc<Node>,
    /// Ends the calls that would go on for ever, when the node stops.
    stop: CancellationToken,
}

impl Services {
    pub(crate) fn new(node: Arc<Node>, stop: CancellationToken) -> Self {
        Self { node, stop }
    }

    fn broker(&self) -> Result<Broker, Status> {
        self.node.broker().map_err(error_to_status)
    }

    /// All services, with reflection and the standard health service, which tells what `health` reports.
    pub(crate) fn routes(&self, health: &Health) -> Result<Routes, tonic_reflection::server::Error> {
        let reflection = || {
            tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS)
        };
        let mut routes = RoutesBuilder::default();
        routes
            .add_service(reflection().build_v1()?)
            // Many tools still ask for the older name of the same service.
            .add_service(reflection().build_v1alpha()?)
            .add_service(health.service())
            .add_service(AdminServer::new(self.clone()))
            .add_service(GroupServer::new(self.clone()))
            .add_service(PeerServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(QueueServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(StreamServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX));
        Ok(routes.routes())
    }
}

/// What a call that the stopping node cuts off answers.
fn stopping() -> WeirError {
    WeirError::new(ErrorKind::Retry, "node-stopping", "this node is stopping; its partitions move")
        .after_ms(20)
}

fn invalid(code: &str, message: impl Into<String>) -> Status {
    error_to_status(WeirError::new(ErrorKind::Invalid, code, message))
}
