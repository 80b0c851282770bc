//! Topics, routing, the state of the cluster.

use std::time::Duration;

use tonic::{Request, Response, Status};
use weir_broker::api::admin::NewTopic;
use weir_broker::api::digest::Detail;
use weir_broker::api::links::NamedLink;
use weir_broker::{Broker, Level, LinkKind, ResetTo};
use weir_proto::error_to_status;
use weir_proto::v1::admin_server::Admin;
use weir_proto::v1::{self, TopicSettings};
use weir_types::{GroupId, NodeId, Offset, RequestId, TopicKind, TopicPolicy, WallClock};

use super::{Answers, Services, backup, digest, invalid, nodes, reshaping, status};

/// How long what follows by itself is waited for when the client does not say, in milliseconds.
const WAIT_MS: u64 = 10_000;
/// How long it is waited for at most, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;

#[tonic::async_trait]
impl Admin for Services {
    async fn create_topic(
        &self,
        request: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        let request = request.into_inner();
        let Some(kind) = request.kind().to_kind() else {
            return Err(invalid("topic-kind-missing", "kind is neither queue nor stream"));
        };
        let policy = new_policy(request.settings.as_ref(), kind)?;
        let broker = self.broker()?;
        let request_id = request_id(&broker, request.request_id);
        let topic = broker
            .create_topic(NewTopic {
                name: request.name,
                policy,
                partitions: request.partitions,
                replicas: request.replicas,
                request: request_id,
                patience: patience(request.timeout_ms),
            })
            .await
            .map_err(error_to_status)?;
        Ok(Response::new(v1::CreateTopicResponse { topic: Some(status::topic(&topic)) }))
    }

    async fn alter_topic(
        &self,
        request: Request<v1::AlterTopicRequest>,
    ) -> Result<Response<v1::AlterTopicResponse>, Status> {
        let request = request.into_inner();
        let broker = self.broker()?;
        let topic = broker.find_topic(&request.name).await.map_err(error_to_status)?;
        let changed = settings(request.settings.as_ref(), &topic.policy)?;
        let topic =
            broker.alter_topic(&request.name, changed, request.replicas).await.map_err(error_to_status)?;
        Ok(Response::new(v1::AlterTopicResponse { topic: Some(status::topic(&topic)) }))
    }

    async fn delete_topic(
        &self,
        request: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        self.broker()?.delete_topic(&request.into_inner().name).await.map_err(error_to_status)?;
        Ok(Response::new(v1::DeleteTopicResponse {}))
    }

    async fn create_link(
        &self,
        request: Request<v1::CreateLinkRequest>,
    ) -> Result<Response<v1::CreateLinkResponse>, Status> {
        use v1::create_link_request::Start;
        let request = request.into_inner();
        let kind = link_kind(request.kind())?;
        let start = match request.start {
            Some(Start::Earliest(_)) | None => ResetTo::Earliest,
            Some(Start::Latest(_)) => ResetTo::Latest,
            Some(Start::Offset(offset)) => ResetTo::Offset(Offset(offset)),
            Some(Start::TimeMs(time)) => ResetTo::Time(WallClock(time)),
            Some(Start::Lag(records)) => ResetTo::Lag(records),
        };
        let made = self.broker()?.create_link(kind, &request.from, &request.to, start).await;
        Ok(Response::new(v1::CreateLinkResponse { link: Some(link(&made.map_err(error_to_status)?)) }))
    }

    async fn delete_link(
        &self,
        request: Request<v1::DeleteLinkRequest>,
    ) -> Result<Response<v1::DeleteLinkResponse>, Status> {
        let request = request.into_inner();
        let kind = link_kind(request.kind())?;
        self.broker()?.delete_link(kind, &request.from, &request.to).await.map_err(error_to_status)?;
        Ok(Response::new(v1::DeleteLinkResponse {}))
    }

    async fn list_links(
        &self,
        _: Request<v1::ListLinksRequest>,
    ) -> Result<Response<v1::ListLinksResponse>, Status> {
        let links = self.broker()?.links().iter().map(link).collect();
        Ok(Response::new(v1::ListLinksResponse { links }))
    }

