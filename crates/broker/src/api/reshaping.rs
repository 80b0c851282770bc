//! Splitting and merging partitions of a topic.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;
use weir_metadata::{Command, Feature, Registry, Reply, Reshape, Stage, Topic};
use weir_types::{ErrorKind, GroupId, KeyHash, KeyRange, RequestId, TopicId, WeirError};

use crate::broker::{Broker, SEALED};
use crate::replica::unexpected;

/// Steps of one request to bring a topic to a number of partitions, one after the other: each doubles or halves them, or
/// waits for what is under way.
const ROUNDS_MAX: u64 = 64;
/// Pause before a topic that others reshape is looked at again.
const PAUSE: Duration = Duration::from_millis(50);

/// One change of a topic's partitions, which go by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Two partitions take the place of one.
    Split {
        /// The one.
        partition: u32,
        /// The smallest key hash of the second of the two; none for the middle.
        at: Option<KeyHash>,
    },
    /// One partition takes the place of two neighbours.
    Merge {
        /// The one with the lower key hashes.
        left: u32,
        /// The other one.
        right: u32,
    },
}

/// What was planned, and whether it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshaped {
    /// Numbers of the partitions that are replaced.
    pub parents: Vec<u32>,
    /// Numbers of those that replace them.
    pub children: Vec<u32>,
    /// Whether the children own the keys. Of a split or a merge that follows by itself; of a scale, what was not begun is left
    /// undone.
    pub done: bool,
}

/// The keys of a partition, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// The keys that it owns, or owned until it was sealed, or is to own.
    pub range: KeyRange,
    /// Where it stands.
    pub stage: Stage,
    /// Numbers of the partitions whose keys it took over, as far as these are still there.
    pub parents: Vec<u32>,
    /// Numbers of those that take over its keys.
    pub children: Vec<u32>,
}

impl Family {
    pub(super) fn of(registry: &Registry, group: GroupId) -> Option<Self> {
        let range = registry.partition(group)?.range;
        let (parents, children) = match registry.lineage(group) {
            Some(lineage) => (numbers(registry, &lineage.parents), numbers(registry, &lineage.children)),
            None => (Vec::new(), Vec::new()),
        };
        Some(Self { range, stage: registry.stage(group), parents, children })
    }
}

impl Broker {
    /// Splits or merges partitions of a topic, and waits for a bounded time until the keys have new owners.
    ///
    /// # Errors
    /// `Invalid` while the cluster's feature level is too low, and for what cannot be split or merged; `NotFound` for a
    /// topic or a partition that is not there.
    pub async fn reshape(
        &self,
        topic: &str,
        change: Change,
        request: RequestId,
        patience: Duration,
    ) -> Result<Reshaped, WeirError> {
        self.require(Feature::Reshaping).await?;
        self.freshen().await?;
        let topic = self.topic(topic)?;
        let step = match change {
            Change::Split { partition, at } => {
                Reshape::Split { parent: self.numbered(&topic, partition)?, at }
            }
            Change::Merge { left, right } => {
                Reshape::Merge { left: self.numbered(&topic, left)?, right: self.numbered(&topic, right)? }
            }
        };
        let deadline = Instant::now() + patience;
        let planned = self.plan(&topic, request, vec![step]).await;
        let (parents, children) = planned.map_err(|error| named(&topic, change, step, error))?;
        let done = self.wait_for_owners(&children, deadline).await;
        Ok(self.registry(|registry| Reshaped {
            parents: numbers(registry, &parents),
            children: numbers(registry, &children),
            done,
        }))
    }

