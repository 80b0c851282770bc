//! What replicas hold, on the wire.

use weir_broker::api::digest::ReplicaDigest;
use weir_broker::{ContentsView, MessageState};
use weir_proto::v1;

use super::status;

pub(super) fn replica(digest: &ReplicaDigest) -> v1::ReplicaDigest {
    let (stream, queue) = match &digest.contents {
        ContentsView::Stream { start, end, bytes } => {
            let status =
                v1::StreamPartitionStatus { start_offset: start.0, end_offset: end.0, bytes: *bytes };
            (Some(status), None)
        }
        ContentsView::Queue(counts) => (None, Some(status::queue(counts))),
        ContentsView::Internal => (None, None),
    };
    let kind = digest.kind.map_or(v1::TopicKind::Unspecified, v1::TopicKind::from);
    v1::ReplicaDigest {
        topic: digest.topic.clone(),
        partition: digest.index,
        group_id: digest.group.0,
        kind: kind as i32,
        replica_id: digest.replica.0,
        term: digest.term,
        applied: digest.applied,
        hash: format!("{:032x}", digest.hash),
        rows: digest.rows,
        bytes: digest.bytes,
        stream,
        queue,
        message_ids: digest.messages.iter().map(|(id, _)| id.0).collect(),
        message_states: digest.messages.iter().map(|(_, at)| state(at) as i32).collect(),
        messages_cut: digest.messages_cut,
    }
}

fn state(state: &MessageState) -> v1::DigestedState {
    match state {
        MessageState::Ready | MessageState::Scheduled { .. } | MessageState::Delayed { .. } => {
            v1::DigestedState::Ready
        }
        MessageState::Leased { .. } => v1::DigestedState::Leased,
        MessageState::Parked { .. } => v1::DigestedState::Parked,
    }
}