    async fn list_topics(
        &self,
        _: Request<v1::ListTopicsRequest>,
    ) -> Result<Response<v1::ListTopicsResponse>, Status> {
        let topics = self.broker()?.topics().iter().map(status::topic).collect();
        Ok(Response::new(v1::ListTopicsResponse { topics }))
    }

    async fn describe_topic(
        &self,
        request: Request<v1::DescribeTopicRequest>,
    ) -> Result<Response<v1::DescribeTopicResponse>, Status> {
        let broker = self.broker()?;
        let topic = broker.find_topic(&request.into_inner().name).await.map_err(error_to_status)?;
        let partitions = broker.topic_state(&topic).await;
        Ok(Response::new(v1::DescribeTopicResponse {
            topic: Some(status::topic(&topic)),
            partitions: partitions.iter().map(status::partition).collect(),
        }))
    }

    async fn cluster_status(
        &self,
        _: Request<v1::ClusterStatusRequest>,
    ) -> Result<Response<v1::ClusterStatusResponse>, Status> {
        let broker = self.broker()?;
        let topics = broker.topics();
        let states = topics.iter().map(|topic| broker.topic_state(topic));
        let (nodes, metadata, coordinator, partitions) = futures::join!(
            broker.nodes(),
            broker.metadata_state(),
            broker.coordinator_state(),
            futures::future::join_all(states)
        );
        let partitions: Vec<_> = partitions.into_iter().flatten().collect();
        Ok(Response::new(v1::ClusterStatusResponse {
            cluster_id: broker.cluster().to_string(),
            feature_level: broker.level().0,
            nodes: nodes.iter().map(|view| status::node(view, &partitions)).collect(),
            partitions: partitions.iter().map(status::partition).collect(),
            metadata: Some(status::partition(&metadata)),
            coordinator: coordinator.iter().map(status::partition).collect(),
        }))
    }

    async fn digest(
        &self,
        request: Request<v1::DigestRequest>,
    ) -> Result<Response<v1::DigestResponse>, Status> {
        let v1::DigestRequest { topic, messages } = request.into_inner();
        let topic = (!topic.is_empty()).then_some(topic.as_str());
        let detail = if messages { Detail::Messages } else { Detail::Counts };
        let broker = self.broker()?;
        let digests = broker.digests(topic, detail).await.map_err(error_to_status)?;
        let replicas = digests.iter().map(digest::replica).collect();
        Ok(Response::new(v1::DigestResponse { node_id: broker.node().0, replicas }))
    }

    type WatchRoutingStream = Answers<v1::RoutingTable>;

    async fn watch_routing(
        &self,
        _: Request<v1::WatchRoutingRequest>,
    ) -> Result<Response<Self::WatchRoutingStream>, Status> {
        let broker = self.broker()?;
        let changes = broker.routing_changes();
        let tables =
            futures::stream::unfold((broker, changes, true), |(broker, mut changes, first)| async move {
                if !first {
                    changes.changed().await.ok()?;
                }
                let version = *changes.borrow_and_update();
                let (routing, leaders) = broker.routing();
                Some((Ok(status::routing(&routing, &leaders, version)), (broker, changes, false)))
            });
        let stop = self.stop.clone();
        let until_stopped = futures::StreamExt::take_until(tables, stop.cancelled_owned());
        Ok(Response::new(Box::pin(until_stopped)))
    }

    async fn transfer_leadership(
        &self,
        request: Request<v1::TransferLeadershipRequest>,
    ) -> Result<Response<v1::TransferLeadershipResponse>, Status> {
        let request = request.into_inner();
        let (group, to) = (GroupId(request.group_id), NodeId(request.node_id));
        self.broker()?.transfer_leadership(group, to).await.map_err(error_to_status)?;
        Ok(Response::new(v1::TransferLeadershipResponse {}))
    }

    async fn raise_feature_level(
        &self,
        request: Request<v1::RaiseFeatureLevelRequest>,
    ) -> Result<Response<v1::RaiseFeatureLevelResponse>, Status> {
        let wanted = request.into_inner().level.map(Level);
        let level = self.broker()?.raise_level(wanted).await.map_err(error_to_status)?;
        Ok(Response::new(v1::RaiseFeatureLevelResponse { level: level.0 }))
    }

