//! Which lane takes which keys, and how that changes when partitions are split or merged.
//!
//! A lane whose partition is sealed goes on taking records until everything that it has sent is answered and the routing
//! table says who owns its keys now. Then, in one step that no `send` sees half of, what is left goes on in the lanes of
//! those, and so does every record after it: the records of a key stay in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use weir_runtime::TaskGroup;
use weir_types::{ErrorKind, GroupId, KeyHash, KeyRange};

use super::batch::Batch;
use super::delivery::BatchOutcome;
use super::intake::Intake;
use super::lane::Lane;
use super::recut::{Heir, recut};
use super::stamps::Stamps;
use crate::call::Core;
use crate::routing::{PartitionRoute, TopicRoute};
use crate::{Error, PendingDelivery, ProducerOptions, Record, Result};

/// The lanes of one producer.
pub(crate) struct Lanes {
    core: Arc<Core>,
    /// As it was when the producer was opened.
    topic: Arc<TopicRoute>,
    stamps: Arc<Stamps>,
    options: ProducerOptions,
    /// A lane that is opened later shuts older producers out first.
    fences: AtomicBool,
    /// Where records without a key go now.
    sticky: AtomicUsize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// In order; the first one begins with the first key, and each reaches to the next.
    ways: Vec<Way>,
    open: BTreeMap<GroupId, Arc<End>>,
    /// Partitions that take in nothing any more, by number. Their lanes are never opened again: under the same stamp the
    /// cluster would take another lane's batches for repetitions.
    over: BTreeMap<u32, (GroupId, KeyRange)>,
    /// How often something went on in other lanes.
    recuts: u64,
    tasks: TaskGroup,
}

/// Where the keys from this hash on go.
struct Way {
    first: u32,
    end: Arc<End>,
}

/// The lane of one partition, from outside.
struct End {
    partition: u32,
    group: GroupId,
    keys: KeyRange,
    intake: Arc<Intake>,
}

impl Lanes {
    /// One lane for each partition that owns keys.
    pub(crate) fn open(
        core: &Arc<Core>,
        topic: &Arc<TopicRoute>,
        stamps: &Arc<Stamps>,
        options: &ProducerOptions,
    ) -> Arc<Self> {
        let sticky = core.options.runtime.random_u64() % topic.partitions.len() as u64;
        let lanes = Arc::new(Self {
            core: Arc::clone(core),
            topic: Arc::clone(topic),
            stamps: Arc::clone(stamps),
            options: options.clone(),
            fences: AtomicBool::new(false),
            sticky: AtomicUsize::new(sticky as usize),
            state: RwLock::default(),
        });
        let mut state = lanes.state.write();
        for partition in &topic.partitions {
            let end = lanes.lane_of(&mut state, partition);
            state.ways.push(Way { first: partition.keys.first().0, end });
        }
        drop(state);
        lanes
    }

