//! From the membership that a group has to the one that it shall have, one safe step at a time. The step is a
//! function of the state alone, so a move goes on after a crash anywhere, on whichever node leads then.
//!
//! ```text
//!  {a,b,c}, d to take the place of a
//!     │ HandOver        a leads no more: the vote takes the leadership of nobody
//!     │ AddLearner d    d copies everything, and is nobody's majority yet
//!     │ ChangeVoters    once d has caught up: {b,c,d}, by joint consensus; until here it can be cancelled
//!     ▼ RemoveReplica a its data are deleted, and its id never comes back
//! ```

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, NodeId, ReplicaId};

use crate::membership::Membership;

/// A replica to be moved from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplicaMove {
    /// The partition's group.
    pub group: GroupId,
    /// Where it has a replica.
    pub from: NodeId,
    /// Where it shall have one instead.
    pub to: NodeId,
}

/// Why a replica moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveReason {
    /// Somebody asked for this move: a balance.
    Asked,
    /// Its node is being emptied.
    Drain,
    /// Its node was away for too long.
    Recovery,
}

/// A move that is under way: the group's target has `new` in the place of `old`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The replica that goes.
    pub old: ReplicaId,
    /// Its node.
    pub from: NodeId,
    /// The replica that comes.
    pub new: ReplicaId,
    /// Why.
    pub reason: MoveReason,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its turn has not come.
    Waiting,
    /// The new replica follows and catches up. Until it votes the move can be cancelled.
    CatchingUp,
    /// The new replica votes; the old one is being removed.
    Removing,
}

/// A move as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveState {
    /// The partition's group.
    pub group: GroupId,
    /// Where the replica comes from.
    pub from: NodeId,
    /// Where it goes to.
    pub to: NodeId,
    /// Why.
    pub reason: MoveReason,
    /// How far it is.
    pub phase: Phase,
}

impl Move {
    /// How far it is in this group.
    pub(crate) fn phase(&self, membership: &Membership) -> Phase {
        let current = &membership.current;
        if current.voters.contains_key(&self.new) {
            Phase::Removing
        } else if current.learners.contains_key(&self.new) {
            Phase::CatchingUp
        } else {
            Phase::Waiting
        }
    }

    /// Nothing is left to do of it.
    pub(crate) fn is_done(&self, membership: &Membership) -> bool {
        self.phase(membership) == Phase::Removing && membership.current.node_of(self.old).is_none()
    }
}

/// The next thing for a group's leader to do. Steps are idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let a replica follow.
    AddLearner {
        /// The replica.
        replica: ReplicaId,
        /// Its node.
        node: NodeId,
    },
    /// Make exactly these the voters, once those that are learners now have caught up. Former voters stay as
    /// learners.
    ChangeVoters {
        /// All voters afterwards.
        voters: BTreeSet<ReplicaId>,
    },
    /// Let a learner go.
    RemoveReplica {
        /// The replica.
        replica: ReplicaId,
    },
    /// The leader is to lose its vote: let one of these lead, which keep theirs.
    HandOver {
        /// Those that may.
        heirs: BTreeSet<ReplicaId>,
    },
}

/// The next step of a group towards its target, for the replica that leads it; none when it is there, not formed yet,
/// or cannot go on. Those that are `retired` lead nothing any more.
pub(crate) fn next_step(
    membership: &Membership,
    leader: ReplicaId,
    retired: impl Fn(ReplicaId) -> bool,
) -> Option<Step> {
    let Membership { current, target, .. } = membership;
    if !membership.formed {
        return None;
    }
    let stays = target.voters.contains_key(&leader);
    if !stays {
        let heir = |voter: &&ReplicaId| target.voters.contains_key(voter) && !retired(**voter);
        let heirs: BTreeSet<ReplicaId> = current.voters.keys().filter(heir).copied().collect();
        if !heirs.is_empty() {
            return Some(Step::HandOver { heirs });
        }
    }
    if let Some((replica, node)) = target.iter().find(|(replica, _)| current.node_of(*replica).is_none()) {
        return Some(Step::AddLearner { replica, node });
    }
    if target.voters != current.voters {
        let mut voters: BTreeSet<ReplicaId> = target.voters.keys().copied().collect();
        if !stays {
            // Nobody that is to vote does yet: the leader votes on beside them, until it can hand over.
            voters.insert(leader);
        }
        return (!voters.iter().eq(current.voters.keys())).then_some(Step::ChangeVoters { voters });
    }
    let (replica, _) = current.iter().find(|(replica, _)| target.node_of(*replica).is_none())?;
    Some(Step::RemoveReplica { replica })
}