    /// Splits or merges partitions of a topic until so many own its keys, and waits for that for a bounded time. What is
    /// not begun when the time is over is left undone.
    ///
    /// # Errors
    /// As [`reshape`](Self::reshape), and `Invalid` for a number that no topic can have.
    pub async fn scale_topic(
        &self,
        topic: &str,
        partitions: u32,
        request: RequestId,
        patience: Duration,
    ) -> Result<Reshaped, WeirError> {
        self.require(Feature::Reshaping).await?;
        self.freshen().await?;
        let topic = self.topic(topic)?;
        let deadline = Instant::now() + patience;
        let mut replaced = Replaced::default();
        for round in 0..ROUNDS_MAX {
            let rests = self.wait_for_all(topic.id, deadline).await;
            if !rests && round > 0 {
                break;
            }
            // What is under way counts as done.
            let steps = self.registry(|registry| registry.scale_steps(topic.id, partitions))?;
            if steps.is_empty() {
                return Ok(self.told(&replaced, rests));
            }
            match self.plan(&topic, of_round(request, round), steps).await {
                Ok((parents, children)) => replaced.add(parents, children),
                // Somebody else changes the same topic, or this copy of the registry is behind.
                Err(error) if is_passing(&error) && Instant::now() < deadline => {
                    sleep(self.inner().runtime.jittered(PAUSE)).await;
                }
                // Nobody has named that partition: it is one that this node believed to own keys.
                Err(error) if error.code == SEALED => {
                    return Err(WeirError {
                        kind: ErrorKind::Retry,
                        code: "reshape-in-progress".to_owned(),
                        ..error
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.told(&replaced, false))
    }

    /// The partition of a topic with this number.
    fn numbered(&self, topic: &Topic, number: u32) -> Result<GroupId, WeirError> {
        let found = self.registry(|registry| {
            registry.all_partitions(topic.id).find(|partition| partition.index == number).map(|p| p.group)
        });
        found.ok_or_else(|| {
            let message = format!("topic `{}` has no partition {number}", topic.name);
            WeirError::new(ErrorKind::NotFound, "partition-not-found", message)
        })
    }

    /// Plans all steps or none.
    async fn plan(
        &self,
        topic: &Topic,
        request: RequestId,
        steps: Vec<Reshape>,
    ) -> Result<(Vec<GroupId>, Vec<GroupId>), WeirError> {
        let down = self.unheard();
        match self.metadata().propose(Command::Reshape { topic: topic.id, request, steps, down }).await? {
            Reply::Reshaped { parents, children } => {
                info!(topic = topic.name, ?parents, ?children, "partitions are split or merged");
                Ok((parents, children))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until these partitions own their keys; whether they do.
    async fn wait_for_owners(&self, children: &[GroupId], deadline: Instant) -> bool {
        let own = |registry: &Registry| {
            // A copy that is behind does not know them yet.
            let is_there =
                |child: &GroupId| registry.partition(*child).is_some() || registry.is_deleted(*child);
            children.iter().all(|child| is_there(child) && registry.stage(*child) != Stage::Coming)
        };
        self.metadata().wait_for(deadline.saturating_duration_since(Instant::now()), own).await
    }

    /// Waits until nothing of a topic is being split or merged; whether that is so.
    async fn wait_for_all(&self, topic: TopicId, deadline: Instant) -> bool {
        let rests = |registry: &Registry| {
            !registry.all_partitions(topic).any(|partition| registry.stage(partition.group) == Stage::Coming)
        };
        self.metadata().wait_for(deadline.saturating_duration_since(Instant::now()), rests).await
    }

    fn told(&self, replaced: &Replaced, done: bool) -> Reshaped {
        self.registry(|registry| Reshaped {
            parents: numbers(registry, replaced.parents.iter()),
            children: numbers(registry, replaced.children.iter()),
            done,
        })
    }
}

/// The registry knows partitions by their groups, and who asks by their numbers.
fn named(topic: &Topic, change: Change, step: Reshape, error: WeirError) -> WeirError {
    let what = match (change, step) {
        (Change::Merge { left, right }, Reshape::Merge { left: first, right: second }) => {
            format!("partitions {left} and {right} of `{}` (groups {first} and {second})", topic.name)
        }
        (Change::Split { partition, .. }, Reshape::Split { parent, .. }) => {
            format!("partition {partition} of `{}` (group {parent})", topic.name)
        }
        _ => return error,
    };
    WeirError { message: format!("{what}: {}", error.message), ..error }
}

fn is_passing(error: &WeirError) -> bool {
    error.kind == ErrorKind::Retry || error.code == SEALED
}

/// What several rounds have replaced, without what one of them made and a later one replaced again.
#[derive(Debug, Default)]
struct Replaced {
    parents: BTreeSet<GroupId>,
    children: BTreeSet<GroupId>,
}

impl Replaced {
    fn add(&mut self, parents: Vec<GroupId>, children: Vec<GroupId>) {
        self.parents.extend(parents.into_iter().filter(|parent| !self.children.remove(parent)));
        self.children.extend(children);
    }
}

/// Each round is a request of its own, the same when the whole is repeated.
fn of_round(request: RequestId, round: u64) -> RequestId {
    // As the steps of a request for ack-and-append.
    RequestId(request.0.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn numbers<'a>(registry: &Registry, groups: impl IntoIterator<Item = &'a GroupId>) -> Vec<u32> {
    groups.into_iter().filter_map(|group| Some(registry.partition(*group)?.index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(of: &[u32]) -> Vec<GroupId> {
        of.iter().copied().map(GroupId).collect()
    }

    #[test]
    fn what_was_there_only_between_two_rounds_is_not_told() {
        let mut replaced = Replaced::default();
        replaced.add(groups(&[1]), groups(&[5, 6]));
        replaced.add(groups(&[5, 2]), groups(&[7, 8, 9, 10]));
        assert_eq!(replaced.parents, BTreeSet::from([GroupId(1), GroupId(2)]));
        assert_eq!(replaced.children, groups(&[6, 7, 8, 9, 10]).into_iter().collect());
    }

    #[test]
    fn rounds_of_a_request_are_told_apart_and_the_same_when_it_is_repeated() {
        let rounds: BTreeSet<_> = (0..ROUNDS_MAX).map(|round| of_round(RequestId(7), round)).collect();
        assert_eq!(rounds.len() as u64, ROUNDS_MAX);
        assert_eq!(of_round(RequestId(7), 0), RequestId(7));
    }
}
