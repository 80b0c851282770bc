//! Routing and producer ids.

use futures::StreamExt as _;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::v1;
use weir_proto::v1::admin_server::Admin;

use crate::node::{Answers, Services, not_faked};

#[tonic::async_trait]
impl Admin for Services {
    type WatchRoutingStream = Answers<v1::RoutingTable>;

    async fn watch_routing(
        &self,
        _: Request<v1::WatchRoutingRequest>,
    ) -> Result<Response<Self::WatchRoutingStream>, Status> {
        let tables = WatchStream::new(self.routing.subscribe()).map(Ok);
        // A node that is gone does not end its watches: they break.
        Ok(Response::new(Box::pin(tables.chain(futures::stream::pending()))))
    }

    async fn init_producer(
        &self,
        request: Request<v1::InitProducerRequest>,
    ) -> Result<Response<v1::InitProducerResponse>, Status> {
        let producer_id = request.into_inner().request_id >> 1;
        Ok(Response::new(v1::InitProducerResponse { producer_id, epoch: 0 }))
    }

    async fn digest(&self, _: Request<v1::DigestRequest>) -> Result<Response<v1::DigestResponse>, Status> {
        not_faked()
    }

    async fn transfer_leadership(
        &self,
        _: Request<v1::TransferLeadershipRequest>,
    ) -> Result<Response<v1::TransferLeadershipResponse>, Status> {
        not_faked()
    }

    async fn raise_feature_level(
        &self,
        _: Request<v1::RaiseFeatureLevelRequest>,
    ) -> Result<Response<v1::RaiseFeatureLevelResponse>, Status> {
        not_faked()
    }

    async fn plan_backup(
        &self,
        _: Request<v1::PlanBackupRequest>,
    ) -> Result<Response<v1::PlanBackupResponse>, Status> {
        not_faked()
    }

    type BackupPartitionStream = Answers<v1::BackupPartitionResponse>;

    async fn backup_partition(
        &self,
        _: Request<v1::BackupPartitionRequest>,
    ) -> Result<Response<Self::BackupPartitionStream>, Status> {
        not_faked()
    }

    async fn begin_restore(
        &self,
        _: Request<v1::BeginRestoreRequest>,
    ) -> Result<Response<v1::BeginRestoreResponse>, Status> {
        not_faked()
    }

    async fn restore_partition(
        &self,
        _: Request<Streaming<v1::RestorePartitionRequest>>,
    ) -> Result<Response<v1::RestorePartitionResponse>, Status> {
        not_faked()
    }

    async fn finish_restore(
        &self,
        _: Request<v1::FinishRestoreRequest>,
    ) -> Result<Response<v1::FinishRestoreResponse>, Status> {
        not_faked()
    }

    async fn abandon_restore(
        &self,
        _: Request<v1::AbandonRestoreRequest>,
    ) -> Result<Response<v1::AbandonRestoreResponse>, Status> {
        not_faked()
    }

    async fn plan_balance(
        &self,
        _: Request<v1::PlanBalanceRequest>,
    ) -> Result<Response<v1::PlanBalanceResponse>, Status> {
        not_faked()
    }

    async fn move_replicas(
        &self,
        _: Request<v1::MoveReplicasRequest>,
    ) -> Result<Response<v1::MoveReplicasResponse>, Status> {
        not_faked()
    }

    async fn cancel_moves(
        &self,
        _: Request<v1::CancelMovesRequest>,
    ) -> Result<Response<v1::CancelMovesResponse>, Status> {
        not_faked()
    }

    async fn list_moves(
        &self,
        _: Request<v1::ListMovesRequest>,
    ) -> Result<Response<v1::ListMovesResponse>, Status> {
        not_faked()
    }

    async fn drain_node(
        &self,
        _: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeResponse>, Status> {
        not_faked()
    }

    async fn cancel_drain(
        &self,
        _: Request<v1::CancelDrainRequest>,
    ) -> Result<Response<v1::CancelDrainResponse>, Status> {
        not_faked()
    }

    async fn remove_node(
        &self,
        _: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::RemoveNodeResponse>, Status> {
        not_faked()
    }

    async fn replace_node(
        &self,
        _: Request<v1::ReplaceNodeRequest>,
    ) -> Result<Response<v1::ReplaceNodeResponse>, Status> {
        not_faked()
    }

    async fn create_topic(
        &self,
        _: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        not_faked()
    }

    async fn alter_topic(
        &self,
        _: Request<v1::AlterTopicRequest>,
    ) -> Result<Response<v1::AlterTopicResponse>, Status> {
        not_faked()
    }

    async fn delete_topic(
        &self,
        _: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        not_faked()
    }

    async fn create_link(
        &self,
        _: Request<v1::CreateLinkRequest>,
    ) -> Result<Response<v1::CreateLinkResponse>, Status> {
        not_faked()
    }

    async fn delete_link(
        &self,
        _: Request<v1::DeleteLinkRequest>,
    ) -> Result<Response<v1::DeleteLinkResponse>, Status> {
        not_faked()
    }

    async fn list_links(
        &self,
        _: Request<v1::ListLinksRequest>,
    ) -> Result<Response<v1::ListLinksResponse>, Status> {
        not_faked()
    }

    async fn list_topics(
        &self,
        _: Request<v1::ListTopicsRequest>,
    ) -> Result<Response<v1::ListTopicsResponse>, Status> {
        not_faked()
    }

    async fn describe_topic(
        &self,
        _: Request<v1::DescribeTopicRequest>,
    ) -> Result<Response<v1::DescribeTopicResponse>, Status> {
        not_faked()
    }

    async fn cluster_status(
        &self,
        _: Request<v1::ClusterStatusRequest>,
    ) -> Result<Response<v1::ClusterStatusResponse>, Status> {
        not_faked()
    }

    async fn split_partition(
        &self,
        _: Request<v1::SplitPartitionRequest>,
    ) -> Result<Response<v1::ReshapeResponse>, Status> {
        not_faked()
    }

    async fn merge_partitions(
        &self,
        _: Request<v1::MergePartitionsRequest>,
    ) -> Result<Response<v1::ReshapeResponse>, Status> {
        not_faked()
    }

    async fn scale_topic(
        &self,
        _: Request<v1::ScaleTopicRequest>,
    ) -> Result<Response<v1::ReshapeResponse>, Status> {
        not_faked()
    }
}
