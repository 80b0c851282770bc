//! What a queue holds: counts, a look at messages; and what is taken out of it undelivered.

use std::collections::BTreeMap;

use weir_proto::v1;
use weir_proto::v1::queue_client::QueueClient;
use weir_types::limits::LEASE_MESSAGES_MAX;
use weir_types::{ErrorKind, GroupId, TopicKind};

use super::types::{PeekedMessage, QueueStats};
use super::{Admin, convert};
use crate::call::{ANSWER_BYTES_MAX, Core};
use crate::routing::{PartitionRoute, Target, TopicRoute};
use crate::{Error, Result};

/// A message of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageRef {
    /// Its partition.
    pub partition: u32,
    /// Its id there.
    pub message_id: u64,
}

/// Which messages to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeekOptions {
    /// Only this partition. Default: all, in turn.
    pub partition: Option<u32>,
    /// Only from this id on, in each partition. Default 0.
    pub from_message_id: u64,
    /// At most so many in all. Default 100.
    pub max_messages: u32,
}

impl Default for PeekOptions {
    fn default() -> Self {
        Self { partition: None, from_message_id: 0, max_messages: 100 }
    }
}

impl Admin {
    /// Counts of each partition of a queue. Never stale.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a stream.
    pub async fn queue_stats(&self, topic: &str) -> Result<Vec<QueueStats>> {
        let core = &self.client.core;
        let route = core.topic_of(topic, TopicKind::Queue).await?;
        let each = route.all().map(async |partition| {
            let request = v1::QueueStatsRequest { group_id: partition.group.0 };
            let call = core.operation(Target::Leader(partition.group), format!("count queue `{topic}`"));
            let answer = core
                .call(call, |channel| async move { QueueClient::new(channel).stats(request).await })
                .await?;
            Ok(convert::stats(partition.partition, answer))
        });
        futures::future::try_join_all(each).await
    }

    /// Looks at messages without changing anything, in order of arrival within a partition.
    ///
    /// # Errors
    /// `NotFound` for the topic or partition; `Invalid` for a stream.
    pub async fn peek(&self, topic: &str, options: PeekOptions) -> Result<Vec<PeekedMessage>> {
        self.look(topic, options, |group, from_message_id, max_messages| Look::Any {
            request: v1::PeekRequest { group_id: group.0, from_message_id, max_messages },
        })
        .await
    }

    /// Parked messages, oldest first within a partition.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    pub async fn list_parked(&self, topic: &str, options: PeekOptions) -> Result<Vec<PeekedMessage>> {
        self.look(topic, options, |group, from_message_id, max_messages| Look::Parked {
            request: v1::ListParkedRequest { group_id: group.0, from_message_id, max_messages },
        })
        .await
    }

    async fn look(
        &self,
        topic: &str,
        options: PeekOptions,
        at: impl Fn(GroupId, u64, u32) -> Look,
    ) -> Result<Vec<PeekedMessage>> {
        let core = &self.client.core;
        let route = core.topic_of(topic, TopicKind::Queue).await?;
        let chosen = match options.partition {
            None => route.all().collect(),
            Some(index) => vec![partition_of(&route, index)?],
        };
        let mut messages = Vec::new();
        for partition in chosen {
            let mut from = options.from_message_id;
            loop {
                let wanted = options.max_messages.saturating_sub(messages.len() as u32);
                if wanted == 0 {
                    return Ok(messages);
                }
                let asked = wanted.min(LEASE_MESSAGES_MAX);
                let found = at(partition.group, from, asked).send(core, partition.group).await?;
                let Some(last) = found.last().map(|message| message.message_id) else { break };
                messages.extend(found.into_iter().map(|found| convert::peeked(partition.partition, found)));
                from = last + 1;
            }
        }
        Ok(messages)
    }

    /// Removes messages that wait for their delivery time. How many it was: a message that was due meanwhile is passed
    /// over, because a consumer may have it.
    ///
    /// # Errors
    /// `NotFound` for the topic or a partition, and when none of a partition's messages was scheduled.
    pub async fn cancel_scheduled(&self, topic: &str, messages: Vec<MessageRef>) -> Result<u64> {
        let core = &self.client.core;
        let mut cancelled = 0;
        for (group, message_ids) in by_group(&*core.topic_of(topic, TopicKind::Queue).await?, &messages)? {
            let request = v1::CancelScheduledRequest { group_id: group.0, message_ids };
            let call = core.operation(Target::Leader(group), format!("cancel messages of `{topic}`"));
            let answer = core.call(call, |channel| {
                let request = request.clone();
                async move { QueueClient::new(channel).cancel_scheduled(request).await }
            });
            cancelled += answer.await?.cancelled;
        }
        Ok(cancelled)
    }

    /// Removes all messages that are in the queue now, leased and parked ones too. How many it was.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a stream.
    pub async fn purge(&self, topic: &str) -> Result<u64> {
        let core = &self.client.core;
        let route = core.topic_of(topic, TopicKind::Queue).await?;
        let horizons = self.queue_stats(topic).await?;
        let mut purged = 0;
        for stats in horizons {
            let group = partition_of(&route, stats.partition)?.group;
            // Whatever came after the counts stays, however often the call is repeated.
            let before_message_id = Some(stats.enqueued_total);
            let request = v1::PurgeRequest { group_id: group.0, before_message_id };
            let call = core.operation(Target::Leader(group), format!("purge queue `{topic}`"));
            let answer =
                core.call(call, |channel| async move { QueueClient::new(channel).purge(request).await });
            purged += answer.await?.purged;
        }
        Ok(purged)
    }
}

/// The ids of messages by their partitions' groups.
pub(super) fn by_group(route: &TopicRoute, messages: &[MessageRef]) -> Result<BTreeMap<GroupId, Vec<u64>>> {
    let mut chosen: BTreeMap<GroupId, Vec<u64>> = BTreeMap::new();
    for message in messages {
        let group = partition_of(route, message.partition)?.group;
        chosen.entry(group).or_default().push(message.message_id);
    }
    Ok(chosen)
}

/// One look at a partition.
#[derive(Clone, Copy)]
enum Look {
    Any { request: v1::PeekRequest },
    Parked { request: v1::ListParkedRequest },
}

impl Look {
    async fn send(self, core: &Core, group: GroupId) -> Result<Vec<v1::PeekedMessage>> {
        let call = core.operation(Target::Leader(group), "look at messages");
        let answer = core.call(call, |channel| {
            let mut client = QueueClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
            async move {
                match self {
                    Self::Any { request } => client.peek(request).await,
                    Self::Parked { request } => client.list_parked(request).await,
                }
            }
        });
        Ok(answer.await?.messages)
    }
}

pub(crate) fn partition_of(topic: &TopicRoute, index: u32) -> Result<&PartitionRoute> {
    topic.all().find(|partition| partition.partition == index).ok_or_else(|| {
        let text = format!("topic `{}` has no partition {index}", topic.name);
        Error::new(ErrorKind::NotFound, "partition-not-found", text)
    })
}
