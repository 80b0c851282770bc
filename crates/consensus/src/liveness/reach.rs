//! Whom a replica could replicate to.

use std::collections::BTreeSet;

use openraft::async_runtime::watch::WatchReceiver;
use weir_types::NodeId;

use super::signs::Way;
use crate::raft::Core;
use crate::replica::Replica;

/// Whether entries of this replica would be stored by a majority, for all that is known. A leader and a candidate doubt
/// differently: who leads goes on until lanes have proved dead, who would lead must hear the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// A node counts unless it is heard and takes nothing.
    Leader,
    /// A node counts when it is heard and takes what is sent.
    Candidate,
}

/// Whether `replica` reaches a majority of each voter set.
pub(crate) fn reaches_majority(replica: &Replica, core: &Core, doubt: Doubt) -> bool {
    let server = core.raft.server_metrics();
    let metrics = server.borrow_watched();
    let membership = metrics.membership_config.membership();
    let reached = |voter: u64| {
        let node = membership.get_node(&voter).map(|member| member.node);
        voter == replica.spec.replica.0 || node.is_some_and(|node| reaches(replica, node, doubt))
    };
    is_majority(membership.get_joint_config(), reached)
}

fn reaches(replica: &Replica, node: NodeId, doubt: Doubt) -> bool {
    let pulses = &replica.context.pulses;
    let doubted = doubt == Doubt::Candidate && !pulses.hears(node);
    !doubted && !pulses.is_mute(node, Way::DataOut)
}

fn is_majority(configs: &[BTreeSet<u64>], reached: impl Fn(u64) -> bool) -> bool {
    let majority =
        |voters: &BTreeSet<u64>| voters.iter().filter(|voter| reached(**voter)).count() * 2 > voters.len();
    configs.iter().all(majority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(ids: &[u64]) -> BTreeSet<u64> {
        ids.iter().copied().collect()
    }

    #[test]
    fn one_of_three_is_no_majority_and_two_are() {
        assert!(!is_majority(&[voters(&[1, 2, 3])], |voter| voter == 1));
        assert!(is_majority(&[voters(&[1, 2, 3])], |voter| voter <= 2));
    }

    #[test]
    fn both_sides_of_a_change_of_members_count() {
        let configs = [voters(&[1, 2, 3]), voters(&[3, 4, 5])];
        assert!(!is_majority(&configs, |voter| voter <= 3));
        assert!(is_majority(&configs, |voter| voter != 1 && voter != 5));
    }
}
