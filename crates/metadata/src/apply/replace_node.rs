//! `ReplaceNode`: one node that is in use takes over everything from one that is gone, which then leaves the cluster. All
//! of it is planned or nothing.

use std::collections::BTreeSet;

use weir_types::{GroupId, NodeId, Output, ReplicaId};

use super::register_node::check_member;
use crate::moves::{MoveReason, Phase};
use crate::node::{Node, NodeState};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;
use crate::topic::COORDINATOR;

/// What the successor takes over.
#[derive(Clone, Copy)]
enum Inheritance {
    /// The place of this replica.
    Move { group: GroupId, old: ReplicaId },
    /// The end of a move that was on its way to the node that is gone, or from it to elsewhere.
    Redirect { group: GroupId },
}

impl Registry {
    pub(crate) fn replace_node(
        &mut self,
        id: NodeId,
        by: NodeId,
        down: &BTreeSet<NodeId>,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let node = self.nodes.get(&id).cloned().ok_or(Rejection::NodeUnknown { node: id })?;
        match node.state {
            NodeState::Registered | NodeState::Cordoned | NodeState::Draining => {}
            // A retry that comes after the end.
            NodeState::Removed => return Ok(Reply::NodeLeaving { node: id }),
            NodeState::Replaced { .. } => check_member(&node)?,
        }
        self.check_successor(id, by, down)?;
        // One that is leaving already is not asked again whether it is heard: it is late.
        if node.state != NodeState::Draining && !down.contains(&id) && !self.is_drained(id) {
            return Err(Rejection::NodeAlive { node: id });
        }
        let plan = self.plan_inheritance(id, by, down)?;
        for inheritance in &plan {
            match *inheritance {
                Inheritance::Move { group, old } => self.start_move(group, old, by, MoveReason::Drain, out),
                Inheritance::Redirect { group } => self.redirect(group, by, out),
            }
        }
        let leaves = node.state != NodeState::Draining;
        if leaves {
            self.put_node(Node { state: NodeState::Draining, ..node }, out);
        }
        let voted = self.give_up_metadata_vote(id, down, Some(by), out);
        if leaves || voted || !plan.is_empty() {
            self.finish_draining(out);
            self.routing_changed(out);
        }
        Ok(Reply::NodeLeaving { node: id })
    }

    fn check_successor(&self, id: NodeId, by: NodeId, down: &BTreeSet<NodeId>) -> Result<(), Rejection> {
        if id == by {
            return Err(Rejection::SameNode { node: id });
        }
        self.check_usable(by)?;
        if down.contains(&by) {
            return Err(Rejection::NodeNotHeard { node: by });
        }
        Ok(())
    }

    fn plan_inheritance(
        &self,
        id: NodeId,
        by: NodeId,
        down: &BTreeSet<NodeId>,
    ) -> Result<Vec<Inheritance>, Rejection> {
        let mut plan = Vec::new();
        for (group, here) in self.places_on(id) {
            match self.moves.get(&group).filter(|m| m.phase(&self.memberships[&group]) != Phase::Removing) {
                Some(moving) if moving.new == here => plan.push(Inheritance::Redirect { group }),
                Some(_) => self.check_not_moving(group)?,
                None => plan.push(Inheritance::Move { group, old: here }),
            }
        }
        for (group, moving) in self.moves.iter().filter(|(_, moving)| moving.from == id) {
            let membership = &self.memberships[group];
            let elsewhere = membership.node_of(moving.new) != Some(by);
            if elsewhere && moving.phase(membership) != Phase::Removing {
                plan.push(Inheritance::Redirect { group: *group });
            }
        }
        let groups = || plan.iter().map(Inheritance::group);
        let held: Vec<GroupId> = groups().filter(|group| self.memberships[group].uses(by)).collect();
        if let Some(first) = held.first() {
            return Err(self.successor_holds(by, *first, held.len()));
        }
        groups().try_for_each(|group| self.check_majority(id, group, down))?;
        Ok(plan)
    }

    fn successor_holds(&self, by: NodeId, group: GroupId, count: usize) -> Rejection {
        let (topic, partition) = match self.partitions.get(&group) {
            Some(partition) if partition.topic != COORDINATOR => {
                (self.topics.get(&partition.topic).map(|topic| topic.name.clone()), partition.index)
            }
            Some(shard) => (None, shard.index),
            None => (None, 0),
        };
        let topic = topic.unwrap_or_else(|| "(group coordinator)".to_owned());
        Rejection::SuccessorHolds { node: by, topic, partition, more: count as u32 - 1 }
    }

    /// Without a majority that is there nobody can let a new replica in.
    fn check_majority(&self, id: NodeId, group: GroupId, down: &BTreeSet<NodeId>) -> Result<(), Rejection> {
        let voters = &self.memberships[&group].current.voters;
        let there = voters.values().filter(|node| !down.contains(node)).count();
        if there > voters.len() / 2 {
            return Ok(());
        }
        if voters.len() == 1 {
            return Err(Rejection::OnlyReplica { node: id, group });
        }
        Err(Rejection::MajorityDown { group, there: there as u32, voters: voters.len() as u32 })
    }
}

impl Inheritance {
    fn group(&self) -> GroupId {
        match self {
            Self::Move { group, .. } | Self::Redirect { group } => *group,
        }
    }
}
