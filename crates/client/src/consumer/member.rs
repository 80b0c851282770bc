//! The calls of a member: heartbeat, fence, commit, leave.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use weir_proto::v1;
use weir_proto::v1::group_client::GroupClient;
use weir_proto::v1::stream_client::StreamClient;

use super::ownership::{Move, Ownership};
use super::{ConsumerOptions, GroupStart};
use crate::call::{ANSWER_BYTES_MAX, Call, Core};
use crate::routing::Target;
use crate::stream::{Credit, Event, Origin, PartitionReader, Source};
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
        let owned = self.ownership.sources().into_iter();
        let request = v1::GroupHeartbeatRequest {
            group: self.group.clone(),
            member_id: self.id.clone(),
            topics: self.topics.clone(),
            session_timeout_ms: self.options.session_timeout.as_millis() as u64,
            owned: owned
                .map(|source| v1::OwnedPartition { group_id: source.group.0, epoch: source.epoch })
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

    /// Shuts older owners out of a partition, and reads it from the group's position on.
    pub(crate) async fn own(self: Arc<Self>, source: Source, origin: Origin) {
        let fenced = loop {
            match self.fence(source).await {
                Ok(fenced) => break fenced,
                Err(error) => {
                    let passes = matches!(error, Error::Timeout { .. } | Error::OutcomeUnknown { .. });
                    if self.events.send(Err((source, error))).await.is_err() || !passes {
                        return;
                    }
                }
            }
        };
        self.ownership.begin(source, fenced.committed_offset);
        let begin = match self.options.start {
            GroupStart::Earliest => fenced.start_offset,
            GroupStart::Latest => fenced.end_offset,
        };
        let reader = PartitionReader {
            core: Arc::clone(&self.core),
            origin,
            source,
            consumer_group: self.group.clone(),
            position: fenced.committed_offset.unwrap_or(begin),
            end: None,
            credit: Arc::new(Credit::new(self.options.buffer_bytes_max as u64)),
            stall_timeout: self.options.stall_timeout,
            events: self.events.clone(),
        };
        reader.run().await;
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
        let Some(position) = self.ownership.position(source) else { return };
        let (waiter, done) = oneshot::channel();
        if let Some(position) = self.ownership.want_commit(source, position, Some(waiter)) {
            Arc::clone(self).commit(source, position).await;
        }
        let _ = done.await;
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
