//! Positions and epochs of consumer groups.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{Corrupt, Offset, RowChange};

use crate::limits::GROUPS_PER_PARTITION_MAX;
use crate::rows::{self, GroupRow, Key};
use crate::{Committed, GroupEpoch, Rejection};

/// Every group's epoch and committed offset.
///
/// Epochs never restart: a deleted group leaves an epoch behind, above all that its owners had. When there are too
/// many of those, they are folded into one floor, which holds for every group that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    live: BTreeMap<String, Group>,
    deleted: BTreeMap<String, GroupEpoch>,
    epoch_floor: GroupEpoch,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) epoch: GroupEpoch,
    pub(crate) committed: Option<Committed>,
    /// Where the commit-and-append began that committed last; none when something else did.
    step: Option<Step>,
}

/// What a commit-and-append is known by when it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Where the group stood.
    pub(crate) from: Option<Offset>,
}

impl Groups {
    pub(crate) fn get(&self, name: &str) -> Option<&Group> {
        self.live.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.live.iter().map(|(name, group)| (name.as_str(), group))
    }

    /// Every one of the groups has committed up to here: 0 when one of them has no position, and when none is named.
    pub(crate) fn read_below(&self, names: &BTreeSet<String>) -> Offset {
        let position = |name: &String| self.get(name).and_then(Group::position).unwrap_or_default();
        names.iter().map(position).min().unwrap_or_default()
    }

    /// The lowest epoch that is not fenced.
    pub(crate) fn epoch(&self, name: &str) -> GroupEpoch {
        let live = self.live.get(name).map(|group| group.epoch);
        live.or_else(|| self.deleted.get(name).copied()).unwrap_or(self.epoch_floor)
    }

    /// The highest epoch of any group that there is or was.
    pub(crate) fn epoch_max(&self) -> GroupEpoch {
        let live = self.live.values().map(|group| group.epoch);
        live.chain(self.deleted.values().copied()).fold(self.epoch_floor, GroupEpoch::max)
    }

    /// Whether an owner with `epoch` may change the group. Nothing changes.
    pub(crate) fn judge(&self, name: &str, epoch: GroupEpoch) -> Result<(), Rejection> {
        let current = self.epoch(name);
        if epoch < current {
            return Err(Rejection::GroupFenced { current, got: epoch });
        }
        let is_new = !self.live.contains_key(name) && !self.deleted.contains_key(name);
        if is_new && self.deleted.is_empty() && self.live.len() >= GROUPS_PER_PARTITION_MAX {
            return Err(Rejection::TooManyGroups { groups: self.live.len() });
        }
        Ok(())
    }

    /// Sets a group that was judged: its epoch, and its position if there is a new one.
    pub(crate) fn set(
        &mut self,
        name: String,
        epoch: GroupEpoch,
        committed: Option<Committed>,
        changes: &mut Vec<RowChange>,
    ) {
        let known = self.live.get(&name).cloned().unwrap_or_default();
        let is_step = committed.is_none() && known.epoch == epoch;
        let step = known.step.filter(|_| is_step);
        self.put(name, Group { epoch, committed: committed.or(known.committed), step }, changes);
    }

    /// Sets a group that was judged by a commit-and-append.
    pub(crate) fn step(
        &mut self,
        name: String,
        epoch: GroupEpoch,
        (step, committed): (Step, Committed),
        changes: &mut Vec<RowChange>,
    ) {
        self.put(name, Group { epoch, committed: Some(committed), step: Some(step) }, changes);
    }

    fn put(&mut self, name: String, group: Group, changes: &mut Vec<RowChange>) {
        self.deleted.remove(&name);
        if !self.live.contains_key(&name) {
            self.fold_deleted(changes);
        }
        changes.push(rows::put(&Key::Group(name.clone()), &group.row()));
        self.live.insert(name, group);
    }

    /// Makes room for one more group at the cost of the first deleted one.
    fn fold_deleted(&mut self, changes: &mut Vec<RowChange>) {
        if self.live.len() + self.deleted.len() < GROUPS_PER_PARTITION_MAX {
            return;
        }
        if let Some((name, epoch)) = self.deleted.pop_first() {
            self.epoch_floor = self.epoch_floor.max(epoch);
            changes.push(rows::delete(&Key::Group(name)));
            rows::put_again(changes, rows::put(&Key::EpochFloor, &self.epoch_floor));
        }
    }

