//! Consumer groups, and the offsets of streams.

use std::time::Duration;

use weir_proto::v1;
use weir_proto::v1::group_client::GroupClient;
use weir_proto::v1::reset_group_request::To;
use weir_proto::v1::stream_client::StreamClient;
use weir_types::{GroupId, TopicKind};

use super::types::{GroupDescription, GroupPosition, GroupSummary, PartitionOffsets, ResetTo};
use super::{Admin, convert};
use crate::Result;
use crate::call::{ANSWER_BYTES_MAX, Call, Core};
use crate::routing::Target;

/// How long a node is asked to hold a call that waits for outputs to arrive.
const OUTBOX_WAIT: Duration = Duration::from_secs(5);

impl Admin {
    /// All groups with members or committed positions.
    pub async fn list_groups(&self) -> Result<Vec<GroupSummary>> {
        let core = &self.client.core;
        let answer = core
            .call(core.operation(Target::Any, "list groups"), |channel| async move {
                let mut client = GroupClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                client.list(v1::ListGroupsRequest {}).await
            })
            .await?;
        Ok(answer.groups.into_iter().map(convert::group_summary).collect())
    }

    /// Members, assignment, positions and lag of one group.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let core = &self.client.core;
        let answer = core
            .call(core.operation(Target::Any, format!("describe group `{group}`")), |channel| {
                let request = v1::DescribeGroupRequest { group: group.to_owned() };
                async move {
                    let mut client = GroupClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                    client.describe(request).await
                }
            })
            .await?;
        Ok(convert::group(answer))
    }

    /// Moves the committed positions of a group that has no members, in all partitions of a stream.
    ///
    /// # Errors
    /// `NotFound` for the topic; `Invalid` while the group has members.
    pub async fn reset_group(&self, group: &str, topic: &str, to: ResetTo) -> Result<Vec<GroupPosition>> {
        let core = &self.client.core;
        let to = match to {
            ResetTo::Earliest => To::Earliest(true),
            ResetTo::Latest => To::Latest(true),
            ResetTo::Offset(offset) => To::Offset(offset),
            ResetTo::TimeMs(time_ms) => To::TimeMs(time_ms),
            ResetTo::Lag(records) => To::Lag(records),
        };
        let request =
            v1::ResetGroupRequest { group: group.to_owned(), topic: topic.to_owned(), to: Some(to) };
        let answer = core
            .call(core.operation(Target::Any, format!("reset group `{group}`")), |channel| {
                let request = request.clone();
                async move { GroupClient::new(channel).reset(request).await }
            })
            .await?;
        Ok(answer.positions.into_iter().map(convert::position).collect())
    }

    /// First and next offset of each partition of a stream, those that were split or merged too, and the offset for a time (milliseconds since the Unix
    /// epoch) if one is given. Never stale.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a queue.
    pub async fn offsets(&self, topic: &str, time_ms: Option<u64>) -> Result<Vec<PartitionOffsets>> {
        let core = &self.client.core;
        let route = core.topic_of(topic, TopicKind::Stream).await?;
        let each = route.all().map(async |partition| {
            let offsets = offsets_of(core, partition.group, time_ms).await?;
            Ok(PartitionOffsets {
                partition: partition.partition,
                start_offset: offsets.start_offset,
                end_offset: offsets.end_offset,
                time_offset: offsets.time_offset,
            })
        });
        futures::future::try_join_all(each).await
    }
}

/// Offsets of one partition, from its leader.
pub(crate) async fn offsets_of(
    core: &Core,
    group: GroupId,
    time_ms: Option<u64>,
) -> Result<v1::OffsetsResponse> {
    let request = v1::OffsetsRequest { group_id: group.0, time_ms, ..v1::OffsetsRequest::default() };
    core.call(
        core.operation(Target::Leader(group), "read the offsets of a partition"),
        |channel| async move { StreamClient::new(channel).offsets(request).await },
    )
    .await
}

/// Waits until everything that commits of a partition have appended to another one up to now is there. Each call is held by
/// the node.
pub(crate) async fn wait_for_outputs(core: &Core, group: GroupId, to: GroupId) -> Result<()> {
    let outbox_wait_ms = OUTBOX_WAIT.as_millis() as u64;
    loop {
        let (time_ms, outbox_to) = (None, Some(to.0));
        let request = v1::OffsetsRequest { group_id: group.0, time_ms, outbox_wait_ms, outbox_to };
        let call = core.operation(Target::Leader(group), "wait for what was appended by commits");
        let (timeout, attempt_timeout) = (call.timeout + OUTBOX_WAIT, call.attempt_timeout + OUTBOX_WAIT);
        let call = Call { timeout, attempt_timeout, ..call };
        let answer =
            core.call(call, |channel| async move { StreamClient::new(channel).offsets(request).await });
        if answer.await?.outbox_batches == 0 {
            return Ok(());
        }
    }
}
