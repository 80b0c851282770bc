//! The standard gRPC health service: a node serves from the time when it is ready until it begins to stop.

use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use weir_proto::v1::admin_server::AdminServer;
use weir_proto::v1::group_server::GroupServer;
use weir_proto::v1::peer_server::PeerServer;
use weir_proto::v1::queue_server::QueueServer;
use weir_proto::v1::stream_server::StreamServer;

use super::Services;

/// Names that may be asked for: the node as a whole, and each service.
const NAMES: [&str; 6] = [
    "",
    AdminServer::<Services>::NAME,
    GroupServer::<Services>::NAME,
    PeerServer::<Services>::NAME,
    QueueServer::<Services>::NAME,
    StreamServer::<Services>::NAME,
];

/// What the health service tells. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Health(HealthReporter);

impl Health {
    /// Of a node that does not serve yet.
    pub(crate) async fn not_serving() -> Self {
        let health = Self(HealthReporter::new());
        health.set(false).await;
        health
    }

    /// Tells whether the node serves.
    pub(crate) async fn set(&self, serves: bool) {
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in NAMES {
            self.0.set_service_status(name, status).await;
        }
    }

    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    #[tokio::test]
    async fn a_node_serves_from_ready_to_stopping() {
        let health = Health::not_serving().await;
        let service = HealthService::from_health_reporter(health.0.clone());
        let told = async || {
            let mut all = Vec::new();
            for service_name in NAMES {
                let asked = Request::new(HealthCheckRequest { service: service_name.to_owned() });
                let answer = service.check(asked).await.expect("every name is known");
                all.push(answer.into_inner().status());
            }
            all.dedup();
            all
        };
        assert_eq!(told().await, [ServingStatus::NotServing.into()]);
        health.set(true).await;
        assert_eq!(told().await, [ServingStatus::Serving.into()]);
        health.set(false).await;
        assert_eq!(told().await, [ServingStatus::NotServing.into()]);
    }
}