    /// Forgets a group's position. Its owners are fenced: the answer is the epoch that a group of that name starts
    /// from. A group without members, which is at epoch 0, has no owner to fence and leaves nothing behind.
    pub(crate) fn delete(
        &mut self,
        name: &str,
        changes: &mut Vec<RowChange>,
    ) -> Result<GroupEpoch, Rejection> {
        let group = self.live.remove(name).ok_or(Rejection::GroupNotFound)?;
        let key = Key::Group(name.to_owned());
        if group.epoch == GroupEpoch(0) {
            changes.push(rows::delete(&key));
            return Ok(self.epoch_floor);
        }
        let epoch = GroupEpoch(group.epoch.0.saturating_add(1));
        self.deleted.insert(name.to_owned(), epoch);
        changes.push(rows::put(&key, &GroupRow::Deleted { epoch }));
        Ok(epoch)
    }

    /// Takes a group's row back in.
    pub(crate) fn restore(&mut self, name: String, row: GroupRow) {
        match row {
            GroupRow::Live { epoch, committed } => {
                self.live.insert(name, Group { epoch, committed, step: None });
            }
            GroupRow::Stepped { epoch, committed, from } => {
                let (committed, step) = (Some(committed), Some(Step { from }));
                self.live.insert(name, Group { epoch, committed, step });
            }
            GroupRow::Deleted { epoch } => {
                self.deleted.insert(name, epoch);
            }
        }
    }

    /// Takes the floor's row back in.
    pub(crate) fn restore_epoch_floor(&mut self, floor: GroupEpoch) {
        self.epoch_floor = floor;
    }

    /// Checks what was restored against the end of the stream.
    pub(crate) fn check_restored(&self, end: Offset) -> Result<(), Corrupt> {
        let beyond = self.live.iter().find(|(_, group)| group.position().is_some_and(|offset| offset > end));
        match beyond {
            Some((name, group)) => {
                Err(Corrupt(format!("group {name} stands at {:?}, beyond the end {end}", group.position())))
            }
            None => Ok(()),
        }
    }

    /// All rows, in no order.
    pub(crate) fn rows(&self) -> Vec<RowChange> {
        let live = self.live.iter().map(|(name, group)| (name, group.row()));
        let deleted = self.deleted.iter().map(|(name, epoch)| (name, GroupRow::Deleted { epoch: *epoch }));
        let mut all: Vec<_> =
            live.chain(deleted).map(|(name, row)| rows::put(&Key::Group(name.clone()), &row)).collect();
        if self.epoch_floor > GroupEpoch(0) {
            all.push(rows::put(&Key::EpochFloor, &self.epoch_floor));
        }
        all
    }

    /// See [`Stream::check_invariants`](crate::Stream::check_invariants).
    pub(crate) fn check_invariants(&self, end: Offset) {
        assert!(self.live.len() + self.deleted.len() <= GROUPS_PER_PARTITION_MAX, "groups are bounded");
        assert!(self.deleted.keys().all(|name| !self.live.contains_key(name)), "a group lives or is deleted");
        for group in self.live.values() {
            assert!(group.position().is_none_or(|offset| offset <= end), "no position lies beyond the end");
        }
    }
}

impl Group {
    /// The next offset to read, if there ever was a commit.
    pub(crate) fn position(&self) -> Option<Offset> {
        self.committed.as_ref().map(|committed| committed.offset)
    }

    /// Whether this owner's step from `from` to `to` was what moved the group last.
    pub(crate) fn has_taken(&self, epoch: GroupEpoch, from: Option<Offset>, to: Offset) -> bool {
        self.epoch == epoch && self.position() == Some(to) && self.step == Some(Step { from })
    }

    fn row(&self) -> GroupRow {
        match (&self.committed, self.step) {
            (Some(committed), Some(Step { from })) => {
                GroupRow::Stepped { epoch: self.epoch, committed: committed.clone(), from }
            }
            (committed, _) => GroupRow::Live { epoch: self.epoch, committed: committed.clone() },
        }
    }
}
