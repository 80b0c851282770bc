//! `DrainNode` and `CancelDrain`: a node is emptied, and perhaps comes back into use.

use std::collections::BTreeSet;

use weir_types::{GroupId, NodeId, Output, ReplicaId};

use super::register_node::check_member;
use crate::moves::{Move, MoveReason};
use crate::node::{Node, NodeState};
use crate::output::{Effect, Rejection, Reply};
use crate::placement::{self, Candidate, Rack};
use crate::registry::Registry;

/// A replica that is to go, and the node that gets its successor.
pub(super) type Successor = (GroupId, ReplicaId, NodeId);

impl Registry {
    pub(crate) fn drain_node(
        &mut self,
        id: NodeId,
        down: &BTreeSet<NodeId>,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let node = self.nodes.get(&id).cloned().ok_or(Rejection::NodeUnknown { node: id })?;
        match node.state {
            NodeState::Registered => {}
            NodeState::Cordoned => return Ok(Reply::NodeDraining { node: id }),
            NodeState::Draining => return Err(Rejection::NodeLeaves { node: id }),
            NodeState::Removed | NodeState::Replaced { .. } => check_member(&node)?,
        }
        let successors = self.plan_successors(id, down)?;
        self.put_node(Node { state: NodeState::Cordoned, ..node }, out);
        for (group, old, successor) in successors {
            self.start_move(group, old, successor, MoveReason::Drain, out);
        }
        self.give_up_metadata_vote(id, down, None, out);
        self.routing_changed(out);
        Ok(Reply::NodeDraining { node: id })
    }

    pub(crate) fn cancel_drain(&mut self, id: NodeId, out: &mut Output<Effect>) -> Result<Reply, Rejection> {
        let node = self.nodes.get(&id).cloned().ok_or(Rejection::NodeUnknown { node: id })?;
        match node.state {
            NodeState::Cordoned => {}
            NodeState::Registered => {
                return Ok(Reply::NodeReturned { node: id, cancelled: 0, going_on: 0 });
            }
            NodeState::Draining => return Err(Rejection::NodeLeaves { node: id }),
            NodeState::Removed | NodeState::Replaced { .. } => check_member(&node)?,
        }
        self.put_node(Node { state: NodeState::Registered, ..node }, out);
        let leaving: Vec<GroupId> =
            self.moves.iter().filter(|(_, moving)| moving.from == id).map(|(group, _)| *group).collect();
        let (mut cancelled, mut going_on) = (0, 0);
        for group in leaving {
            let taken_back = self.take_back(group, out);
            *(if taken_back { &mut cancelled } else { &mut going_on }) += 1;
        }
        self.seat_metadata_voters(out);
        self.routing_changed(out);
        Ok(Reply::NodeReturned { node: id, cancelled, going_on })
    }

    /// A new place for each replica that the node is to have, on nodes that are in use and not `down`.
    pub(super) fn plan_successors(
        &self,
        leaving: NodeId,
        down: &BTreeSet<NodeId>,
    ) -> Result<Vec<Successor>, Rejection> {
        let mut rest = self.candidates_but(leaving, down);
        if rest.is_empty() {
            return Err(Rejection::NotEnoughNodes { wanted: 1, have: 0 });
        }
        let mut successors = Vec::new();
        for (group, old) in self.places_on(leaving) {
            self.check_not_moving(group)?;
            let only = self.memberships[&group].only_voter();
            if down.contains(&leaving) && only.is_some_and(|(replica, _)| replica == old) {
                return Err(Rejection::OnlyReplica { node: leaving, group });
            }
            let successor = self.place_beside(group, old, &mut rest);
            let successor = successor.ok_or_else(|| self.no_place_for(group, leaving, &rest))?;
            successors.push((group, old, successor));
        }
        Ok(successors)
    }

    /// Why none of the nodes can take a replica of a group.
    fn no_place_for(&self, group: GroupId, leaving: NodeId, rest: &[Candidate]) -> Rejection {
        let membership = &self.memberships[&group];
        let going = |candidate: &&Candidate| !membership.target.uses(candidate.node);
        if let Some(candidate) = rest.iter().find(going) {
            // It has one that is still being removed.
            return Rejection::MoveInProgress { group, from: candidate.node, to: leaving };
        }
        let (replicas, nodes) = (membership.target.voters.len() as u32, rest.len() as u32);
        Rejection::DrainBreaksReplication { node: leaving, group, replicas, nodes }
    }

