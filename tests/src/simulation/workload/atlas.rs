//! What clients know of the partitions where these are split and merged: the newest table that they were shown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::Op;
use weir_metadata::{PartitionRoute, Routing, TopicRoute};
use weir_types::{GroupId, KeyHash, KeyRange, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::Journal;
use super::produce::unexpected;

/// Between two looks of whoever keeps a table up to date.
const LOOK: Duration = Duration::from_millis(300);
/// Pause before whoever needs a newer table than he was shown asks again.
const PAUSE: Duration = Duration::from_millis(20);

/// A partition of a topic.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) index: u32,
    pub(super) group: GroupId,
    pub(super) range: KeyRange,
    pub(super) is_sealed: bool,
    /// The partitions whose keys it took over.
    pub(super) parents: Vec<GroupId>,
}

impl Region {
    fn of(route: &PartitionRoute, is_sealed: bool) -> Self {
        let PartitionRoute { index, group, range, parents, .. } = route.clone();
        Self { index, group, range, is_sealed, parents }
    }

    /// Index and Raft group.
    pub(super) fn place(&self) -> (u32, GroupId) {
        (self.index, self.group)
    }
}

/// What is known. Clones know the same.
#[derive(Clone)]
pub(super) struct Atlas {
    table: Arc<Mutex<Routing>>,
    /// The groups of partitions of which the history says what they came of.
    told: Arc<Mutex<BTreeSet<GroupId>>>,
    journal: Journal,
}

impl Atlas {
    /// Knows nothing.
    pub(super) fn new(journal: Journal) -> Self {
        Self { table: Arc::default(), told: Arc::default(), journal }
    }

    /// Another one, which knows as much now and learns for itself.
    pub(super) fn own(&self) -> Self {
        let table = Arc::new(Mutex::new(self.table.lock().clone()));
        Self { table, ..self.clone() }
    }

    /// Keeps up to date until everything is drained.
    pub(super) async fn survey(self, client: Client, drained: CancellationToken) -> Result<(), WeirError> {
        while !drained.is_cancelled() {
            self.refresh(&client).await?;
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Asks some node, which may know less.
    pub(super) async fn refresh(&self, client: &Client) -> Result<(), WeirError> {
        let answer = client.ask(None, &Question::Routing, Duration::ZERO).await?;
        let Answer::Routing { table, .. } = answer else { return Err(unexpected(&answer)) };
        for topic in &table.topics {
            self.tell(topic);
        }
        let mut known = self.table.lock();
        if table.version > known.version {
            *known = table;
        }
        Ok(())
    }

    /// Writes down which partitions came of which.
    fn tell(&self, topic: &TopicRoute) {
        let all = regions(topic);
        let number = |group: &GroupId| all.iter().find(|region| region.group == *group).map(|it| it.index);
        for region in all.iter().filter(|region| !region.parents.is_empty()) {
            if self.told.lock().insert(region.group) {
                self.journal.note(Op::Reshaped {
                    topic: topic.name.clone(),
                    parents: region.parents.iter().filter_map(number).collect(),
                    children: vec![region.index],
                });
            }
        }
    }

    /// All partitions of a topic, by number: parents come before children.
    pub(super) fn all(&self, topic: &str) -> Vec<Region> {
        self.table.lock().topic(topic).map(regions).unwrap_or_default()
    }

    /// Those that own its keys, by range.
    pub(super) fn owners(&self, topic: &str) -> Vec<Region> {
        let table = self.table.lock();
        let owners = table.topic(topic).map(|topic| &topic.partitions[..]).unwrap_or_default();
        owners.iter().map(|route| Region::of(route, false)).collect()
    }

    /// Index and Raft group of the partition that owns a key.
    pub(super) fn owner(&self, topic: &str, key: &[u8]) -> Option<(u32, GroupId)> {
        let table = self.table.lock();
        let route = table.topic(topic)?.partition_for(KeyHash::of(key))?;
        Some((route.index, route.group))
    }

    /// Looks until another partition than this one, which is sealed, owns a key.
    pub(super) async fn owner_after(
        &self,
        client: &Client,
        (topic, key): (&str, &[u8]),
        sealed: GroupId,
    ) -> Result<(u32, GroupId), WeirError> {
        loop {
            self.refresh(client).await?;
            match self.owner(topic, key) {
                Some(owner) if owner.1 != sealed => return Ok(owner),
                _ => sleep(PAUSE).await,
            }
        }
    }
}

fn regions(topic: &TopicRoute) -> Vec<Region> {
    let owners = topic.partitions.iter().map(|route| Region::of(route, false));
    let mut all: Vec<_> = owners.chain(topic.sealed.iter().map(|route| Region::of(route, true))).collect();
    all.sort_by_key(|region| region.index);
    all
}
