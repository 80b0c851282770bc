//! `PartitionFormed` and `MembershipChanged`: what the groups' leaders report keeps `current` in step with the
//! truth, which is in the groups.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{GroupId, NodeId, Output, ReplicaId};

use crate::membership::{Membership, ReplicaSet};
use crate::node::NodeState;
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;

pub(crate) struct MembershipChanged {
    pub(crate) group: GroupId,
    pub(crate) voters: BTreeMap<ReplicaId, NodeId>,
    pub(crate) learners: BTreeMap<ReplicaId, NodeId>,
    pub(crate) generation: u64,
}

impl Registry {
    pub(crate) fn partition_formed(
        &mut self,
        group: GroupId,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let mut membership = self.known_membership(group)?;
        if !membership.formed {
            membership.formed = true;
            self.put_membership(group, membership, out);
            self.routing_changed(out);
        }
        Ok(Reply::Reported)
    }

    pub(crate) fn membership_changed(
        &mut self,
        report: MembershipChanged,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let MembershipChanged { group, voters, learners, generation } = report;
        let known = self.known_membership(group)?;
        let current = ReplicaSet { voters, learners };
        self.check_report(group, &current)?;
        if generation <= known.generation {
            return Ok(Reply::Reported);
        }
        let before = known.current.clone();
        let mut membership = Membership { formed: true, generation, current, ..known };
        let Membership { kept, current, target, .. } = &mut membership;
        kept.retain(|id| current.node_of(*id).is_some() || target.node_of(*id).is_some());
        let freed: BTreeSet<NodeId> =
            before.iter().map(|(_, node)| node).filter(|node| !membership.uses(*node)).collect();
        self.put_membership(group, membership, out);
        self.finish_move(group, out);
        // It looks through all groups: for a step that emptied no node there is no need.
        if freed.iter().any(|node| self.nodes[node].state == NodeState::Draining) {
            self.finish_draining(out);
        }
        self.routing_changed(out);
        Ok(Reply::Reported)
    }

    fn known_membership(&self, group: GroupId) -> Result<Membership, Rejection> {
        self.memberships.get(&group).cloned().ok_or(Rejection::GroupUnknown { group })
    }

    fn check_report(&self, group: GroupId, reported: &ReplicaSet) -> Result<(), Rejection> {
        let invalid = |reason: String| Err(Rejection::InvalidMembership { group, reason });
        if reported.voters.is_empty() {
            return invalid("nobody votes".to_owned());
        }
        let next_replica = self.cluster.map(|cluster| cluster.next_replica).unwrap_or_default();
        for (replica, node) in reported.iter() {
            if replica >= next_replica || !self.nodes.contains_key(&node) {
                return invalid(format!("replica {replica} on node {node} was never issued"));
            }
            if reported.voters.contains_key(&replica) && reported.learners.contains_key(&replica) {
                return invalid(format!("replica {replica} is both voter and learner"));
            }
            if let Some(other) = self.other_group_of(group, replica) {
                return invalid(format!("replica {replica} belongs to group {other}"));
            }
            let issued = self.memberships.get(&group).and_then(|known| known.node_of(replica));
            if let Some(other) = issued.filter(|issued| *issued != node) {
                return invalid(format!("replica {replica} was issued to node {other}, not {node}"));
            }
        }
        Ok(())
    }

    /// The other group that a replica belongs to, if one does. The search through all of them is for replicas that
    /// are not known of `group` itself, which are rare.
    fn other_group_of(&self, group: GroupId, replica: ReplicaId) -> Option<GroupId> {
        let belongs = |membership: &Membership| membership.node_of(replica).is_some();
        if self.memberships.get(&group).is_some_and(belongs) {
            return None;
        }
        self.memberships.iter().find(|(_, membership)| belongs(membership)).map(|(other, _)| *other)
    }
}
