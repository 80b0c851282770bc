//! A Raft group, as far as the registry hears of it.

use weir_metadata::{Command, ReplicaSet};
use weir_types::GroupId;

/// The members of a Raft group, as its log has them.
#[derive(Clone, Default)]
pub(crate) struct Raft {
    /// By the last committed entry that changed them, and its index.
    pub(crate) members: ReplicaSet,
    pub(crate) index: u64,
    /// By an entry that is not committed.
    pub(crate) pending: Option<(ReplicaSet, u64)>,
    pub(crate) last: u64,
}

impl Raft {
    pub(crate) fn append(&mut self, members: ReplicaSet) {
        self.last += 1;
        self.pending = Some((members, self.last));
    }

    pub(crate) fn commit(&mut self) {
        if let Some((members, index)) = self.pending.take() {
            (self.members, self.index) = (members, index);
        }
    }

    pub(crate) fn report(&self, group: GroupId) -> Command {
        let ReplicaSet { voters, learners } = self.members.clone();
        Command::MembershipChanged { group, voters, learners, generation: self.index + 1 }
    }
}
