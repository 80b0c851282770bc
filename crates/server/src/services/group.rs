//! Consumer groups.

use tonic::{Request, Response, Status};
use weir_broker::ResetTo;
use weir_broker::api::groups::{AssignedPartition, Grant, GroupPosition, GroupView, Heartbeat};
use weir_proto::error_to_status;
use weir_proto::v1;
use weir_proto::v1::group_server::Group;
use weir_proto::v1::reset_group_request::To;
use weir_types::{ErrorKind, GroupId, Offset, WallClock, WeirError};

use super::{Services, invalid, stopping};

/// Session timeout of a member that does not say, in milliseconds.
const SESSION_TIMEOUT_MS: u64 = 10_000;

#[tonic::async_trait]
impl Group for Services {
    async fn heartbeat(
        &self,
        request: Request<v1::GroupHeartbeatRequest>,
    ) -> Result<Response<v1::GroupHeartbeatResponse>, Status> {
        let request = request.into_inner();
        let session_timeout_ms = match request.session_timeout_ms {
            0 => SESSION_TIMEOUT_MS,
            ms => ms,
        };
        let heartbeat = Heartbeat {
            group: request.group,
            member: request.member_id,
            topics: request.topics,
            session_timeout_ms,
            owned: request.owned.iter().map(grant).collect(),
            finished: request.owned.iter().filter(|owned| owned.finished).map(grant).collect(),
        };
        let broker = self.broker()?;
        let held = self.stop.run_until_cancelled(broker.heartbeat(heartbeat)).await;
        let membership = held.unwrap_or_else(|| Err(stopping())).map_err(error_to_status)?;
        Ok(Response::new(v1::GroupHeartbeatResponse {
            assigned: membership.assigned.into_iter().map(assignment).collect(),
            heartbeat_ms: session_timeout_ms / 3,
            group_created_at_ms: membership.group_created.0,
        }))
    }

    async fn leave(
        &self,
        request: Request<v1::GroupLeaveRequest>,
    ) -> Result<Response<v1::GroupLeaveResponse>, Status> {
        let request = request.into_inner();
        self.broker()?.leave(request.group, request.member_id).await.map_err(error_to_status)?;
        Ok(Response::new(v1::GroupLeaveResponse {}))
    }

    async fn list(
        &self,
        _: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        let broker = self.broker()?;
        let groups = broker.groups().await.map_err(error_to_status)?;
        let summaries = groups.iter().map(|group| v1::GroupSummary {
            group: group.name.clone(),
            members: group.members.len() as u32,
            topics: broker.group_topics(group),
        });
        Ok(Response::new(v1::ListGroupsResponse { groups: summaries.collect() }))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeGroupRequest>,
    ) -> Result<Response<v1::DescribeGroupResponse>, Status> {
        let name = request.into_inner().group;
        let broker = self.broker()?;
        let view = broker.group(&name).await.map_err(error_to_status)?;
        let positions = broker.group_positions(&name).await.map_err(error_to_status)?;
        if view.is_none() && positions.is_empty() {
            let message = format!("group `{name}` has neither members nor positions");
            return Err(error_to_status(WeirError::new(ErrorKind::NotFound, "group-not-found", message)));
        }
        Ok(Response::new(v1::DescribeGroupResponse {
            group: name,
            members: view.map(|view| members(&broker, &view)).unwrap_or_default(),
            positions: positions.into_iter().map(position).collect(),
        }))
    }

    async fn reset(
        &self,
        request: Request<v1::ResetGroupRequest>,
    ) -> Result<Response<v1::ResetGroupResponse>, Status> {
        let request = request.into_inner();
        let to = match request.to {
            Some(To::Earliest(_)) => ResetTo::Earliest,
            Some(To::Latest(_)) => ResetTo::Latest,
            Some(To::Offset(offset)) => ResetTo::Offset(Offset(offset)),
            Some(To::TimeMs(time)) => ResetTo::Time(WallClock(time)),
            Some(To::Lag(records)) => ResetTo::Lag(records),
            None => return Err(invalid("reset-target-missing", "`to` is not set")),
        };
        let positions =
            self.broker()?.reset_group(&request.group, &request.topic, to).await.map_err(error_to_status)?;
        Ok(Response::new(v1::ResetGroupResponse { positions: positions.into_iter().map(position).collect() }))
    }
}

fn grant(owned: &v1::OwnedPartition) -> Grant {
    Grant { group: GroupId(owned.group_id), epoch: owned.epoch }
}

fn assignment(assigned: AssignedPartition) -> v1::AssignedPartition {
    v1::AssignedPartition {
        topic: assigned.topic,
        partition: assigned.index,
        group_id: assigned.group.0,
        epoch: assigned.epoch,
    }
}

fn members(broker: &weir_broker::Broker, view: &GroupView) -> Vec<v1::GroupMember> {
    let member = |member: &weir_broker::MemberDescription| v1::GroupMember {
        member_id: member.id.0.clone(),
        topics: broker.topic_names(&member.topics),
        assigned: broker.named(&member.assignment).into_iter().map(assignment).collect(),
    };
    view.members.iter().map(member).collect()
}

fn position(position: GroupPosition) -> v1::GroupPosition {
    let view = &position.position;
    let from = view.committed.unwrap_or(view.start).max(view.start);
    v1::GroupPosition {
        topic: position.topic,
        partition: position.index,
        committed: view.committed.map(|offset| offset.0),
        start_offset: view.start.0,
        end_offset: view.end.0,
        lag: view.end.0.saturating_sub(from.0),
        owner: position.owner.unwrap_or_default(),
        lag_ms: view.lag_ms,
    }
}
