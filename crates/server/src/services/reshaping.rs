//! Partitions that are split and merged.

use tonic::Status;
use weir_broker::Broker;
use weir_broker::api::reshaping::{Change, Reshaped};
use weir_proto::{error_to_status, v1};
use weir_types::KeyHash;

use super::admin::{patience, request_id};

pub(super) async fn split(
    broker: &Broker,
    request: v1::SplitPartitionRequest,
) -> Result<v1::ReshapeResponse, Status> {
    let change = Change::Split { partition: request.partition, at: request.at.map(KeyHash) };
    let (id, patience) = (request_id(broker, request.request_id), patience(request.timeout_ms));
    let reshaped = broker.reshape(&request.topic, change, id, patience).await;
    reshaped.map(response).map_err(error_to_status)
}

pub(super) async fn merge(
    broker: &Broker,
    request: v1::MergePartitionsRequest,
) -> Result<v1::ReshapeResponse, Status> {
    let change = Change::Merge { left: request.left, right: request.right };
    let (id, patience) = (request_id(broker, request.request_id), patience(request.timeout_ms));
    let reshaped = broker.reshape(&request.topic, change, id, patience).await;
    reshaped.map(response).map_err(error_to_status)
}

pub(super) async fn scale(
    broker: &Broker,
    request: v1::ScaleTopicRequest,
) -> Result<v1::ReshapeResponse, Status> {
    let (id, patience) = (request_id(broker, request.request_id), patience(request.timeout_ms));
    let reshaped = broker.scale_topic(&request.topic, request.partitions, id, patience).await;
    reshaped.map(response).map_err(error_to_status)
}

fn response(reshaped: Reshaped) -> v1::ReshapeResponse {
    let Reshaped { parents, children, done } = reshaped;
    v1::ReshapeResponse { parents, children, done }
}
