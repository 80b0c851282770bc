//! Who holds the replicas of one group: as it is, and as it shall be.
//!
//! ```text
//!             CreateTopic                  the group's leader walks current towards target:
//!                  │                       AddLearner ─► ChangeVoters ─► RemoveReplica (moves.rs)
//!                  ▼                       and reports every committed step
//!  target ◄── placement        current ◄── MembershipChanged
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::{NodeId, ReplicaId};

/// Replicas of one group and the nodes they are on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSet {
    /// Those that vote.
    pub voters: BTreeMap<ReplicaId, NodeId>,
    /// Those that only follow.
    pub learners: BTreeMap<ReplicaId, NodeId>,
}

impl ReplicaSet {
    /// A set of voters alone.
    pub fn of_voters(voters: BTreeMap<ReplicaId, NodeId>) -> Self {
        Self { voters, learners: BTreeMap::new() }
    }

    /// Voters, then learners.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, NodeId)> + '_ {
        self.voters.iter().chain(&self.learners).map(|(replica, node)| (*replica, *node))
    }

    /// The node of a replica.
    pub fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        self.voters.get(&replica).or_else(|| self.learners.get(&replica)).copied()
    }

    /// Whether any replica is on the node.
    pub fn uses(&self, node: NodeId) -> bool {
        self.iter().any(|(_, at)| at == node)
    }

    /// Puts `new` into the place of `old`; whether `old` was there.
    pub(crate) fn substitute(&mut self, old: ReplicaId, new: ReplicaId, node: NodeId) -> bool {
        for set in [&mut self.voters, &mut self.learners] {
            if set.remove(&old).is_some() {
                set.insert(new, node);
                return true;
            }
        }
        false
    }
}

/// Who holds the replicas of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The group's committed Raft membership, as last reported, and learners that it may have by now; before the
    /// group is formed, the voters that it is to be formed with.
    pub current: ReplicaSet,
    /// Where the group shall get to.
    pub target: ReplicaSet,
    /// Replicas that go on under their id although their node lost writes, because each was its group's only
    /// voter: there was nobody to learn the lost writes from, and nobody to let a fresh replica in.
    pub kept: BTreeSet<ReplicaId>,
    /// The voter of `target` that should lead, so that leaders are spread evenly.
    pub preferred_leader: ReplicaId,
    /// Whether the group has been initialised. Once it is, no replica may initialise it again.
    pub formed: bool,
    /// The index, in the group's own log, after that of the committed membership entry that `current` reports: an
    /// older report is ignored. 0 before the first.
    pub generation: u64,
}

impl Membership {
    /// The membership of a group that is yet to be formed with these voters.
    pub(crate) fn unformed(voters: BTreeMap<ReplicaId, NodeId>, preferred_leader: ReplicaId) -> Self {
        let set = ReplicaSet::of_voters(voters);
        Self {
            current: set.clone(),
            target: set,
            kept: BTreeSet::new(),
            preferred_leader,
            formed: false,
            generation: 0,
        }
    }

    /// Puts a fresh replica on `node` into the place of a retired one.
    pub(crate) fn reissue(&mut self, old: ReplicaId, new: ReplicaId, node: NodeId) {
        self.target.substitute(old, new, node);
        if self.preferred_leader == old {
            self.preferred_leader = new;
        }
    }

    /// Takes back what was to succeed a replica on its own node, before the group's report came by which it is to be kept.
    pub(crate) fn want_again(&mut self, kept: ReplicaId, node: NodeId) {
        let successor = self.target.voters.iter().find(|(id, at)| **at == node && **id != kept);
        if let Some(successor) = successor.map(|(id, _)| *id) {
            self.give_up(successor);
            self.reissue(successor, kept, node);
        }
    }

    /// A planned replica is not wanted any more. Its group may have let it in already, without the report having come:
    /// until the next one tells, it counts as a learner. Otherwise its node would delete it, and might then have to open
    /// it once more, under the same id and without what it had acknowledged.
    pub(crate) fn give_up(&mut self, planned: ReplicaId) {
        if let Some(node) = self.target.node_of(planned).filter(|_| self.current.node_of(planned).is_none()) {
            self.current.learners.insert(planned, node);
        }
    }

    /// Whether the group is to have more voters than it has.
    pub fn grows(&self) -> bool {
        self.current.voters.len() < self.target.voters.len()
    }

    /// Whether any replica, present or planned, is on the node.
    pub fn uses(&self, node: NodeId) -> bool {
        self.current.uses(node) || self.target.uses(node)
    }

    /// The node of a replica, present or planned.
    pub fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        self.current.node_of(replica).or_else(|| self.target.node_of(replica))
    }

    /// The replicas on a node, present or planned.
    pub fn on(&self, node: NodeId) -> BTreeSet<ReplicaId> {
        let all = self.current.iter().chain(self.target.iter());
        all.filter(|(_, at)| *at == node).map(|(replica, _)| replica).collect()
    }

    /// The group's voter, when there is just one.
    pub(crate) fn only_voter(&self) -> Option<(ReplicaId, NodeId)> {
        let mut voters = self.current.voters.iter();
        let (replica, node) = voters.next()?;
        voters.next().is_none().then_some((*replica, *node))
    }
}
