//! A coordinator for one member: it gives out partitions, those that came of a split when their parent is finished.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tonic::{Request, Response, Status};
use weir_proto::v1;
use weir_proto::v1::group_server::Group;

use crate::node::{CHILDREN, GROUP, Services, not_faked};

/// How long a heartbeat is held when there is no news.
const HELD: Duration = Duration::from_millis(20);

/// What is known of the one group.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    pub(crate) committed: BTreeMap<u32, u64>,
    /// Partitions that the member said to be finished.
    pub(crate) finished: BTreeSet<u32>,
}

#[tonic::async_trait]
impl Group for Services {
    async fn heartbeat(
        &self,
        request: Request<v1::GroupHeartbeatRequest>,
    ) -> Result<Response<v1::GroupHeartbeatResponse>, Status> {
        let owned = request.into_inner().owned;
        let finished = {
            let mut positions = self.positions.lock().unwrap();
            positions
                .finished
                .extend(owned.iter().filter(|owned| owned.finished).map(|owned| owned.group_id));
            positions.finished.contains(&GROUP)
        };
        let assigned = |(partition, group_id): (u32, u32)| v1::AssignedPartition {
            topic: "events".to_owned(),
            partition,
            group_id,
            epoch: 3,
        };
        let assigned: Vec<_> =
            if finished { (1..).zip(CHILDREN).map(assigned).collect() } else { vec![assigned((0, GROUP))] };
        let groups = |owned: &[u32]| owned.iter().copied().collect::<BTreeSet<u32>>();
        let wanted: Vec<u32> = assigned.iter().map(|assigned| assigned.group_id).collect();
        let has: Vec<u32> = owned.iter().map(|owned| owned.group_id).collect();
        if groups(&wanted) == groups(&has) {
            tokio::time::sleep(HELD).await;
        }
        Ok(Response::new(v1::GroupHeartbeatResponse {
            assigned,
            heartbeat_ms: 1_000,
            group_created_at_ms: 99,
        }))
    }

    async fn leave(
        &self,
        _: Request<v1::GroupLeaveRequest>,
    ) -> Result<Response<v1::GroupLeaveResponse>, Status> {
        Ok(Response::new(v1::GroupLeaveResponse {}))
    }

    async fn list(
        &self,
        _: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        not_faked()
    }

    async fn describe(
        &self,
        _: Request<v1::DescribeGroupRequest>,
    ) -> Result<Response<v1::DescribeGroupResponse>, Status> {
        not_faked()
    }

    async fn reset(
        &self,
        _: Request<v1::ResetGroupRequest>,
    ) -> Result<Response<v1::ResetGroupResponse>, Status> {
        not_faked()
    }
}
