//! Topics and the cluster.

use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Status;
use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_types::ErrorKind;

use super::types::{ClusterStatus, NewTopic, Settings, TopicDescription, TopicInfo};
use super::{Admin, convert, partition_of};
use crate::Result;
use crate::call::{ANSWER_BYTES_MAX, Call, Failure};
use crate::routing::Target;

/// How long the cluster may take to give each partition of a new topic a leader.
const CREATE_WAIT_MS: u64 = 10_000;

impl Admin {
    /// Creates a topic and waits until each of its partitions has a leader (10 s at most: then it exists, and is still
    /// forming). A repetition after a lost answer is not told that its own topic exists.
    ///
    /// # Errors
    /// `AlreadyExists`; `Invalid` for a bad name, no partitions, or more replicas than nodes.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<TopicInfo> {
        let core = &self.client.core;
        let request = v1::CreateTopicRequest {
            kind: v1::TopicKind::from(topic.kind) as i32,
            partitions: topic.partitions,
            replicas: topic.replicas,
            settings: topic.settings.map(Settings::into_wire),
            request_id: core.random_id(),
            timeout_ms: CREATE_WAIT_MS,
            name: topic.name,
        };
        let call = core.operation(Target::Any, format!("create topic `{}`", request.name));
        let attempt_timeout = call.attempt_timeout + std::time::Duration::from_millis(CREATE_WAIT_MS);
        let answer = core
            .call(Call { attempt_timeout, ..call }, |channel| {
                let request = request.clone();
                async move { AdminClient::new(channel).create_topic(request).await }
            })
            .await?;
        let topic = convert::topic(answer.topic)?;
        // So that what comes next finds it. If the watched node lags more than that, what comes next waits itself.
        core.topic_in_table(&topic.name, core.options.attempt_timeout).await;
        Ok(topic)
    }

    /// Changes settings of a topic; what is not set stays.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for settings of the other kind, or of one that is fixed.
    pub async fn alter_topic(&self, name: &str, settings: Settings) -> Result<TopicInfo> {
        self.alter(name, Some(settings), None).await
    }

    /// Gives every partition of a topic as many replicas, and changes settings with it: all of that or nothing. Returns
    /// when it is planned; [`describe_topic`](Self::describe_topic) shows the replicas come and go.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for no replicas, more than 7, or more than nodes that are in use and heard; what
    /// [`alter_topic`](Self::alter_topic) refuses.
    pub async fn set_replicas(
        &self,
        name: &str,
        replicas: u32,
        settings: Option<Settings>,
    ) -> Result<TopicInfo> {
        self.alter(name, settings, Some(replicas)).await
    }

    async fn alter(
        &self,
        name: &str,
        settings: Option<Settings>,
        replicas: Option<u32>,
    ) -> Result<TopicInfo> {
        let core = &self.client.core;
        let settings = settings.map(Settings::into_wire);
        let request = v1::AlterTopicRequest { name: name.to_owned(), settings, replicas };
        let answer = core
            .call(core.operation(Target::Any, format!("alter topic `{name}`")), |channel| {
                let request = request.clone();
                async move { AdminClient::new(channel).alter_topic(request).await }
            })
            .await?;
        convert::topic(answer.topic)
    }

    /// Deletes a topic and everything in it.
    ///
    /// # Errors
    /// `NotFound`, unless an earlier attempt of this call may have deleted it.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let core = &self.client.core;
        let lost = AtomicBool::new(false);
        let result = core
            .call(core.operation(Target::Any, format!("delete topic `{name}`")), |channel| {
                let request = v1::DeleteTopicRequest { name: name.to_owned() };
                delete_once(AdminClient::new(channel), request, &lost)
            })
            .await;
        match result {
            Err(error) if error.kind() == ErrorKind::NotFound && lost.load(Ordering::Relaxed) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// All topics, by name.
    pub async fn list_topics(&self) -> Result<Vec<TopicInfo>> {
        let core = &self.client.core;
        let answer = core
            .call(core.operation(Target::Any, "list topics"), |channel| async move {
                let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                client.list_topics(v1::ListTopicsRequest {}).await
            })
            .await?;
        answer.topics.into_iter().map(|topic| convert::topic(Some(topic))).collect()
    }

    /// One topic with the state of its partitions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription> {
        let core = &self.client.core;
        let answer = core
            .call(core.operation(Target::Any, format!("describe topic `{name}`")), |channel| {
                let request = v1::DescribeTopicRequest { name: name.to_owned() };
                async move {
                    let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                    client.describe_topic(request).await
                }
            })
            .await?;
        let partitions = answer.partitions.into_iter().map(convert::partition).collect();
        Ok(TopicDescription { topic: convert::topic(answer.topic)?, partitions })
    }

    /// Hands the leadership of a partition to the voter on this node, and returns when it leads. Leaders return to their
    /// preferred nodes 5 s after the last change.
    ///
    /// # Errors
    /// `NotFound` for the topic or partition; `Invalid` when the node has no voter of it; `Retry` when it did not take
    /// over in time.
    pub async fn transfer_leadership(&self, topic: &str, partition: u32, node_id: u64) -> Result<()> {
        let core = &self.client.core;
        let route = core.topic(topic).await?;
        let group = partition_of(&route, partition)?.group;
        let request = v1::TransferLeadershipRequest { group_id: group.0, node_id };
        let what = format!("transfer partition {partition} of `{topic}`");
        core.call(core.operation(Target::Leader(group), what), |channel| async move {
            AdminClient::new(channel).transfer_leadership(request).await
        })
        .await
        .map(|_| ())
    }

    /// Nodes, leaders, partitions and lag.
    pub async fn cluster_status(&self) -> Result<ClusterStatus> {
        let core = &self.client.core;
        let answer = core
            .call(core.operation(Target::Any, "read the cluster's status"), |channel| async move {
                let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                client.cluster_status(v1::ClusterStatusRequest {}).await
            })
            .await?;
        Ok(convert::cluster(answer))
    }
}

/// One attempt. `lost` stays set when its answer does not come: also when it is dropped because its time is up.
async fn delete_once(
    mut client: AdminClient<tonic::transport::Channel>,
    request: v1::DeleteTopicRequest,
    lost: &AtomicBool,
) -> Result<tonic::Response<v1::DeleteTopicResponse>, Status> {
    let before = lost.swap(true, Ordering::Relaxed);
    let answer = client.delete_topic(request).await;
    let now = answer.as_ref().err().is_some_and(|status| Failure::from_status(status).maybe_happened);
    lost.store(before || now, Ordering::Relaxed);
    answer
}
