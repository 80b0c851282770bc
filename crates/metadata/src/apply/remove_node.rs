//! `RemoveNode`: plans a new place for every replica on the node; the moves then empty it.

use std::collections::BTreeSet;

use weir_types::{GroupId, NodeId, Output};

use super::register_node::check_member;
use crate::moves::MoveReason;
use crate::node::{Node, NodeState};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;

impl Registry {
    pub(crate) fn remove_node(&mut self, id: NodeId, out: &mut Output<Effect>) -> Result<Reply, Rejection> {
        let node = self.nodes.get(&id).cloned().ok_or(Rejection::NodeUnknown { node: id })?;
        match node.state {
            NodeState::Registered | NodeState::Cordoned => {}
            NodeState::Draining | NodeState::Removed => return Ok(Reply::NodeLeaving { node: id }),
            NodeState::Replaced { .. } => check_member(&node)?,
        }
        let successors = self.plan_successors(id, &BTreeSet::new())?;
        self.put_node(Node { state: NodeState::Draining, ..node }, out);
        for (group, old, successor) in successors {
            self.start_move(group, old, successor, MoveReason::Drain, out);
        }
        self.finish_draining(out);
        self.routing_changed(out);
        Ok(Reply::NodeLeaving { node: id })
    }

    /// Follows the nodes on their way out: one that holds no partition any more leaves the metadata group, and
    /// one that has left that as well is removed. In this order, since a node without a replica of the metadata
    /// group would no longer hear how to hand over its partitions.
    pub(super) fn finish_draining(&mut self, out: &mut Output<Effect>) {
        let draining: Vec<NodeId> = (self.nodes.values())
            .filter(|node| node.state == NodeState::Draining)
            .map(|node| node.id)
            .collect();
        for id in draining {
            if self.groups_using(id).eq([GroupId::METADATA]) {
                self.leave_metadata_group(id, out);
            }
            // It may never have been let into the metadata group at all.
            if self.groups_using(id).next().is_none() {
                let node = self.nodes[&id].clone();
                self.put_node(Node { state: NodeState::Removed, ..node }, out);
            }
        }
    }

    fn groups_using(&self, node: NodeId) -> impl Iterator<Item = GroupId> {
        let of_node = self.memberships.iter().filter(move |(_, membership)| membership.uses(node));
        of_node.map(|(group, _)| *group)
    }

    /// Every other node has a replica of the metadata group already, so one of them takes the vote.
    fn leave_metadata_group(&mut self, leaving: NodeId, out: &mut Output<Effect>) {
        let mut membership = self.metadata_membership();
        let target = &mut membership.target;
        if !target.uses(leaving) {
            return;
        }
        target.voters.retain(|_, node| *node != leaving);
        target.learners.retain(|_, node| *node != leaving);
        if target.voters.is_empty() {
            // One that is to stay, if there is.
            let stays = |node: &NodeId| self.nodes.get(node).is_some_and(Node::is_registered);
            let staying = target.learners.iter().find(|(_, node)| stays(node));
            let next = staying.or_else(|| target.learners.first_key_value()).map(|(r, node)| (*r, *node));
            if let Some((replica, node)) = next {
                target.learners.remove(&replica);
                target.voters.insert(replica, node);
            }
        }
        let first = target.voters.first_key_value().map(|(replica, _)| *replica);
        if !target.voters.contains_key(&membership.preferred_leader) {
            membership.preferred_leader = first.expect("a node is removed only while others are registered");
        }
        self.put_membership(GroupId::METADATA, membership, out);
        self.seat_metadata_voters(out);
    }
}
