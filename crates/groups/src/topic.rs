//! What the registry says about a topic, and what of it a consumer group may read.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::GroupId;
use weir_types::mutants::{self, Mutant};

use crate::member::Epoch;

/// The partitions that each partition took keys over from.
pub(crate) type Parents = BTreeMap<GroupId, BTreeSet<GroupId>>;

/// What the registry says about a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Version of the registry that said so.
    pub(crate) version: u64,
    /// All that can be read: those that own keys, and sealed ones.
    pub(crate) partitions: BTreeSet<GroupId>,
    /// Empty in a topic that was never split or merged, or where nothing of it is left.
    pub(crate) parents: Parents,
}

impl Topic {
    /// The partitions that a group may be given: those that it has not finished, each once it has finished all that came
    /// before it (P15). A parent that is gone has nothing left to read.
    pub(crate) fn given(&self, finished: &BTreeMap<GroupId, Epoch>) -> impl Iterator<Item = GroupId> {
        let is_over = |parent: &GroupId| finished.contains_key(parent) || !self.partitions.contains(parent);
        let is_next = move |partition: &GroupId| {
            let parents = self.parents.get(partition);
            mutants::on(Mutant::M51) || parents.is_none_or(|parents| parents.iter().all(is_over))
        };
        let left = self.partitions.iter().filter(|partition| !finished.contains_key(partition));
        left.copied().filter(is_next)
    }
}