    /// Takes a record into the lane of its key; without one, into one that fills a batch.
    pub(crate) fn put(
        &self,
        record: &Record,
        timestamp_ms: u64,
        room: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<PendingDelivery> {
        let state = self.state.read();
        let end = match &record.key {
            Some(key) => state.of_key(KeyHash::of(key)),
            None => self.without_key(&state),
        };
        end.intake.push(record, timestamp_ms, room, deadline)
    }

    /// Takes a record into the lane of a partition that [is known](Self::find). One that is sealed has its key's owner take
    /// its place.
    pub(crate) fn put_to(
        &self,
        partition: u32,
        record: &Record,
        timestamp_ms: u64,
        room: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<PendingDelivery> {
        let state = self.state.read();
        let end =
            state.of_number(partition, record.key.as_deref()).ok_or_else(|| self.no_partition(partition))?;
        end.intake.push(record, timestamp_ms, room, deadline)
    }

    /// Whether there is a partition of this number, or was until it was sealed; its lane is opened if need be.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn find(self: &Arc<Self>, partition: u32) -> Result<()> {
        if self.state.read().of_number(partition, None).is_some() {
            return Ok(());
        }
        let now = self.now().ok_or_else(|| self.no_partition(partition))?;
        let numbered = |known: &&PartitionRoute| known.partition == partition;
        let mut state = self.state.write();
        if let Some(owner) = now.partitions.iter().find(numbered) {
            self.lane_of(&mut state, owner);
        } else if let Some(sealed) = now.sealed.iter().find(numbered) {
            state.over.insert(partition, (sealed.group, sealed.keys));
        } else {
            return Err(self.no_partition(partition));
        }
        Ok(())
    }

    /// From now on a lane that is opened shuts older producers out first: the partitions of those that are open, with all
    /// that own keys now.
    pub(crate) fn fence_later_ones(self: &Arc<Self>) -> Vec<GroupId> {
        let mut state = self.state.write();
        for owner in self.now().iter().flat_map(|now| &now.partitions) {
            if !state.is_over(owner.group) {
                self.lane_of(&mut state, owner);
            }
        }
        self.fences.store(true, Ordering::Relaxed);
        state.open.keys().copied().collect()
    }

    /// Waits until every record that was taken before is answered. What goes on in other lanes meanwhile is waited for
    /// there.
    pub(crate) async fn flush(&self) {
        loop {
            let (newest, recuts) = self.newest();
            futures::future::join_all(newest).await;
            if self.state.read().recuts == recuts {
                return;
            }
        }
    }

    fn newest(&self) -> (Vec<BatchOutcome>, u64) {
        let state = self.state.read();
        (state.open.values().filter_map(|end| end.intake.newest()).collect(), state.recuts)
    }

    /// Moves what is left of a lane whose partition is sealed to the lanes of those that own its keys now, and all that is
    /// sent from now on with it. False, and nothing is moved, while the routing table does not show them.
    pub(crate) fn hand_over(
        self: &Arc<Self>,
        group: GroupId,
        returned: impl FnMut() -> Option<Batch>,
    ) -> bool {
        let Some(now) = self.now() else { return false };
        let mut state = self.state.write();
        let Some(old) = state.open.get(&group).cloned() else { return true };
        let Some(owners) = now.owners_within(old.keys) else { return false };
        // A table from before the split, of a node that is behind.
        if owners.iter().any(|owner| owner.group == group || state.is_over(owner.group)) {
            return false;
        }
        let ends: Vec<Arc<End>> = owners.into_iter().map(|owner| self.lane_of(&mut state, owner)).collect();
        let heirs: Vec<Heir<'_>> =
            ends.iter().map(|end| Heir { keys: end.keys, intake: &end.intake }).collect();
        let gathered = std::iter::from_fn(|| old.intake.take());
        recut(std::iter::from_fn(returned).chain(gathered), &heirs);
        state.replace(&old, &ends);
        true
    }

    /// What the open lanes take from, by partition.
    #[cfg(test)]
    pub(crate) fn intakes(&self) -> Vec<(u32, Arc<Intake>)> {
        let state = self.state.read();
        state.open.values().map(|end| (end.partition, Arc::clone(&end.intake))).collect()
    }

    /// The topic as it is now; none when it is gone, or another one has its name.
    fn now(&self) -> Option<Arc<TopicRoute>> {
        self.core.router.table().topic(&self.topic.name).filter(|now| now.id == self.topic.id)
    }

    fn lane_of(self: &Arc<Self>, state: &mut State, partition: &PartitionRoute) -> Arc<End> {
        if let Some(end) = state.open.get(&partition.group) {
            return Arc::clone(end);
        }
        let fences = self.fences.load(Ordering::Relaxed);
        let lane = Lane::new(
            &self.core,
            &self.topic,
            partition,
            &self.stamps,
            &self.options,
            (Arc::downgrade(self), fences),
        );
        let end = Arc::new(End {
            partition: partition.partition,
            group: partition.group,
            keys: partition.keys,
            intake: lane.intake(),
        });
        state.tasks.spawn(lane.run());
        state.open.insert(partition.group, Arc::clone(&end));
        end
    }

    /// Stays with a lane while its batch takes records, so that batches fill; then moves on.
    fn without_key<'a>(&self, state: &'a State) -> &'a End {
        let count = state.ways.len();
        let current = &state.ways[self.sticky.load(Ordering::Relaxed) % count].end;
        if !current.intake.is_fresh() {
            return current;
        }
        &state.ways[self.sticky.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % count].end
    }

    fn no_partition(&self, partition: u32) -> Error {
        let text = format!("topic `{}` has no partition {partition}", self.topic.name);
        Error::new(ErrorKind::NotFound, "partition-not-found", text)
    }
}

impl State {
    fn of_key(&self, hash: KeyHash) -> &End {
        let behind = self.ways.partition_point(|way| way.first <= hash.0);
        &self.ways[behind.saturating_sub(1)].end
    }

    fn of_number(&self, partition: u32, key: Option<&[u8]>) -> Option<&End> {
        if let Some(end) = self.open.values().find(|end| end.partition == partition) {
            return Some(end);
        }
        let (_, keys) = self.over.get(&partition)?;
        let own = key.map(KeyHash::of).filter(|hash| keys.contains(*hash));
        Some(self.of_key(own.unwrap_or_else(|| keys.first())))
    }

    fn is_over(&self, group: GroupId) -> bool {
        self.over.values().any(|(over, _)| *over == group)
    }

    /// The keys of one lane go to others, which own all of them.
    fn replace(&mut self, old: &End, by: &[Arc<End>]) {
        let ways = std::mem::take(&mut self.ways);
        let nexts: Vec<u64> = ways.iter().skip(1).map(|way| u64::from(way.first)).chain([1 << 32]).collect();
        for (way, next) in ways.into_iter().zip(nexts) {
            if way.end.group != old.group {
                self.ways.push(way);
                continue;
            }
            let within =
                |end: &&Arc<End>| u64::from(end.keys.first().0) < next && way.first <= end.keys.last().0;
            self.ways.extend(
                by.iter()
                    .filter(within)
                    .map(|end| Way { first: way.first.max(end.keys.first().0), end: Arc::clone(end) }),
            );
        }
        self.open.remove(&old.group);
        self.over.insert(old.partition, (old.group, old.keys));
        self.recuts += 1;
    }
}
