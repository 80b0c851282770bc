//! The calls of a member: heartbeat, fence, commit, leave.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use weir_proto::v1;
use weir_proto::v1::group_client::GroupClient;
use weir_proto::v1::stream_client::StreamClient;

use super::ownership::{Move, Ownership};
use super::{ConsumerOptions, GroupStart, passes};
use crate::admin::offsets_of;
use crate::call::{ANSWER_BYTES_MAX, Call, Core, Pauses};
use crate::routing::Target;
use crate::stream::{Credit, Ending, Event, Origin, PartitionReader, Source};
use crate::worker::OutputBatches;
use crate::{Error, Result};

/// What the tasks of one member share.
pub(crate) struct Member {
    pub(crate) core: Arc<Core>,
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) topics: Vec<String>,
    pub(crate) options: ConsumerOptions,
    pub(crate) ownership: Ownership,
    pub(crate) events: mpsc::Sender<Event>,
}

impl Member {
    /// Keeps the membership alive, and learns the assignment. The node may hold the call until that changes.
    pub(crate) async fn heartbeat(&self, timeout: Duration) -> Result<v1::GroupHeartbeatResponse> {
        let owned = self.ownership.states().into_iter();
        let request = v1::GroupHeartbeatRequest {
            group: self.group.clone(),
            member_id: self.id.clone(),
            topics: self.topics.clone(),
            session_timeout_ms: self.options.session_timeout.as_millis() as u64,
            owned: owned
                .map(|(source, finished)| v1::OwnedPartition {
                    group_id: source.group.0,
                    epoch: source.epoch,
                    finished,
                })
                .collect(),
        };
        let call = self.core.operation(Target::Any, format!("stay in group `{}`", self.group));
        // The node may hold the call for a third of the session, and the one before began a third ago: after half of it
        // another node still hears in time.
        let attempt_timeout = self.options.session_timeout / 2;
        self.core
            .call(Call { timeout, attempt_timeout, ..call }, |channel| {
                let request = request.clone();
                let mut client = GroupClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                async move { client.heartbeat(request).await }
            })
            .await
    }

    /// Shuts older owners out of a partition, and reads it from the group's position on. When it is sealed and read to its
    /// end, and everything of it is committed, the group is told.
    pub(crate) async fn own(self: Arc<Self>, source: Source, origin: Origin, created_at_ms: u64) {
        let position = loop {
            match self.take_over(source, created_at_ms).await {
                Ok(position) => break position,
                Err(error) => {
                    let passes = matches!(error, Error::Timeout { .. } | Error::OutcomeUnknown { .. });
                    if self.events.send(Err((source, error))).await.is_err() || !passes {
                        return;
                    }
                }
            }
        };
        let reader = PartitionReader {
            core: Arc::clone(&self.core),
            origin,
            source,
            consumer_group: self.group.clone(),
            position,
            told: None,
            end: None,
            credit: Arc::new(Credit::new(self.options.buffer_bytes_max as u64)),
            stall_timeout: self.options.stall_timeout,
            events: self.events.clone(),
        };
        if let Ending::Sealed { end, told } = reader.run().await {
            self.finish(source, end, told).await;
        }
    }

    /// Shuts older owners out: where to begin.
    async fn take_over(&self, source: Source, created_at_ms: u64) -> Result<u64> {
        let fenced = self.fence(source).await?;
        let begin = match (fenced.committed_offset, self.options.start) {
            (Some(committed), _) => committed,
            (None, GroupStart::Earliest) => fenced.start_offset,
            (None, GroupStart::Latest) if self.came_later(source).await => {
                let offsets = offsets_of(&self.core, source.group, Some(created_at_ms)).await?;
                offsets.time_offset.unwrap_or(offsets.end_offset)
            }
            (None, GroupStart::Latest) => fenced.end_offset,
        };
        self.ownership.begin(source, fenced.committed_offset);
        Ok(begin)
    }

    /// Whether the partitions of the topic were split or merged: what is in this one may be newer than the group, also when its
    /// parents are gone. One that the routing table does not show in time has come of that just now.
    async fn came_later(&self, source: Source) -> bool {
        let mut tables = self.core.router.watch();
        let shown = tables.wait_for(|table| table.topic_of(source.group).is_some());
        let table = tokio::time::timeout(self.core.options.attempt_timeout, shown).await;
        let Ok(Ok(table)) = table else { return true };
        let Some(topic) = table.topic_of(source.group) else { return true };
        let has_parents = topic.all().any(|known| known.group == source.group && !known.parents.is_empty());
        has_parents || (topic.owns(source.group) && topic.is_reshaped())
    }

