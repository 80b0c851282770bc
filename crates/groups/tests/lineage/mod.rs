//! A topic's partitions and where they came from, as the registry knows them.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::GroupId;

/// So many partitions a topic has at most, sealed ones included.
const PARTITIONS_MAX: usize = 30;

#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    pub(crate) partitions: BTreeSet<GroupId>,
    /// Those of each partition that are still there.
    pub(crate) parents: BTreeMap<GroupId, BTreeSet<GroupId>>,
    sealed: BTreeSet<GroupId>,
    /// Children that were ever made.
    made: u32,
}

impl Lineage {
    pub(crate) fn of(partitions: impl Iterator<Item = GroupId>) -> Self {
        Self { partitions: partitions.collect(), ..Self::default() }
    }

    pub(crate) fn is_sealed(&self, partition: GroupId) -> bool {
        self.sealed.contains(&partition)
    }

    /// Those that own keys.
    pub(crate) fn open(&self) -> Vec<GroupId> {
        self.partitions.difference(&self.sealed).copied().collect()
    }

    /// Splits one, or merges two; their children are numbered from `first` on. Answers no when that cannot be.
    pub(crate) fn reshape(&mut self, first: u32, pick: usize, merge: bool) -> bool {
        let open = self.open();
        let (parents, children) = if merge { (2, 1) } else { (1, 2) };
        if open.len() < parents || self.partitions.len() + children > PARTITIONS_MAX {
            return false;
        }
        let parents: BTreeSet<_> = (0..parents).map(|place| open[(pick + place) % open.len()]).collect();
        for _ in 0..children {
            let child = GroupId(first + self.made);
            self.made += 1;
            self.partitions.insert(child);
            self.parents.insert(child, parents.clone());
        }
        self.sealed.extend(parents);
        true
    }

    /// Removes a sealed partition that nothing comes before any more.
    pub(crate) fn retire(&mut self, pick: usize) -> bool {
        let oldest: Vec<_> =
            self.sealed.iter().filter(|sealed| !self.parents.contains_key(*sealed)).collect();
        if oldest.is_empty() {
            return false;
        }
        let retired = *oldest[pick % oldest.len()];
        self.sealed.remove(&retired);
        self.partitions.remove(&retired);
        for parents in self.parents.values_mut() {
            parents.remove(&retired);
        }
        self.parents.retain(|_, parents| !parents.is_empty());
        true
    }

    /// What a group may read that has finished so many.
    pub(crate) fn may_be_read(&self, finished: &BTreeSet<GroupId>) -> Vec<GroupId> {
        let comes_next = |partition: &GroupId| {
            let parents = self.parents.get(partition);
            parents.is_none_or(|parents| parents.is_subset(finished))
        };
        self.partitions.difference(finished).copied().filter(comes_next).collect()
    }
}
