//! The HTTP port: metrics for Prometheus, and whether the node lives and serves.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use weir_broker::Node;

use crate::telemetry;

/// What the pages tell about.
#[derive(Clone)]
struct Told {
    node: Arc<Node>,
    leaving: CancellationToken,
}

/// The pages. From `leaving` on the node is not ready any more.
pub(crate) fn router(node: Arc<Node>, leaving: CancellationToken) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Told { node, leaving })
}

async fn metrics(State(Told { node, .. }): State<Told>) -> Result<String, StatusCode> {
    if let Ok(broker) = node.broker() {
        broker.update_gauges();
    }
    telemetry::page().ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

async fn ready(State(Told { node, leaving }): State<Told>) -> (StatusCode, &'static str) {
    if leaving.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "this node is stopping\n");
    }
    match node.broker() {
        Ok(broker) if broker.is_ready() => (StatusCode::OK, "ready\n"),
        Ok(broker) if broker.registry_is_led() => {
            (StatusCode::SERVICE_UNAVAILABLE, "replicas of this node are not open yet\n")
        }
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "the cluster's registry has no leader yet\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "this node has no place in a cluster yet\n"),
    }
}