    /// A sealed partition is read to its end. What was handed out of it is committed as when the group takes a partition
    /// away, or else by the caller; then its end is, behind what compaction and retention have left of it, and the group is
    /// told.
    async fn finish(self: &Arc<Self>, source: Source, end: u64, told: Option<u64>) {
        if let Some(told) = told {
            let done = if self.options.commit_on_revoke {
                self.ownership.wait_handled(source, told).await
            } else {
                self.ownership.wait_committed(source, told).await
            };
            if !done {
                return;
            }
        }
        let mut pauses = Pauses::default();
        while let Err(error) = self.commit_to(source, end).await {
            if !passes(&error) {
                tracing::warn!(group = self.group, %error, "the end of a partition cannot be committed");
                return;
            }
            self.core.sleep_jittered(pauses.next()).await;
        }
        self.ownership.finish(source);
    }

    async fn fence(&self, source: Source) -> Result<v1::FenceGroupResponse> {
        let request = v1::FenceGroupRequest {
            group_id: source.group.0,
            consumer_group: self.group.clone(),
            epoch: source.epoch,
        };
        let call = self.core.operation(Target::Leader(source.group), "take over a partition");
        self.core
            .call(call, |channel| {
                let request = request.clone();
                async move { StreamClient::new(channel).fence_group(request).await }
            })
            .await
    }

    /// Commits a position, and whatever more was wanted when that is done.
    pub(crate) async fn commit(self: Arc<Self>, source: Source, position: u64) {
        let mut next = Some(position);
        while let Some(position) = next {
            let result = self.commit_once(source, position).await;
            next = self.ownership.commit_done(source, result);
        }
    }

    async fn commit_once(&self, source: Source, position: u64) -> Result<()> {
        let request = v1::CommitOffsetRequest {
            group_id: source.group.0,
            consumer_group: self.group.clone(),
            epoch: source.epoch,
            offset: position,
            metadata: String::new(),
            reset: false,
        };
        let call = self.core.operation(Target::Leader(source.group), "commit a position");
        let answer = self.core.call(call, |channel| {
            let request = request.clone();
            async move { StreamClient::new(channel).commit_offset(request).await }
        });
        answer.await.map(|_| ())
    }

    /// Moves a position and appends what came of the records before it, in one step.
    pub(crate) async fn commit_and_append(&self, step: Move, outputs: &OutputBatches) -> Result<()> {
        let request = v1::CommitAndAppendRequest {
            group_id: step.source.group.0,
            consumer_group: self.group.clone(),
            epoch: step.source.epoch,
            from: step.from,
            offset: step.to,
            metadata: String::new(),
            outputs: outputs.to_wire(),
        };
        let call = self.core.operation(Target::Leader(step.source.group), "commit and append");
        let answer = self.core.call(call, |channel| {
            let request = request.clone();
            async move { StreamClient::new(channel).commit_and_append(request).await }
        });
        let result = answer.await.map(|_| ());
        self.ownership.stepped(step, &result);
        result
    }

    /// Gives back a partition that the group takes away, as soon as none of its records is being handled, with what was
    /// handled committed. Half a session timeout is given for that: then the partition goes as it is, and what was not
    /// committed comes again elsewhere.
    pub(crate) async fn release(self: Arc<Self>, source: Source) {
        let in_order = async {
            self.ownership.wait_idle(source).await;
            if self.options.commit_on_revoke {
                self.commit_handled(source).await;
            }
        };
        let _ = tokio::time::timeout(self.options.session_timeout / 2, in_order).await;
        self.ownership.remove(source);
    }

    async fn commit_handled(self: &Arc<Self>, source: Source) {
        if let Some(position) = self.ownership.position(source) {
            // An error is told by the loss of what was not committed.
            let _ = self.commit_to(source, position).await;
        }
    }

    async fn commit_to(self: &Arc<Self>, source: Source, position: u64) -> Result<()> {
        let (waiter, done) = oneshot::channel();
        if let Some(position) = self.ownership.want_commit(source, position, Some(waiter)) {
            Arc::clone(self).commit(source, position).await;
        }
        done.await.unwrap_or(Err(Error::Closed { what: "stream consumer" }))
    }

    /// Leaves the group.
    pub(crate) async fn leave(&self) -> Result<()> {
        let request = v1::GroupLeaveRequest { group: self.group.clone(), member_id: self.id.clone() };
        let call = self.core.operation(Target::Any, format!("leave group `{}`", self.group));
        let answer = self.core.call(call, |channel| {
            let request = request.clone();
            async move { GroupClient::new(channel).leave(request).await }
        });
        answer.await.map(|_| ())
    }
}
