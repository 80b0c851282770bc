//! What a sealed partition hands to its children, and when it has nothing left to do.

use weir_types::{GroupId, KeyHash, KeyRange, LeaseId, WallClock};

use crate::apply::LEASES_APART;
use crate::command::{Inherit, InheritedId};
use crate::limits::INHERITED_PER_STEP_MAX;
use crate::queue::Queue;

impl Queue {
    /// Whether the partition takes in nothing any more.
    pub fn is_sealed(&self) -> bool {
        self.lineage.sealed().is_some()
    }

    /// When it was sealed.
    pub fn sealed_at(&self) -> Option<WallClock> {
        self.lineage.sealed().map(|sealed| sealed.since)
    }

    /// What the child with this range of keys is to inherit of the partition, whose group is `parent`, as it stands now:
    /// steps for [`Command::Inherit`](crate::Command::Inherit), at least one, in any order. Only what a sealed partition says
    /// is final. Costs time in proportion to the keys with messages, and the dedup ids.
    pub fn inheritance(&self, parent: GroupId, range: KeyRange) -> Vec<Inherit> {
        let keys = self.backlog.index.keys.as_ref();
        let keys: Vec<KeyHash> =
            keys.map_or_else(Vec::new, |keys| keys.undrained(range).into_iter().collect());
        let dedup: Vec<InheritedId> = self.dedup.living(self.header.get().at.lease_clock).collect();
        let mut sources: Vec<_> = self.inbox.feeds().collect();
        let steps = keys.len().max(dedup.len()).div_ceil(INHERITED_PER_STEP_MAX).max(1);
        let step = |step: usize| Inherit {
            parent,
            lease_base: self.lease_base_of_children(),
            sources: std::mem::take(&mut sources),
            dedup: part(&dedup, step),
            keys: part(&keys, step),
        };
        (0..steps).map(step).collect()
    }

    /// Of a sealed FIFO partition the keys of which nothing is left since it was sealed, and which the child that has them
    /// now may wait for: 50,000 at most, in order. They are told by [`Command::Drained`](crate::Command::Drained) and
    /// then [confirmed](crate::Command::ConfirmDrained).
    pub fn drained(&self) -> Vec<KeyHash> {
        self.drained_in(KeyRange::ALL)
    }

    /// The same for the keys of one child, so that one that cannot be reached holds up no other.
    pub fn drained_in(&self, range: KeyRange) -> Vec<KeyHash> {
        self.lineage.drained(range).take(INHERITED_PER_STEP_MAX).collect()
    }

    /// Whether the partition could go: it is sealed, there is no message in it, not even a kept one, everything that
    /// left has arrived, and it waits for no parent and has nothing to tell a child.
    pub fn is_retirable(&self) -> bool {
        let nothing_left = self.backlog.index.counts.messages() == 0 && self.backlog.kept.messages() == 0;
        let nothing_owed = self.lineage.drained(KeyRange::ALL).chain(self.lineage.awaited()).next().is_none();
        self.is_sealed() && nothing_left && nothing_owed && self.outbox.is_empty()
    }

    /// Above every lease that was given here, and that will be: as many fit in between as between a backup and its
    /// restore. Rounded, so that it hardly ever differs from one leader to the next.
    fn lease_base_of_children(&self) -> LeaseId {
        LeaseId((self.header.get().last_lease.0 / LEASES_APART + 2) * LEASES_APART)
    }
}

fn part<T: Copy>(all: &[T], step: usize) -> Vec<T> {
    all.chunks(INHERITED_PER_STEP_MAX).nth(step).map_or_else(Vec::new, <[T]>::to_vec)
}
