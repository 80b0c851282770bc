//! Moves of replicas, drains and removals on the wire.

use std::time::Duration;

use weir_broker::api::nodes::{MoveView, MovesView};
use weir_broker::{Broker, MoveReason, Phase, ReplicaMove};
use weir_proto::v1;
use weir_types::{GroupId, NodeId, WeirError};

/// Longest wait for a change, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;

pub(super) fn planned(moves: &[MoveView]) -> v1::PlanBalanceResponse {
    v1::PlanBalanceResponse { moves: moves.iter().map(moving).collect() }
}

pub(super) async fn move_replicas(
    broker: &Broker,
    request: v1::MoveReplicasRequest,
) -> Result<v1::MoveReplicasResponse, WeirError> {
    let moves = request.moves.iter().map(|asked| ReplicaMove {
        group: GroupId(asked.group_id),
        from: NodeId(asked.from_node_id),
        to: NodeId(asked.to_node_id),
    });
    broker.move_replicas(moves.collect()).await.map(|()| v1::MoveReplicasResponse {})
}

pub(super) async fn cancel_moves(
    broker: &Broker,
    request: v1::CancelMovesRequest,
) -> Result<v1::CancelMovesResponse, WeirError> {
    let groups = broker.cancel_moves(request.group_ids.into_iter().map(GroupId).collect()).await?;
    Ok(v1::CancelMovesResponse { group_ids: groups.into_iter().map(|group| group.0).collect() })
}

pub(super) async fn list_moves(
    broker: &Broker,
    request: v1::ListMovesRequest,
) -> Result<v1::ListMovesResponse, WeirError> {
    let wait = Duration::from_millis(request.wait_ms.min(WAIT_MS_MAX));
    let of: Vec<GroupId> = request.group_ids.into_iter().map(GroupId).collect();
    let view = broker.moves_and_places(request.after_version, wait, &of).await?;
    let MovesView { version, moves, draining, leaving, places } = view;
    let placed = |(group, nodes): (GroupId, Vec<NodeId>)| v1::PartitionPlaces {
        group_id: group.0,
        node_ids: nodes.into_iter().map(|node| node.0).collect(),
    };
    let node = |(node, drained): (NodeId, bool)| v1::DrainingNode { node_id: node.0, drained };
    Ok(v1::ListMovesResponse {
        version,
        moves: moves.iter().map(moving).collect(),
        draining: draining.into_iter().map(node).collect(),
        leaving_node_ids: leaving.into_iter().map(|node| node.0).collect(),
        places: places.into_iter().map(placed).collect(),
    })
}

fn moving(view: &MoveView) -> v1::ReplicaMove {
    let phase = view.state.map_or(v1::MovePhase::Unspecified, |(_, phase)| match phase {
        Phase::Waiting => v1::MovePhase::Waiting,
        Phase::CatchingUp => v1::MovePhase::CatchingUp,
        Phase::Removing => v1::MovePhase::Removing,
    });
    let reason = view.state.map_or(v1::MoveReason::Unspecified, |(reason, _)| match reason {
        MoveReason::Asked => v1::MoveReason::Asked,
        MoveReason::Drain => v1::MoveReason::Drain,
        MoveReason::Recovery => v1::MoveReason::Recovery,
    });
    v1::ReplicaMove {
        group_id: view.group.0,
        from_node_id: view.from.0,
        to_node_id: view.to.0,
        topic: view.topic.clone(),
        partition: view.partition,
        phase: phase as i32,
        reason: reason as i32,
    }
}
