//! Nodes that join and leave: moves of replicas, drains, removals.

use std::time::Duration;

use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;

use super::Admin;
use super::types::{MoveInfo, MovePhase, MoveReason, Moves};
use crate::Result;
use crate::call::{ANSWER_BYTES_MAX, Call};
use crate::routing::Target;

impl Admin {
    /// The moves that would spread the replicas evenly over the nodes that are in use and heard, in order: those of one
    /// partition have to be made one after the other. Nothing is changed.
    pub async fn plan_balance(&self) -> Result<Vec<MoveInfo>> {
        let core = &self.client.core;
        let answer = core
            .call(core.operation(Target::Any, "plan a balance"), |channel| async move {
                let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                client.plan_balance(v1::PlanBalanceRequest {}).await
            })
            .await?;
        Ok(answer.moves.into_iter().map(moving).collect())
    }

    /// Moves replicas to other nodes, at most one of each partition: all of them are planned when this returns, or none.
    /// They go on by themselves; see [`moves`](Self::moves).
    ///
    /// # Errors
    /// `NotFound` for a node, partition or replica that is not there; `AlreadyExists` when the node has a replica of the
    /// partition, or another replica of it is on the move; `Invalid` when the node is drained or not heard.
    pub async fn move_replicas(&self, moves: &[MoveInfo]) -> Result<()> {
        let core = &self.client.core;
        let wire = |asked: &MoveInfo| v1::ReplicaMove {
            group_id: asked.group_id,
            from_node_id: asked.from,
            to_node_id: asked.to,
            ..v1::ReplicaMove::default()
        };
        let request = v1::MoveReplicasRequest { moves: moves.iter().map(wire).collect() };
        core.call(core.operation(Target::Any, "move replicas"), |channel| {
            let request = request.clone();
            async move { AdminClient::new(channel).move_replicas(request).await }
        })
        .await
        .map(|_| ())
    }

    /// Takes moves back that somebody asked for and whose new replica does not vote yet: the groups of those that were.
    /// The others go on, as do moves of drains and those that make up for a lost node.
    ///
    /// # Errors
    /// `Invalid` for more than 10,000 groups.
    pub async fn cancel_moves(&self, groups: &[u32]) -> Result<Vec<u32>> {
        let core = &self.client.core;
        let request = v1::CancelMovesRequest { group_ids: groups.to_vec() };
        let answer = core
            .call(core.operation(Target::Any, "cancel moves"), |channel| {
                let request = request.clone();
                async move { AdminClient::new(channel).cancel_moves(request).await }
            })
            .await?;
        Ok(answer.group_ids)
    }

    /// What is under way, as soon as the registry is newer than `after`, or after `patience` (30 s at most); 0 answers at
    /// once. Never what was before `after`.
    ///
    /// # Errors
    /// `Retry` when the nodes that were asked do not know version `after` yet.
    pub async fn moves(&self, after: u64, patience: Duration) -> Result<Moves> {
        self.moves_and_places(after, patience, &[]).await
    }

    /// What is under way, as [`Admin::moves`] tells it, and the places of these partitions (Raft groups) at that moment.
    ///
    /// # Errors
    /// As of [`Admin::moves`].
    pub async fn moves_and_places(&self, after: u64, patience: Duration, groups: &[u32]) -> Result<Moves> {
        let core = &self.client.core;
        let call = core.operation(Target::Any, "list moves");
        let attempt_timeout = call.attempt_timeout + patience;
        let wait_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let request = v1::ListMovesRequest { after_version: after, wait_ms, group_ids: groups.to_vec() };
        let answer = core
            .call(Call { attempt_timeout, ..call }, |channel| {
                let request = request.clone();
                async move {
                    let mut client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                    client.list_moves(request).await
                }
            })
            .await?;
        Ok(Moves {
            version: answer.version,
            moves: answer.moves.into_iter().map(moving).collect(),
            draining: answer.draining.iter().map(|node| (node.node_id, node.drained)).collect(),
            leaving: answer.leaving_node_ids,
            places: answer.places.into_iter().map(|at| (at.group_id, at.node_ids)).collect(),
        })
    }

