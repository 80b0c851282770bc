//! From the wire to the types of this library.

use weir_proto::v1;
use weir_types::{ErrorKind, TopicPolicy};

use super::types::{
    ClusterStatus, GroupDescription, GroupMember, GroupPosition, GroupSummary, MessageState, NodeInfo,
    NodeUse, PartitionStage, PartitionStatus, PeekedMessage, QueuePartition, QueueStats, Reshaped,
    StreamPartition, TopicInfo,
};
use crate::record::Header;
use crate::{Error, Result};

/// An answer that lacks what it must have: a node of another version, or a bug.
fn incomplete(what: &str) -> Error {
    Error::new(ErrorKind::Internal, "answer-incomplete", format!("the answer has no {what}"))
}

pub(super) fn topic(topic: Option<v1::Topic>) -> Result<TopicInfo> {
    let topic = topic.ok_or_else(|| incomplete("topic"))?;
    let kind = topic.kind().to_kind().ok_or_else(|| incomplete("topic kind"))?;
    let defaults = TopicPolicy::default_for(kind);
    let policy = match &topic.settings {
        None => defaults,
        Some(settings) => settings.applied_to(&defaults).ok_or_else(|| incomplete("settings of its kind"))?,
    };
    Ok(TopicInfo {
        topic_id: topic.topic_id,
        name: topic.name,
        kind,
        partitions: topic.partitions,
        replicas: topic.replicas,
        policy,
        created_at_ms: topic.created_at_ms,
    })
}

pub(super) fn partition(status: v1::PartitionStatus) -> PartitionStatus {
    PartitionStatus {
        kind: status.kind().to_kind(),
        stage: stage(status.stage()),
        key_first: status.key_first,
        key_last: status.key_last,
        parents: status.parents,
        children: status.children,
        topic: status.topic,
        partition: status.partition,
        group_id: status.group_id,
        voters: status.voters,
        learners: status.learners,
        reassigning: status.reassigning,
        leader: status.leader,
        term: status.term,
        committed: status.committed,
        lag_entries: status.replicas.iter().map(|replica| (replica.node_id, replica.lag_entries)).collect(),
        stream: status.stream.map(|stream| StreamPartition {
            start_offset: stream.start_offset,
            end_offset: stream.end_offset,
            bytes: stream.bytes,
        }),
        queue: status.queue.map(|queue| QueuePartition {
            ready: queue.ready,
            leased: queue.leased,
            scheduled: queue.scheduled,
            parked: queue.parked,
            bytes: queue.bytes,
        }),
    }
}

fn stage(stage: v1::PartitionStage) -> PartitionStage {
    match stage {
        v1::PartitionStage::Unspecified => PartitionStage::Open,
        v1::PartitionStage::Coming => PartitionStage::Coming,
        v1::PartitionStage::Sealing => PartitionStage::Sealing,
        v1::PartitionStage::Sealed => PartitionStage::Sealed,
    }
}

pub(super) fn reshaped(answer: v1::ReshapeResponse) -> Reshaped {
    Reshaped { parents: answer.parents, children: answer.children, done: answer.done }
}

pub(super) fn cluster(status: v1::ClusterStatusResponse) -> ClusterStatus {
    ClusterStatus {
        cluster_id: status.cluster_id,
        feature_level: status.feature_level.max(1),
        nodes: status.nodes.into_iter().map(node).collect(),
        partitions: status.partitions.into_iter().map(partition).collect(),
        metadata: status.metadata.map(partition),
        coordinator: status.coordinator.into_iter().map(partition).collect(),
    }
}

fn node(node: v1::NodeStatus) -> NodeInfo {
    NodeInfo {
        node_id: node.node_id,
        name: node.name,
        client_address: node.client_address,
        peer_address: node.peer_address,
        http_address: node.http_address,
        alive: node.alive,
        leaders: node.leaders,
        replicas: node.replicas,
        node_use: match v1::NodeUse::try_from(node.r#use).unwrap_or_default() {
            v1::NodeUse::Unspecified => NodeUse::InUse,
            v1::NodeUse::Draining => NodeUse::Draining,
            v1::NodeUse::Drained => NodeUse::Drained,
            v1::NodeUse::Leaving => NodeUse::Leaving,
        },
        version: node.version,
        feature_level: Some(node.feature_level).filter(|level| *level > 0),
        rack: Some(node.rack).filter(|rack| !rack.is_empty()),
    }
}

pub(super) fn group_summary(group: v1::GroupSummary) -> GroupSummary {
    GroupSummary { group: group.group, members: group.members, topics: group.topics }
}

pub(super) fn group(group: v1::DescribeGroupResponse) -> GroupDescription {
    GroupDescription {
        group: group.group,
        members: group.members.into_iter().map(member).collect(),
        positions: group.positions.into_iter().map(position).collect(),
    }
}

fn member(member: v1::GroupMember) -> GroupMember {
    GroupMember {
        member_id: member.member_id,
        topics: member.topics,
        assigned: member.assigned.into_iter().map(|assigned| (assigned.topic, assigned.partition)).collect(),
    }
}

pub(super) fn position(position: v1::GroupPosition) -> GroupPosition {
    GroupPosition {
        topic: position.topic,
        partition: position.partition,
        committed: position.committed,
        start_offset: position.start_offset,
        end_offset: position.end_offset,
        lag: position.lag,
        lag_ms: position.lag_ms,
        owner: (!position.owner.is_empty()).then_some(position.owner),
    }
}

pub(super) fn stats(partition: u32, stats: v1::QueueStatsResponse) -> QueueStats {
    QueueStats {
        partition,
        ready: stats.ready,
        leased: stats.leased,
        scheduled: stats.scheduled,
        parked: stats.parked,
        bytes: stats.bytes,
        enqueued_total: stats.enqueued_total,
        acked_total: stats.acked_total,
        redelivered_total: stats.redelivered_total,
        outbox_batches: stats.outbox_batches,
        kept: stats.kept,
        kept_bytes: stats.kept_bytes,
    }
}

pub(super) fn peeked(partition: u32, message: v1::PeekedMessage) -> PeekedMessage {
    let state = message_state(message.state());
    let record = message.record.unwrap_or_default();
    PeekedMessage {
        partition,
        message_id: message.message_id,
        state,
        attempts: message.attempts,
        reason: message.reason,
        timestamp_ms: record.timestamp_ms,
        key: record.key,
        value: record.value,
        headers: headers(record.headers),
    }
}

pub(super) fn message_state(state: v1::MessageState) -> MessageState {
    match state {
        v1::MessageState::Scheduled => MessageState::Scheduled,
        v1::MessageState::Leased => MessageState::Leased,
        v1::MessageState::Parked => MessageState::Parked,
        v1::MessageState::Ready | v1::MessageState::Unspecified => MessageState::Ready,
    }
}

pub(crate) fn headers(headers: Vec<v1::Header>) -> Vec<Header> {
    headers.into_iter().map(|header| Header { name: header.key, value: header.value }).collect()
}
