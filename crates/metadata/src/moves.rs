//! From the membership that a group has to the one that it shall have, one safe step at a time. The step is a
//! function of the state alone, so a move goes on after a crash anywhere, on whichever node leads then.

use std::collections::BTreeSet;

use weir_types::{NodeId, ReplicaId};

use crate::membership::Membership;

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
}

/// The next step of a group towards its target; none when it is there, or not formed yet.
pub fn next_step(membership: &Membership) -> Option<Step> {
    let Membership { current, target, .. } = membership;
    if !membership.formed {
        return None;
    }
    if let Some((replica, node)) = target.iter().find(|(replica, _)| current.node_of(*replica).is_none()) {
        return Some(Step::AddLearner { replica, node });
    }
    if target.voters != current.voters {
        return Some(Step::ChangeVoters { voters: target.voters.keys().copied().collect() });
    }
    let (replica, _) = current.iter().find(|(replica, _)| target.node_of(*replica).is_none())?;
    Some(Step::RemoveReplica { replica })
}
