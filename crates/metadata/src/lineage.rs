//! Where a partition stands between its parents and its children, while its topic is split or merged and after that.
//!
//! ```text
//!  Reshape ─► parents SEALING, children COMING ── children formed, each parent sealed: PartitionSealed
//!                                                   │ the last parent of a step
//!                                                   ▼
//!             parents SEALED, own nothing     children OPEN, own the keys
//!                └ RetirePartition: gone
//! ```
//!
//! A partition is removed after its parents only, so whoever has a parent left knows of it. And since children have
//! higher numbers than their parents and are there as long as these, the highest number of a topic that was ever given is
//! always that of a partition that is there: no number comes back.

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, KeyHash, KeyRange, RequestId, TopicId};

use crate::registry::Registry;
use crate::topic::Partition;

/// Where a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// It owns its keys. So does every partition without a lineage.
    Open,
    /// It is to take over keys of its parents, and owns nothing yet.
    Coming,
    /// It still owns its keys, and is about to take in nothing any more: its children are coming.
    Sealing,
    /// It takes in nothing any more, and its children own its keys.
    Sealed,
}

impl Stage {
    /// Whether the keys of the partition's range are its own.
    pub fn owns(self) -> bool {
        matches!(self, Self::Open | Self::Sealing)
    }
}

/// The family of a partition that was split or merged, or came of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Where it stands.
    pub stage: Stage,
    /// Whose keys it took or takes over, in order of keys. Those that were removed are not named.
    pub parents: Vec<GroupId>,
    /// Who took or takes over its keys, in order of keys.
    pub children: Vec<GroupId>,
    /// The `Reshape` that brought it; none for one that its topic was created with.
    pub request: Option<RequestId>,
    /// Its leader has reported that it takes in nothing any more. It stays [`Stage::Sealing`] until the other parent of its
    /// child has, too: somebody has to own the keys.
    pub reported: bool,
}

/// One change to the partitions of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reshape {
    /// Two partitions take the place of one.
    Split {
        /// The one.
        parent: GroupId,
        /// The smallest key hash of the second child; none for the middle.
        at: Option<KeyHash>,
    },
    /// One partition takes the place of two neighbours.
    Merge {
        /// The one with the lower hashes.
        left: GroupId,
        /// The other one.
        right: GroupId,
    },
}

/// Lineage.
impl Registry {
    /// The family of a partition; none for one that has neither parents nor children.
    pub fn lineage(&self, group: GroupId) -> Option<&Lineage> {
        self.lineages.get(&group)
    }

    /// Where a partition stands.
    pub fn stage(&self, group: GroupId) -> Stage {
        self.lineages.get(&group).map_or(Stage::Open, |lineage| lineage.stage)
    }

    /// Whether a partition's leader shall seal it now, and report that: every child of it is formed, and it was not reported.
    pub fn is_to_be_sealed(&self, group: GroupId) -> bool {
        let Some(lineage) = self.lineages.get(&group) else { return false };
        lineage.stage == Stage::Sealing
            && !lineage.reported
            && lineage.children.iter().all(|child| self.is_formed(*child))
    }

    /// Whether a partition may be removed, once it holds nothing: it is sealed, and no parent of it is left.
    pub fn is_retirable(&self, group: GroupId) -> bool {
        let last = |lineage: &Lineage| lineage.stage == Stage::Sealed && lineage.parents.is_empty();
        self.lineages.get(&group).is_some_and(last)
    }

    /// Every partition of a topic in order of number: those that own its keys, and those that do not yet or not any more.
    pub fn all_partitions(&self, topic: TopicId) -> impl Iterator<Item = &Partition> {
        let numbers = self.numbers.range((topic, 0)..=(topic, u32::MAX));
        numbers.filter_map(|(_, group)| self.partitions.get(group))
    }

    pub(crate) fn is_formed(&self, group: GroupId) -> bool {
        self.memberships.get(&group).is_some_and(|membership| membership.formed)
    }
}

/// The two parts of a range, the second from `at` on, or from the middle; or why it cannot be cut there.
pub(crate) fn halves(range: KeyRange, at: Option<KeyHash>) -> Result<[KeyRange; 2], String> {
    let (first, last) = (range.first().0, range.last().0);
    if first == last {
        return Err("it owns one key hash only".to_owned());
    }
    let at = at.map_or(first + (last - first) / 2 + 1, |at| at.0);
    if at <= first || at > last {
        return Err(format!("{at:08x} is no place to cut {range}"));
    }
    let part = |from, to| KeyRange::new(KeyHash(from), KeyHash(to)).expect("both parts have a key hash");
    Ok([part(first, at - 1), part(at, last)])
}
