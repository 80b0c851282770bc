//! Parked messages made ready again, or deleted: by name, by reason, all, and no faster than the consumers can bear.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use weir_proto::v1;
use weir_proto::v1::queue_client::QueueClient;
use weir_types::{GroupId, TopicKind};

use super::Admin;
use super::queues::{MessageRef, by_group};
use crate::Result;
use crate::routing::Target;

/// How often a paced call takes its next messages.
const TICK: Duration = Duration::from_millis(100);

/// Which parked messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParkedSelection {
    /// All of them.
    All,
    /// Those that are parked for this reason.
    Reason(ParkedReason),
    /// These.
    Messages(Vec<MessageRef>),
}

/// Why a message is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedReason {
    /// Delivered as often as the queue allows.
    AttemptsUsedUp,
    /// A consumer rejected it.
    Rejected,
}

/// What becomes of them.
#[derive(Clone, Copy)]
enum Act {
    Redrive,
    Discard,
}

/// Messages of one partition; no ids stands for all, as on the wire.
#[derive(Clone)]
struct Letters {
    group: GroupId,
    message_ids: Vec<u64>,
    reason: v1::ParkReason,
    max_messages: u64,
}

impl Admin {
    /// Makes parked messages ready again, at their place, attempts reset. How many it was.
    ///
    /// # Errors
    /// `NotFound` for the topic, a partition or a message that is not parked.
    pub async fn redrive(&self, topic: &str, which: ParkedSelection) -> Result<u64> {
        self.step_parked(topic, which, Act::Redrive).await
    }

    /// As [`redrive`](Self::redrive), so many messages per second at most. `progress` is told how many it were so far.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive); what was made ready before an error stays so.
    pub async fn redrive_at_rate(
        &self,
        topic: &str,
        which: ParkedSelection,
        per_second: NonZeroU64,
        mut progress: impl FnMut(u64),
    ) -> Result<u64> {
        // At a rate below one per tick, ticks are longer.
        let chunk = (per_second.get() / 10).max(1);
        let period =
            TICK.max(Duration::from_secs(chunk) / u32::try_from(per_second.get()).unwrap_or(u32::MAX));
        let mut pace = interval(period);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut redriven = 0;
        for letters in self.letters(topic, which).await? {
            let mut parts = letters.in_parts(chunk);
            while let Some(part) = parts.next() {
                pace.tick().await;
                let moved = self.step(topic, Act::Redrive, part).await?;
                redriven += moved;
                progress(redriven);
                parts.moved(moved);
            }
        }
        Ok(redriven)
    }

    /// Deletes parked messages. How many it was.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive).
    pub async fn discard(&self, topic: &str, which: ParkedSelection) -> Result<u64> {
        self.step_parked(topic, which, Act::Discard).await
    }

    async fn step_parked(&self, topic: &str, which: ParkedSelection, act: Act) -> Result<u64> {
        let mut done = 0;
        for letters in self.letters(topic, which).await? {
            done += self.step(topic, act, letters).await?;
        }
        Ok(done)
    }

    async fn step(&self, topic: &str, act: Act, letters: Letters) -> Result<u64> {
        let core = &self.client.core;
        let Letters { group, message_ids, reason, max_messages } = letters;
        let (group_id, reason) = (group.0, reason as i32);
        match act {
            Act::Redrive => {
                let request = v1::RedriveRequest { group_id, message_ids, reason, max_messages };
                let call = core.operation(Target::Leader(group), format!("redrive messages of `{topic}`"));
                let answer = core.call(call, |channel| {
                    let request = request.clone();
                    async move { QueueClient::new(channel).redrive(request).await }
                });
                Ok(answer.await?.redriven)
            }
            Act::Discard => {
                let request = v1::DiscardRequest { group_id, message_ids, reason, max_messages };
                let call = core.operation(Target::Leader(group), format!("discard messages of `{topic}`"));
                let answer = core.call(call, |channel| {
                    let request = request.clone();
                    async move { QueueClient::new(channel).discard(request).await }
                });
                Ok(answer.await?.discarded)
            }
        }
    }

    /// The selection, partition by partition.
    async fn letters(&self, topic: &str, which: ParkedSelection) -> Result<Vec<Letters>> {
        let route = self.client.core.topic_of(topic, TopicKind::Queue).await?;
        let reason =
            match which {
                ParkedSelection::Messages(messages) => {
                    let named = by_group(&route, &messages)?.into_iter().map(|(group, message_ids)| {
                        Letters { group, message_ids, reason: v1::ParkReason::Unspecified, max_messages: 0 }
                    });
                    return Ok(named.collect());
                }
                ParkedSelection::All => v1::ParkReason::Unspecified,
                ParkedSelection::Reason(ParkedReason::AttemptsUsedUp) => v1::ParkReason::AttemptsUsedUp,
                ParkedSelection::Reason(ParkedReason::Rejected) => v1::ParkReason::Rejected,
            };
        let every = route.all().map(|partition| Letters {
            group: partition.group,
            message_ids: Vec::new(),
            reason,
            max_messages: 0,
        });
        Ok(every.collect())
    }
}

impl Letters {
    fn in_parts(self, chunk: u64) -> Parts {
        let named = !self.message_ids.is_empty();
        Parts { left: Some(self), named, chunk }
    }
}

/// A selection in parts of so many messages.
struct Parts {
    left: Option<Letters>,
    named: bool,
    chunk: u64,
}

impl Parts {
    fn next(&mut self) -> Option<Letters> {
        let left = self.left.as_mut()?;
        if !self.named {
            return Some(Letters { max_messages: self.chunk, ..left.clone() });
        }
        let count = left.message_ids.len().min(self.chunk as usize);
        let part: Vec<u64> = left.message_ids.drain(..count).collect();
        (!part.is_empty()).then(|| Letters { message_ids: part, ..left.clone() })
    }

    /// So many of the last part there were: fewer than asked for means that there are no more.
    fn moved(&mut self, count: u64) {
        if !self.named && count < self.chunk {
            self.left = None;
        }
    }
}
