//! Which partitions of a stream are to be read now: parents before their children.

use std::collections::BTreeMap;

use weir_types::GroupId;

use crate::routing::PartitionRoute;

/// The partitions that a reader reads, has read, or will read.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    known: BTreeMap<GroupId, Known>,
}

#[derive(Debug)]
struct Known {
    parents: Vec<GroupId>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For its parents.
    Waiting,
    Reading,
    /// Everything of it was handed on.
    Read,
    /// It could not be read to its end: its children never are.
    Broken,
}

impl Lineage {
    /// A partition is to be read. False if that was known.
    pub(crate) fn add(&mut self, partition: &PartitionRoute) -> bool {
        let fresh = !self.known.contains_key(&partition.group);
        let parents = partition.parents.clone();
        self.known.entry(partition.group).or_insert(Known { parents, phase: Phase::Waiting });
        fresh
    }

    /// Those whose parents were read, as far as they are read here: they are being read from now on.
    pub(crate) fn begin(&mut self) -> Vec<GroupId> {
        let is_read =
            |parent: &GroupId| self.known.get(parent).is_none_or(|known| known.phase == Phase::Read);
        let ready = |known: &Known| known.phase == Phase::Waiting && known.parents.iter().all(is_read);
        let groups: Vec<GroupId> =
            self.known.iter().filter(|(_, known)| ready(known)).map(|(group, _)| *group).collect();
        for group in &groups {
            self.enter(*group, Phase::Reading);
        }
        groups
    }

    /// Everything of a partition was handed on.
    pub(crate) fn read(&mut self, group: GroupId) {
        self.enter(group, Phase::Read);
    }

    /// A partition cannot be read any more.
    pub(crate) fn broke(&mut self, group: GroupId) {
        self.enter(group, Phase::Broken);
    }

    /// Whether any is being read.
    pub(crate) fn is_reading(&self) -> bool {
        self.known.values().any(|known| known.phase == Phase::Reading)
    }

    /// Whether one was read of which no child is known.
    pub(crate) fn lacks_children(&self) -> bool {
        let is_parent = |group: &GroupId| self.known.values().any(|known| known.parents.contains(group));
        self.known.iter().any(|(group, known)| known.phase == Phase::Read && !is_parent(group))
    }

    fn enter(&mut self, group: GroupId, phase: Phase) {
        if let Some(known) = self.known.get_mut(&group) {
            known.phase = phase;
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::KeyRange;

    use super::*;

    fn partition(group: u32, parents: &[u32]) -> PartitionRoute {
        PartitionRoute {
            partition: group,
            group: GroupId(group),
            keys: KeyRange::ALL,
            leader: None,
            voters: Vec::new(),
            parents: parents.iter().copied().map(GroupId).collect(),
        }
    }

    fn lineage(of: &[(u32, &[u32])]) -> Lineage {
        let mut lineage = Lineage::default();
        for (group, parents) in of {
            assert!(lineage.add(&partition(*group, parents)));
        }
        lineage
    }

    fn begin(lineage: &mut Lineage) -> Vec<u32> {
        lineage.begin().into_iter().map(|group| group.0).collect()
    }

    #[test]
    fn children_begin_when_everything_of_their_parents_was_handed_on() {
        let mut lineage = lineage(&[(1, &[]), (2, &[]), (3, &[1]), (4, &[1, 2]), (5, &[4])]);
        assert_eq!(begin(&mut lineage), [1, 2]);
        lineage.read(GroupId(1));
        assert_eq!(begin(&mut lineage), [3]);
        lineage.read(GroupId(2));
        assert_eq!(begin(&mut lineage), [4]);
        assert!(begin(&mut lineage).is_empty());
        lineage.read(GroupId(4));
        assert_eq!(begin(&mut lineage), [5]);
    }

    #[test]
    fn parents_that_are_not_read_here_are_not_waited_for() {
        let mut lineage = lineage(&[(3, &[1]), (4, &[3])]);
        assert_eq!(begin(&mut lineage), [3]);
    }

    #[test]
    fn children_of_one_that_cannot_be_read_never_begin() {
        let mut lineage = lineage(&[(1, &[]), (2, &[1])]);
        assert_eq!(begin(&mut lineage), [1]);
        lineage.broke(GroupId(1));
        assert!(begin(&mut lineage).is_empty());
        assert!(!lineage.is_reading() && !lineage.lacks_children());
    }

    #[test]
    fn children_that_come_later_are_missed_until_they_are_there() {
        let mut lineage = lineage(&[(1, &[])]);
        assert_eq!(begin(&mut lineage), [1]);
        lineage.read(GroupId(1));
        assert!(lineage.lacks_children() && !lineage.is_reading());
        assert!(lineage.add(&partition(2, &[1])));
        assert!(!lineage.add(&partition(2, &[1])));
        assert!(!lineage.lacks_children());
        assert_eq!(begin(&mut lineage), [2]);
        assert!(lineage.is_reading());
    }
}
