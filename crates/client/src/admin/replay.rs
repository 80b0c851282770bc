//! Acked messages that a queue keeps are enqueued anew.

use weir_proto::v1;
use weir_proto::v1::queue_client::QueueClient;
use weir_types::TopicKind;

use super::Admin;
use crate::Result;
use crate::routing::Target;

/// Which messages are replayed: by the time when they arrived in the queue, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayRange {
    /// From this time on.
    pub from_ms: u64,
    /// Before this time; none: all until now.
    pub to_ms: Option<u64>,
}

impl Admin {
    /// An id for a [replay](Self::replay).
    pub fn new_replay_id(&self) -> u64 {
        self.client.core.random_id()
    }

    /// Enqueues acked messages that the queue [keeps](v1::QueueSettings::keep_ms) anew, under new ids, in the order in
    /// which they had arrived; each carries the header `weir-replay-origin`. How many it was, in all calls under this
    /// id: one that broke off goes on when it is repeated under the same id, and enqueues no message twice.
    /// `progress` is told how many it were so far.
    ///
    /// What a partition kept before it was split or merged is not replayed.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a stream, for a queue that keeps nothing, and for an id of 0; `OutOfSpace` while the
    /// queue is full.
    pub async fn replay(
        &self,
        topic: &str,
        id: u64,
        range: ReplayRange,
        mut progress: impl FnMut(u64),
    ) -> Result<u64> {
        let core = &self.client.core;
        let route = core.topic_of(topic, TopicKind::Queue).await?;
        let mut before = 0;
        for partition in &route.partitions {
            let group = partition.group;
            let ReplayRange { from_ms, to_ms } = range;
            let request = v1::ReplayRequest { group_id: group.0, request_id: id, from_ms, to_ms };
            loop {
                let call = core.operation(Target::Leader(group), format!("replay messages of `{topic}`"));
                let answer =
                    core.call(call, |channel| async move { QueueClient::new(channel).replay(request).await });
                let v1::ReplayResponse { replayed, more } = answer.await?;
                progress(before + replayed);
                if !more {
                    before += replayed;
                    break;
                }
            }
        }
        Ok(before)
    }
}