    /// The nodes that replicas of `leaving` may go to.
    pub(super) fn candidates_but(&self, leaving: NodeId, down: &BTreeSet<NodeId>) -> Vec<Candidate> {
        let able = |candidate: &Candidate| candidate.node != leaving && !down.contains(&candidate.node);
        self.candidates().into_iter().filter(able).collect()
    }

    /// The replicas of partitions that the node is to have.
    pub(super) fn places_on(&self, node: NodeId) -> Vec<(GroupId, ReplicaId)> {
        let partitions = self.memberships.iter().filter(|(group, _)| **group != GroupId::METADATA);
        let places = partitions.flat_map(|(group, membership)| {
            let here = membership.target.iter().filter(move |(_, at)| *at == node);
            here.map(|(replica, _)| (*group, replica))
        });
        places.collect()
    }

    /// The best of `rest` for a replica of a group that takes the place of `leaving`, and then carries it.
    pub(super) fn place_beside(
        &self,
        group: GroupId,
        leaving: ReplicaId,
        rest: &mut [Candidate],
    ) -> Option<NodeId> {
        let membership = &self.memberships[&group];
        // One that is on its way out of the group counts as well: no node has two replicas of a group.
        let taken: BTreeSet<NodeId> =
            membership.current.iter().chain(membership.target.iter()).map(|(_, node)| node).collect();
        let staying = membership.target.iter().filter(|(replica, _)| *replica != leaving);
        let beside: Vec<Rack> = staying.map(|(_, node)| self.rack_of(node)).collect();
        let successor = placement::place_one(rest, &taken, &beside)?;
        if let Some(candidate) = rest.iter_mut().find(|candidate| candidate.node == successor) {
            candidate.replicas += 1;
        }
        Some(successor)
    }

    pub(super) fn rack_of(&self, node: NodeId) -> Rack {
        Rack::of(node, self.nodes.get(&node).and_then(|node| node.rack.as_deref()))
    }

    /// The node's vote in the metadata group goes to another node, which follows already; the node follows on, since
    /// it needs the registry to know what it shall hold.
    pub(super) fn give_up_metadata_vote(
        &mut self,
        id: NodeId,
        down: &BTreeSet<NodeId>,
        heir: Option<NodeId>,
        out: &mut Output<Effect>,
    ) -> bool {
        let mut membership = self.metadata_membership();
        let target = &mut membership.target;
        let voter = target.voters.iter().find(|(_, node)| **node == id).map(|(replica, _)| *replica);
        let Some(voter) = voter else { return false };
        let able =
            |node: &NodeId| !down.contains(node) && self.nodes.get(node).is_some_and(Node::is_registered);
        let learners = || target.learners.iter().filter(|(_, node)| able(node));
        let preferred = learners().find(|(_, node)| heir == Some(**node)).or_else(|| learners().next());
        let successor = preferred.map(|(replica, node)| (*replica, *node));
        if successor.is_none() && target.voters.len() == 1 {
            return false;
        }
        target.voters.remove(&voter);
        target.learners.insert(voter, id);
        if let Some((replica, node)) = successor {
            target.learners.remove(&replica);
            target.voters.insert(replica, node);
        }
        if membership.preferred_leader == voter {
            let first = membership.target.voters.keys().next();
            membership.preferred_leader = *first.expect("a voter is left, or nothing was changed");
        }
        self.put_membership(GroupId::METADATA, membership, out);
        true
    }

    /// Whether a drained node holds nothing any more and has no vote.
    pub fn is_drained(&self, id: NodeId) -> bool {
        let cordoned = self.nodes.get(&id).is_some_and(|node| node.state == NodeState::Cordoned);
        let empty = |(group, membership): (&GroupId, &crate::Membership)| {
            if *group == GroupId::METADATA {
                !membership.current.voters.values().any(|node| *node == id)
            } else {
                !membership.uses(id)
            }
        };
        cordoned && self.memberships.iter().all(empty)
    }

    /// How many partitions the node has a replica of, or is to have one of.
    pub fn places_of(&self, id: NodeId) -> usize {
        let partitions = self.memberships.iter().filter(|(group, _)| **group != GroupId::METADATA);
        partitions.filter(|(_, membership)| membership.uses(id)).count()
    }

    /// A move that ended is forgotten.
    pub(super) fn finish_move(&mut self, group: GroupId, out: &mut Output<Effect>) {
        let done = |moving: &Move| moving.is_done(&self.memberships[&group]);
        if self.moves.get(&group).is_some_and(done) {
            self.drop_move(group, out);
        }
    }
}
