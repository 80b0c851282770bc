//! `RecoverNode`: what a node that is gone for long should hold is placed on others, as far as that is possible.

use std::collections::BTreeSet;

use weir_types::{GroupId, NodeId, Output, ReplicaId};

use super::register_node::check_member;
use crate::moves::{Move, MoveReason, Phase};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;

/// What is done about one place on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    /// A replica there gets a successor on this node.
    Move { group: GroupId, old: ReplicaId, to: NodeId },
    /// One that was on its way there goes to this node instead.
    Redirect { group: GroupId, to: NodeId },
}

impl Registry {
    pub(crate) fn recover_node(
        &mut self,
        id: NodeId,
        down: &BTreeSet<NodeId>,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        check_member(self.nodes.get(&id).ok_or(Rejection::NodeUnknown { node: id })?)?;
        let plan = self.plan_recovery(id, down);
        for recovery in &plan {
            match *recovery {
                Recovery::Move { group, old, to } => {
                    self.start_move(group, old, to, MoveReason::Recovery, out);
                }
                Recovery::Redirect { group, to } => self.redirect(group, to, out),
            }
        }
        let voted = self.metadata_vote_has_heir(id, down) && self.give_up_metadata_vote(id, down, None, out);
        if voted || !plan.is_empty() {
            self.routing_changed(out);
        }
        Ok(Reply::MovesPlanned { moves: plan.len() as u32 })
    }

    /// Whether [`Command::RecoverNode`](crate::Command::RecoverNode) would do anything.
    pub fn is_recoverable(&self, id: NodeId, down: &BTreeSet<NodeId>) -> bool {
        let member = self.nodes.get(&id).is_some_and(crate::Node::is_member);
        member && (self.metadata_vote_has_heir(id, down) || !self.plan_recovery(id, down).is_empty())
    }

    fn plan_recovery(&self, id: NodeId, down: &BTreeSet<NodeId>) -> Vec<Recovery> {
        let mut rest = self.candidates_but(id, down);
        let mut plan = Vec::new();
        for (group, here) in self.places_on(id) {
            let membership = &self.memberships[&group];
            let moving = self.moves.get(&group).filter(|moving| moving.phase(membership) != Phase::Removing);
            let redirects = moving.is_some_and(|moving| moving.new == here);
            let other_moves = moving.is_some() && !redirects;
            // Without a majority that is there nobody can let a replacement in.
            let there = |node: &NodeId| *node != id && !down.contains(node);
            let voters = &membership.current.voters;
            let majority = voters.values().filter(|node| there(node)).count() > voters.len() / 2;
            if other_moves || !majority || !membership.formed {
                continue;
            }
            let Some(to) = self.place_beside(group, here, &mut rest) else { continue };
            plan.push(if redirects {
                Recovery::Redirect { group, to }
            } else {
                Recovery::Move { group, old: here, to }
            });
        }
        plan
    }

    pub(super) fn redirect(&mut self, group: GroupId, to: NodeId, out: &mut Output<Effect>) {
        let new = self.formed().take_replica();
        let moving = self.moves[&group];
        let mut membership = self.memberships[&group].clone();
        membership.give_up(moving.new);
        membership.reissue(moving.new, new, to);
        self.put_membership(group, membership, out);
        self.put_move(group, Move { new, ..moving }, out);
    }

    /// Whether the node has a vote in the metadata group that another node could take.
    fn metadata_vote_has_heir(&self, id: NodeId, down: &BTreeSet<NodeId>) -> bool {
        let target = &self.memberships[&GroupId::METADATA].target;
        let able = |node: &NodeId| {
            *node != id
                && !down.contains(node)
                && self.nodes.get(node).is_some_and(crate::Node::is_registered)
        };
        target.voters.values().any(|node| *node == id) && target.learners.values().any(able)
    }
}
