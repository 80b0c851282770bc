//! Splitting and merging partitions.

use std::future::Future;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Response, Status};
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;

use super::types::Reshaped;
use super::{Admin, convert};
use crate::Result;
use crate::call::Call;
use crate::routing::Target;

/// How long the cluster may take to let the children take over before it answers that they will.
const RESHAPE_WAIT_MS: u64 = 10_000;

impl Admin {
    /// Replaces a partition by two, each with a part of its keys: the second one's begin with the hash `at`, by default the
    /// middle of the range. Keys keep their order: what a stream or a FIFO queue holds of a key there is read or delivered
    /// before what a child takes in of it. Waits until the children own the keys, 10 s at most: then that follows by itself.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a partition that cannot be split there, or is sealed; `Retry` while it is being split or
    /// merged.
    pub async fn split_partition(&self, topic: &str, partition: u32, at: Option<u32>) -> Result<Reshaped> {
        let request = v1::SplitPartitionRequest {
            topic: topic.to_owned(),
            partition,
            at,
            request_id: self.client.core.random_id(),
            timeout_ms: RESHAPE_WAIT_MS,
        };
        self.reshape(format!("split partition {partition} of `{topic}`"), |channel| {
            let request = request.clone();
            async move { AdminClient::new(channel).split_partition(request).await }
        })
        .await
    }

    /// Replaces two neighbours, in order of their keys, by one partition with the keys of both, in the same way.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for partitions that are no neighbours or cannot be merged; `Retry` while one of them is being
    /// split or merged.
    pub async fn merge_partitions(&self, topic: &str, left: u32, right: u32) -> Result<Reshaped> {
        let request = v1::MergePartitionsRequest {
            topic: topic.to_owned(),
            left,
            right,
            request_id: self.client.core.random_id(),
            timeout_ms: RESHAPE_WAIT_MS,
        };
        self.reshape(format!("merge partitions {left} and {right} of `{topic}`"), |channel| {
            let request = request.clone();
            async move { AdminClient::new(channel).merge_partitions(request).await }
        })
        .await
    }

    /// Splits the widest partitions of a topic, or merges the narrowest neighbours, until so many own its
    /// keys: in as many steps as it takes, for 10 s at most. What is not begun then is left undone, and the same call goes on.
    ///
    /// # Errors
    /// As [`split_partition`](Self::split_partition) and [`merge_partitions`](Self::merge_partitions); `Invalid` for no
    /// partitions, or more than 1,024.
    pub async fn scale_topic(&self, topic: &str, partitions: u32) -> Result<Reshaped> {
        let request = v1::ScaleTopicRequest {
            topic: topic.to_owned(),
            partitions,
            request_id: self.client.core.random_id(),
            timeout_ms: RESHAPE_WAIT_MS,
        };
        self.reshape(format!("scale topic `{topic}` to {partitions} partitions"), |channel| {
            let request = request.clone();
            async move { AdminClient::new(channel).scale_topic(request).await }
        })
        .await
    }

    async fn reshape<A, F>(&self, doing: String, attempt: A) -> Result<Reshaped>
    where
        A: Fn(Channel) -> F,
        F: Future<Output = Result<Response<v1::ReshapeResponse>, Status>>,
    {
        let core = &self.client.core;
        let call = core.operation(Target::Any, doing);
        let attempt_timeout = call.attempt_timeout + Duration::from_millis(RESHAPE_WAIT_MS);
        core.call(Call { attempt_timeout, ..call }, attempt).await.map(convert::reshaped)
    }
}