    /// Empties a node: its leaderships go first, then its replicas move to other nodes. It stays a member, on which
    /// nothing is placed. Returns when that is planned; repeating it changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when the others could not hold what is on it; `AlreadyExists` while a replica of a partition
    /// that it holds is on the move.
    pub async fn drain_node(&self, node_id: u64) -> Result<()> {
        let core = &self.client.core;
        let call = core.operation(Target::Any, format!("drain node {node_id}"));
        let request = v1::DrainNodeRequest { node_id };
        core.call(call, |channel| async move { AdminClient::new(channel).drain_node(request).await })
            .await
            .map(|_| ())
    }

    /// Puts a drained node back into use: how many moves away from it were taken back, and how many go on since their new
    /// replica votes already.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when the node is leaving the cluster.
    pub async fn cancel_drain(&self, node_id: u64) -> Result<(u32, u32)> {
        let core = &self.client.core;
        let call = core.operation(Target::Any, format!("put node {node_id} back into use"));
        let request = v1::CancelDrainRequest { node_id };
        let answer =
            core.call(call, |channel| async move { AdminClient::new(channel).cancel_drain(request).await });
        answer.await.map(|answer| (answer.cancelled, answer.going_on))
    }

    /// Takes a node out of the cluster for good: one that holds nothing, or with `force` one that is gone, whose replicas
    /// are then placed on others. It is gone when the status lists it no more.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when it holds something, or with `force` when it is heard, or has the only replica of a
    /// partition.
    pub async fn remove_node(&self, node_id: u64, force: bool) -> Result<()> {
        let core = &self.client.core;
        let call = core.operation(Target::Any, format!("remove node {node_id}"));
        let request = v1::RemoveNodeRequest { node_id, force };
        core.call(call, |channel| async move { AdminClient::new(channel).remove_node(request).await })
            .await
            .map(|_| ())
    }

    /// Another node takes over all that a node holds which is gone for good, or drained. Returns when that is planned; the
    /// node is gone when the status lists it no more.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists` when both have a replica of one partition, or one of them is on the move; `Invalid` when
    /// the first is heard and not drained, the second is not in use or not heard, or a partition has no majority left.
    pub async fn replace_node(&self, node_id: u64, by_node_id: u64) -> Result<()> {
        let core = &self.client.core;
        let call = core.operation(Target::Any, format!("replace node {node_id} by node {by_node_id}"));
        let request = v1::ReplaceNodeRequest { node_id, by_node_id };
        core.call(call, |channel| async move { AdminClient::new(channel).replace_node(request).await })
            .await
            .map(|_| ())
    }

    /// Lets the cluster write what a later feature level lets in: this one, or the highest that the builds of all members
    /// know. It is never lowered again. The level that the cluster is at then.
    ///
    /// # Errors
    /// `Invalid` while a member does not know the level or does not answer, and for a level below that of the cluster.
    pub async fn raise_feature_level(&self, level: Option<u32>) -> Result<u32> {
        let core = &self.client.core;
        let call = core.operation(Target::Any, "raise the feature level");
        let request = v1::RaiseFeatureLevelRequest { level };
        let answer =
            core.call(
                call,
                |channel| async move { AdminClient::new(channel).raise_feature_level(request).await },
            );
        answer.await.map(|answer| answer.level)
    }
}

fn moving(wire: v1::ReplicaMove) -> MoveInfo {
    let phase = match wire.phase() {
        v1::MovePhase::Unspecified => MovePhase::Planned,
        v1::MovePhase::Waiting => MovePhase::Waiting,
        v1::MovePhase::CatchingUp => MovePhase::CatchingUp,
        v1::MovePhase::Removing => MovePhase::Removing,
    };
    let reason = match wire.reason() {
        v1::MoveReason::Unspecified => None,
        v1::MoveReason::Asked => Some(MoveReason::Asked),
        v1::MoveReason::Drain => Some(MoveReason::Drain),
        v1::MoveReason::Recovery => Some(MoveReason::Recovery),
    };
    MoveInfo {
        group_id: wire.group_id,
        topic: wire.topic,
        partition: wire.partition,
        from: wire.from_node_id,
        to: wire.to_node_id,
        phase,
        reason,
    }
}