    async fn plan_balance(
        &self,
        _: Request<v1::PlanBalanceRequest>,
    ) -> Result<Response<v1::PlanBalanceResponse>, Status> {
        let planned = self.broker()?.plan_balance().await.map_err(error_to_status)?;
        Ok(Response::new(nodes::planned(&planned)))
    }

    async fn move_replicas(
        &self,
        request: Request<v1::MoveReplicasRequest>,
    ) -> Result<Response<v1::MoveReplicasResponse>, Status> {
        let moved = nodes::move_replicas(&self.broker()?, request.into_inner()).await;
        moved.map(Response::new).map_err(error_to_status)
    }

    async fn cancel_moves(
        &self,
        request: Request<v1::CancelMovesRequest>,
    ) -> Result<Response<v1::CancelMovesResponse>, Status> {
        let cancelled = nodes::cancel_moves(&self.broker()?, request.into_inner()).await;
        cancelled.map(Response::new).map_err(error_to_status)
    }

    async fn list_moves(
        &self,
        request: Request<v1::ListMovesRequest>,
    ) -> Result<Response<v1::ListMovesResponse>, Status> {
        let listed = nodes::list_moves(&self.broker()?, request.into_inner()).await;
        listed.map(Response::new).map_err(error_to_status)
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeResponse>, Status> {
        let node = NodeId(request.into_inner().node_id);
        self.broker()?.drain_node(node).await.map_err(error_to_status)?;
        Ok(Response::new(v1::DrainNodeResponse {}))
    }

    async fn cancel_drain(
        &self,
        request: Request<v1::CancelDrainRequest>,
    ) -> Result<Response<v1::CancelDrainResponse>, Status> {
        let node = NodeId(request.into_inner().node_id);
        let (cancelled, going_on) = self.broker()?.cancel_drain(node).await.map_err(error_to_status)?;
        Ok(Response::new(v1::CancelDrainResponse { cancelled, going_on }))
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::RemoveNodeResponse>, Status> {
        let v1::RemoveNodeRequest { node_id, force } = request.into_inner();
        self.broker()?.remove_node(NodeId(node_id), force).await.map_err(error_to_status)?;
        Ok(Response::new(v1::RemoveNodeResponse {}))
    }

    async fn replace_node(
        &self,
        request: Request<v1::ReplaceNodeRequest>,
    ) -> Result<Response<v1::ReplaceNodeResponse>, Status> {
        let v1::ReplaceNodeRequest { node_id, by_node_id } = request.into_inner();
        let broker = self.broker()?;
        broker.replace_node(NodeId(node_id), NodeId(by_node_id)).await.map_err(error_to_status)?;
        Ok(Response::new(v1::ReplaceNodeResponse {}))
    }

    async fn plan_backup(
        &self,
        _: Request<v1::PlanBackupRequest>,
    ) -> Result<Response<v1::PlanBackupResponse>, Status> {
        let plan = self.broker()?.plan_backup().await.map_err(error_to_status)?;
        Ok(Response::new(backup::plan(plan)))
    }

    type BackupPartitionStream = Answers<v1::BackupPartitionResponse>;

    async fn backup_partition(
        &self,
        request: Request<v1::BackupPartitionRequest>,
    ) -> Result<Response<Self::BackupPartitionStream>, Status> {
        let parts = backup::image(&self.broker()?, &request.into_inner()).await.map_err(error_to_status)?;
        let until_stopped = futures::StreamExt::take_until(parts, self.stop.clone().cancelled_owned());
        Ok(Response::new(Box::pin(until_stopped)))
    }

    async fn begin_restore(
        &self,
        request: Request<v1::BeginRestoreRequest>,
    ) -> Result<Response<v1::BeginRestoreResponse>, Status> {
        backup::begin_restore(&self.broker()?, request.into_inner()).await.map(Response::new)
    }

    async fn restore_partition(
        &self,
        request: Request<tonic::Streaming<v1::RestorePartitionRequest>>,
    ) -> Result<Response<v1::RestorePartitionResponse>, Status> {
        backup::restore_partition(&self.broker()?, request.into_inner()).await.map(Response::new)
    }

    async fn finish_restore(
        &self,
        request: Request<v1::FinishRestoreRequest>,
    ) -> Result<Response<v1::FinishRestoreResponse>, Status> {
        let v1::FinishRestoreRequest { restore_id, highest_epoch } = request.into_inner();
        let broker = self.broker()?;
        broker.finish_restore(RequestId(restore_id), highest_epoch).await.map_err(error_to_status)?;
        Ok(Response::new(v1::FinishRestoreResponse {}))
    }

    async fn abandon_restore(
        &self,
        request: Request<v1::AbandonRestoreRequest>,
    ) -> Result<Response<v1::AbandonRestoreResponse>, Status> {
        let request = RequestId(request.into_inner().restore_id);
        self.broker()?.abandon_restore(request).await.map_err(error_to_status)?;
        Ok(Response::new(v1::AbandonRestoreResponse {}))
    }

    async fn split_partition(
        &self,
        request: Request<v1::SplitPartitionRequest>,
    ) -> Result<Response<v1::ReshapeResponse>, Status> {
        reshaping::split(&self.broker()?, request.into_inner()).await.map(Response::new)
    }

    async fn merge_partitions(
        &self,
        request: Request<v1::MergePartitionsRequest>,
    ) -> Result<Response<v1::ReshapeResponse>, Status> {
        reshaping::merge(&self.broker()?, request.into_inner()).await.map(Response::new)
    }

    async fn scale_topic(
        &self,
        request: Request<v1::ScaleTopicRequest>,
    ) -> Result<Response<v1::ReshapeResponse>, Status> {
        reshaping::scale(&self.broker()?, request.into_inner()).await.map(Response::new)
    }

    async fn init_producer(
        &self,
        request: Request<v1::InitProducerRequest>,
    ) -> Result<Response<v1::InitProducerResponse>, Status> {
        let request = request.into_inner();
        let broker = self.broker()?;
        let name = (!request.name.is_empty()).then_some(request.name);
        let request_id = request_id(&broker, request.request_id);
        let (producer, epoch) = broker.init_producer(name, request_id).await.map_err(error_to_status)?;
        Ok(Response::new(v1::InitProducerResponse { producer_id: producer.0, epoch: epoch.0 }))
    }
}

/// How long a client waits for what follows by itself.
pub(super) fn patience(timeout_ms: u64) -> Duration {
    Duration::from_millis(if timeout_ms == 0 { WAIT_MS } else { timeout_ms.min(WAIT_MS_MAX) })
}

/// The client's id for a request. Two that gave none are two requests: the second must not get the answer of the
/// first.
pub(super) fn request_id(broker: &Broker, given: u64) -> RequestId {
    if given == 0 { broker.fresh_request() } else { RequestId(given) }
}

fn new_policy(set: Option<&TopicSettings>, kind: TopicKind) -> Result<TopicPolicy, Status> {
    match set {
        None => Ok(TopicPolicy::default_for(kind)),
        Some(set) => set.of_new(kind).ok_or_else(|| other_kind(kind)),
    }
}

fn settings(set: Option<&TopicSettings>, policy: &TopicPolicy) -> Result<TopicPolicy, Status> {
    match set {
        None => Ok(policy.clone()),
        Some(set) => set.applied_to(policy).ok_or_else(|| other_kind(policy.kind())),
    }
}

fn other_kind(kind: TopicKind) -> Status {
    invalid("wrong-topic-kind", format!("the topic is a {kind}, the settings are of the other kind"))
}

fn link_kind(kind: v1::LinkKind) -> Result<LinkKind, Status> {
    match kind {
        v1::LinkKind::Forward => Ok(LinkKind::Forward),
        v1::LinkKind::DeadLetter => Ok(LinkKind::DeadLetter),
        v1::LinkKind::Subscription => Ok(LinkKind::Subscription),
        v1::LinkKind::Unspecified => Err(invalid("link-kind-missing", "the kind of the link is not set")),
    }
}

fn link(named: &NamedLink) -> v1::Link {
    let kind = match named.link.kind {
        LinkKind::Forward => v1::LinkKind::Forward,
        LinkKind::DeadLetter => v1::LinkKind::DeadLetter,
        LinkKind::Subscription => v1::LinkKind::Subscription,
    };
    let (from, to) = (named.from.clone(), named.to.clone());
    v1::Link { kind: kind as i32, from, to, created_at_ms: named.link.created.0 }
}
