//! The HTTP port: metrics for Prometheus, and whether the node lives and serves.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use weir_broker::Node;

use crate::telemetry;

/// The pages.
pub(crate) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(node)
}

async fn metrics(State(node): State<Arc<Node>>) -> Result<String, StatusCode> {
    if let Ok(broker) = node.broker() {
        broker.update_gauges();
    }
    telemetry::metrics().map(|handle| handle.render()).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

async fn ready(State(node): State<Arc<Node>>) -> (StatusCode, &'static str) {
    match node.broker() {
        Ok(broker) if broker.is_ready() => (StatusCode::OK, "ready\n"),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "the cluster's registry has no leader yet\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "this node has no place in a cluster yet\n"),
    }
}
